/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control_make.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/commit.h"
#include "fusefs/control.h"
#include "fusefs/control_gone.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/name.h"
#include "fusefs/ops.h"
#include "fusefs/request.h"

/* How often a request that did not get through is sent again. */
enum { RESEND_MAX = 3 };

/* The kernel sends 256 pages in one request. A write that may touch more of them, because it does not begin
 * at one's start, would arrive in two and become two setData. */
enum { WRITE_BYTES_MAX = 255 * 4096 };

static bool is_sequential(enum inode_kind kind)
{
    return kind == INODE_CONTROL_SEQUENTIAL || kind == INODE_CONTROL_EPHEMERAL_SEQUENTIAL;
}

static bool is_ephemeral(enum inode_kind kind)
{
    return kind == INODE_CONTROL_EPHEMERAL || kind == INODE_CONTROL_EPHEMERAL_SEQUENTIAL;
}

static int create_mode(enum inode_kind kind)
{
    switch (kind) {
    case INODE_CONTROL_EPHEMERAL:
        return ZOO_EPHEMERAL;
    case INODE_CONTROL_SEQUENTIAL:
        return ZOO_PERSISTENT_SEQUENTIAL;
    case INODE_CONTROL_EPHEMERAL_SEQUENTIAL:
        return ZOO_EPHEMERAL_SEQUENTIAL;
    case INODE_CONTROL_CONTAINER:
        return ZOO_CONTAINER;
    default:
        return ZOO_PERSISTENT_WITH_TTL;
    }
}

/* ---- the open file ---------------------------------------------------------------------------------------- */

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

static void made_release(struct fusefs *fs, struct handle *h)
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
                                            .release = made_release };

/* Another open file of the made inode; the lock is held. */
static struct handle *made_handle(struct inode *made, struct inode *node, int64_t session_id,
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

void control_make_reopen(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                         struct fuse_file_info *fi)
{
    struct handle *h = NULL;
    fs_lock(fs);
    struct handle *first = made_first(take_inode);
    if (first && first->node->holders > 0) {
        h = made_handle(take_inode, first->node, first->session_id, value_ref(first->value), fi);
    }
    fs_unlock(fs);
    ops_put_inode(fs, take_inode);
    if (h) {
        ops_reply_open(fs, req, h, fi);
    } else {
        fuse_reply_err(req, ESTALE);
    }
}

/* ---- making the znode ---------------------------------------------------------------------------------------- */

struct making {
    struct request r;
    struct inode *maker; /* referenced */
    struct inode *dir;   /* referenced; where the znode is made */
    struct inode *node;  /* referenced; the znode's, once it is made */
    char *name;          /* owned; as it was given */
    char *path;          /* owned; in dir */
    enum inode_kind kind;
    int64_t ttl_ms; /* -1: none */
    struct fuse_file_info fi;
    int resends;
};

static void make_send(struct making *m);

static void make_free(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    fs_lock(fs);
    if (m->node) {
        inode_unref(&fs->cache.table, m->node);
    }
    inode_unref(&fs->cache.table, m->maker);
    inode_unref(&fs->cache.table, m->dir);
    fs_unlock(fs);
    free(m->name);
    free(m->path);
    free(m);
}

static void make_fail(struct making *m, int err)
{
    request_reply_err(&m->r, err);
    make_free(m);
}

static int64_t session_of(const struct making *m)
{
    return is_ephemeral(m->kind) ? m->node->stat.ephemeralOwner : 0;
}

static struct value *name_line(const struct inode *node)
{
    char *line = xasprintf("%s\n", inode_name(node));
    struct value *text = value_new(line, strlen(line), 0, 0);
    free(line);
    return text;
}

static void reply_made(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    struct fuse_entry_param e;
    fs_lock(fs);
    char *path = name_join(m->maker->path, inode_name(m->node));
    struct inode *made = inode_add(&fs->cache.table, m->maker, path, INODE_CONTROL_MADE);
    free(path);
    struct handle *h = made_handle(made, m->node, session_of(m), name_line(m->node), &m->fi);
    attr_fill_entry(fs, made, &e);
    fs_unlock(fs);
    int err = fuse_reply_create(m->r.req, &e, &m->fi);
    ops_entry_sent(fs, &e, err);
    if (err) {
        made_release(fs, h);
        fs_lock(fs);
        handle_release(&fs->cache, h);
        fs_unlock(fs);
    }
}

static void on_made_known(void *arg, int rc)
{
    struct making *m = arg;
    bool is_shown = rc == ZOK || rc == ZNOAUTH;
    if (is_shown && request_claim(&m->r)) {
        reply_made(m);
        make_free(m);
        return;
    }
    /* Nobody is going to hold it. */
    if (is_ephemeral(m->kind)) {
        control_gone(m->r.fs, m->node, session_of(m));
    }
    make_fail(m, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
}

/* The znode of that name exists, and is ours. */
static void learn_made(struct making *m, const char *name, const struct Stat *stat)
{
    struct fusefs *fs = m->r.fs;
    enum inode_kind kind = m->kind == INODE_CONTROL_CONTAINER ? INODE_DIR : INODE_FILE;
    fs_lock(fs);
    m->node = inode_ref(cache_made(&fs->cache, m->dir, name, stat, kind));
    fs_unlock(fs);
    fetch_node(fs, m->node, on_made_known, m);
}

static void on_swept(void *arg, int rc)
{
    struct making *m = arg;
    if (rc == ZOK && m->resends++ < RESEND_MAX) {
        make_send(m);
    } else {
        make_fail(m, rc == ZOK ? EIO : errno_from_zk(rc));
    }
}

/* It may have been made before the connection was lost. */
static void on_looked_for(void *arg, const struct zkc_result *result)
{
    struct making *m = arg;
    struct fusefs *fs = m->r.fs;
    if (result->rc == ZNONODE && m->resends++ < RESEND_MAX) {
        make_send(m);
    } else if (result->rc != ZOK) {
        make_fail(m, result->rc == ZNONODE ? EIO : errno_from_zk(result->rc));
    } else if (!is_ephemeral(m->kind)) {
        make_fail(m, EIO); /* nothing tells whether we made it */
    } else if (result->stat->ephemeralOwner != zkc_session_id(fs->zkc) ||
               control_is_held(fs, m->path)) {
        make_fail(m, EEXIST);
    } else {
        learn_made(m, m->name, result->stat);
    }
}

static void settle(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    if (!is_sequential(m->kind)) {
        zkc_exists(fs->zkc, m->path, 0, on_looked_for, m);
    } else if (is_ephemeral(m->kind)) {
        control_sweep(fs, m->dir, m->name, on_swept, m);
    } else {
        make_fail(m, EIO);
    }
}

static void on_created(void *arg, const struct zkc_result *result)
{
    struct making *m = arg;
    bool may_be_ours = result->rc == ZNODEEXISTS && m->resends > 0;
    if (result->rc == ZCONNECTIONLOSS || may_be_ours) {
        settle(m);
    } else if (result->rc != ZOK) {
        make_fail(m, errno_from_zk(result->rc));
    } else {
        learn_made(m, name_base(result->name), result->stat);
    }
}

static void make_send(struct making *m)
{
    int len = m->kind == INODE_CONTROL_CONTAINER ? -1 : 0;
    zkc_create_ttl(m->r.fs->zkc, m->path, "", len, create_mode(m->kind), m->ttl_ms, on_created, m);
}

/* ---- create ------------------------------------------------------------------------------------------------- */

/* Digits that ZooKeeper adds. */
enum { SEQUENCE_BYTES = 10 };

static int check_name(const struct fusefs *fs, enum inode_kind kind, const struct inode *dir,
                      const char *name)
{
    int err = name_check(name);
    if (!err && is_sequential(kind)) {
        return strlen(name) > NAME_MAX - SEQUENCE_BYTES ? ENAMETOOLONG : 0;
    }
    return !err && control_is_name(fs, dir, name) ? EEXIST : err;
}

bool control_make(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *fi)
{
    int err = 0;
    struct inode *maker = ops_get_inode(fs, parent, &err);
    if (!maker) {
        return false;
    }
    if (!inode_is_maker(maker)) {
        ops_put_inode(fs, maker);
        return false;
    }
    struct making *m = xcalloc(1, sizeof(*m));
    m->r.fs = fs;
    m->maker = maker;
    m->kind = maker->kind;
    m->ttl_ms = m->kind == INODE_CONTROL_TTL_SECONDS ? control_ttl_ms(inode_name(maker)) : -1;
    m->name = xstrdup(name);
    m->fi = *fi;
    fs_lock(fs);
    m->dir = inode_ref(inode_owner(maker));
    m->path = name_join(m->dir->path, name);
    fs_unlock(fs);
    err = ops_open_write_gate(fs);
    err = err ? err : check_name(fs, m->kind, m->dir, name);
    if (err) {
        fuse_reply_err(req, err);
        make_free(m);
    } else if (request_begin(&m->r, fs, req)) {
        make_send(m);
    } else {
        make_free(m);
    }
    return true;
}
