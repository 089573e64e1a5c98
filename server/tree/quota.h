/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_QUOTA_H
#define SERVER_TREE_QUOTA_H

/*
 * Quotas (client-protocol 13): how many nodes and bytes stand below each path
 * that has a zookeeper_limits node under /zookeeper/quota, kept as text in its zookeeper_stats node. The
 * numbers change in place: no txn, no version, no watch. A change costs one look at each ancestor of its path,
 * if there is any quota at all. Part of the data tree. Pure.
 */
#include "server/tree/data_tree.h"

struct quota_usage {
    int64_t count; /* nodes, the governed one too */
    int64_t bytes; /* of data */
};

/* Would that much more below path still be within the hard limits of its deepest quota? Counts what is in the
 * tree. Soft limits refuse nothing. */
bool quota_allows(const struct data_tree *t, struct slice path, struct quota_usage more);

/* After a node was made: counts it, or notices that it is itself a limits or a stats node. */
void quota_node_created(struct data_tree *t, struct slice path, const struct znode *n);
/* After a node went; data_len is what it had. */
void quota_node_deleted(struct data_tree *t, struct slice path, int32_t data_len);
void quota_data_changed(struct data_tree *t, struct slice path, int64_t byte_diff);
/* Recounts every quota from the tree, after recovery. */
void quota_recount_all(struct data_tree *t);

#endif
