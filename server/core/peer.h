/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_PEER_H
#define SERVER_CORE_PEER_H

/*
 * START HERE for the core: one server of the ensemble (ZooKeeper's QuorumPeer) as a pure function,
 * peer_step(event). It owns the sessions, the watches, the clients and the replication, and changes the
 * tree. What the outside has to do gathers in peer.actions until the shell has done it:
 *
 *      log_batch   append to the log and report PEER_LOG_SYNCED; the answers wait for that (L1)
 *      dirty       clients with bytes in out, and clients in state CLIENT_CLOSING, which the shell
 *                  flushes, closes and then reports with PEER_CLIENT_CLOSED
 *      snapshot_due  begin a snapshot: tree_image_begin on the tree, sessions by peer_encode_sessions
 *
 * The shell may let several steps pass before it looks, so that one write per connection and one fsync
 * per turn are enough. It never has to reorder. Thread: the core's. No clock, no socket, no file.
 */
#include "common/prng.h"
#include "server/core/client.h"
#include "server/core/reaper.h"
#include "server/core/session.h"
#include "server/core/zab.h"
#include "server/tree/data_tree.h"
#include "server/tree/watch.h"

enum peer_event_type {
    PEER_CLIENT_FRAME,  /* one whole frame without its length; the first one is the connect request */
    PEER_CLIENT_OVERSIZED, /* a request that was too large to be read */
    PEER_CLIENT_AUTH,   /* the outcome of an auth packet, which the connection layer checked */
    PEER_CLIENT_CLOSED, /* the connection is gone: forget and free the client */
    PEER_LOG_SYNCED,    /* everything up to zxid is durable in the log */
    PEER_TICK,          /* time has passed; see peer_deadline_ms */
    PEER_ZAB,           /* something of the election or the quorum port, or of the disk */
};

struct peer_event {
    enum peer_event_type type;
    int64_t now_ms;  /* monotonic */
    int64_t wall_ms; /* since 1970 */
    union {
        struct {
            struct client *client;
            struct slice bytes;
        } frame;
        struct {
            struct client *client;
            int32_t xid;
        } oversized;
        struct {
            struct client *client;
            int32_t xid;
            bool ok;        /* else the client is told and closed */
            struct vec ids; /* what it has proved, when ok */
        } auth;
        struct client *client; /* PEER_CLIENT_CLOSED */
        int64_t zxid;          /* PEER_LOG_SYNCED */
        struct zab_event *zab; /* PEER_ZAB; its times are filled in here */
    };
};

struct peer_actions {
    struct buf log_batch; /* struct log_entry_head and its bytes each */
    struct list dirty; /* struct client.dirty */
    bool snapshot_due;
};

/* What the core asks of the shell in the middle of a step, in order (zab.h). Never called for the log,
 * deliveries and syncs, which the core sees to itself. It must not step the core. */
typedef void peer_zab_action_fn(void *arg, const struct zab *z, const struct zab_action *a);

struct peer_config {
    const struct ensemble *ensemble; /* borrowed; one voter when standalone */
    int32_t init_limit_ticks;
    int32_t sync_limit_ticks;
    int32_t commit_log_count; /* committed proposals kept for learners */
    bool force_snap;           /* forceSnapshotSync */
    int32_t snap_size_percent; /* snapshotSizeFactor (sync.h) */
    peer_zab_action_fn *on_zab_action; /* NULL when standalone */
    void *on_zab_action_arg;
    int64_t sid;       /* in session ids; 1 when standalone */
    int64_t start_ms;  /* a clock in ms, for session ids */
    uint64_t seed;     /* hash tables and the snapshot interval */
    int32_t tick_time_ms;
    int32_t min_session_timeout_ms;
    int32_t max_session_timeout_ms;
    int64_t snap_count;
    int32_t jute_maxbuffer;
    int64_t large_request_bytes; /* a larger request counts as large; <= 0: none does */
    int64_t large_requests_max;  /* bytes of large ones in process; who asks for more is closed */
    struct reaper_config reaper;
    bool skip_acl;
    bool enforce_quota;
    bool with_digest;
    struct vec enforced_schemes; /* strings; borrowed. A client proves an id of one of them before anything
                                    else; VEC_NULL: it need not */
};

struct peer_stats {
    int64_t received; /* requests, pings and connects too */
    int64_t sent;
    int64_t latency_count;
    int64_t latency_total_ms;
    int64_t latency_min_ms;
    int64_t latency_max_ms;
    int64_t digest_mismatches; /* txns whose digest was not that of our tree */
    int64_t expired_sessions;
    int64_t reaped; /* container and TTL nodes that were to be deleted */
    int64_t proposed; /* by this server as the leader; the sizes below are of these */
    int64_t proposed_bytes_last;
    int64_t proposed_bytes_min;
    int64_t proposed_bytes_max;
    int64_t received_proposals; /* logged as a learner */
    int64_t received_commits;   /* delivered as a learner */
};

struct peer {
    struct peer_config config;
    struct data_tree *tree; /* not owned */
    struct session_table sessions;
    struct watch_table watches;
    struct zab zab;
    struct htable clients; /* struct client.by_id */
    struct list settled;   /* clients whose held requests may start */
    struct list revalidating; /* clients whose sessions the leader is asked about */
    bool is_serving;
    bool is_leader;        /* and serving: expires sessions, deletes containers */
    struct reaper reaper;
    int64_t large_bytes; /* of large requests in process */
    uint64_t next_client_id;
    struct prng rng;
    int64_t txns_until_snapshot;
    int64_t now_ms;  /* of the step at hand */
    int64_t ticked_ms; /* the last PEER_TICK */
    int64_t wall_ms;
    bool digests_agree; /* the last one did, or none was compared yet (S14) */
    bool has_diverged;  /* in this step: the tree is not the leader's */
    struct apply_result result; /* scratch */
    struct peer_stats stats;
    struct peer_actions actions;
};

/* The tree is recovered. Then peer_restore_session for each recovered session, then peer_start. */
struct peer *peer_new(const struct peer_config *config, struct data_tree *tree, int64_t now_ms);
void peer_restore_session(struct peer *p, int64_t session_id, int32_t timeout_ms, int64_t now_ms);
/* Every session has a full time-out from now. Standalone, ephemerals of unknown sessions are deleted first
 * and the server serves at once; otherwise it looks for a leader. Returns how many were deleted. */
int64_t peer_start(struct peer *p, const struct zab_start *start);
/* The tree was replaced (SNAP_LOADED, RELOADED, LOG_TRUNCATE): the sessions are to be restored anew. No client
 * may be served. */
void peer_replace_tree(struct peer *p, struct data_tree *tree);
int64_t peer_deadline_ms(const struct peer *p);
/* All clients must be gone. */
void peer_free(struct peer *p);

/* A new connection. ip is the address text that the "ip" scheme compares. */
struct client *peer_client_open(struct peer *p, void *conn, const char *ip);

void peer_step(struct peer *p, const struct peer_event *event);

/* A request of this connection is in process and the server has its hands full: do not read more. */
static inline int64_t peer_outstanding(const struct peer *p)
{
    return zab_outstanding(&p->zab);
}

/* The session part of a snapshot. */
void peer_encode_sessions(const struct peer *p, struct buf *out);

#endif
