/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_ZAB_H
#define SERVER_CORE_ZAB_H

/*
 * Replication as a pure function: zab_step(event) -> actions. Actions are carried out in list order.
 * LOG_APPEND only starts a write: what depends on its being durable comes out in answer to LOG_SYNCED.
 * What the actions point to is valid until the next step.
 *
 * This server leads an ensemble of one: the broadcast phase with a quorum of itself.
 * Thread: the core's.
 */
#include "server/core/leader.h"

enum zab_event_type {
    ZAB_SUBMIT,     /* a write of a local client, or of the server itself */
    ZAB_SYNC,       /* a client's sync */
    ZAB_LOG_SYNCED, /* the log is durable up to zxid */
};

struct zab_event {
    enum zab_event_type type;
    union {
        const struct request *request; /* ZAB_SUBMIT */
        struct {
            uint64_t origin;
            int32_t cxid;
        } sync;       /* ZAB_SYNC */
        int64_t zxid; /* ZAB_LOG_SYNCED */
    };
};

enum zab_action_type {
    ZAB_LOG_APPEND,   /* append the proposal's entry to the log */
    ZAB_DELIVER,      /* committed: apply the proposal's txn, answer its origin */
    ZAB_DELIVER_SYNC, /* everything proposed before it has been delivered: answer its origin */
};

struct zab_action {
    enum zab_action_type type;
    struct proposal *proposal;
};

struct zab {
    struct leader leader;
    struct zab_action *actions; /* of the last step */
    int32_t action_count;
    int32_t action_cap;
    struct list delivered; /* proposals given away by the last step */
};

struct zab_config {
    struct prep_config prep;
    int64_t sid;
};

/* The tree is recovered, its last zxid is in the log. */
void zab_init(struct zab *z, const struct zab_config *config, const struct data_tree *tree,
              struct session_table *sessions);
void zab_fini(struct zab *z);

/* The actions are in z->actions. */
void zab_step(struct zab *z, const struct zab_event *event);

/* Proposals that are not committed yet. */
static inline int64_t zab_outstanding(const struct zab *z)
{
    return z->leader.outstanding_count;
}

#endif
