/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control_made.h"

#include <errno.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "fusefs/commit.h"
#include "fusefs/control_gone.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/ops.h"
#include "fusefs/request.h"

/* The kernel sends 256 pages in one request. A write that may touch more of them, because it does not begin
 * at one's start, would arrive in two and become two setData. */
enum { WRITE_BYTES_MAX = 255 * 4096 };

bool control_made_is_lost(struct fusefs *fs, const struct handle *h)
{
    bool is_expired = h->session_id != 0 && (h->session_id != zkc_session_id(fs->zkc) ||
                                             h->session_id == atomic_load(&fs->expired_session_id));
    return is_expired || h->node->dead;
}

/* What every use of the descriptor fails with; 0: nothing. */
static int handle_errno(struct fusefs *fs, const struct handle *h)
{
    fs_lock(fs);
    bool is_lost = control_made_is_lost(fs, h);
    fs_unlock(fs);
    return is_lost ? ESTALE : 0;
}

static void made_read(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t size,
                      off_t offset)
{
    (void)offset; /* writes move it too */
    int err = handle_errno(fs, h);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    fs_lock(fs);
    struct value *text = value_ref(h->value);
    size_t left = text->len - h->cursor;
    size_t count = left < size ? left : size;
    const char *from = text->bytes + h->cursor;
    h->cursor = count > 0 ? h->cursor + count : 0; /* after its end it begins again */
    fs_unlock(fs);
    fuse_reply_buf(req, from, count);
    value_unref(text);
}

struct made_write {
    struct request r;
    struct handle *handle; /* referenced */
    size_t len;
};

static void on_written(void *arg, int rc)
{
    struct made_write *w = arg;
    struct fusefs *fs = w->r.fs;
    if (request_claim(&w->r)) {
        int err = rc == ZNONODE ? ESTALE : errno_from_zk(rc);
        if (err) {
            fuse_reply_err(w->r.req, err);
        } else {
            fuse_reply_write(w->r.req, w->len);
        }
    }
    fs_lock(fs);
    handle_unref(&fs->cache, w->handle);
    fs_unlock(fs);
    free(w);
}

static void made_write(struct fusefs *fs, fuse_req_t req, struct handle *h, const char *bytes,
                       size_t len, off_t offset)
{
    (void)offset;
    int err = handle_errno(fs, h);
    fs_lock(fs);
    size_t limit = handle_limit(fs, h);
    fs_unlock(fs);
    if (!err && (len > limit || len > WRITE_BYTES_MAX)) {
        err = EFBIG;
    }
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    struct made_write *w = xcalloc(1, sizeof(*w));
    w->len = len;
    fs_lock(fs);
    w->handle = handle_ref(h);
    fs_unlock(fs);
    if (request_begin(&w->r, fs, req)) {
        commit_announced(fs, h->node, bytes, (int)len, on_written, w);
    } else {
        on_written(w, ZSYSTEMERROR);
    }
}

void control_made_release(struct fusefs *fs, struct handle *h)
{
    fs_lock(fs);
    bool is_last = --h->node->holders == 0;
    fs_unlock(fs);
    if (is_last && h->session_id != 0) {
        control_gone(fs, h->node, h->session_id);
    }
}

static const struct handle_ops made_ops = { .read = made_read,
                                            .write = made_write,
                                            .release = control_made_release };

struct handle *control_made_open(struct inode *made, struct inode *node, int64_t session_id,
                                 struct value *take_name, struct fuse_file_info *fi)
{
    struct handle *h = handle_new(made, node, fi->flags, 0);
    h->ops = &made_ops;
    h->is_text = true;
    h->session_id = session_id;
    h->value = take_name;
    h->seen = made->told = 0; /* what it shows never changes */
    node->holders++;
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    fi->noflush = 1;
    return h;
}

static struct handle *made_first(const struct inode *made)
{
    bool has_one = !list_is_empty(&made->handles);
    return has_one ? list_entry(made->handles.next, struct handle, link) : NULL;
}

struct inode *control_made_node(const struct inode *made)
{
    struct handle *h = made_first(made);
    return h ? h->node : NULL;
}

void control_made_reopen(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                         struct fuse_file_info *fi)
{
    struct handle *h = NULL;
    fs_lock(fs);
    struct handle *first = made_first(take_inode);
    if (first && first->node->holders > 0) {
        h = control_made_open(take_inode, first->node, first->session_id, value_ref(first->value),
                              fi);
    }
    fs_unlock(fs);
    ops_put_inode(fs, take_inode);
    if (h) {
        ops_reply_open(fs, req, h, fi);
    } else {
        fuse_reply_err(req, ESTALE);
    }
}
