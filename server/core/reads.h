/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_READS_H
#define SERVER_CORE_READS_H

/*
 * Requests that change nothing: each reads the tree, registers its watch in the same moment (W7) and
 * appends its reply to the client's out. Also the replies of writes, which show what a txn did.
 * Thread: the core's. Pure.
 */
#include "server/core/peer.h"

/* Does the opcode go through the log? */
bool opcode_is_write(int32_t type);

/* May a client send it, other than to prove who it is? */
bool opcode_is_request(int32_t type);

/* Answers a read, sync included once it is its turn; an opcode that is none gets Unimplemented. */
void read_request(struct peer *p, struct client *c, int32_t xid, int32_t type, struct slice body);

/* Answers a write from what applying its txn gave. */
void write_reply(struct peer *p, struct client *c, int32_t xid, const struct apply_result *r);

/* ---- for reads.c and watch_reads.c ---- */

/* One read on its way. Whoever answers it appends a reply and returns ZK_OK, or appends none and returns
 * the error that is to be the reply. */
struct read {
    struct peer *peer;
    struct client *client;
    int32_t xid;
    int32_t type;
    struct wire wire; /* of the record */
};

static inline size_t read_reply_begin(const struct read *r)
{
    return reply_begin(r->client, r->xid, r->peer->tree->last_zxid, ZK_OK);
}

#endif
