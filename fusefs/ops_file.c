/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/commit.h"
#include "fusefs/control_file.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/handle.h"
#include "fusefs/lock.h"
#include "fusefs/notify.h"
#include "fusefs/request.h"
#include "fusefs/scratch.h"

/* ---- open ---------------------------------------------------------------------------------------------------- */

struct open {
    struct request r;
    struct inode *inode; /* referenced */
    struct inode *node;  /* referenced; whose data it is */
    struct fuse_file_info fi;
};

static void release_handle(struct fusefs *fs, struct handle *h)
{
    fs_lock(fs);
    handle_release(&fs->cache, h);
    fs_unlock(fs);
}

void ops_reply_open(struct fusefs *fs, fuse_req_t req, struct handle *h, struct fuse_file_info *fi)
{
    fi->fh = (uint64_t)(uintptr_t)h;
    if (fuse_reply_open(req, fi) != 0) {
        release_handle(fs, h);
    }
}

/* Whether the kept value can be served; the lock is held. A directory's null data reads as empty. */
static bool has_current_value(struct fusefs *fs, const struct inode *node)
{
    return node->value && !node->dead && !node->closing &&
           (node->data_watched || !zkc_is_connected(fs->zkc));
}

/* The version that a handle starts from; NULL: not known. The lock is held. */
static struct value *value_of(const struct inode *node)
{
    if (node->value) {
        return value_ref(node->value);
    }
    if (node->kind == INODE_DIR && node->stat_known) {
        return value_new(NULL, 0, node->stat.mzxid, node->stat.version);
    }
    return NULL;
}

/* Opens inode, whose value is kept, for reading; NULL if the value has gone meanwhile. */
static struct handle *make_reader(struct fusefs *fs, struct inode *inode, struct inode *node,
                                  struct fuse_file_info *fi)
{
    struct handle *h = NULL;
    fs_lock(fs);
    if (inode == node && node->value && !node->dead) {
        h = handle_new(inode, node, fi->flags, 0);
        handle_open_reader(&fs->cache, h, fi, clock_now_ms());
    } else if (inode != node && !node->dead) {
        h = handle_new(inode, node, fi->flags, 0);
        h->value = value_of(node);
        fi->direct_io = 1;
        fi->noflush = 1;
    }
    fs_unlock(fs);
    return h;
}

static void open_end(struct open *o, int err)
{
    struct fusefs *fs = o->r.fs;
    struct handle *h = NULL;
    bool is_ours = request_claim(&o->r);
    if (is_ours && !err) {
        h = make_reader(fs, o->inode, o->node, &o->fi);
    }
    if (h) {
        ops_reply_open(fs, o->r.req, h, &o->fi);
    } else if (is_ours) {
        fuse_reply_err(o->r.req, err ? err : ESTALE);
    }
    ops_put_inode(fs, o->inode);
    ops_put_inode(fs, o->node);
    free(o);
}

static void on_open_loaded(void *arg, int rc)
{
    /* ESTALE makes the VFS look the name up again. */
    open_end(arg, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
}

/* Starts what an open needs from the ensemble; takes the caller's reference on inode. */
static void open_load(struct fusefs *fs, fuse_req_t req, struct inode *inode, struct inode *node,
                      struct fuse_file_info *fi)
{
    struct open *o = xcalloc(1, sizeof(*o));
    o->inode = inode;
    o->fi = *fi;
    fs_lock(fs);
    o->node = inode_ref(node);
    fs_unlock(fs);
    if (!request_begin(&o->r, fs, req)) {
        open_end(o, EINTR);
    } else {
        fetch_value(fs, node, on_open_loaded, o);
    }
}

static void open_writer(struct fusefs *fs, fuse_req_t req, struct inode *inode, struct inode *node,
                        struct fuse_file_info *fi)
{
    fs_lock(fs);
    struct handle *h = handle_new(inode, node, fi->flags, fuse_req_ctx(req)->pid);
    if (has_current_value(fs, node)) {
        h->value = value_ref(node->value);
    }
    fs_unlock(fs);
    fi->direct_io = 1;
    fi->keep_cache = 1; /* what readers have cached stays right until the new value is there */
    ops_put_inode(fs, inode);
    ops_reply_open(fs, req, h, fi);
}

int ops_open_write_gate(struct fusefs *fs)
{
    int err = ops_write_gate(fs);
    return err ? err : zkc_is_offline(fs->zkc) ? EHOSTDOWN : 0;
}

static void open_scratch(struct fusefs *fs, fuse_req_t req, struct inode *inode,
                         struct fuse_file_info *fi)
{
    fs_lock(fs);
    struct handle *h = scratch_open(inode, fi, fuse_req_ctx(req)->pid);
    fs_unlock(fs);
    ops_put_inode(fs, inode);
    ops_reply_open(fs, req, h, fi);
}

static void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fusefs *fs = ops_begin(req, STATS_OPEN);
    if (notify_is_helper(fs, req)) {
        notify_helper_open(req, fi);
        return;
    }
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    int err = 0;
    struct inode *inode = ops_get_inode(fs, ino, &err);
    if (!inode) {
        fuse_reply_err(req, err);
        return;
    }
    bool is_data = inode->kind == INODE_CONTROL_DATA;
    if (inode_is_control(inode) && !is_data) {
        control_open(fs, req, inode, fi);
        return;
    }
    if (scratch_is(inode)) {
        open_scratch(fs, req, inode, fi);
        return;
    }
    err = writes ? ops_open_write_gate(fs) : ops_gate(fs);
    if (err) {
        fuse_reply_err(req, err);
        ops_put_inode(fs, inode);
        return;
    }
    struct inode *node = is_data ? inode->parent->parent : inode;
    if (writes) {
        open_writer(fs, req, inode, node, fi);
    } else {
        fs_lock(fs);
        bool is_kept = has_current_value(fs, node);
        fs_unlock(fs);
        struct handle *h = is_kept ? make_reader(fs, inode, node, fi) : NULL;
        if (h) {
            ops_put_inode(fs, inode);
            ops_reply_open(fs, req, h, fi);
        } else {
            open_load(fs, req, inode, node, fi);
        }
    }
}

/* ---- read and write --------------------------------------------------------------------------------------------- */

/* A read or write that needs the value first. */
struct transfer {
    struct request r;
    struct handle *handle; /* referenced */
    char *bytes;           /* owned; what is written; NULL: a read */
    size_t len;
    off_t offset;
};

static void transfer_free(struct transfer *t)
{
    struct fusefs *fs = t->r.fs;
    fs_lock(fs);
    handle_unref(&fs->cache, t->handle);
    fs_unlock(fs);
    free(t->bytes);
    free(t);
}

/* Copies what a read gets, so that the reply is made without the lock; -1: not loaded. */
static ssize_t copy_out(struct fusefs *fs, struct handle *h, size_t len, off_t offset, char *out)
{
    ssize_t count = -1;
    size_t have = 0;
    fs_lock(fs);
    const char *bytes = handle_read(h, offset, &have);
    if (bytes) {
        count = 0;
        if (offset >= 0 && (size_t)offset < have) {
            count = (ssize_t)(have - (size_t)offset < len ? have - (size_t)offset : len);
            memcpy(out, bytes + offset, (size_t)count);
        }
    }
    fs_unlock(fs);
    return count;
}

/* The new content's errno: 0, or EFBIG; the lock is held. */
static int check_size(const struct fusefs *fs, const struct handle *h, size_t len, off_t offset)
{
    size_t limit = handle_limit(fs, h);
    size_t start = h->is_append || h->is_at_end ? handle_size(h) : (size_t)offset;
    return start > limit || len > limit - start ? EFBIG : 0;
}

/* Into the handle's buffer: 0, an errno, or -1 if the value has to be loaded first. */
static int copy_in(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                   size_t len, off_t offset)
{
    fs_lock(fs);
    h->changer = fuse_req_ctx(req)->pid;
    if (scratch_is(h->inode)) {
        size_t at = h->is_append ? h->inode->scratch->len : (size_t)offset;
        int scratch_err = scratch_write(fs, h->inode, bytes, len, at);
        fs_unlock(fs);
        return scratch_err;
    }
    int err = check_size(fs, h, len, offset);
    h->is_spoiled = h->is_spoiled || err == EFBIG;
    if (!err && !handle_make_private(h)) {
        err = -1;
    }
    if (!err) {
        handle_write(h, bytes, len, offset);
    }
    fs_unlock(fs);
    return err;
}

void ops_reply_read(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t len, off_t offset)
{
    char *out = xmalloc(len ? len : 1);
    ssize_t count = copy_out(fs, h, len, offset, out);
    if (count >= 0) {
        fuse_reply_buf(req, out, (size_t)count);
    } else {
        fuse_reply_err(req, ESTALE);
    }
    free(out);
}

static void reply_write(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                        size_t len, off_t offset)
{
    int err = copy_in(fs, req, h, bytes, len, offset);
    if (err) {
        fuse_reply_err(req, err < 0 ? ESTALE : err);
    } else {
        fuse_reply_write(req, len);
    }
}

static void on_transfer_loaded(void *arg, int rc)
{
    struct transfer *t = arg;
    struct fusefs *fs = t->r.fs;
    fs_lock(fs);
    if (rc == ZOK && !t->handle->value) {
        t->handle->value = value_of(t->handle->node);
    }
    fs_unlock(fs);
    if (request_claim(&t->r)) {
        if (!handle_is_lock_in_order(t->handle)) {
            fuse_reply_err(t->r.req, EIO); /* lost while it waited for the value */
        } else if (rc != ZOK && !t->handle->value) {
            fuse_reply_err(t->r.req, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
        } else if (t->bytes) {
            reply_write(fs, t->r.req, t->handle, t->bytes, t->len, t->offset);
        } else {
            ops_reply_read(fs, t->r.req, t->handle, t->len, t->offset);
        }
    }
    transfer_free(t);
}

static void transfer_load(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                          size_t len, off_t offset)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    t->bytes = bytes ? xstrndup(bytes, len) : NULL;
    t->len = len;
    t->offset = offset;
    fs_lock(fs);
    t->handle = handle_ref(h);
    fs_unlock(fs);
    if (request_begin(&t->r, fs, req)) {
        fetch_value(fs, h->node, on_transfer_loaded, t);
    } else {
        transfer_free(t);
    }
}

/* A reader that starts over wants the current value, which may not be kept; the lock is held. */
static bool must_load(struct fusefs *fs, const struct handle *h, off_t offset)
{
    if (h->is_text || scratch_is(h->inode) || (h->has_data && !h->is_append)) {
        return false;
    }
    if (!h->value) {
        return true;
    }
    if (h->is_cached) {
        return false;
    }
    const struct inode *node = h->node;
    return offset == 0 && !h->is_writable && !node->dead && node->kind == INODE_FILE &&
           !node->value && node->stat.mzxid != h->value->mzxid && zkc_is_connected(fs->zkc);
}

static void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_READ);
    struct handle *h = handle_from_fh(fi->fh);
    int err = !handle_is_lock_in_order(h) ? EIO : h->is_text ? 0 : ops_gate(fs);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    if (h->ops && h->ops->read) {
        h->ops->read(fs, req, h, size, offset);
        return;
    }
    fs_lock(fs);
    bool loads = must_load(fs, h, offset);
    fs_unlock(fs);
    if (loads) {
        transfer_load(fs, req, h, NULL, size, offset);
    } else {
        ops_reply_read(fs, req, h, size, offset);
    }
}

static void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_WRITE);
    struct handle *h = handle_from_fh(fi->fh);
    if (h->ops && h->ops->write) {
        h->ops->write(fs, req, h, buf, size, offset);
        return;
    }
    int err = handle_is_lock_in_order(h) ? copy_in(fs, req, h, buf, size, offset) : EIO;
    if (err < 0) {
        transfer_load(fs, req, h, buf, size, offset);
    } else if (err) {
        fuse_reply_err(req, err);
    } else {
        fuse_reply_write(req, size);
    }
}

/* ---- the end of writing ------------------------------------------------------------------------------------------ */

static void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_FLUSH);
    struct handle *h = handle_from_fh(fi->fh);
    if (fi->fh == HANDLE_HELPER_FH) {
        fuse_reply_err(req, 0);
    } else if (h->ops && h->ops->flush) {
        h->ops->flush(fs, req, h);
    } else {
        fs_lock(fs);
        handle_ref(h);
        fs_unlock(fs);
        commit_flush(fs, req, h); /* sent before the lock is given back */
        lock_drop_owner(fs, h, fi->lock_owner);
        fs_lock(fs);
        handle_unref(&fs->cache, h);
        fs_unlock(fs);
    }
}

static void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    struct fusefs *fs = ops_begin(req, STATS_FSYNC);
    struct handle *h = handle_from_fh(fi->fh);
    if (h->ops && h->ops->flush) {
        h->ops->flush(fs, req, h);
    } else {
        commit_handle(fs, req, h);
    }
}

static void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct fusefs *fs = fuse_req_userdata(req);
    if (fi->fh != HANDLE_HELPER_FH) { /* a RELEASE comes with pid 0 */
        struct handle *h = handle_from_fh(fi->fh);
        stats_add(&fs->stats.ops[STATS_RELEASE]);
        if (h->ops && h->ops->release) {
            h->ops->release(fs, h);
        } else {
            commit_release(fs, h);
        }
        lock_drop_handle(fs, h);
        fs_lock(fs);
        bool is_lost = h->is_dirty && !h->committing && !h->only_truncated && !h->is_spoiled;
        handle_release(&fs->cache, h);
        fs_unlock(fs);
        if (is_lost) {
            log_debug("file", "a write that close reported as failed was dropped");
        }
    } else {
        stats_add(&fs->stats.ops[STATS_HELPER]);
    }
    fuse_reply_err(req, 0);
}

static void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                          struct fuse_file_info *fi)
{
    (void)ino;
    (void)mode;
    (void)offset;
    (void)length;
    ops_begin(req, STATS_FALLOCATE);
    fuse_reply_err(req, fi->fh == HANDLE_HELPER_FH ? 0 : EOPNOTSUPP);
}

void ops_file_fill(struct fuse_lowlevel_ops *ops)
{
    ops->open = ops_open;
    ops->read = ops_read;
    ops->write = ops_write;
    ops->flush = ops_flush;
    ops->fsync = ops_fsync;
    ops->release = ops_release;
    ops->fallocate = ops_fallocate;
}
