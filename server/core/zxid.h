/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_ZXID_H
#define SERVER_CORE_ZXID_H

/* A zxid is the epoch of the leader that proposed it and a counter within that epoch (Zab DSN'11 IV). */
#include <stdint.h>

/* Never given to a txn: behind it a zxid would be one of the next epoch (E8). */
#define ZXID_COUNTER_MAX ((int64_t)0xffffffff)

static inline int64_t zxid_epoch(int64_t zxid)
{
    return (int64_t)((uint64_t)zxid >> 32);
}

static inline int64_t zxid_counter(int64_t zxid)
{
    return zxid & 0xffffffff;
}

static inline int64_t zxid_make(int64_t epoch, int64_t counter)
{
    return (int64_t)((uint64_t)epoch << 32) | counter;
}

#endif
