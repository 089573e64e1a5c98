/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_ADDRESS_TABLE_H
#define SERVER_NET_ADDRESS_TABLE_H

/* Counts connections by client address. Pure; one thread. */
#include "common/htable.h"

struct address_table {
    struct htable by_host;
    uint64_t seed; /* of the hash: addresses come from outside */
};

void address_table_init(struct address_table *t, uint64_t seed);
/* Every count must be back at 0. */
void address_table_fini(struct address_table *t);

/* One more from this address; returns how many there are now. */
int address_table_add(struct address_table *t, const char *host);
/* One less; there must be one. */
void address_table_drop(struct address_table *t, const char *host);

#endif
