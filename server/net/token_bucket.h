/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_TOKEN_BUCKET_H
#define SERVER_NET_TOKEN_BUCKET_H

/* How many connect requests are taken in a while (ZooKeeper's BlueThrottle): each costs a token, and
 * fill_count come back every fill_ms. No state but its own, no clock. */
#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
    int64_t max; /* 0: no limit */
    int64_t fill_ms;
    int64_t fill_count;
    int64_t tokens;
    int64_t filled_ms; /* monotonic */
};

void token_bucket_init(struct token_bucket *b, int64_t max, int64_t fill_ms, int64_t fill_count,
                       int64_t now_ms);
/* False: there is none. */
bool token_bucket_take(struct token_bucket *b, int64_t now_ms);

#endif
