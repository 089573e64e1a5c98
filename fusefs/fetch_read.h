/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_FETCH_READ_H
#define FUSEFS_FETCH_READ_H

/*
 * One read of one znode, from its sending to what the cache learns of its answer; private to fetch*.c
 * and refetch.c. A read either belongs to a batch, which somebody waits for, or is made in the background
 * because a watch fired. An answer may show that more has to be read, which the same batch then waits for.
 *
 *      fetch.c, refetch.c --read--> zkc --answer--> cache_learn_...
 *             ^                                         |
 *             +----- refetch_pump, end of the batch ----+
 */
#include <stdbool.h>

#include "fusefs/fetch.h"
#include "fusefs/inode.h"

/* Several reads that end in one call of done. */
struct fetch_batch {
    struct fusefs *fs;
    int pending; /* atomic */
    int rc;      /* ZOK, or why the read that decides failed; by fs->lock */
    fetch_done_fn done;
    void *arg;
    struct inode *arming; /* referenced; the directory that is armed when the batch ends, or NULL */
};

struct fetch_read {
    struct fusefs *fs;
    struct inode *inode;       /* referenced, so that the node is not forgotten meanwhile */
    char *path;                /* owned; what was asked for, whatever has become of the inode */
    struct fetch_batch *batch; /* NULL: in the background, repeated until there is an answer */
    bool decides;              /* its rc is the batch's */
    bool arms;                 /* the children are read too */
    bool is_alone;             /* nothing else is to be read because of the answer */
    bool is_unreadable;        /* the data was refused: the stat is all there is */
};

/* A batch that its maker leaves once all reads are sent. */
struct fetch_batch *fetch_batch_new(struct fusefs *fs, fetch_done_fn done, void *arg);
/* NULL is fine. Whoever leaves last ends it: done is called, without the lock. */
void fetch_batch_leave(struct fetch_batch *b);

/* A read of the inode as part of the batch, or in the background; the lock is held. */
struct fetch_read *fetch_read_new(struct fusefs *fs, struct inode *inode,
                                  struct fetch_batch *batch);

/* Send it, without the lock; the answer frees it. With a watch, but for the ACL, which has none. */
void fetch_send_value(struct fetch_read *r);
void fetch_send_stat(struct fetch_read *r);
void fetch_send_kids(struct fetch_read *r);
void fetch_send_perms(struct fetch_read *r);
/* Not before delay_ms have passed. */
void fetch_send_kids_later(struct fetch_read *r, int delay_ms);

/* fetch.c: a directory's names have come, its children are read as part of the batch that arms it; the
 * lock is held. NULL-terminated array, to be freed; NULL if there are too many. */
struct fetch_read **fetch_plan_children(struct fusefs *fs, struct inode *dir,
                                        struct fetch_batch *batch);
/* fetch.c: the batch that arms a directory has ended. */
void fetch_finish_arming(struct fetch_batch *b);

#endif
