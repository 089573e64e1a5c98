/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_TRUTH_H
#define TESTS_SIM_TRUTH_H

/*
 * What must hold, whatever happens. The truth sees every txn that any server hands to its log, every txn
 * that a serving server has delivered, and every answer that a user gets.
 *
 * The names are those of the TLA+ specification of Zab.
 *
 *   after each step   a zxid is made by the leader of its epoch, without a gap (Integrity,
 *                     LocalPrimaryOrder), and has one content and one predecessor on every server
 *                     (TotalOrder)
 *                     what serving servers deliver is one row in the order of zxids (PrefixConsistency,
 *                     Agreement, GlobalPrimaryOrder), and equal trees go with equal zxids (S14)
 *                     what a server reads back from its log, for itself or a learner, is that row (S8)
                     what is delivered is on the disks of a quorum, and stays on those of one
 *                     (CommittedLogDurability)
 *                     a serving follower has delivered what it was told is committed (S3)
                     no user is shown an older state than before in its session (MonotonicRead)
 *                     no session is closed by the servers before its time (W3)
 *                     an epoch has one serving leader, and it has every committed txn from its first
 *                     moment (LeaderLogCompleteness, PrimaryIntegrity)
 *   at the end        the committed row is replayed on a tree of its own: every answered write is in it, with
 *                     this result; every read shows the tree of its zxid; a later write has a higher zxid
 *                     than one answered before it began; a read behind a sync sees all that had been
 *                     answered before the sync; watches fired before what they announce was shown; no
 *                     session wrote after its end, and its ephemerals ended with it
 *                     all servers serve the same tree
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct world;
struct node;

/* One txn, as some server has logged it. */
struct known_txn {
    int64_t zxid;
    int64_t prev; /* the one before it in that log */
    struct buf entry;
    int64_t logged_us; /* first */
    bool is_committed;
    bool has_digest;
    uint64_t digest; /* of the tree after it, on some server */
};

/* A write, or one op of a multi. */
struct op_part {
    int32_t type;
    int32_t version; /* that it asks for, or -1 */
    char path[16];
};

enum { OP_PARTS_MAX = 4 };

/* One request of a user. */
struct op {
    int32_t user;
    int64_t session_id;
    int32_t xid;
    int32_t type;
    char path[32];
    int64_t invoked_us;
    int64_t answered_us;
    int64_t floor_zxid; /* behind a sync: everything up to here must show */
    int32_t err;
    int64_t zxid;      /* of the answer */
    struct buf answer; /* the record behind the header */
    bool wants_watch;
    int32_t flags;                      /* of a create */
    struct op_part parts[OP_PARTS_MAX]; /* of a write */
    int32_t part_count;
    int64_t value;     /* that it writes; 0: none, or a delete */
    int64_t synced_us; /* a read behind a sync: when that began; else 0 */
};

/* One watch of a user, from the read that set it until it fired or its session ended. */
struct watch_seen {
    int32_t user;
    bool is_child;
    bool had_node; /* else it waits for the node to be created */
    char path[32];
    int64_t set_zxid;
    int64_t seen_zxid; /* the newest the user had been shown when it fired or ended */
    bool has_fired;
};

struct change_seen {
    int64_t zxid;
    int type;
    char path[32];
    bool is_hidden;        /* users may not read the node: a watch on it goes without an event */
    bool is_parent_hidden; /* the same for a child watch of the parent */
};

/* When a session was last heard of: the begin of its newest request that was answered. */
struct session_seen {
    int64_t session_id;
    int64_t touched_us;
    int32_t timeout_ms;
    int32_t last_cxid; /* of the replay: the last write of it that has changed something */
};

enum { EPOCHS_MAX = 4096 };

struct truth {
    struct known_txn **txns; /* ascending by zxid */
    size_t txn_count;
    int64_t *committed; /* zxids, ascending */
    int64_t committed_count;
    int64_t acked_zxid;              /* the highest zxid of an answered write */
    int64_t leader_life[EPOCHS_MAX]; /* of the one that served in that epoch; 0: none yet */
    struct op *ops;
    int64_t answer_count;
    struct op *lost; /* never answered */
    int64_t lost_count;
    struct session_seen *sessions;
    int64_t session_count;
    struct watch_seen *watches;
    int64_t watch_count;
    struct change_seen *changes; /* of the replay */
    int64_t change_count;
};

void truth_init(struct truth *t);
void truth_fini(struct truth *t);

/* The node hands this txn to its log. */
void truth_proposed(struct world *w, struct node *n, int64_t zxid, const void *entry, size_t len);
/* The node takes zxid for the next txn behind last in its log (S8). */
void truth_neighbours(const struct world *w, const struct node *n, int64_t last, int64_t zxid);
/* The log of the node is durable up to here, or its disk was read or replaced and ends here. */
void truth_durable(struct world *w, struct node *n, int64_t zxid);
/* A step of this node is over. */
void truth_check_node(struct world *w, struct node *n);
/* A user got this answer; takes op->answer. */
void truth_answered(struct world *w, struct op *op);
/* The connection broke before the answer came. */
void truth_lost(struct world *w, const struct op *op);
void truth_watch_over(struct world *w, const struct watch_seen *seen);
/* NULL: no user has got an answer in it. */
struct session_seen *truth_session(const struct truth *t, int64_t session_id);
/* A request of this session that began then was answered. */
void truth_touched(struct world *w, int64_t session_id, int32_t timeout_ms, int64_t began_us);
/* A user was told that its session is over: is it? (W4) */
void truth_expired(struct world *w, int64_t session_id);

/* All serve, and have everything that was committed. */
bool truth_servers_agree(const struct world *w);
void truth_check_end(struct world *w);

#endif
