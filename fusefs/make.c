/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/away.h"
#include "fusefs/commit.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock_name.h"
#include "fusefs/name.h"
#include "fusefs/ops.h"
#include "fusefs/request.h"

/* How often a request that did not get through is sent again. */
enum { RESEND_MAX = 3 };

/* ---- create ------------------------------------------------------------------------------------------------- */

struct make {
    struct request r;
    struct inode *dir;  /* referenced */
    struct inode *node; /* referenced, once known */
    char *name;         /* owned */
    char *path;         /* owned */
    enum inode_kind kind;
    bool exclusive;
    bool opens;
    bool is_new;   /* we made it */
    bool was_away; /* renamed away a moment ago: its znode gets the new bytes, see away.h */
    int resends;
    struct fuse_file_info fi;
};

static void make_send(struct make *m);

static void make_free(struct make *m)
{
    struct fusefs *fs = m->r.fs;
    fs_lock(fs);
    if (m->node) {
        inode_unref(&fs->cache.table, m->node);
    }
    inode_unref(&fs->cache.table, m->dir);
    fs_unlock(fs);
    free(m->name);
    free(m->path);
    free(m);
}

static void make_fail(struct make *m, int err)
{
    request_reply_err(&m->r, err);
    make_free(m);
}

/* The open file of a create; the lock is held. */
static void open_made(struct make *m, struct inode *node)
{
    struct handle *h = handle_new(node, node, m->fi.flags, 0);
    h->value = node->value ? value_ref(node->value) : NULL;
    bool is_emptied = (m->fi.flags & O_TRUNC) || m->was_away;
    if (is_emptied && h->is_writable && !m->is_new) {
        handle_truncate(h, 0);
    }
    m->fi.fh = (uint64_t)(uintptr_t)h;
    m->fi.direct_io = 1;
    m->fi.keep_cache = 1;
    m->fi.noflush = !h->is_writable;
}

static void reply_made(struct make *m, const struct fuse_entry_param *e)
{
    struct fusefs *fs = m->r.fs;
    int err = m->opens ? fuse_reply_create(m->r.req, e, &m->fi) : fuse_reply_entry(m->r.req, e);
    ops_entry_sent(fs, e, err);
    if (err && m->opens) {
        fs_lock(fs);
        handle_release(&fs->cache, handle_from_fh(m->fi.fh));
        fs_unlock(fs);
    }
}

/* Everything about the node is known and watched: answer. */
static void on_made_known(void *arg, int rc)
{
    struct make *m = arg;
    struct fusefs *fs = m->r.fs;
    struct fuse_entry_param e;
    if (rc != ZOK && rc != ZNONODE) {
        make_fail(m, errno_from_zk(rc));
        return;
    }
    if (rc == ZNONODE && m->was_away) {
        m->was_away = false; /* deleted elsewhere meanwhile */
        make_send(m);
        return;
    }
    if (!request_claim(&m->r)) {
        make_free(m);
        return;
    }
    int err = 0;
    fs_lock(fs);
    struct inode *node = inode_find_child(&fs->cache.table, m->dir, m->name);
    if (!node || node->kind == INODE_UNKNOWN) {
        err = ESTALE; /* deleted by somebody else since; the kernel looks again */
    } else if (m->opens && node->kind == INODE_DIR) {
        err = EISDIR;
    } else {
        attr_fill_entry(fs, node, &e);
        if (m->opens) {
            open_made(m, node);
            e.attr_timeout = 0;
        }
    }
    fs_unlock(fs);
    if (err) {
        fuse_reply_err(m->r.req, err);
    } else {
        reply_made(m, &e);
    }
    make_free(m);
}

/* The node exists; m->node is its inode. Of a new one all is known but its watches: they are set behind the
 * answer, which the kernel is told not to keep. */
static void learn_made(struct make *m)
{
    if (m->is_new && m->kind == INODE_DIR) {
        fetch_arm(m->r.fs, m->node, NULL, NULL);
        on_made_known(m, ZOK);
    } else if (m->is_new) {
        fetch_node(m->r.fs, m->node, NULL, NULL);
        on_made_known(m, ZOK);
    } else if (m->kind == INODE_DIR) {
        fetch_arm(m->r.fs, m->node, on_made_known, m);
    } else {
        fetch_node(m->r.fs, m->node, on_made_known, m);
    }
}

static void on_emptied(void *arg, int rc)
{
    struct make *m = arg;
    if (rc == ZOK) {
        learn_made(m);
    } else {
        on_made_known(m, rc);
    }
}

static void open_existing(struct make *m)
{
    struct fusefs *fs = m->r.fs;
    fs_lock(fs);
    struct inode *node = inode_find_child(&fs->cache.table, m->dir, m->name);
    if (!node) {
        node = inode_add(&fs->cache.table, m->dir, m->path, INODE_UNKNOWN);
    }
    if (m->node) {
        inode_unref(&fs->cache.table, m->node);
    }
    m->node = inode_ref(node);
    bool is_emptied = m->was_away && !(m->opens && (m->fi.flags & O_ACCMODE) != O_RDONLY);
    fs_unlock(fs);
    if (is_emptied) {
        commit_value(fs, m->node, "", 0, -1, on_emptied, m);
    } else {
        learn_made(m);
    }
}

static void on_looked_for(void *arg, const struct zkc_result *result)
{
    struct make *m = arg;
    if (result->rc == ZNONODE && m->resends++ < RESEND_MAX) {
        make_send(m);
    } else if (result->rc == ZOK && !m->exclusive) {
        open_existing(m);
    } else {
        make_fail(m, EIO); /* it is there, and nothing tells whether we made it */
    }
}

static void on_made(void *arg, const struct zkc_result *result)
{
    struct make *m = arg;
    struct fusefs *fs = m->r.fs;
    if (result->rc == ZCONNECTIONLOSS || (result->rc == ZNODEEXISTS && m->resends > 0)) {
        zkc_exists(fs->zkc, m->path, 0, on_looked_for, m);
    } else if (result->rc == ZNODEEXISTS && !m->exclusive) {
        open_existing(m);
    } else if (result->rc != ZOK) {
        make_fail(m, errno_from_zk(result->rc));
    } else {
        fs_lock(fs);
        m->is_new = true;
        if (m->node) {
            inode_unref(&fs->cache.table, m->node);
        }
        m->node = inode_ref(cache_created(&fs->cache, m->dir, m->name, result->stat, m->kind));
        fs_unlock(fs);
        learn_made(m);
    }
}

static void make_send(struct make *m)
{
    /* Null data is a directory, empty data a file. */
    zkc_create(m->r.fs->zkc, m->path, "", m->kind == INODE_DIR ? -1 : 0, on_made, m);
}

/* A file whose znode still exists although it was renamed. */
static bool take_back(struct make *m)
{
    fs_lock(m->r.fs);
    m->was_away = away_take(m->r.fs, m->path);
    fs_unlock(m->r.fs);
    return m->was_away;
}

static void on_settled(void *arg)
{
    make_send(arg);
}

void make_node(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
               enum inode_kind kind, bool exclusive, const struct fuse_file_info *fi)
{
    struct make *m = xcalloc(1, sizeof(*m));
    m->dir = take_dir;
    m->name = xstrdup(name);
    fs_lock(fs);
    m->path = name_join(take_dir->path, name);
    fs_unlock(fs);
    m->kind = kind;
    m->exclusive = exclusive;
    m->opens = fi != NULL;
    if (fi) {
        m->fi = *fi;
    }
    if (!request_begin(&m->r, fs, req)) {
        m->r.fs = fs;
        make_free(m);
    } else if (kind == INODE_FILE && take_back(m)) {
        open_existing(m);
    } else if (away_settle(fs, m->path, on_settled, m)) {
        make_send(m);
    }
}

/* ---- delete ------------------------------------------------------------------------------------------------- */

struct gone {
    struct request r;
    struct inode *dir;   /* referenced */
    struct inode *inode; /* referenced; what is to be deleted, if that is known */
    char *path;          /* owned */
    int64_t czxid;       /* of the life that is to end; 0: not known */
    int not_empty;
    int resends;
};

/* What is known now; true: it has to be asked. The lock is held. */
static bool gone_learn(struct gone *g, int err)
{
    struct cache *c = &g->r.fs->cache;
    struct inode *inode = inode_find_path(&c->table, g->path);
    bool is_known = inode && inode->stat_known && g->czxid != 0;
    if (!err && inode && (!is_known || inode->stat.czxid == g->czxid)) {
        inode_ref(inode);
        cache_removed(c, inode);
        inode_unref(&c->table, inode);
    }
    if (!g->inode) {
        return false;
    }
    g->inode->deleting--;
    return err && !g->inode->dead && !g->inode->data_watched;
}

static void gone_end(struct gone *g, int err)
{
    struct fusefs *fs = g->r.fs;
    fs_lock(fs);
    bool is_unsure = gone_learn(g, err);
    fs_unlock(fs);
    if (is_unsure) {
        fetch_value(fs, g->inode, NULL, NULL);
    }
    request_reply_err(&g->r, err);
    if (g->inode) {
        ops_put_inode(fs, g->inode);
    }
    ops_put_inode(fs, g->dir);
    free(g->path);
    free(g);
}

static void on_gone(void *arg, const struct zkc_result *result);

static void gone_send(struct gone *g)
{
    zkc_delete(g->r.fs->zkc, g->path, -1, on_gone, g);
}

/* A directory in which there is nothing but queues of files' locks that nobody holds is empty. */
static void on_queue_gone(void *arg, const struct zkc_result *result)
{
    (void)arg;
    (void)result; /* whether all are gone shows when the directory is deleted */
}

static void on_gone_listed(void *arg, const struct zkc_result *result)
{
    struct gone *g = arg;
    bool is_empty = result->rc == ZOK && g->resends++ < RESEND_MAX;
    for (int i = 0; is_empty && i < result->names->count; i++) {
        is_empty = lock_name_is_queue(result->names->data[i]);
    }
    for (int i = 0; is_empty && i < result->names->count; i++) {
        char *path = name_join(g->path, result->names->data[i]);
        zkc_delete(g->r.fs->zkc, path, -1, on_queue_gone, NULL);
        free(path);
    }
    if (is_empty) {
        gone_send(g);
    } else {
        gone_end(g, ENOTEMPTY);
    }
}

static void on_gone_checked(void *arg, const struct zkc_result *result)
{
    struct gone *g = arg;
    bool is_same = result->rc == ZOK && result->stat->czxid == g->czxid;
    if (result->rc == ZNONODE || (result->rc == ZOK && g->czxid && !is_same)) {
        gone_end(g, 0);
    } else if (is_same && g->resends++ < RESEND_MAX) {
        gone_send(g);
    } else {
        gone_end(g, EIO);
    }
}

static void on_gone(void *arg, const struct zkc_result *result)
{
    struct gone *g = arg;
    if (result->rc == ZCONNECTIONLOSS) {
        zkc_exists(g->r.fs->zkc, g->path, 0, on_gone_checked, g);
    } else if (result->rc == ZNONODE && g->resends > 0) {
        gone_end(g, 0); /* the first request did arrive */
    } else if (result->rc == ZNOTEMPTY && g->not_empty == ENOTEMPTY) {
        zkc_children(g->r.fs->zkc, g->path, 0, on_gone_listed, g);
    } else {
        gone_end(g, result->rc == ZNOTEMPTY ? g->not_empty : errno_from_zk(result->rc));
    }
}

static void on_gone_settled(void *arg)
{
    gone_send(arg);
}

void make_gone(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
               int not_empty)
{
    struct gone *g = xcalloc(1, sizeof(*g));
    g->dir = take_dir;
    g->not_empty = not_empty;
    fs_lock(fs);
    g->path = name_join(take_dir->path, name);
    struct inode *inode = inode_find_path(&fs->cache.table, g->path);
    g->czxid = inode && inode->stat_known ? inode->stat.czxid : 0;
    if (inode) {
        g->inode = inode_ref(inode);
        inode->deleting++;
    }
    bool has_scratch = inode && inode->scratches > 0;
    fs_unlock(fs);
    if (!request_begin(&g->r, fs, req)) {
        gone_end(g, EINTR);
    } else if (has_scratch) {
        gone_end(g, not_empty);
    } else if (away_settle(fs, g->path, on_gone_settled, g)) {
        gone_send(g);
    }
}
