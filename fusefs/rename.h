/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_RENAME_H
#define FUSEFS_RENAME_H

/*
 * A rename from request to answer; private to ops_rename.c, which checks it and does what needs no ensemble,
 * and rename_send.c, which does the rest.
 *
 *      read both ends -> check -> [read all of the source] -> multi -> read again what is here now -> answer
 *            ^                                                  |
 *            +------- something has changed: again -------------+--> lost: read back what has become of it
 */
#include <stdbool.h>

#include "fusefs/inode.h"
#include "fusefs/request.h"
#include "fusefs/value.h"

struct subtree;

enum { RENAME_TRIES_MAX = 20 };

struct rename {
    struct request r;
    struct inode *from_dir; /* referenced */
    struct inode *to_dir;   /* referenced */
    struct inode *from;     /* referenced */
    struct inode *to;       /* referenced; may stand for nothing */
    char *to_name;          /* owned */
    unsigned flags;
    pid_t pid;                /* thread that asked for it */
    struct value *from_value; /* counted; what the multi is made from; NULL: null data */
    struct value *to_value;   /* counted; RENAME_EXCHANGE */
    struct subtree *tree;     /* owned; the whole source, if it gets a new znode; or NULL */
    int64_t from_mzxid;
    int32_t from_version;
    int64_t to_mzxid; /* 0: there was none */
    bool to_exists;
    bool to_was_away; /* exists, but nobody here has seen it */
    bool is_dir;
    bool from_scratch; /* there is no znode yet */
    bool to_scratch;   /* there will be none */
    bool was_resent;   /* an earlier multi may still come to pass */
    bool source_gone;  /* reading back: what the source's end says */
    bool source_untouched;
    bool source_swapped;
    int tries;
    int pending; /* by fs->lock: reads still open */
    int rc;      /* by fs->lock: the worse of them */
};

/* rename_send.c: checked, and different from what is there now. */
void rename_send(struct rename *n);
/* ops_rename.c: from the start; the answer and the end. */
void rename_read(struct rename *n);
void rename_end(struct rename *n, int err);

#endif
