/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_LEADER_H
#define SERVER_CORE_LEADER_H

/*
 * The leader's broadcast phase (Zab DSN'11 IV-C): each request becomes a proposal with the next zxid; a
 * proposal is committed once a quorum has it in its log and everything before it is committed.
 *
 *      outstanding: proposal(zxid 7) - proposal(8) - sync - proposal(9)       oldest first
 *
 * A sync waits in the same line: it is answered when all that was proposed before it is committed.
 * Thread: the core's. Pure.
 */
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "server/core/prep.h"
#include "server/core/quorum.h"
#include "server/core/request.h"

struct proposal {
    struct list line;
    int64_t zxid;    /* 0: a sync */
    uint64_t origin; /* the local client that waits, or 0 */
    int32_t cxid;
    struct buf entry; /* the encoded txn */
};

struct leader {
    struct prep prep;
    struct quorum quorum;
    int64_t self_sid;
    int64_t last_proposed_zxid;
    struct list outstanding; /* struct proposal.line */
    int64_t outstanding_count;
};

/* Takes over a tree whose last zxid is in the log of a quorum. */
void leader_init(struct leader *l, const struct prep_config *config, const struct quorum *quorum,
                 int64_t self_sid, const struct data_tree *tree, struct session_table *sessions);
void leader_fini(struct leader *l);

/* Prepares the request and puts it on the line; the caller sends and logs the proposal, which stays the
 * leader's until leader_next_committed gives it away. */
struct proposal *leader_propose(struct leader *l, const struct request *req);
void leader_sync(struct leader *l, uint64_t origin, int32_t cxid);
/* The log of sid holds everything up to zxid, durably. */
void leader_on_ack(struct leader *l, int64_t sid, int64_t zxid);
/* The next proposal or sync that may be delivered, in zxid order, or NULL. The caller frees it with
 * proposal_free, after leader_delivered. */
struct proposal *leader_next_committed(struct leader *l);
/* The proposal is applied to the tree. */
void leader_delivered(struct leader *l, const struct proposal *p);
void proposal_free(struct proposal *p);

#endif
