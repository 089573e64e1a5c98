/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_ZAB_H
#define SERVER_CORE_ZAB_H

/*
 * START HERE for replication: election, discovery, synchronisation and broadcast as one pure
 * function, zab_step(event) -> actions (Zab DSN'11; docs/zab.md). A server alone leads an ensemble
 * of one and goes the same way, without the phases that need others.
 *
 *                 +-------------------- role lost: link down, deadline, disk ----------------+
 *                 v                                                                          |
 *   START -> LOOKING --elected--> LEADING:   discovery -> synchronisation -> broadcast ------+
 *                    \--follows-> FOLLOWING: discovery -> synchronisation -> broadcast ------+
 *
 * The shell's duties:
 *  1. Carry out the actions in list order. What they point to is valid until the next step.
 *  2. A SAVE_ action is durable before the next action starts.
 *  3. LOG_APPEND only starts a write; the event LOG_SYNCED says what is durable, in zxid order.
 *  4. Packets of one link arrive in the order of its SENDs; SNAP_SEND stands in that order too.
 *  5. A link that was closed, by either side, gives LINK_DOWN once, and nothing after it.
 *
 * Thread: the core's.
 */
#include "server/core/election.h"
#include "server/core/history.h"
#include "server/core/leader.h"
#include "server/core/learner.h"
#include "server/jute/quorum_packet.h"

enum zab_event_type {
    ZAB_ON_TICK,         /* time has passed; see zab_deadline_ms */
    ZAB_ON_NOTIFICATION, /* election port: from sid */
    ZAB_ON_LINK_UP,      /* quorum port: a learner has connected, or our CONNECT has succeeded */
    ZAB_ON_LINK_DOWN,    /* quorum port: it is gone, or our CONNECT has failed */
    ZAB_ON_PACKET,       /* quorum port: one packet */
    ZAB_ON_SUBMIT,       /* a write of a local client, or of the server itself */
    ZAB_ON_SYNC,         /* a client's sync */
    ZAB_ON_REVALIDATE,   /* a client of ours resumes a session: is it alive? */
    ZAB_ON_LOG_SYNCED,   /* the log is durable up to zxid */
    ZAB_ON_SNAP_SENT,    /* what SNAP_SEND of this link takes from the tree has been taken */
    ZAB_ON_LOG_FOUND,    /* the answer to LOG_FIND */
    ZAB_ON_LOG_UNREADABLE, /* LOG_SEND of this link has failed in the middle */
    ZAB_ON_SNAP_LOADED,  /* the stream behind SNAP is the tree now */
    ZAB_ON_SNAP_SAVED,   /* SNAP_SAVE is done: that tree is durable, the log continues it */
    ZAB_ON_TRUNCATED,    /* LOG_TRUNCATE is done: log and tree end there, durably */
    ZAB_ON_NOT_TRUNCATED, /* LOG_TRUNCATE cannot be done: this disk has no way back to that zxid */
    ZAB_ON_RELOADED,     /* RELOAD is done, or the disk works again: all is what the disk has */
    ZAB_ON_DIVERGED,     /* our tree is not the leader's: a txn left another digest (S14) */
    ZAB_ON_DISK_FAILED,  /* it did not do what was asked: this server is out until RELOADED */
};

struct zab_start;

struct zab_event {
    enum zab_event_type type;
    int64_t now_ms;  /* monotonic */
    int64_t wall_ms; /* since 1970, for the txns */
    union {
        struct {
            int64_t sid;
            const struct notification *message;
        } notification;
        /* LINK_UP, LINK_DOWN, SNAP_SENT, LOG_UNREADABLE: the shell's id, never reused; 0 is none */
        int64_t link;
        struct {
            int64_t link;
            const struct log_place *place;
        } log_found;
        struct {
            int64_t link;
            const struct quorum_packet *packet;
        } packet;
        const struct request *request; /* SUBMIT */
        struct {
            uint64_t origin;
            int32_t cxid;
        } sync;
        struct {
            int64_t session_id;
            int32_t timeout_ms;
        } revalidate;
        int64_t zxid; /* LOG_SYNCED */
        const struct zab_start *disk; /* RELOADED; NULL: only tree and log were read again */
    };
};

enum zab_action_type {
    ZAB_DO_SEND_VOTE,    /* sid, bytes: a notification */
    ZAB_DO_CONNECT,      /* sid, link: dial the quorum port of the leader; LINK_UP or LINK_DOWN */
    ZAB_DO_LISTEN,       /* on: accept learners on our quorum port, or stop and close the port */
    ZAB_DO_SEND,         /* link, bytes: a packet */
    ZAB_DO_CLOSE,        /* link */
    ZAB_DO_SAVE_ACCEPTED_EPOCH, /* epoch */
    ZAB_DO_SAVE_CURRENT_EPOCH,  /* epoch */
    ZAB_DO_LOG_APPEND,   /* proposal */
    /* zxid: cut the log behind it; if the tree is beyond, reload it (S10). TRUNCATED follows; or
     * NOT_TRUNCATED: it cannot be done, and nothing has changed. */
    ZAB_DO_LOG_TRUNCATE,
    /* link: the image of the tree as it is now, then the signature (S6); SNAP_SENT follows. The
     * last one, if not sent, has been given up. */
    ZAB_DO_SNAP_SEND,
    /* link, zxid, until_zxid: where is zxid in the log on disk, and is there no gap from there to
     * until_zxid? LOG_FOUND follows (S8). */
    ZAB_DO_LOG_FIND,
    /* link, zxid, until_zxid, on: the logged txns above zxid up to until_zxid, as PROPOSAL and
     * COMMIT each (sync_encode_txn), or on: to an observer. What is sent on the link from now on
     * comes behind them, or, when they cannot be read to the end, not at all: the link is closed,
     * and LOG_UNREADABLE follows. */
    ZAB_DO_LOG_SEND,
    ZAB_DO_SNAP_LOAD,    /* link, zxid: the stream behind SNAP is to be the tree; SNAP_LOADED */
    ZAB_DO_SNAP_SAVE,    /* zxid: make the loaded tree durable and begin a log behind it (S5) */
    ZAB_DO_RELOAD,       /* read tree and sessions from the disk again; RELOADED follows (S5) */
    ZAB_DO_DELIVER,      /* proposal: committed; apply its txn, answer its origin */
    ZAB_DO_DELIVER_SYNC, /* origin, cxid: everything before it has been delivered */
    ZAB_DO_REVALIDATED,  /* session_id, is_valid */
    ZAB_DO_SERVE,        /* on: clients are served, at this epoch; or all are let go */
    ZAB_DO_ROLE,         /* role has changed: for logs, figures and `srvr` */
};

struct zab_action {
    enum zab_action_type type;
    bool on;
    bool is_valid;
    int32_t cxid;
    int64_t sid;
    int64_t link;
    int64_t zxid;
    int64_t until_zxid;
    int64_t epoch;
    int64_t session_id;
    uint64_t origin;
    struct proposal *proposal;
    size_t at; /* of the bytes in zab.bytes */
    size_t len;
};

struct zab_config {
    struct prep_config prep;
    const struct ensemble *ensemble; /* borrowed */
    int32_t tick_time_ms;
    int32_t init_limit_ticks;
    int32_t sync_limit_ticks;
    int32_t commit_log_count;
    bool force_snap;           /* forceSnapshotSync */
    int32_t snap_size_percent; /* snapshotSizeFactor, see sync.h */
};

/* How learners were synchronised. */
struct sync_stats {
    int64_t diffs;
    int64_t truncs;
    int64_t snaps;
    int64_t from_disk; /* of the first two, those that needed the log on disk */
};

struct zab {
    struct zab_config config;
    const struct data_tree *tree;   /* not owned */
    struct session_table *sessions; /* not owned */
    enum server_state role;
    bool is_draining;   /* LOOKING, but the log still writes what the last role gave it (S11) */
    bool is_disabled; /* LOOKING, and not even that: the disk has failed (S13) */
    bool is_serving;
    bool wants_snap; /* the tree is not the leader's: a snapshot is asked for next time (S14) */
    const char *reason; /* why the last role was given up; static text */
    int64_t now_ms;
    int64_t wall_ms;
    int64_t accepted_epoch;
    int64_t current_epoch;
    int64_t last_link;  /* given to CONNECT; the shell's own ids for accepted links are negative */
    struct history history;
    struct election election;
    struct leader leader;   /* while LEADING */
    struct learner learner; /* while FOLLOWING or OBSERVING */
    struct sync_stats sync_stats;
    struct zab_action *actions; /* of the last step */
    int32_t action_count;
    int32_t action_cap;
    struct buf bytes; /* what the actions send */
};

/* What recovery found. */
struct zab_start {
    int64_t last_zxid; /* of log and tree */
    int64_t accepted_epoch;
    int64_t current_epoch;
    const struct history_tail *tail; /* of the log; may be NULL */
    int64_t log_from_zxid; /* the log has all from here on, without a gap (S8) */
};

void zab_init(struct zab *z, const struct zab_config *config, const struct zab_start *start,
              const struct data_tree *tree, struct session_table *sessions, int64_t now_ms);
void zab_fini(struct zab *z);
/* The first step: elects, or leads at once in an ensemble of one. */
void zab_begin(struct zab *z, int64_t now_ms);
/* The actions are in z->actions. */
void zab_step(struct zab *z, const struct zab_event *event);
/* When the next ON_TICK is wanted. */
int64_t zab_deadline_ms(const struct zab *z);

static inline struct slice zab_action_bytes(const struct zab *z, const struct zab_action *a)
{
    return (struct slice){ z->bytes.data + a->at, (int32_t)a->len };
}
/* Proposals that are not delivered yet. */
static inline int64_t zab_outstanding(const struct zab *z)
{
    return z->history.inflight_count;
}

/* ---- for leader.c, learner.c and zab.c ---- */

static inline int64_t zab_ticks_ms(const struct zab *z, int32_t ticks)
{
    return (int64_t)ticks * z->config.tick_time_ms;
}

struct zab_action *zab_add(struct zab *z, enum zab_action_type type);
void zab_send(struct zab *z, int64_t link, const struct quorum_packet *packet);
/* Appends to the history and to the log. */
struct proposal *zab_append(struct zab *z, int64_t zxid, struct slice entry);
/* Delivers what has become committed and durable, and the syncs that waited for it. */
void zab_deliver(struct zab *z);
/* Delivers, and clients are served from now on, at this epoch. */
void zab_serve(struct zab *z, int64_t epoch);
/* Gives the role up and looks for a leader again. */
void zab_look(struct zab *z, const char *reason);

#endif
