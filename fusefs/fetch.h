/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_FETCH_H
#define FUSEFS_FETCH_H

/*
 * Reads with a watch, and what happens when a watch fires: the only way by which the cache learns of
 * other clients' changes. All requests of one call leave in one burst. Answers are handled on zkc's
 * completion thread.
 */
#include <stddef.h>

struct fusefs;
struct inode;

/* Called without a lock; rc is libzookeeper's or ZOK. It may run before the call has returned. */
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

/* CHANGE_LISTED: remembers the inode; the lock is held. fetch_pump then sends the requests, without. */
void fetch_note_listed(struct fusefs *fs, struct inode *inode);
void fetch_pump(struct fusefs *fs);

/* zkc's watch callback. */
void fetch_on_watch(void *owner, int type, const char *path);
/* zkc's watch_bytes callback. */
size_t fetch_watch_bytes(void *owner);
/* A session without watches: everything needed is read again, and differences are raised. */
void fetch_everything(struct fusefs *fs);

#endif
