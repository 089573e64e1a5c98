/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_HANDLE_H
#define FUSEFS_HANDLE_H

/*
 * An open file. A reader holds one version of the value and reads that from start to end. A writer has a
 * buffer of its own that reaches ZooKeeper as one setData (commit.h), so nobody ever sees half a value.
 *
 * Readers come in two modes, chosen at open:
 *   cached  through the kernel's page cache, shared by all cached readers of the inode, who all read the
 *           same version. For files that nobody is changing: a second cat costs no READ.
 *   direct  each read(2) is a READ that this handle answers from its version. For files that are being
 *           changed, since the kernel has one size and one set of pages for an inode, not for a version.
 * A cached reader that is overtaken by a change keeps its version: while one is open, attributes are
 * not cached, so that the kernel asks for the size before each of its reads and gets the one of its
 * version, and new readers are direct. If the new value only continues the old one, it moves on.
 *
 * By fs->lock, all of it but what is atomic.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "fusefs/inode.h"
#include "fusefs/value.h"

struct fusefs;
struct cache;
struct handle;

/* What a file that is no znode does in its own way; NULL: as a znode's. Each but release answers req. */
struct handle_ops {
    void (*read)(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t size, off_t offset);
    void (*write)(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                  size_t len, off_t offset);
    void (*flush)(struct fusefs *fs, fuse_req_t req, struct handle *h); /* fsync too */
    void (*release)(struct fusefs *fs, struct handle *h); /* before handle_release */
};

struct handle {
    struct list link;    /* in inode->handles until released */
    unsigned refs;       /* the kernel's, and those of requests at work */
    struct inode *inode; /* referenced; what was opened */
    struct inode *node;  /* referenced; whose znode it is: the same, or the directory of .zk/data */
    struct value *value; /* counted; the version that is read or changed; NULL: not loaded yet */
    const struct handle_ops *ops; /* NULL: a znode's */
    pid_t opener;        /* thread that opened it, as FUSE tells */
    pid_t changer;       /* thread that wrote or truncated last */
    bool is_fresh;       /* nothing has been done with it */
    bool is_spoiled;     /* a write did not fit: nothing of it is committed */
    bool is_writable;
    bool is_append;      /* data is what was added, wherever the end is by then */
    bool is_at_end;      /* an append that was truncated: data is the whole content, writes go to its end */
    bool is_cached;      /* reads go through the page cache */
    bool is_text;        /* value is generated text, not a version of a znode */
    bool any_version;    /* replaces the value whatever it is by now */
    bool was_read;       /* the writer has seen the old value */
    bool has_data;       /* data is the whole content to be (append: what is added) */
    bool is_dirty;       /* data differs from what ZooKeeper was last told */
    bool only_truncated; /* dirty, but nothing has been written: see commit.h */
    bool committing;     /* a commit is on its way */
    bool is_locked;      /* a lock is held through it, see lock.h */
    atomic_bool is_lock_lost;     /* one was, until it was lost: nothing can be read or written any more */
    atomic_bool is_lock_doubtful; /* ... or nothing until it is known whether it was */
    struct list waiters; /* struct commit, for the next one */
    int64_t session_id;  /* control_make: that its znode lives in; 0: it outlives sessions */
    size_t cursor;       /* control_make: how much of the name has been read */
    struct fuse_pollhandle *poll; /* owned; whom to wake, see ops_poll.h; NULL: nobody */
    bool is_polled;      /* somebody has asked for changes */
    unsigned poll_reports; /* times that the last change has been told */
    int64_t seen;        /* state of the file that has been read, or opened; mzxid */
    char *data;          /* owned */
    size_t len;
    size_t cap;
};

/* FUSE's number of the handle, and back. */
static inline struct handle *handle_from_fh(uint64_t fh)
{
    return (struct handle *)(uintptr_t)fh;
}

/* What the event helper's opens get: they have no handle. */
#define HANDLE_HELPER_FH UINT64_MAX

/* One reference, the kernel's. */
struct handle *handle_new(struct inode *inode, struct inode *node, int flags, pid_t opener);
/* The kernel's last close: no reader or writer any more. Drops its reference. */
void handle_release(struct cache *c, struct handle *h);
/* What is open still when the mount ends, of which the kernel does not tell. */
void handle_release_all(struct cache *c);
struct handle *handle_ref(struct handle *h);
void handle_unref(struct cache *c, struct handle *h);

/* Whether a new reader can use the page cache. */
bool handle_may_cache(const struct inode *inode, int64_t now_ms);
/* Makes h a reader of the inode's kept value and fills in what the kernel is to do. */
void handle_open_reader(struct cache *c, struct handle *h, struct fuse_file_info *fi,
                        int64_t now_ms);
/* A cached reader of another version than the published one. */
bool handle_is_behind(const struct handle *h);
bool handle_any_behind(const struct inode *inode);
bool handle_any_cached(const struct inode *inode);
/* Somebody waits for news of it, see ops_poll.h. */
bool handle_any_polled(const struct inode *inode);
/* The value has changed and the new one is kept: readers whose version it continues move on, and
 * who polls. */
void handle_advance_readers(struct inode *inode);

/* What a read at this offset gets; NULL: the value has to be loaded first. Length in *len. A direct
 * reader that starts over at offset 0 gets the current value if that is kept. */
const char *handle_read(struct handle *h, off_t offset, size_t *len);
/* Makes data the whole content; false: the value has to be loaded first. */
bool handle_make_private(struct handle *h);
/* The same of an append, so that it can be truncated to any length. */
bool handle_make_whole(struct handle *h);
/* The handle that open(O_TRUNC) by this thread is truncating: the kernel sends OPEN without the flag, then a
 * SETATTR without the handle. NULL: none. */
struct handle *handle_find_opened(const struct inode *inode, pid_t opener);
/* The handle with which this thread has changed the file last: the kernel sends fstat(2) without one.
 * NULL: none. */
struct handle *handle_find_changed(const struct inode *inode, pid_t changer);
/* Whether it sees another size than the published one, and lseek(SEEK_END) counts from that: a reader that
 * is behind, and a writer unless somebody reads through the page cache, for which the kernel has one size. */
bool handle_has_own_size(const struct handle *h);
/* A reader, or a writer that has nothing to be committed, goes to the current version. True: the kernel's
 * pages are of another one. */
bool handle_start_over(struct handle *h);
static inline bool handle_is_lock_in_order(const struct handle *h)
{
    return !h->is_lock_lost && !h->is_lock_doubtful;
}
/* Attributes must not be cached: each read is to ask for them, and to be refused. */
bool handle_any_lock_failed(const struct inode *inode);

/* In data. */
void handle_write(struct handle *h, const char *bytes, size_t len, off_t offset);
void handle_truncate(struct handle *h, size_t len);
/* Bytes that the file will have. */
size_t handle_size(const struct handle *h);
/* Bytes that it can have: what fits a request along with the path. */
size_t handle_limit(const struct fusefs *fs, const struct handle *h);

#endif
