/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_NOTIFY_H
#define FUSEFS_NOTIFY_H

/*
 * Tells the kernel what has changed, and the inotify watchers through the event helper. A thread of its
 * own: a notice can wait for a request that waits for us, so it is never sent by who answers requests.
 * For one change the order is: the new state is published (it is, before the change gets here), the
 * kernel's copy is invalidated, the event is raised. Who reads at the event sees the new state.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

#include "fusefs/cache.h"

struct fusefs;

/* 0 or -errno. */
int notify_start(struct fusefs *fs);
/* Finishes the notice at hand, drops the others. */
void notify_stop(struct fusefs *fs);

/* The cache's on_change: queues what somebody may be waiting for; fs->lock is held. */
void notify_on_change(void *owner, enum change change, struct inode *inode);
/* The session's state has changed: MODIFY on .zk/session, if the kernel knows it. */
void notify_session_changed(struct fusefs *fs);
/* The kernel drops its pages of the file; fs->lock is held. */
void notify_pages_locked(struct fusefs *fs, struct inode *inode);
/* Calls fn, on the notify thread, once the kernel has been told of everything queued so far; fs->lock is
 * held. */
void notify_after_locked(struct fusefs *fs, void (*fn)(struct fusefs *fs, uint64_t id), uint64_t id);
/* With offline=error: the kernel forgets everything that it keeps. */
void notify_forget_everything(struct fusefs *fs);

/* ---- the event helper's own requests: answered from memory, never by a request to the ensemble ---------- */

bool notify_is_helper(const struct fusefs *fs, fuse_req_t req);
void notify_helper_lookup(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name);
/* fi NULL: mkdir. */
void notify_helper_create(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                          struct fuse_file_info *fi);
void notify_helper_getattr(struct fusefs *fs, fuse_req_t req, fuse_ino_t ino);
void notify_helper_open(fuse_req_t req, struct fuse_file_info *fi);

#endif
