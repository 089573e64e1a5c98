/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_SUBTREE_H
#define FUSEFS_SUBTREE_H

/*
 * A znode and all below it, read to be made again under another path in one multi: data, ACLs and the
 * versions that the multi checks. Read level by level, each level in one burst. The whole is no snapshot:
 * that nothing has changed since is what the multi finds out.
 */
#include <stddef.h>
#include <zookeeper/zookeeper.h>

#include "fusefs/zkc.h"

struct fusefs;

struct subtree_node {
    char *path; /* owned */
    char *data; /* owned */
    int len;    /* -1: null data */
    struct Stat stat;
    struct ACL_vector acl; /* owned */
};

struct subtree {
    struct subtree_node **nodes; /* owned; a parent comes before its children */
    size_t count;
    size_t bytes; /* that the multi will take, at most */
};

/* rc: ZOK; ZNONODE if something vanished meanwhile; ZKC_TOO_LARGE; ZKC_EPHEMERAL if one of
 * them is ephemeral, which belongs to who made it; ZNOAUTH also if an ACL is not shown as it is; else
 * libzookeeper's. Without a lock. The tree is the callee's, NULL unless ZOK. */
typedef void (*subtree_done_fn)(void *arg, int rc, struct subtree *take_tree);

/* Reads what is at path and below, if it can go to a path that is longer by so many bytes, in one request. */
void subtree_read(struct fusefs *fs, const char *path, size_t longer, subtree_done_fn done,
                  void *arg);
/* NULL is fine. */
void subtree_free(struct subtree *t);

/* The steps that move it from its path to another: created from the top, deleted from the bottom, unchanged
 * since. Queues of locks that nobody holds are not made again. To be freed with subtree_free_steps. */
struct zkc_step *subtree_move_steps(const struct subtree *t, const char *to, size_t *count);
void subtree_free_steps(struct zkc_step *steps, size_t count);

#endif
