/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_USER_H
#define TESTS_SIM_USER_H

/*
 * A client library and the program above it: holds a session over any number of connections to any server,
 * sends requests without waiting for the answers, and tells the truth what it got. An answer that does
 * not come, because the connection broke, leaves open what happened.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "tests/sim/net.h"
#include "tests/sim/truth.h"

enum { USER_LINE_MAX = 8, USER_WATCHES_MAX = 16 };

enum user_state { USER_DOWN, USER_DIALING, USER_CONNECTING, USER_READY };

struct user {
    int32_t index;
    int64_t pace_us; /* from one request to the next, at most */
    enum user_state state;
    struct link *link;
    int32_t server;      /* dialled or connected */
    int32_t tempted_by;  /* dialled next, or NOBODY: any */
    int32_t last_server; /* that the session was confirmed at */
    int64_t retry_at_us;
    int64_t session_id; /* 0: none */
    int32_t timeout_ms;
    int64_t last_zxid; /* the newest it was shown in this session */
    int32_t next_xid;
    int64_t heard_us;
    int64_t sent_us;
    int64_t pinged_us; /* the last ping that was sent */
    struct buf in;
    struct op line[USER_LINE_MAX]; /* not answered yet, in order */
    int32_t line_count;
    struct watch_seen watches[USER_WATCHES_MAX]; /* set and not fired */
    int32_t watch_count;
    int64_t synced_us;             /* when the last sync of this connection began; 0: none */
    int64_t sync_floor;            /* behind a sync in the line: what later reads must show */
    int64_t last_write_invoked_us; /* of the newest write that went through the quorum */
    int64_t made;                  /* counts what it wrote */
    bool is_closing;
    bool is_reader; /* asks for the newest again and again: who has it does not change often */
};

struct world;

/* What a user writes as "<user>.<count>", as one number; never 0. */
static inline int64_t user_value(int user, int64_t count)
{
    return ((int64_t)user + 1) << 32 | count;
}

void user_init(struct world *w, struct user *u, int32_t index);
void user_fini(struct user *u);

void user_on_refused(struct world *w, struct user *u);
void user_on_connected(struct world *w, struct user *u, struct link *link);
void user_on_closed(struct world *w, struct user *u, struct link *link);
void user_on_bytes(struct world *w, struct user *u, struct link *link, const struct buf *bytes);

#endif
