/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SERVER_PARTS_H
#define SERVER_SERVER_PARTS_H

/*
 * What a server is made of; for server*.c only. The loop thread owns all of it, but for what the
 * log and the snapshot thread hold behind their own headers.
 *
 *      server.c            clients, and the turn of the loop
 *      server_store.c      the disk: recovery, log, snapshots, and their threads
 *      server_disk.c       what replication does to the disk, and a disk that fails
 *      server_zab.c        the other servers: both ports, and the core's replication actions
 *      server_fill_view.c  figures for administration
 */
#include <stdatomic.h>

#include "common/thread_queue.h"
#include "server/config.h"
#include "server/core/peer.h"
#include "server/image_sender.h"
#include "server/log_sender.h"
#include "server/membership.h"
#include "server/net/auth.h"
#include "server/net/client_port.h"
#include "server/net/election_port.h"
#include "server/net/learner_port.h"
#include "server/net/loop.h"
#include "server/net/resolver.h"
#include "server/net/token_bucket.h"
#include "server/server.h"
#include "server/snapshotter.h"
#include "server/store/epoch_file.h"
#include "server/store/job_thread.h"
#include "server/store/log_thread.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_receiver.h"
#include "server/store/store_event.h"
#include "server/store/txnlog_tail.h"

/* Only in an ensemble. */
struct replication {
    struct resolver *resolver;
    struct election_port election;
    struct learner_port learners;
    struct image_sender sender;
    struct log_sender log_sender;
    struct snapshot_receiver *receiver; /* NULL: no snapshot is coming in */
    int64_t receiving_link;
    int64_t receiving_zxid;
    bool is_saving;      /* the snapshot at hand is SNAP_SAVE's */
    bool is_disk_bad;    /* out of the quorum until it works again */
    bool is_failure_untold; /* DISK_FAILED is to be told once the step is over */
    int64_t role_since_ms; /* monotonic */
};

struct server {
    const struct config *cfg; /* borrowed */
    struct membership membership;
    struct loop loop;
    struct client_port port;
    struct loop_timer tick;
    int64_t expiry_at_ms;            /* the sessions want a tick then */
    uint64_t seed;
    struct recovery recovered;       /* owns the tree and the names of the directories */
    struct peer *peer;
    struct log_thread *log;   /* NULL: with a job, or the disk fails */
    struct snap_thread *snap; /* likewise */
    struct snapshotter snapshotter;
    struct job_thread *jobs;
    int32_t disk_jobs; /* on their way, of those that take log and snap over */
    bool is_stopping;  /* nothing is begun any more */
    struct thread_queue store_events; /* struct store_event, from the three threads */
    struct loop_io store_events_io;
    struct loop_timer snapshot_retry; /* while the disk is behind */
    struct loop_timer disk_retry;     /* while the disk fails */
    int64_t log_bytes;                /* logged since the last snapshot */
    struct replication replication;
    struct list paused;              /* struct client.paused */
    struct token_bucket connects;
    struct auth_options auth;
    struct buf enforced_schemes;     /* for the core, which borrows it */
    int32_t enforced_scheme_count;
    int64_t start_ms;                /* monotonic */
    int failure;                     /* -errno that ends the service, or 0 */
    struct server_counters {
        int64_t connect_requests;
        int64_t connects_refused; /* by the token bucket */
        int64_t revalidate_requests;
        int64_t oversized; /* requests that were too large to be read */
        int64_t auth_failed;
        int64_t fsync_count;
        int64_t fsync_us_total;
        int64_t fsync_us_max;
        int64_t fsync_slow_count;
        int64_t looked; /* times that it had no leader */
    } counters;
};

static inline bool server_is_alone(const struct server *s)
{
    return s->membership.is_alone;
}

/* ---- server.c ---- */

/* One event through the core. */
void server_step(struct server *s, struct peer_event *ev);
/* The server cannot go on; an ERROR line has said why. */
void server_fail(struct server *s, int err);

/* ---- server_store.c ---- */

/* What the disk has; see recovery.h. */
struct store_state {
    struct recovery recovered;
    struct epochs epochs;
    struct history_tail tail;
};

/* Reads the data directory. 0, or -errno after an ERROR line. */
int server_store_recover(struct server *s);
/* What else a member needs of it; free the tail's entries. r: what was recovered. The same. */
int server_store_read_epochs_and_tail(const struct server *s, const struct recovery *r,
                                      struct epochs *epochs, struct history_tail *tail);
/* All of it, while the threads are ended. Any thread; the same. */
int server_store_read_state(const struct server *s, struct store_state *state);
void store_state_fini(struct store_state *state);
/* Each member's own configuration, as a znode. */
void server_store_set_config_node(const struct server *s, struct data_tree *tree);
/* Twice jute.maxbuffer: what every peer can read. */
size_t server_entry_bytes_max(const struct server *s);
/* The threads of log, snapshots and jobs, and the queue of their events. */
int server_store_start(struct server *s);
/* Log and snapshots again, the log behind last_zxid. 0 or -errno. */
int server_store_start_threads(struct server *s, int64_t last_zxid);
/* What is on its way to the disk arrives there. */
void server_store_stop(struct server *s);
/* What the threads have reported. */
void server_store_take_events(struct server *s);
/* What the core wants logged, once a turn. */
void server_store_carry_out_log(struct server *s);
/* Begins a snapshot that is due, takes a slice of one that is being made. True: there is more to do
 * at once. */
bool server_store_turn(struct server *s);

/* ---- server_disk.c ---- */

/* A failure ends a server alone; a member leaves the quorum until its disk works again. */
void server_disk_failed(struct server *s, int err, const char *what);
/* Done when they return. */
void server_disk_save_accepted_epoch(struct server *s, int64_t epoch);
void server_disk_save_current_epoch(struct server *s, int64_t epoch);
/* The rest of the disk's part of the core's actions: begun here, done on the job thread; the event
 * that follows says so. */
void server_disk_truncate(struct server *s, int64_t zxid);
void server_disk_reload(struct server *s);
/* The tree that came as SNAP is durable as snapshot.<zxid>: the log begins anew behind it. */
void server_disk_begin_anew(struct server *s, int64_t zxid);
/* Another tree takes the place of the one at hand; takes both. */
void server_disk_install(struct server *s, struct data_tree *tree, struct saved_session *sessions,
                         size_t session_count);
/* The snapshot that is being made, if any, is of no use. */
void server_disk_abandon_snapshot(struct server *s);
/* The core knows that the disk has failed: nothing is written, and it is tried again from time to
 * time. */
void server_disk_suspend(struct server *s);
void server_disk_try_to_resume(struct server *s);

/* ---- server_zab.c; none is called alone, but for the first three, which do nothing then ---- */

/* Listens on the election port from here on; before the peer starts. 0 or -errno after an ERROR
 * line. */
int server_zab_start(struct server *s);
void server_zab_stop(struct server *s);
/* Once a turn: links that went down, pieces of a snapshot for a learner. True: more to do at once.
 */
bool server_zab_turn(struct server *s);
/* Once a turn, last: everything leaves. */
void server_zab_flush(struct server *s);
/* peer_config.on_zab_action; arg is the server. */
void server_zab_on_action(void *arg, const struct zab *z, const struct zab_action *a);
/* What an action of the last step has led to. */
void server_zab_after_step(struct server *s);
void server_zab_snap_saved(struct server *s);

/* ---- server_fill_view.c ---- */

/* The figures that administration shows (admin/server_view.h). */
struct server_view;
void server_fill_view(struct server *s, struct server_view *view);

#endif
