/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_LEARNER_H
#define SERVER_CORE_LEARNER_H

/*
 * A follower's or observer's part of Zab (ZAB-3, ZAB-6 to ZAB-11; quorum-protocol 5 to 8).
 *
 *   CONNECTING -> INFO -> EPOCH -> [SNAP ->] SYNC -> SAVING -> ACKED -> ACTIVE
 *    dial the     our     epoch     stream   history  NEWLEADER  acked   UPTODATE: clients
 *    leader     epochs   durable,    is the  arrives  came; wait          are served
 *                        accepted     tree            for the disk
 *
 * Rules: E1 the accepted epoch is durable before ACKEPOCH. E2 the history is durable, then the
 * current epoch, then the ack of NEWLEADER. S2 that ack is the first. S3, S4, S7, S13: history.h.
 * Thread: the core's. Pure; actions go to the struct zab it is part of.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/core/request.h"
#include "server/jute/records.h"

struct zab;

enum learner_state {
    LEARNER_CONNECTING,
    LEARNER_INFO,
    LEARNER_EPOCH,
    LEARNER_SNAP,
    LEARNER_SYNC,
    LEARNER_SAVING,
    LEARNER_ACKED,
    LEARNER_ACTIVE,
};

/* A request on its way to the leader; it comes back as a txn, or for a sync as SYNC, in this order.
 */
struct forwarded {
    struct list line;
    int64_t session_id;
    int32_t cxid;
    uint64_t origin;
    bool is_answered; /* a sync: SYNC came */
    int64_t zxid;     /* then; what had been committed by that time, and must be delivered first */
};

struct learner {
    enum learner_state state;
    int64_t leader_sid;
    int64_t link;         /* 0: none */
    int64_t epoch;        /* the leader's */
    bool is_rebuilding;   /* a tree from SNAP is being saved, or the log cut: nothing is logged */
    bool must_reload;     /* memory is not what is on disk: is_rebuilding (S5), or a cut failed */
    bool wants_snap;      /* the disk has no way back to where the leader wanted it, or S14 */
    int64_t committed_zxid; /* the leader's, from DIFF or TRUNC: committed by UPTODATE */
    int64_t acked_zxid;   /* last proposal acked */
    int64_t deadline_ms;  /* CONNECTING: give up; later: without a packet until then, give up */
    int64_t redial_at_ms; /* CONNECTING without a link */
    int64_t redial_after_ms;
    struct list requests; /* struct forwarded.line */
    struct list syncs;    /* struct forwarded.line */
};

void learner_begin(struct zab *z, int64_t leader_sid);
void learner_end(struct zab *z);

void learner_on_link_up(struct zab *z, int64_t link);
void learner_on_link_down(struct zab *z, int64_t link);
void learner_on_packet(struct zab *z, const struct quorum_packet *packet);
void learner_on_log_synced(struct zab *z);
void learner_on_snap_loaded(struct zab *z);
void learner_on_snap_saved(struct zab *z);
void learner_on_truncated(struct zab *z);
void learner_on_not_truncated(struct zab *z);
void learner_on_tick(struct zab *z);
int64_t learner_deadline_ms(const struct zab *z);

/* Sends it to the leader. */
void learner_submit(struct zab *z, const struct request *req);
void learner_sync(struct zab *z, uint64_t origin, int32_t cxid);
void learner_revalidate(struct zab *z, int64_t session_id, int32_t timeout_ms);
/* Answers the syncs whose turn it is; after delivering. */
void learner_answer_syncs(struct zab *z);
/* The local client that waits for this txn, or 0. */
uint64_t learner_origin_of(struct zab *z, int64_t session_id, int32_t cxid);

#endif
