/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_PREP_H
#define SERVER_CORE_PREP_H

/*
 * Request -> txn, on the leader only (W2): path, ACL, version and session are checked against the tree
 * and the pending changes (overlay.h), in ZooKeeper's order (client-protocol 6). Every request takes a
 * zxid: one that fails becomes an ErrorTxn, which is logged and replicated like any other (4.2).
 *
 * Prep also follows the tree digest, so that each txn carries the digest of the tree after it.
 * Thread: the core's. Pure.
 */
#include "server/core/overlay.h"
#include "server/core/request.h"
#include "server/core/session.h"

struct prep {
    const struct data_tree *tree;   /* not owned */
    struct session_table *sessions; /* not owned; closing is set here (W1) */
    struct overlay overlay;
    uint64_t digest;  /* of the tree once everything prepared is applied */
    bool skip_acl;    /* skipACL=yes */
    bool with_digest; /* digest.enabled */
    bool enforce_quota;
    size_t entry_bytes_max; /* what every peer can read (L11) */
    int64_t never_used_ms_max; /* of a container that had no child yet; 0: for ever */
    struct buf acl_scratch; /* the fixed-up list of the op at hand */
    struct buf path_scratch;
    struct buf multi_scratch;
    struct buf body_scratch;
};

struct prep_config {
    bool skip_acl;
    bool with_digest;
    bool enforce_quota;
    size_t entry_bytes_max;
    int64_t never_used_ms_max;
};

void prep_init(struct prep *p, const struct prep_config *config, const struct data_tree *tree,
               struct session_table *sessions);
void prep_fini(struct prep *p);

/* Appends the encoded txn for the request to entry. zxid is the next one. */
void prep_request(struct prep *p, const struct request *req, int64_t zxid, struct buf *entry);

/* The txn with this zxid is in the tree. */
void prep_applied(struct prep *p, int64_t zxid);

#endif
