/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_FETCH_H
#define FUSEFS_FETCH_H

/*
 * Reads with a watch, for an operation that waits for them. All requests of one call leave in one burst.
 * Answers are handled on zkc's completion thread (fetch_read.h); what is read because a watch fired is in
 * refetch.h.
 */
#include <stddef.h>

struct fusefs;
struct inode;

/* A value up to this size is fetched before somebody asks for it: when its file is looked up, and when it has
 * changed, for the readers that the event will bring. */
enum { FETCH_EAGER_BYTES = 65536 };

/* Called without a lock; may be NULL where nobody waits. rc is libzookeeper's or ZOK. It may run before the call has returned. */
typedef void (*fetch_done_fn)(void *arg, int rc);

/* Reads data, stat, names of the children and, once, the ACL of the inode's znode. The caller's reference keeps the
 * inode until done; afterwards the live inode has to be looked up by path, since the answer may have
 * replaced it. */
void fetch_node(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg);
/* The data and stat only. */
void fetch_value(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg);
/* The ACL only, for the mode bits. */
void fetch_perms(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg);
/* Makes a directory's children known, each with a watch, up to the child_watches option: from then on
 * nothing that happens in it is missed. Returns at once if it is armed. */
void fetch_arm(struct fusefs *fs, struct inode *dir, fetch_done_fn done, void *arg);
/* Reads what is not known yet of inodes that the caller holds until done: stat, kind, ACL. */
void fetch_inodes(struct fusefs *fs, struct inode *const *inodes, size_t count, fetch_done_fn done,
                  void *arg);

#endif
