/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_CLIENT_H
#define SERVER_CORE_CLIENT_H

/*
 * One client connection as the core sees it: bytes to send, watches, identities, and the requests that
 * are not answered yet, in order. A read waits only for its own session's earlier writes (W11):
 *
 *      pending: write(xid 5, submitted) - read(xid 6, held) - write(xid 7, submitted)
 *
 * Behind a sync everything is held: the leader answers it when a quorum has confirmed its leadership, which
 * may take longer than the next write, and answers keep the order of the requests.
 *
 * Requests that arrive before the session is settled are all held. Thread: the core's. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/htable.h"
#include "common/list.h"
#include "server/core/session.h"
#include "server/jute/records.h"
#include "server/tree/watch.h"

enum client_state {
    CLIENT_NEW,      /* nothing but a connect request may come */
    CLIENT_SETTLING, /* its createSession is on its way, or the leader is asked about its session */
    CLIENT_DOUBTED,  /* nobody knows its session, but is that so? A sync asks the quorum */
    CLIENT_READY,
    CLIENT_CLOSING,  /* out is flushed and the connection closed; nothing more is read */
};

struct client {
    struct hlink by_id;
    uint64_t id;             /* never reused */
    void *conn;              /* the shell's connection; not owned */
    enum client_state state;
    bool wants_read_only;    /* its connect request had the readOnly byte, so the answer has it too */
    struct session *session; /* while READY or SETTLING and known; not owned */
    int64_t session_id;      /* 0 before the connect request is accepted */
    int32_t timeout_ms;      /* negotiated */
    struct watcher watcher;
    struct buf ids;          /* struct id each */
    int32_t id_count;
    struct buf out;          /* replies and events; the shell sends and consumes */
    struct list dirty;       /* in peer.dirty while the shell has something to do for it */
    struct list revalidating; /* in peer.revalidating while the leader is asked */
    struct list settled;     /* in peer.settled while its held requests may start */
    struct list paused;      /* the shell's: connections that it has stopped reading */
    struct list pending;     /* struct pending.line */
    int32_t pending_count;
    int32_t syncs_submitted; /* of pending; what comes behind one waits for its answer */
    struct client_stats {
        int64_t received;
        int64_t sent;
        int64_t last_cxid; /* -1: none yet */
        int64_t last_zxid;
        int32_t last_op;   /* 0: none yet */
        int64_t latency_count;
        int64_t latency_total_ms;
        int64_t latency_min_ms;
        int64_t latency_max_ms;
        int64_t latency_last_ms;
    } stats;
};

struct pending {
    struct list line;
    int32_t xid;
    int32_t type;
    bool submitted;     /* on its way to a commit; else held */
    int64_t arrived_ms; /* monotonic */
    int64_t wall_ms;    /* what a txn made of it will carry */
    int64_t large_bytes; /* its share of peer.large_bytes */
    int32_t body_len;
    uint8_t body[];     /* only of a held one */
};

struct client *client_new(uint64_t id, void *conn);
/* The client must have no watches, no session and be on no list. */
void client_free(struct client *c);

static inline struct vec client_ids(const struct client *c)
{
    return (struct vec){ c->id_count, { c->ids.data, (int32_t)c->ids.len } };
}
void client_add_id(struct client *c, struct slice scheme, struct slice id);

/* A held one keeps a copy of the body. */
struct pending *client_push_pending(struct client *c, int32_t xid, int32_t type, struct slice body,
                                    bool submitted);
static inline struct pending *client_first_pending(const struct client *c)
{
    return list_is_empty(&c->pending) ? NULL : list_entry(c->pending.next, struct pending, line);
}
void client_drop_pending(struct client *c, struct pending *p);

/* Frames of replies. Between begin and end the record is appended to c->out. */
size_t reply_begin(struct client *c, int32_t xid, int64_t zxid, int32_t err);
void reply_end(struct client *c, size_t at);
/* A reply that is only a header: errors, ping, delete. */
void reply_header_only(struct client *c, int32_t xid, int64_t zxid, int32_t err);
/* A watch event; zxid is -1 as 3.8 has it. */
void reply_event(struct client *c, enum watch_event_type type, struct slice path);
void reply_connect(struct client *c, int32_t timeout_ms, int64_t session_id);

#endif
