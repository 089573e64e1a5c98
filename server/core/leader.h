/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_LEADER_H
#define SERVER_CORE_LEADER_H

/*
 * The leader's part of Zab (ZAB-3 to ZAB-11; DSN'11 IV; quorum-protocol 5 to 9).
 *
 *   DISCOVERY   a quorum says which epochs it has accepted; the new one is larger than all
 *   EPOCH       a quorum accepts it (ACKEPOCH); whoever is ahead of us makes us step aside (E5)
 *   SYNC        each learner gets what it lacks (sync.h) and NEWLEADER; a quorum has it all (E6)
 *   BROADCAST   requests become proposals; a proposal that a quorum has logged, and all before it,
 *               is committed
 *
 * A server alone begins with BROADCAST. Learners that come later run through their own phases
 * meanwhile. Thread: the core's. Pure; actions go to the struct zab it is part of.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/core/prep.h"
#include "server/core/quorum.h"
#include "server/core/request.h"
#include "server/core/sync.h"
#include "server/jute/records.h"

struct zab;

enum leader_phase { LEADER_DISCOVERY, LEADER_EPOCH, LEADER_SYNC, LEADER_BROADCAST };

enum handler_state {
    HANDLER_NEW,     /* connected */
    HANDLER_INFO,    /* has said which epoch it accepted */
    HANDLER_EPOCH,   /* LEADERINFO sent */
    HANDLER_ACKED,   /* has accepted our epoch; waits for a quorum, or its turn to get a snapshot */
    HANDLER_SYNCING, /* has been sent its history and NEWLEADER; gets every proposal from here on */
    HANDLER_SYNCED,  /* has acked NEWLEADER */
    HANDLER_ACTIVE,  /* UPTODATE sent */
};

/* One connected learner. */
struct handler {
    struct list all; /* in leader.handlers */
    int64_t link;
    int64_t sid;
    bool is_observer;
    enum handler_state state;
    int64_t accepted_epoch;
    int64_t current_epoch; /* -1: it had accepted our epoch before, and does not count */
    int64_t last_zxid;     /* its last logged one, from ACKEPOCH */
    bool is_asking_disk;   /* LOG_FIND is under way for it */
    struct log_place disk; /* the answer */
    int64_t known_zxid;    /* its log certainly holds our history up to here */
    int64_t heard_ms;      /* a packet of it came last */
    int64_t silence_max_ms;
    int64_t first_round; /* of pings, the first that it must answer; 0: none yet */
    int64_t answered;    /* rounds from there on that it has answered */
};

/* A sync on the line: answered when everything up to zxid is delivered, and a quorum has said,
 * after the sync came, that it still follows us: else a new leader might have committed more. */
struct leader_sync {
    struct list line;
    int64_t zxid;      /* the last proposal before it */
    int64_t round;     /* of pings, begun after it came */
    bool is_confirmed; /* by a later proposal, without that round */
    int64_t link;      /* the learner that asked, or 0: a client of ours */
    uint64_t origin;
    int32_t cxid;
};

struct leader {
    enum leader_phase phase;
    int64_t epoch;
    struct prep prep; /* if has_prep */
    bool has_prep;
    struct quorum quorum;
    struct list handlers; /* struct handler.all */
    int64_t snap_link;    /* a snapshot is being sent on it; others that need one wait; 0: none */
    struct list syncs;    /* struct leader_sync.line */
    int64_t next_zxid;
    int64_t deadline_ms;  /* of the phases before BROADCAST */
    int64_t next_ping_ms;
    int64_t round;        /* pings sent to all */
};

void leader_begin(struct zab *z);
/* Closes all links and forgets everything. */
void leader_end(struct zab *z);

void leader_on_link_up(struct zab *z, int64_t link);
void leader_on_link_down(struct zab *z, int64_t link);
void leader_on_snap_sent(struct zab *z, int64_t link);
void leader_on_log_found(struct zab *z, int64_t link, const struct log_place *place);
void leader_on_log_unreadable(struct zab *z, int64_t link);
void leader_on_packet(struct zab *z, int64_t link, const struct quorum_packet *packet);
void leader_on_log_synced(struct zab *z);
void leader_on_tick(struct zab *z);
int64_t leader_deadline_ms(const struct zab *z);

/* A write; false while there is no quorum to propose to. */
bool leader_propose(struct zab *z, const struct request *req);
/* link is the learner that asked, or 0. */
void leader_sync(struct zab *z, int64_t link, uint64_t origin, int32_t cxid);
/* Answers the syncs whose turn it is; after delivering, and after an answer to a ping. */
void leader_answer_syncs(struct zab *z);

#endif
