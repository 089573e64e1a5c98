/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_COMMIT_KIND_H
#define FUSEFS_COMMIT_KIND_H

/*
 * Turning an empty file into a directory and back: null data instead of empty data, for every mount and
 * client (docs/fuse-mapping.md). What would lose data is refused.
 */
#include "fusefs/inode.h"

struct fusefs;

/* err: 0 or an errno. Without a lock, on zkc's threads. */
typedef void (*commit_kind_done_fn)(void *arg, int err);

/* Makes the inode's znode an INODE_DIR or INODE_FILE; nothing to do if it is that. ENOTEMPTY: a file with
 * data, a directory with children; EBUSY: the root. A directory whose znode has data only because it had children becomes the
 * file that it is elsewhere. The inode dies of it: its successor is announced, as one that others made. The
 * caller holds the inode until done. */
void commit_kind(struct fusefs *fs, struct inode *inode, enum inode_kind kind,
                 commit_kind_done_fn done, void *arg);

#endif
