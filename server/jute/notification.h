/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_NOTIFICATION_H
#define SERVER_JUTE_NOTIFICATION_H

/*
 * A message of the election port, without its length (quorum-protocol: 3). Pure.
 */
#include "server/jute/wire.h"

/* The sender's state, and a server's role. */
enum server_state { STATE_LOOKING, STATE_FOLLOWING, STATE_LEADING, STATE_OBSERVING };

enum { NOTIFICATION_VERSION = 2 };

struct notification {
    enum server_state state;
    int64_t leader;         /* sid voted for */
    int64_t zxid;           /* that vote's */
    int64_t election_epoch; /* the sender's round */
    int64_t peer_epoch;     /* that vote's currentEpoch */
    int32_t version;
    struct slice config; /* text of the sender's ensemble; null below version 2 */
};

void notification_encode(struct buf *b, const struct notification *n);
/* Reads the 28, 40 and 44+ byte forms. False: too short, or an impossible state or length. */
bool notification_decode(const void *body, size_t len, struct notification *out);

#endif
