/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_SESSION_H
#define SERVER_CORE_SESSION_H

/*
 * Sessions and their expiry (client-protocol 12). A session outlives its connections. Expiry times are
 * rounded up to ticks, and all sessions of a tick expire together:
 *
 *      ring[expiry_tick % SESSION_RING] -> session, session, ...
 *
 * so a touch is O(1) and a tick looks at one bucket. Thread: the core's. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/htable.h"
#include "common/list.h"

struct client;

enum { SESSION_PASSWD_BYTES = 16, SESSION_RING = 4096 };

struct session {
    struct hlink by_id;
    struct list bucket;  /* in the ring; alone once it has expired */
    int64_t id;
    int32_t timeout_ms;
    int64_t expiry_tick; /* the tick at whose end it dies without another touch */
    bool is_proposed;    /* on the leader: its createSession is not in the tree yet */
    bool closing;        /* a closeSession was prepared: later writes of it fail (W1) */
    int64_t owner_sid;   /* on the leader: the server that its client is connected to; 0: not known yet */
    struct list touched; /* in session_table.touched, on a learner */
    struct client *client; /* the local connection that holds it, or NULL; not owned */
};

struct session_table {
    struct htable by_id;
    struct list ring[SESSION_RING];
    int32_t tick_ms;
    int64_t proposed_count;
    struct list touched; /* sessions active since the leader was last told (W3) */
    bool reports_touches; /* a learner's table: it collects them */
    int64_t swept_tick; /* buckets up to here have been looked at */
    int64_t next_id;
    uint64_t hash_seed;
};

/* start_ms: a clock in ms whose low 40 bits make the ids of this server's life unique; sid: the server's
 * id, 1 when standalone. now_ms is monotonic. */
void session_table_init(struct session_table *t, int64_t sid, int64_t start_ms, int32_t tick_ms,
                        int64_t now_ms, uint64_t hash_seed);
void session_table_fini(struct session_table *t);

static inline int64_t session_count(const struct session_table *t)
{
    return (int64_t)t->by_id.count;
}

/* An id that no session of this ensemble has had. */
int64_t session_table_next_id(struct session_table *t);
struct session *session_find(const struct session_table *t, int64_t id);
/* Starts tracking, or gives a known session this time-out; either way it has a full one from now. */
struct session *session_add(struct session_table *t, int64_t id, int32_t timeout_ms, int64_t now_ms);
/* On the leader: its createSession is proposed. Followers may know it, and its client write through them, before
 * the leader's own log is that far. The next session_add of it is the txn's. */
void session_propose(struct session_table *t, int64_t id, int32_t timeout_ms, int64_t now_ms);
/* The role is over: what was only proposed may never be. */
void session_table_drop_proposed(struct session_table *t);
void session_remove(struct session_table *t, struct session *s);
void session_touch(struct session_table *t, struct session *s, int64_t now_ms);
/* One session whose time is over, taken out of the ring; NULL when there is none left. It stays in the
 * table until its closeSession is applied. */
struct session *session_next_expired(struct session_table *t, int64_t now_ms);

/* Forgets all sessions; none may have a client. */
void session_table_clear(struct session_table *t);
/* A new leader grants everybody a full time-out (W3); a learner has no owners to know of. */
void session_table_renew(struct session_table *t, int64_t now_ms);
/* Everybody has a full time-out from now. */
void session_table_touch_all(struct session_table *t, int64_t now_ms);
/* Id and time-out of each session touched since the last call, as a PING reply carries them. */
void session_take_touched(struct session_table *t, struct buf *out);

/* The snapshot's session part: count, then id and time-out each; not what is only proposed. */
void session_table_encode(const struct session_table *t, struct buf *out);

/* The password of a session id, the same on every server (W4): 16 bytes of java.util.Random seeded with
 * the id XOR 0xB3415C00. */
void session_password(int64_t id, uint8_t out[SESSION_PASSWD_BYTES]);

#endif
