/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/commit_acl.h"
#include "fusefs/control.h"
#include "fusefs/control_made.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/ops.h"
#include "fusefs/ops_poll.h"
#include "fusefs/request.h"

static bool is_for_writing(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/* An open file with this text; ends text. */
static struct handle *text_handle(struct fusefs *fs, struct inode *inode, pid_t opener,
                                  const struct handle_ops *ops, struct buf *text,
                                  struct fuse_file_info *fi)
{
    fs_lock(fs);
    struct handle *h = handle_new(inode, inode, fi->flags, opener);
    h->value = value_new(buf_head(text), buf_readable(text), 0, 0);
    h->is_text = true;
    h->ops = ops;
    poll_mark_seen(fs, h);
    inode->told = h->seen;
    fs_unlock(fs);
    buf_fini(text);
    fi->direct_io = 1;
    fi->noflush = !is_for_writing(fi);
    return h;
}

/* ---- stat, session, stats --------------------------------------------------------------------- */

static void text_read(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t size,
                      off_t offset)
{
    if (offset == 0) {
        struct buf text = BUF_EMPTY;
        fs_lock(fs);
        poll_mark_seen(fs, h); /* before: what changes meanwhile is news */
        fs_unlock(fs);
        control_print(fs, h->inode, &text);
        fs_lock(fs);
        value_unref(h->value);
        h->value = value_new(buf_head(&text), buf_readable(&text), 0, 0);
        fs_unlock(fs);
        buf_fini(&text);
    }
    ops_reply_read(fs, req, h, size, offset);
}

static const struct handle_ops text_ops = { .read = text_read };

struct text_open {
    struct request r;
    struct inode *inode; /* referenced */
    struct fuse_file_info fi;
};

static void text_open_end(struct text_open *o, struct handle *h, int err)
{
    struct fusefs *fs = o->r.fs;
    if (h) {
        ops_reply_open(fs, o->r.req, h, &o->fi);
    } else {
        request_reply_err(&o->r, err);
    }
    ops_put_inode(fs, o->inode);
    free(o);
}

static void on_stat_known(void *arg, int rc)
{
    struct text_open *o = arg;
    struct handle *h = NULL;
    if (rc == ZOK && request_claim(&o->r)) {
        struct buf text = BUF_EMPTY;
        h = text_handle(o->r.fs, o->inode, 0, &text_ops, &text, &o->fi);
    }
    text_open_end(o, h, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
}

/* ---- acl ----------------------------------------------------------------------------------------- */

struct acl_flush {
    struct request r;
    struct handle *handle; /* referenced */
};

static void acl_flush_free(struct acl_flush *f)
{
    struct fusefs *fs = f->r.fs;
    fs_lock(fs);
    handle_unref(&fs->cache, f->handle);
    fs_unlock(fs);
    free(f);
}

static void on_acl_committed(void *arg, int err)
{
    struct acl_flush *f = arg;
    fs_lock(f->r.fs);
    f->handle->is_dirty = f->handle->is_dirty || err != 0;
    fs_unlock(f->r.fs);
    request_reply_err(&f->r, err);
    acl_flush_free(f);
}

/* What the file contains; the lock is held. */
static void written_text(const struct handle *h, struct buf *out)
{
    if (h->is_append && h->value) {
        buf_append(out, h->value->bytes, h->value->len);
    }
    buf_append(out, h->data, h->len);
}

static void acl_flush(struct fusefs *fs, fuse_req_t req, struct handle *h)
{
    fs_lock(fs);
    /* A shell closes a duplicate between truncating and writing. */
    bool has_text = h->is_dirty && !h->only_truncated && !h->is_spoiled;
    int err = h->is_spoiled ? EFBIG : 0;
    struct buf text = BUF_EMPTY;
    if (has_text) {
        written_text(h, &text);
        h->is_dirty = false;
        handle_ref(h);
    }
    fs_unlock(fs);
    if (!has_text) {
        fuse_reply_err(req, err);
        return;
    }
    struct acl_flush *f = xcalloc(1, sizeof(*f));
    f->handle = h;
    if (request_begin(&f->r, fs, req)) {
        struct inode *node = inode_owner(h->inode);
        commit_acl(fs, node, (const char *)buf_head(&text), buf_readable(&text), true,
                   on_acl_committed, f);
    } else {
        acl_flush_free(f);
    }
    buf_fini(&text);
}

static void acl_release(struct fusefs *fs, struct handle *h)
{
    (void)fs;
    h->is_dirty = false; /* close has said why */
}

static const struct handle_ops acl_ops = { .flush = acl_flush, .release = acl_release };

static void on_acl_read(void *arg, const struct zkc_result *result)
{
    struct text_open *o = arg;
    struct handle *h = NULL;
    if (result->rc == ZOK && request_claim(&o->r)) {
        struct buf text = BUF_EMPTY;
        acl_print(result->acl, &text);
        pid_t opener = fuse_req_ctx(o->r.req)->pid;
        h = text_handle(o->r.fs, o->inode, opener, &acl_ops, &text, &o->fi);
    }
    text_open_end(o, h, result->rc == ZNONODE ? ESTALE : errno_from_zk(result->rc));
}

/* ---- lock ---------------------------------------------------------------------------------------- */

static void lock_read(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t size,
                      off_t offset)
{
    if (handle_is_lock_in_order(h)) {
        ops_reply_read(fs, req, h, size, offset);
    } else {
        fuse_reply_err(req, EIO);
    }
}

static void lock_write(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                       size_t len, off_t offset)
{
    (void)fs;
    (void)bytes;
    (void)len;
    (void)offset;
    fuse_reply_err(req, handle_is_lock_in_order(h) ? EPERM : EIO);
}

static const struct handle_ops lock_ops = { .read = lock_read, .write = lock_write };

/* An empty file to lock the directory by; fcntl's exclusive lock wants it open for write. Each close is told
 * (no noflush), since it ends the process's fcntl locks. */
static struct handle *lock_handle(struct fusefs *fs, struct inode *inode,
                                  struct fuse_file_info *fi)
{
    fs_lock(fs);
    struct handle *h = handle_new(inode, inode->parent->parent, fi->flags, 0);
    h->value = value_new(NULL, 0, 0, 0);
    h->is_text = true;
    h->ops = &lock_ops;
    fs_unlock(fs);
    fi->direct_io = 1;
    return h;
}

/* ---- open ------------------------------------------------------------------------------------------ */

static int open_gate(struct fusefs *fs, const struct inode *inode, const struct fuse_file_info *fi)
{
    if (!is_for_writing(fi) || inode->kind == INODE_CONTROL_LOCK) {
        return 0;
    }
    return inode->kind == INODE_CONTROL_ACL ? ops_open_write_gate(fs) : EACCES;
}

/* What has to be asked for first. */
static void open_asking(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                        struct fuse_file_info *fi)
{
    struct inode *node = inode_owner(take_inode);
    struct text_open *o = xcalloc(1, sizeof(*o));
    o->inode = take_inode;
    o->fi = *fi;
    fs_lock(fs);
    char *path = xstrdup(node->path);
    fs_unlock(fs);
    if (!request_begin(&o->r, fs, req)) {
        text_open_end(o, NULL, EINTR);
    } else if (take_inode->kind == INODE_CONTROL_ACL) {
        zkc_get_acl(fs->zkc, path, on_acl_read, o);
    } else {
        fetch_node(fs, node, on_stat_known, o);
    }
    free(path);
}

void control_open(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                  struct fuse_file_info *fi)
{
    if (take_inode->kind == INODE_CONTROL_MADE) {
        control_made_reopen(fs, req, take_inode, fi);
        return;
    }
    int err = open_gate(fs, take_inode, fi);
    if (err) {
        fuse_reply_err(req, err);
        ops_put_inode(fs, take_inode);
        return;
    }
    fs_lock(fs);
    bool asks = take_inode->kind == INODE_CONTROL_ACL ||
                (take_inode->kind == INODE_CONTROL_STAT &&
                 !cache_is_covered(inode_owner(take_inode)) && zkc_is_connected(fs->zkc));
    fs_unlock(fs);
    if (asks) {
        open_asking(fs, req, take_inode, fi);
        return;
    }
    struct buf text = BUF_EMPTY;
    struct handle *h = take_inode->kind == INODE_CONTROL_LOCK
                           ? lock_handle(fs, take_inode, fi)
                           : text_handle(fs, take_inode, 0, &text_ops, &text, fi);
    ops_put_inode(fs, take_inode);
    ops_reply_open(fs, req, h, fi);
}
