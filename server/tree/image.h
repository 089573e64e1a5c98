/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_IMAGE_H
#define SERVER_TREE_IMAGE_H

/*
 * A point-in-time image of the tree, written while the tree goes on changing: the ACL map and the node
 * records of a snapshot (disk-formats 3), exactly as they were at tree_image_begin().
 *
 * Each step writes some nodes in pre-order. A node that is about to change before its turn is written
 * first, with those of its ancestors that are still missing, so every parent precedes its children. New
 * nodes carry the image's mark from birth and are left out. Nothing is copied, nothing stops: the cost
 * of a change during an image is at most the nodes on its path. (L6: no fuzzy snapshots.)
 *
 * Thread: the core's. The bytes gather in out until the caller takes them to a file or a learner.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

struct data_tree;
struct znode;

struct tree_image {
    struct data_tree *tree;
    struct znode *cursor; /* next in pre-order; NULL: the walk is over */
    struct buf out;       /* what was written and not yet taken */
    int64_t zxid;         /* the tree's last_zxid at the beginning */
    uint64_t digest;      /* the tree's digest at the beginning */
    int64_t node_count;   /* nodes written so far */
    bool done;            /* the closing "/" is in out */
};

/* The tree has one image at a time. Writes the ACL map; the sessions come before it and are the caller's. */
void tree_image_begin(struct tree_image *im, struct data_tree *t);
/* Writes nodes until out has grown by about max_bytes or all is written. True when done. */
bool tree_image_step(struct tree_image *im, size_t max_bytes);
/* Detaches from the tree, at any time, and frees out. */
void tree_image_end(struct tree_image *im);

/* Called by the tree before n changes or goes. */
void tree_image_before_change(struct tree_image *im, struct znode *n);
void tree_image_before_delete(struct tree_image *im, struct znode *n);

/* Next node in pre-order, or NULL. */
struct znode *znode_next_preorder(struct znode *n);

#endif
