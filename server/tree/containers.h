/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_CONTAINERS_H
#define SERVER_TREE_CONTAINERS_H

/*
 * Container and TTL nodes, which the leader deletes when their time is over (client-protocol 7). The tree
 * keeps them in a line, so that looking for those costs nothing per other node. Part of the data tree. Pure.
 */
#include "server/tree/data_tree.h"

void containers_add(struct data_tree *t, struct znode *n);
void containers_remove(struct data_tree *t, struct znode *n);

/* The one that nobody has looked at for longest, which then goes to the end of the line. NULL: there is
 * none. */
struct znode *containers_next(struct data_tree *t);

/* When a container that never had a child is over; 0: never. */
struct container_rule {
    int64_t never_used_ms_max; /* since mtime */
    bool extended_types;
};

/* Is the time of this node over at wall_ms? Without children: a container that had some, or a TTL node that
 * was not written for its TTL. */
bool container_is_over(const struct persisted_stat *stat, int32_t num_children, int64_t wall_ms,
                       const struct container_rule *rule);

#endif
