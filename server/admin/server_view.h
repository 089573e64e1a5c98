/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_ADMIN_SERVER_VIEW_H
#define SERVER_ADMIN_SERVER_VIEW_H

/*
 * What administration may know of a running server: plain figures, copied at the moment of
 * asking, in the loop's thread. admin/ formats them and never looks into the server itself.
 * Counters start at 0 with the server, or with the last reset where reset_stats says so.
 */
#include <stdbool.h>
#include <stdint.h>

/* One client connection; strings are borrowed for the call. */
struct connection_view {
    const char *address; /* Java's form: 127.0.0.1:4000, [0:0:0:0:0:0:0:1]:4000 */
    bool is_reading;     /* requests are read from it, that is, it is not throttled */
    int64_t queued;      /* requests in process */
    int64_t received;
    int64_t sent;
    int64_t session_id;  /* 0: none yet, and the fields below say nothing */
    const char *last_op; /* four letters or more, "PING"; "NA" if there was none */
    int64_t established_wall_ms;
    int32_t session_timeout_ms;
    int64_t last_cxid; /* < 0: none yet */
    int64_t last_zxid;
    int64_t last_response_ms; /* monotonic */
    int64_t latency_ms_last;
    int64_t latency_ms_min;
    int64_t latency_ms_max;
    int64_t latency_ms_avg;
};

enum stats_scope { STATS_CONNECTIONS, STATS_SERVER };

typedef void connection_view_fn(void *ctx, const struct connection_view *connection);

/* A member of an ensemble. */
struct ensemble_view {
    const char *peer_state; /* "leading - broadcast" */
    bool is_leading;        /* the leader's figures mean something */
    int64_t voter_count;
    int64_t looking_count;   /* times that it had no leader */
    int64_t proposals_received;
    int64_t commits_received;
    int64_t snaps_sent;
    int64_t diffs_sent;
    int64_t digest_mismatches;
    int64_t learner_count; /* from here on the leader's figures */
    int64_t synced_follower_count;
    int64_t synced_observer_count;
    int64_t pending_sync_count;
    int64_t leader_uptime_ms;
    int64_t proposal_count;
    int64_t proposal_bytes_last; /* this and the next two: -1 before the first */
    int64_t proposal_bytes_min;
    int64_t proposal_bytes_max;
    int init_limit_ticks; /* from here on what is configured */
    int sync_limit_ticks;
    int election_port;
    int quorum_port;
    bool is_observer;
    const char *members; /* the text of /zookeeper/config; borrowed for the call */
};

struct server_view {
    bool is_serving;
    bool is_read_only;
    const char *mode; /* "standalone", "leader", "follower", "observer" or "read-only" */
    int server_id;    /* 0 standalone */
    int client_port;  /* the one that is bound */
    int64_t uptime_ms;

    int64_t last_zxid;
    int64_t znode_count; /* with the root and the system nodes */
    int64_t ephemeral_count;
    int64_t data_bytes; /* paths and data; the root's path counts as empty */
    int64_t session_count;
    int64_t watch_count;            /* data and child watches */
    int64_t data_watch_count;       /* (connection, path) pairs, and this and the next two ... */
    int64_t data_watch_paths;       /* ... count data watches only, */
    int64_t data_watch_connections; /* as Apache's wchs does */

    int64_t connection_count;
    int64_t outstanding_count; /* requests in process */
    int64_t packets_received;  /* reset by STATS_SERVER */
    int64_t packets_sent;      /* reset by STATS_SERVER */
    int64_t bytes_received;
    int64_t bytes_sent;
    int64_t latency_ms_min; /* this and the next three are reset by STATS_SERVER */
    int64_t latency_ms_max;
    int64_t latency_ms_sum;
    int64_t latency_count;

    int64_t connections_rejected; /* over maxClientCnxns or maxCnxns */
    int64_t connections_closed;   /* by the server, for any reason of its own */
    int64_t connect_requests;     /* new sessions and reconnects */
    int64_t revalidate_requests;  /* reconnects alone */
    int64_t sessionless_expired;  /* connections that never sent a connect request in time */
    int64_t sessions_expired;     /* since start */
    int64_t auth_failed;
    int64_t fsync_count; /* of the transaction log */
    int64_t fsync_ms_sum;
    int64_t fsync_ms_max;
    int64_t fsync_slow_count; /* those over fsync.warningthresholdms */
    int64_t snapshot_count;   /* written since start */
    int64_t snapshot_ms_sum;
    int64_t snapshot_ms_max;

    bool has_ensemble; /* ensemble means something */
    struct ensemble_view ensemble;

    void *arg; /* for the two below */
    void (*for_each_connection)(void *arg, connection_view_fn *fn, void *ctx);
    void (*reset_stats)(void *arg, enum stats_scope scope);
};

#endif
