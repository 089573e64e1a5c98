/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_READAHEAD_H
#define FUSEFS_READAHEAD_H

/*
 * For directories with too many children to be watched each (armed only in part): ls -l reads all names, then
 * looks them up one by one in their order. When that is seen, the names ahead are read in bursts, so that a
 * lookup does not cost a round trip. What was read ahead is held in a ring, and forgotten if nobody comes.
 */
#include <stddef.h>

struct fusefs;
struct inode;

enum { READAHEAD_HELD = 1024 };

struct readahead {
    struct inode *held[READAHEAD_HELD]; /* referenced or NULL */
    size_t next;                        /* the oldest */
};

/* The name in dir is being looked up. Without the lock; the caller holds dir. */
void readahead_note_lookup(struct fusefs *fs, struct inode *dir, const char *name);
/* Holds what was read ahead, in place of the oldest; the lock is held. */
void readahead_hold_locked(struct fusefs *fs, struct inode *inode);
/* Lets go of what is held; the lock is held. */
void readahead_clear_locked(struct fusefs *fs);

#endif
