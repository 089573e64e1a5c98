/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_REFETCH_H
#define FUSEFS_REFETCH_H

/*
 * What is read again because something changed elsewhere, or may have: a watch fired, a name appeared, a
 * session ended and its watches with it. These reads have no deadline and nobody waits for them.
 */
#include <stddef.h>

struct fusefs;
struct inode;

/* zkc's watch callback. */
void refetch_on_watch(void *owner, int type, const char *path);
/* zkc's watch_bytes callback. */
size_t refetch_watch_bytes(void *owner);
/* A session without watches: everything needed is read again, and differences are raised. */
void refetch_everything(struct fusefs *fs);

/* CHANGE_LISTED: remembers the inode; the lock is held. refetch_pump then sends the requests, without. */
void refetch_note_listed(struct fusefs *fs, struct inode *inode);
void refetch_pump(struct fusefs *fs);

#endif
