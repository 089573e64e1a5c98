/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_DIR_HANDLE_H
#define FUSEFS_DIR_HANDLE_H

/*
 * One open directory: the names as they were when it was opened, and the reading ahead of what they stand
 * for. While the kernel takes one buffer of entries after the other, the next ones are read in bursts:
 *
 *      names   0 ......... at ......... known ............ asked ......... count
 *              listed      buffer to    a burst is under   not yet
 *                          be filled    way
 *
 * What has been read is held for as long as the kernel may want it, and forgotten if it does not.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"

struct fusefs;
struct inode;
struct listing;

struct dir_handle {
    unsigned refs; /* by fs->lock, as all that follows: the kernel's, each request's, the burst's */
    struct inode *dir;     /* referenced */
    struct listing *names; /* counted; NULL: a control directory */
    bool shows_control;    /* lists the control directory too */
    bool was_read;         /* from its beginning, at least once */

    size_t at;    /* index of the first name that was wanted last */
    size_t known; /* names before it have been read */
    size_t asked; /* ... or are being read */
    bool is_reading;
    unsigned round;      /* grows when the reader goes back */
    struct list waiters; /* struct dir_waiter */
    struct inode **held; /* a ring, each referenced or NULL; NULL before the first burst */
    size_t next_held;
};

/* A request that waits for entries; embedded in it. */
struct dir_waiter {
    struct list link;
    size_t end;
    void (*go_on)(struct dir_waiter *w); /* without the lock, once */
};

/* Takes the caller's reference on dir. The result has one reference. */
struct dir_handle *dir_handle_new(struct fusefs *fs, struct inode *take_dir);
struct dir_handle *dir_handle_ref(struct fusefs *fs, struct dir_handle *d);
void dir_handle_unref(struct fusefs *fs, struct dir_handle *d);

/* Takes the names as they are now: after rewinddir. */
void dir_handle_renew(struct fusefs *fs, struct dir_handle *d);

/* Calls go_on when count names from index on have been read, or cannot be: at once, or from the thread
 * that gets the answer. The caller's reference on d lasts until then. */
void dir_handle_want(struct fusefs *fs, struct dir_handle *d, size_t index, size_t count,
                     struct dir_waiter *w);

#endif
