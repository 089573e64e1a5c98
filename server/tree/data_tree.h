/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_DATA_TREE_H
#define SERVER_TREE_DATA_TREE_H

/*
 * The znode tree. data_tree_apply() is the only thing that changes it, in zxid order; equal inputs give
 * equal trees, byte for byte in the snapshot. Applying does not check permissions or versions: that was
 * the leader's prep (core/prep.h). It is idempotent, so that a log may be replayed over an Apache
 * snapshot that was taken while it was written (disk-formats 5, L6).
 *
 *      by_path: hash of full path -> znode      owners: session id -> its ephemerals
 *
 * Thread: the one that owns the server's core. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "server/jute/txn.h"
#include "server/jute/zk_err.h"
#include "server/tree/acl.h"
#include "server/tree/znode.h"

struct tree_image;

/* One change of the tree, as whoever watches hears of it. All of it lives for the call. */
struct tree_change {
    enum watch_event_type type; /* created, deleted or data changed */
    struct slice path;          /* in client form */
    struct vec acl;             /* of the node; of a deleted one, what it had */
    struct vec parent_acl;      /* only of one that was created or deleted */
};

/* Told of each change while a txn is applied, in the order of its ops, after the tree has changed. */
struct tree_observer {
    void (*changed)(void *arg, const struct tree_change *change);
    void *arg;
};

struct data_tree {
    struct htable by_path;
    struct htable owners;      /* struct ephemeral_owner, see ephemerals.h */
    struct list containers;    /* struct znode.by_owner, see containers.h */
    struct znode *root;
    struct acl_table acls;
    int64_t last_zxid;         /* last txn applied as a whole (L7) */
    uint64_t digest;           /* sum of znode_digest over all digested nodes */
    int64_t data_size;         /* bytes of all paths and data */
    int64_t ephemerals_count;
    int64_t containers_count;  /* container and TTL nodes */
    int64_t quota_count;       /* zookeeper_limits nodes below /zookeeper/quota */
    bool extended_types;       /* extendedTypesEnabled */
    uint64_t hash_seed;
    struct tree_image *image;  /* one being written, or NULL; not owned */
    uint32_t image_mark;
    struct tree_observer observer; /* changed may be NULL */
    struct buf scratch; /* a path, for the length of a call */
};

struct data_tree_config {
    uint64_t hash_seed;
    bool extended_types;
};

/* An empty tree: "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config". */
struct data_tree *data_tree_new(const struct data_tree_config *config);
void data_tree_free(struct data_tree *t);

/* "" and "/" are the root. NULL if there is no such node. */
struct znode *data_tree_find(const struct data_tree *t, struct slice path);
static inline int64_t data_tree_count(const struct data_tree *t)
{
    return (int64_t)t->by_path.count;
}
struct znode_stat data_tree_stat(const struct data_tree *t, const struct znode *n);
static inline struct vec data_tree_acl(const struct data_tree *t, const struct znode *n)
{
    return acl_table_get(&t->acls, n->acl_id);
}

/* New data without a version, a zxid or a watch: only for the quota statistics (client-protocol 13). */
void data_tree_replace_data(struct data_tree *t, struct znode *n, struct slice data);

/* The text of the ensemble's configuration, which each server stores in /zookeeper/config at its start
 * without a txn (client-protocol 13). zxid: of the configuration. */
void data_tree_set_config(struct data_tree *t, struct slice text, int64_t zxid, int64_t wall_ms);

/* What one txn, or one op of a multi, did. */
struct txn_result {
    int32_t type;           /* the op; OP_ERROR in a failed multi */
    enum zk_err err;
    struct slice path;      /* of the txn */
    struct znode_stat stat; /* create2, createContainer, createTTL, setData, setACL */
};

/* Results of a multi are in subs; the array is reused from call to call. */
struct apply_result {
    struct txn_result top;
    struct txn_result *subs; /* owned by the result */
    int32_t sub_count;
    int32_t sub_cap;
};
void apply_result_fini(struct apply_result *r);

/* Applies one txn of any type. zxid must not be below last_zxid. result may be NULL. */
void data_tree_apply(struct data_tree *t, const struct txn *txn, struct apply_result *result);

/* ---- filling a tree from a snapshot ---- */

/* Forgets everything, the built-in nodes too: a snapshot brings its own. */
void data_tree_clear(struct data_tree *t);
/* The snapshot's ACL map comes first. False: the id is absurd or taken. */
bool data_tree_load_acl(struct data_tree *t, int64_t acl_id, struct vec acl);
/* The root ("") first, every parent before its children. False: no parent, or a duplicate. */
bool data_tree_load_node(struct data_tree *t, struct slice path, struct slice data, int64_t acl_id,
                         const struct persisted_stat *stat);
/* After the last node: built-in nodes that are missing, unused ACLs, last_zxid. False: no root. */
bool data_tree_load_done(struct data_tree *t, int64_t last_zxid);
/* After the snapshot and the replay of the log: recounts the quota statistics. */
void data_tree_recovered(struct data_tree *t);

/* Deletes, without a txn, the ephemerals whose session is_alive denies (disk-formats 4, standalone and
 * leader). Returns how many. */
int64_t data_tree_kill_orphans(struct data_tree *t, bool (*is_alive)(void *arg, int64_t session_id),
                               void *arg);

#endif
