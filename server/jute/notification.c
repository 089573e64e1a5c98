/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jute/notification.h"

enum { BYTES_OLDEST = 28, BYTES_WITH_EPOCH = 40 };

void notification_encode(struct buf *b, const struct notification *n)
{
    put_int(b, (int32_t)n->state);
    put_long(b, n->leader);
    put_long(b, n->zxid);
    put_long(b, n->election_epoch);
    put_long(b, n->peer_epoch);
    put_int(b, n->version);
    put_slice(b, n->config);
}

bool notification_decode(const void *body, size_t len, struct notification *out)
{
    struct wire w;
    wire_init(&w, body, len);
    int32_t state = wire_int(&w);
    *out = (struct notification){ .config = SLICE_NULL };
    out->leader = wire_long(&w);
    out->zxid = wire_long(&w);
    out->election_epoch = wire_long(&w);
    if (len < BYTES_OLDEST || state < STATE_LOOKING || state > STATE_OBSERVING) {
        return false;
    }
    out->state = (enum server_state)state;
    out->peer_epoch = len >= BYTES_WITH_EPOCH ? wire_long(&w) : (int64_t)((uint64_t)out->zxid >> 32);
    out->version = len >= BYTES_WITH_EPOCH ? wire_int(&w) : 0;
    if (out->version >= 2) {
        out->config = wire_slice(&w);
    }
    return wire_ok(&w);
}
