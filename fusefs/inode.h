/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_INODE_H
#define FUSEFS_INODE_H

/*
 * The inode table: which znode a FUSE node id stands for, and what is known of it. A node id is one
 * life of one znode: deleted and created again, or turned from a file into a directory, it gets a new
 * one, and the old one answers ESTALE for ever. Numbers are not used twice.
 *
 *      by_path  live znodes only           by_ino  everything that the kernel or a thread may name
 *         "/app" ----+                        7 ----+
 *                    v                              v
 *                 inode (ino 7, "/app") --parent--> inode (ino 1, "/")
 *                    | kids: the inodes below, alive or dead, each of which counts on its parent
 *                    v
 *                 inode (ino 9, "/app/db")
 *
 * An inode is kept while the kernel remembers it (nlookup), a thread works with it (refs), something
 * hangs below it, or its directory is armed: then its copy is compared with what the ensemble says, and
 * the differences are raised as events.
 *
 * Locks, in the order in which they may be taken:
 *      1. fs->lock    everything here, in cache.h and in handle.h
 *      2. zkc's lock, a queue's lock, the log: leaves
 * A callback of zkc and a FUSE reply are never made with fs->lock held.
 */
#include <stdbool.h>
#include <stdint.h>
#include <zookeeper/zookeeper.h>

#include "common/htable.h"
#include "common/list.h"

struct value;
struct listing;
struct scratch;

enum { INODE_ROOT = 1 };

enum inode_kind {
    INODE_UNKNOWN, /* listed by its parent, not read yet */
    INODE_FILE,
    INODE_DIR,
    INODE_SCRATCH, /* a file in memory, see scratch.h; no znode, as all that follow */
    /* The control directory, its directories and its files; no znodes of their own, not found by path. */
    INODE_CONTROL_DIR,
    INODE_CONTROL_EPHEMERAL, /* a name created in this one and the next ones makes a znode */
    INODE_CONTROL_SEQUENTIAL,
    INODE_CONTROL_EPHEMERAL_SEQUENTIAL,
    INODE_CONTROL_CONTAINER,
    INODE_CONTROL_TTL_SECONDS,
    INODE_CONTROL_TTL, /* has a directory for each number of seconds */
    INODE_CONTROL_MADE, /* the file of such a name; see control_made.h */
    INODE_CONTROL_DATA,
    INODE_CONTROL_STAT,
    INODE_CONTROL_ACL,
    INODE_CONTROL_LOCK,
    INODE_CONTROL_SESSION,
    INODE_CONTROL_STATS,
};

struct inode {
    struct hlink by_ino; /* first, see inode_from_link */
    struct hlink by_path;
    struct list all;     /* in inode_table.all */
    struct list sibling; /* in parent->kids */
    struct list kids;
    uint64_t ino;
    enum inode_kind kind;
    char *path;           /* owned; of the znode, or of the control file as shown */
    struct inode *parent; /* counted by being in its kids; NULL for the root */
    uint64_t nlookup;     /* references that the kernel holds */
    unsigned refs;        /* references of threads and handles */
    bool dead;            /* the znode is gone, or not this inode's any more */
    bool in_path_table;

    /* The copy, see cache.h. */
    bool stat_known;
    bool announce;           /* raise CREATE once the kind is known */
    bool data_watched;       /* a watch covers the data and the stat */
    bool kids_watched;       /* a watch covers the children, and their absence */
    bool armed;              /* every child is known, and compared from now on */
    bool arming;             /* on the way there */
    bool partial;            /* armed, but with too many children to watch each of them */
    struct Stat stat;        /* zero until stat_known */
    bool perms_known;        /* perms are those of the ACL at stat.aversion */
    unsigned perms;          /* ZOO_PERM_ bits that the ACL grants to this session */
    struct value *value;     /* counted; the bytes of stat.mzxid, NULL if not kept */
    struct listing *listing; /* counted; names of the children, NULL if not known */
    struct scratch *scratch; /* owned; INODE_SCRATCH only */
    unsigned scratches;      /* live children that are scratch files */
    unsigned subdirs;        /* live children that are directories */
    struct list lru;         /* in inode_table.lru while value is kept */
    struct list arm_waiters; /* struct fetch_waiter */
    size_t last_looked_up;   /* partial: index of the name, see readahead.h */
    size_t read_ahead;       /* partial: index up to which names are read ahead; 0: not */
    int64_t listed_ms;       /* monotonic time when the names were read last; 0: never */
    int64_t changed_ms;      /* monotonic time of the last change seen; 0: none */

    /* Open handles, see handle.h. */
    struct list handles;
    unsigned holders;    /* open files of the control directory that made it, see control_made.h */
    unsigned deleting;   /* deletes under way: their own watches need no answer */
    unsigned closing;    /* setData under way for files that are closed already */
    unsigned writers;    /* handles open for write */
    int64_t told;        /* the state that whoever polls is told of, see ops_poll.h */
    int64_t page_mzxid;  /* version that the kernel's page cache was filled from; 0: none */
    bool event_queued;   /* a notice of a data change waits in the notify queue */
    bool attr_queued;    /* ... and one of other attributes */
    bool create_skipped; /* was gone again before its creation was announced */
};

struct inode_table {
    struct htable by_ino;
    struct htable by_path;
    struct list all;
    struct list lru;      /* inodes that keep a value, longest unused first */
    size_t value_bytes;   /* kept in them */
    size_t scratch_bytes; /* taken by scratch files */
    size_t scratch_count;
    uint64_t next_ino;
    uint64_t seed;
    size_t count;
    struct inode *root; /* always there, a directory */
};

void inode_table_init(struct inode_table *t, uint64_t seed);
void inode_table_fini(struct inode_table *t);

/* A new inode, alive and findable by path; NULL parent only for the root. No reference is counted: take
 * one before the lock is dropped, or call inode_reap. */
struct inode *inode_add(struct inode_table *t, struct inode *parent, const char *path,
                        enum inode_kind kind);
struct inode *inode_find(const struct inode_table *t, uint64_t ino);
struct inode *inode_find_path(const struct inode_table *t, const char *path);
/* The live child of that name, or NULL. */
struct inode *inode_find_child(const struct inode_table *t, const struct inode *dir,
                               const char *name);

void inode_set_kind(struct inode *inode, enum inode_kind kind);
/* The znode is gone: not found by path any more, and so is everything below it. */
void inode_kill(struct inode_table *t, struct inode *inode);
/* A local rename: the inode now stands for the znode at path, below dir. */
void inode_move(struct inode_table *t, struct inode *inode, struct inode *dir, const char *path);

/* A local exchange of two files: each gets the other's place. */
void inode_exchange(struct inode_table *t, struct inode *a, struct inode *b);

struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode_table *t, struct inode *inode);
void inode_forget(struct inode_table *t, struct inode *inode, uint64_t count);
/* Frees the inode, and ancestors that waited for it, if nobody needs them. */
void inode_reap(struct inode_table *t, struct inode *inode);

/* Whether its copy has to be kept equal to the ensemble. */
bool inode_is_needed(const struct inode *inode);
/* Whether it stands for a znode, or might. */
bool inode_is_znode(const struct inode *inode);
bool inode_is_control(const struct inode *inode);
/* A directory of the control directory in which names are created. */
bool inode_is_maker(const struct inode *inode);
/* The directory whose control directory this is, or is in. */
struct inode *inode_owner(struct inode *control);
bool inode_is_dir(const struct inode *inode);
static inline const char *inode_name(const struct inode *inode)
{
    const char *name = inode->path;
    for (const char *p = name; *p; p++) {
        name = *p == '/' ? p + 1 : name;
    }
    return name;
}

#endif
