/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "fusefs/handle.h"
#include "fusefs/lock.h"
#include "fusefs/scratch.h"

/* What is a znode, or stands for one. */
static bool can_be_locked(const struct handle *h)
{
    enum inode_kind kind = h->inode->kind;
    return kind == INODE_CONTROL_LOCK || kind == INODE_CONTROL_DATA ||
           !(inode_is_control(h->inode) || scratch_is(h->inode));
}

/* Why it cannot be had at all; 0: it may be. */
static int lock_gate(struct fusefs *fs, const struct handle *h)
{
    if (!can_be_locked(h)) {
        return ENOLCK;
    }
    return h->is_lock_lost ? EIO : ops_write_gate(fs);
}

/* ZooKeeper has locks of a znode, not of some of its bytes. */
static bool is_whole_file(const struct flock *range)
{
    return range->l_start == 0 && range->l_len == 0;
}

static struct lock_wish posix_wish(const struct fuse_file_info *fi, const struct flock *range,
                                   bool blocks)
{
    struct lock_wish wish = { .handle = handle_from_fh(fi->fh),
                              .owner = fi->lock_owner,
                              .pid = range->l_pid,
                              .mode = range->l_type == F_RDLCK ? LOCK_SHARED : LOCK_EXCLUSIVE,
                              .blocks = blocks };
    return wish;
}

static void ops_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                      struct flock *range)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_LOCK);
    struct lock_wish wish = posix_wish(fi, range, false);
    if (!is_whole_file(range) || !can_be_locked(wish.handle)) {
        fuse_reply_err(req, ENOLCK);
    } else {
        lock_query(fs, req, &wish);
    }
}

static void ops_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                      struct flock *range, int sleep)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_LOCK);
    struct lock_wish wish = posix_wish(fi, range, sleep);
    if (range->l_type == F_UNLCK && is_whole_file(range)) {
        lock_release(fs, req, &wish);
        return;
    }
    int err = is_whole_file(range) ? lock_gate(fs, wish.handle) : ENOLCK;
    if (range->l_type == F_UNLCK) {
        /* Part of a lock cannot be given back; of none, everything can. */
        fuse_reply_err(req, lock_is_held(fs, &wish) ? ENOLCK : 0);
    } else if (err) {
        fuse_reply_err(req, err);
    } else {
        lock_acquire(fs, req, &wish);
    }
}

static void ops_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_LOCK);
    struct lock_wish wish = { .handle = handle_from_fh(fi->fh),
                              .owner = fi->lock_owner,
                              .is_flock = true,
                              .pid = fuse_req_ctx(req)->pid,
                              .mode = op & LOCK_SH ? LOCK_SHARED : LOCK_EXCLUSIVE,
                              .blocks = !(op & LOCK_NB) };
    int err = op & LOCK_UN ? 0 : lock_gate(fs, wish.handle);
    if (op & LOCK_UN) {
        lock_release(fs, req, &wish);
    } else if (err) {
        fuse_reply_err(req, err);
    } else {
        lock_acquire(fs, req, &wish);
    }
}

void ops_lock_fill(struct fuse_lowlevel_ops *ops)
{
    ops->getlk = ops_getlk;
    ops->setlk = ops_setlk;
    ops->flock = ops_flock;
}
