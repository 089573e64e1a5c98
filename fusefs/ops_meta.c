/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/away.h"
#include "fusefs/commit.h"
#include "fusefs/control.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/handle.h"
#include "fusefs/listing.h"
#include "fusefs/lock_name.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"
#include "fusefs/readahead.h"
#include "fusefs/request.h"
#include "fusefs/scratch.h"

/* How long a negative entry holds that a directory's watch covers; seconds. */
#define FOREVER 1e9

/* ---- shared by all operations ------------------------------------------------------------------------------ */

struct fusefs *ops_begin(fuse_req_t req, enum stats_op op)
{
    struct fusefs *fs = fuse_req_userdata(req);
    stats_add(&fs->stats.ops[notify_is_helper(fs, req) ? STATS_HELPER : op]);
    return fs;
}

int ops_gate(struct fusefs *fs)
{
    return fs->options.offline == FUSEFS_OFFLINE_ERROR && zkc_is_offline(fs->zkc) ? EHOSTDOWN : 0;
}

int ops_write_gate(struct fusefs *fs)
{
    return fs->options.ro ? EROFS : ops_gate(fs);
}

struct inode *ops_get_inode(struct fusefs *fs, fuse_ino_t ino, int *err)
{
    fs_lock(fs);
    struct inode *inode = inode_find(&fs->cache.table, ino);
    bool is_alive = inode && !inode->dead;
    if (is_alive) {
        inode_ref(inode);
    }
    fs_unlock(fs);
    *err = is_alive ? 0 : ESTALE;
    return is_alive ? inode : NULL;
}

void ops_put_inode(struct fusefs *fs, struct inode *inode)
{
    fs_lock(fs);
    inode_unref(&fs->cache.table, inode);
    fs_unlock(fs);
}

void ops_give_back(struct fusefs *fs, fuse_ino_t ino, uint64_t count)
{
    fs_lock(fs);
    struct inode *inode = inode_find(&fs->cache.table, ino);
    if (inode) {
        inode_forget(&fs->cache.table, inode, count);
    }
    fs_unlock(fs);
}

static bool is_same_attr(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void ops_entry_sent(struct fusefs *fs, const struct fuse_entry_param *e, int err)
{
    if (e->ino && err) {
        ops_give_back(fs, e->ino, 1);
        return;
    }
    if (!e->ino || e->attr_timeout == 0) {
        return;
    }
    struct stat now;
    fs_lock(fs);
    struct inode *inode = inode_find(&fs->cache.table, e->ino);
    if (inode) {
        attr_fill(fs, inode, NULL, &now);
        if (!is_same_attr(&e->attr, &now)) {
            notify_on_change(fs, CHANGE_ATTR, inode);
        }
    }
    fs_unlock(fs);
}

void ops_reply_entry(struct fusefs *fs, fuse_req_t req, const struct fuse_entry_param *e)
{
    ops_entry_sent(fs, e, fuse_reply_entry(req, e));
}

bool ops_is_current(struct fusefs *fs, const struct inode *inode)
{
    if (!inode_is_znode(inode)) {
        return true;
    }
    if (!inode->stat_known || inode->kind == INODE_UNKNOWN || inode->closing) {
        return false;
    }
    bool is_covered = inode->kind == INODE_DIR ? inode->armed : cache_is_covered(inode);
    return is_covered || !zkc_is_connected(fs->zkc);
}

/* ---- lookup ------------------------------------------------------------------------------------------------- */

struct lookup {
    struct request r;
    struct inode *dir;   /* referenced */
    struct inode *child; /* referenced; what was read last, or NULL */
    char *name;          /* owned */
    bool was_read;
    bool was_armed;
    bool had_perms_read;
    bool reads_value; /* whoever looks a small file up is about to read it */
    bool was_refused; /* it exists, and that is all that we may know */
};

enum lookup_step {
    LOOKUP_ABSENT,
    LOOKUP_FOUND,
    /* Go on when this has been read of l->child: */
    LOOKUP_CHECK, /* whether there is such a znode */
    LOOKUP_READ,  /* all of it */
    LOOKUP_PERMS, /* its ACL, and its value if that is small */
    LOOKUP_ARM,   /* its children */
};

/* Held until the end: a directory that nobody holds is not kept armed. The lock is held. */
static void hold_child(struct lookup *l, struct inode *child)
{
    inode_ref(child);
    if (l->child) {
        inode_unref(&l->r.fs->cache.table, l->child);
    }
    l->child = child;
}

/* What the cache says; the lock is held. The steps that read leave a reference in l->child. */
static enum lookup_step look(struct lookup *l, struct fuse_entry_param *e)
{
    struct fusefs *fs = l->r.fs;
    struct inode *dir = l->dir;
    memset(e, 0, sizeof(*e));
    if (away_is(fs, dir, l->name)) {
        return LOOKUP_ABSENT;
    }
    struct inode *child = inode_find_child(&fs->cache.table, dir, l->name);
    bool is_connected = zkc_is_connected(fs->zkc);
    bool is_listed = !dir->listing || listing_has(dir->listing, l->name);
    bool is_unknown = !child || child->kind == INODE_UNKNOWN;
    if (is_unknown && (l->was_read || (!is_connected && !is_listed))) {
        /* The directory's watch tells when the name appears. */
        bool is_told = !is_listed && dir->kids_watched && !l->was_refused &&
                       !lock_name_is_hidden(l->name);
        e->entry_timeout = is_told ? FOREVER : 0;
        return LOOKUP_ABSENT;
    }
    if (!child) {
        char *path = name_join(dir->path, l->name);
        child = inode_add(&fs->cache.table, dir, path, INODE_UNKNOWN);
        free(path);
    }
    bool is_known_dir = child->kind == INODE_DIR && child->stat_known;
    if (l->was_read || ops_is_current(fs, child) || is_known_dir) {
        bool may_arm = !l->was_armed && is_connected;
        if (child->kind == INODE_DIR && !child->armed && may_arm) {
            l->was_armed = true;
            hold_child(l, child);
            return LOOKUP_ARM;
        }
        if (!child->perms_known && !l->had_perms_read && is_connected) {
            l->had_perms_read = true;
            l->reads_value = child->kind == INODE_FILE && !child->value &&
                             child->stat.dataLength <= FETCH_EAGER_BYTES;
            hold_child(l, child);
            return LOOKUP_PERMS;
        }
        attr_fill_entry(fs, child, e);
        return LOOKUP_FOUND;
    }
    l->was_read = true;
    hold_child(l, child);
    return is_listed ? LOOKUP_READ : LOOKUP_CHECK;
}

static void lookup_end(struct lookup *l, int err, const struct fuse_entry_param *e)
{
    struct fusefs *fs = l->r.fs;
    bool is_ours = request_claim(&l->r);
    zk_assert(err != 0 || e != NULL);
    if (is_ours && !err && (e->ino || e->entry_timeout > 0)) {
        ops_reply_entry(fs, l->r.req, e);
    } else if (is_ours) {
        fuse_reply_err(l->r.req, err ? err : l->was_refused ? EACCES : ENOENT);
    } else if (!err && e->ino) {
        ops_give_back(fs, e->ino, 1);
    }
    if (l->child) {
        ops_put_inode(fs, l->child);
    }
    ops_put_inode(fs, l->dir);
    free(l->name);
    free(l);
}

static void lookup_go_on(struct lookup *l);

static void on_lookup_fetched(void *arg, int rc)
{
    struct lookup *l = arg;
    if (rc != ZOK && rc != ZNONODE && rc != ZNOAUTH) {
        lookup_end(l, errno_from_zk(rc), NULL);
    } else {
        l->was_refused = l->was_refused || rc == ZNOAUTH;
        lookup_go_on(l);
    }
}

static void lookup_go_on(struct lookup *l)
{
    struct fusefs *fs = l->r.fs;
    struct fuse_entry_param e;
    fs_lock(fs);
    enum lookup_step step = look(l, &e);
    fs_unlock(fs);
    switch (step) {
    case LOOKUP_READ:
        fetch_node(fs, l->child, on_lookup_fetched, l);
        break;
    case LOOKUP_ARM:
        fetch_arm(fs, l->child, on_lookup_fetched, l);
        break;
    case LOOKUP_PERMS:
        if (l->reads_value) {
            fetch_value(fs, l->child, NULL, NULL); /* answered first */
        }
        fetch_perms(fs, l->child, on_lookup_fetched, l);
        break;
    case LOOKUP_CHECK:
        /* Most likely absent; but the notice of a name that somebody has just made may be on its way. */
        fetch_value(fs, l->child, on_lookup_fetched, l);
        break;
    default:
        lookup_end(l, 0, &e);
    }
}

/* Names of the control directory, and in it. True: answered. */
static bool lookup_control(struct fusefs *fs, fuse_req_t req, struct inode *dir, const char *name)
{
    struct fuse_entry_param e;
    struct inode *found = NULL;
    fs_lock(fs);
    if (control_is_name(fs, dir, name)) {
        found = control_get_dir(fs, dir);
    } else if (inode_is_control(dir)) {
        found = control_get_file(fs, dir, name);
    }
    if (found) {
        attr_fill_entry(fs, found, &e);
    }
    fs_unlock(fs);
    if (found) {
        ops_reply_entry(fs, req, &e);
    } else if (inode_is_control(dir)) {
        fuse_reply_err(req, ENOENT);
    }
    return found || inode_is_control(dir);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fusefs *fs = ops_begin(req, STATS_LOOKUP);
    if (notify_is_helper(fs, req)) {
        notify_helper_lookup(fs, req, parent, name);
        return;
    }
    int err = 0;
    struct inode *dir = ops_get_inode(fs, parent, &err);
    if (!dir) {
        fuse_reply_err(req, err);
        return;
    }
    if (lookup_control(fs, req, dir, name)) {
        ops_put_inode(fs, dir);
        return;
    }
    err = ops_gate(fs);
    err = err ? err : name_check(name);
    if (err) {
        fuse_reply_err(req, err);
        ops_put_inode(fs, dir);
        return;
    }
    struct lookup *l = xcalloc(1, sizeof(*l));
    l->dir = dir;
    l->name = xstrdup(name);
    if (request_begin(&l->r, fs, req)) {
        readahead_note_lookup(fs, dir, name);
        lookup_go_on(l);
    } else {
        lookup_end(l, EINTR, NULL);
    }
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    struct fusefs *fs = ops_begin(req, STATS_FORGET);
    ops_give_back(fs, ino, nlookup);
    fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct fusefs *fs = ops_begin(req, STATS_FORGET);
    for (size_t i = 0; i < count; i++) {
        ops_give_back(fs, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

/* ---- getattr ------------------------------------------------------------------------------------------------- */

struct getattr {
    struct request r;
    struct inode *inode;   /* referenced */
    struct handle *handle; /* referenced; NULL: none given */
};

static void put_handle(struct fusefs *fs, struct handle *h)
{
    if (h) {
        fs_lock(fs);
        handle_unref(&fs->cache, h);
        fs_unlock(fs);
    }
}

static void reply_attr(struct fusefs *fs, fuse_req_t req, struct inode *inode,
                       const struct handle *h)
{
    struct stat attr;
    fs_lock(fs);
    attr_fill(fs, inode, h ? h : handle_find_changed(inode, fuse_req_ctx(req)->pid), &attr);
    double timeout = attr_timeout(inode);
    fs_unlock(fs);
    fuse_reply_attr(req, &attr, timeout);
}

static void getattr_end(struct getattr *g, int err)
{
    struct fusefs *fs = g->r.fs;
    if (request_claim(&g->r)) {
        if (err) {
            fuse_reply_err(g->r.req, err);
        } else {
            reply_attr(fs, g->r.req, g->inode, g->handle);
        }
    }
    put_handle(fs, g->handle);
    ops_put_inode(fs, g->inode);
    free(g);
}

static void on_getattr_fetched(void *arg, int rc)
{
    struct getattr *g = arg;
    fs_lock(g->r.fs);
    bool is_open = !list_is_empty(&g->inode->handles);
    bool is_gone = g->inode->dead;
    fs_unlock(g->r.fs);
    if (is_gone && !is_open) {
        getattr_end(g, ESTALE);
    } else {
        bool is_shown = (rc == ZNONODE && is_open) || rc == ZNOAUTH;
        getattr_end(g, is_shown ? 0 : errno_from_zk(rc));
    }
}

/* What is missing: the ACL first, then the rest, which decides how it ends. */
static void getattr_read(struct getattr *g)
{
    struct fusefs *fs = g->r.fs;
    fs_lock(fs);
    bool has_perms = g->inode->perms_known;
    bool is_current = ops_is_current(fs, g->inode);
    fs_unlock(fs);
    if (is_current && has_perms) {
        getattr_end(g, 0);
    } else if (is_current) {
        fetch_perms(fs, g->inode, on_getattr_fetched, g);
    } else if (g->inode->kind != INODE_DIR) {
        fetch_node(fs, g->inode, on_getattr_fetched, g);
    } else {
        if (!has_perms) {
            fetch_perms(fs, g->inode, NULL, NULL); /* answered first */
        }
        fetch_arm(fs, g->inode, on_getattr_fetched, g);
    }
}

/* An open file that was deleted still has attributes. */
static struct inode *get_for_attr(struct fusefs *fs, fuse_ino_t ino, bool *is_current)
{
    fs_lock(fs);
    struct inode *inode = inode_find(&fs->cache.table, ino);
    if (inode && inode->dead && list_is_empty(&inode->handles)) {
        inode = NULL;
    }
    if (inode) {
        inode_ref(inode);
        bool has_perms =
            inode->perms_known || inode_is_control(inode) || !zkc_is_connected(fs->zkc);
        *is_current = inode->dead || (ops_is_current(fs, inode) && has_perms);
    }
    fs_unlock(fs);
    return inode;
}

/* What can be looked at even if nothing else can: the way to .zk/session, and that. */
static bool is_open_offline(const struct inode *inode)
{
    return inode_is_control(inode) || !inode->parent;
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fusefs *fs = ops_begin(req, STATS_GETATTR);
    if (notify_is_helper(fs, req)) {
        notify_helper_getattr(fs, req, ino);
        return;
    }
    bool is_current = false;
    struct inode *inode = get_for_attr(fs, ino, &is_current);
    int err = inode && !is_open_offline(inode) ? ops_gate(fs) : 0;
    if (!inode || err) {
        fuse_reply_err(req, err ? err : ESTALE);
        if (inode) {
            ops_put_inode(fs, inode);
        }
        return;
    }
    struct handle *h = fi && !inode_is_dir(inode) ? handle_from_fh(fi->fh) : NULL;
    if (h && !handle_is_lock_in_order(h)) {
        fuse_reply_err(req, EIO);
        ops_put_inode(fs, inode);
        return;
    }
    if (is_current) {
        reply_attr(fs, req, inode, h);
        ops_put_inode(fs, inode);
        return;
    }
    struct getattr *g = xcalloc(1, sizeof(*g));
    g->inode = inode;
    if (h) {
        fs_lock(fs);
        g->handle = handle_ref(h);
        fs_unlock(fs);
    }
    if (!request_begin(&g->r, fs, req)) {
        getattr_end(g, EINTR);
    } else {
        getattr_read(g);
    }
}

/* ---- setattr ------------------------------------------------------------------------------------------------- */

static char *edit_truncate(const char *bytes, size_t len, size_t *new_len, int64_t param)
{
    *new_len = (size_t)param;
    char *out = xcalloc(1, *new_len + 1);
    memcpy(out, bytes, len < *new_len ? len : *new_len);
    return out;
}

/* The same bytes: watchers everywhere wake up. */
static char *edit_touch(const char *bytes, size_t len, size_t *new_len, int64_t param)
{
    (void)param;
    *new_len = len;
    return xstrndup(bytes, len);
}

static void on_setattr_done(void *arg, int rc)
{
    struct getattr *g = arg;
    getattr_end(g, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
}

/* Truncation of what is open for write only changes the handle's buffer. */
static int truncate_handle(struct fusefs *fs, struct handle *h, off_t size, bool *must_load)
{
    int err = 0;
    fs_lock(fs);
    if ((size_t)size > handle_limit(fs, h)) {
        err = EFBIG;
    } else if (size == 0 || handle_make_whole(h)) {
        handle_truncate(h, (size_t)size);
    } else {
        *must_load = true;
    }
    fs_unlock(fs);
    return err;
}

struct truncation {
    struct getattr *g;
    off_t size;
};

static void on_truncate_loaded(void *arg, int rc)
{
    struct truncation *t = arg;
    struct getattr *g = t->g;
    struct fusefs *fs = g->r.fs;
    struct handle *h = g->handle;
    fs_lock(fs);
    if (rc == ZOK && !h->value && h->node->value) {
        h->value = value_ref(h->node->value);
    }
    if (rc == ZOK && handle_make_whole(h)) {
        handle_truncate(h, (size_t)t->size);
    } else if (rc == ZOK) {
        rc = ZSYSTEMERROR;
    }
    fs_unlock(fs);
    free(t);
    on_setattr_done(g, rc);
}

static void setattr_start(struct getattr *g, off_t size, bool is_truncate, bool must_load)
{
    struct fusefs *fs = g->r.fs;
    if (must_load) {
        struct truncation *t = xcalloc(1, sizeof(*t));
        t->g = g;
        t->size = size;
        fetch_value(fs, g->handle->node, on_truncate_loaded, t);
        return;
    }
    struct inode *node = g->inode;
    if (node->kind == INODE_CONTROL_DATA) {
        node = node->parent->parent;
    }
    if (is_truncate && size == 0) {
        commit_value(fs, node, "", 0, -1, on_setattr_done, g);
    } else {
        commit_edit(fs, node, is_truncate ? edit_truncate : edit_touch, (int64_t)size,
                    on_setattr_done, g);
    }
}

/* Whether it can be done without the ensemble: *err says how it ended. */
static bool setattr_at_once(struct fusefs *fs, struct inode *inode, const struct stat *attr,
                            int to_set, struct handle *h, bool *must_load, int *err)
{
    const int stored = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME_NOW;
    const int unstorable = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
    bool explicit_times = (to_set & FUSE_SET_ATTR_MTIME) && !(to_set & FUSE_SET_ATTR_MTIME_NOW);
    *err = 0;
    if (inode->kind == INODE_CONTROL_MADE) {
        return true; /* O_TRUNC of what each write replaces anyway */
    }
    if (fs->options.strict && ((to_set & unstorable) || explicit_times)) {
        *err = EPERM;
        return true;
    }
    if (scratch_is(inode)) {
        fs_lock(fs);
        *err = scratch_setattr(fs, inode, attr, to_set);
        fs_unlock(fs);
        return true;
    }
    if (!(to_set & stored) || inode->kind == INODE_CONTROL_LOCK) {
        return true; /* accepted, not kept */
    }
    if (to_set & FUSE_SET_ATTR_SIZE) {
        bool is_text = inode_is_control(inode) && inode->kind != INODE_CONTROL_DATA;
        if (is_text && !(h && h->is_writable)) {
            *err = EACCES;
            return true;
        }
        if (h && h->is_writable) {
            *err = truncate_handle(fs, h, attr->st_size, must_load);
            return *err || !*must_load;
        }
        if ((size_t)attr->st_size > fs_value_limit(fs, inode->path)) {
            *err = EFBIG;
            return true;
        }
        return false;
    }
    /* A directory's time is its znode's; touching it must not wake the watchers of its data. */
    return inode->kind != INODE_FILE;
}

/* open(O_TRUNC) is told from truncate(2), which sets the time too. */
static struct handle *handle_to_set(struct fusefs *fs, fuse_req_t req, struct inode *inode,
                                    int to_set, struct fuse_file_info *fi)
{
    bool is_open = (to_set & FUSE_SET_ATTR_SIZE) && !(to_set & FUSE_SET_ATTR_MTIME);
    pid_t thread = fuse_req_ctx(req)->pid;
    struct handle *h = NULL;
    fs_lock(fs);
    if (fi) {
        h = handle_from_fh(fi->fh);
    } else if (is_open) {
        h = handle_find_opened(inode, thread);
    }
    if (h) {
        h->changer = thread;
    }
    fs_unlock(fs);
    return h;
}

static void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                        struct fuse_file_info *fi)
{
    struct fusefs *fs = ops_begin(req, STATS_SETATTR);
    if (notify_is_helper(fs, req)) {
        notify_helper_getattr(fs, req, ino);
        return;
    }
    int err = ops_write_gate(fs);
    struct inode *inode = err ? NULL : ops_get_inode(fs, ino, &err);
    if (!inode) {
        fuse_reply_err(req, err);
        return;
    }
    struct handle *h = handle_to_set(fs, req, inode, to_set, fi);
    bool must_load = false;
    if (setattr_at_once(fs, inode, attr, to_set, h, &must_load, &err)) {
        if (err) {
            fuse_reply_err(req, err);
        } else {
            /* The published size: readers of the old value must not be cut short before the new one is
             * there. */
            reply_attr(fs, req, inode, NULL);
        }
        ops_put_inode(fs, inode);
        return;
    }
    struct getattr *g = xcalloc(1, sizeof(*g));
    g->inode = inode;
    if (h) {
        fs_lock(fs);
        g->handle = handle_ref(h);
        fs_unlock(fs);
    }
    if (request_begin(&g->r, fs, req)) {
        setattr_start(g, attr->st_size, to_set & FUSE_SET_ATTR_SIZE, must_load);
    } else {
        getattr_end(g, EINTR);
    }
}

/* ---- statfs -------------------------------------------------------------------------------------------------- */

/* 1 GiB in blocks of 512 bytes. */
enum { FREE_BLOCKS = 2 << 20 };

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_STATFS);
    struct statvfs out;
    memset(&out, 0, sizeof(out));
    out.f_bsize = 4096;
    out.f_frsize = 512;
    out.f_namemax = 255;
    fs_lock(fs);
    uint64_t bytes = 0;
    list_for_each (l, &fs->cache.table.all) {
        const struct inode *inode = list_entry(l, struct inode, all);
        bytes += inode->dead ? 0 : (uint64_t)inode->stat.dataLength;
    }
    out.f_files = fs->cache.table.count;
    fs_unlock(fs);
    /* ZooKeeper has no size to be full at; without free space tools would refuse to write. */
    out.f_bfree = out.f_bavail = FREE_BLOCKS;
    out.f_blocks = (bytes + 511) / 512 + FREE_BLOCKS;
    out.f_ffree = out.f_favail = FREE_BLOCKS;
    out.f_files += FREE_BLOCKS;
    fuse_reply_statfs(req, &out);
}

void ops_meta_fill(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = ops_lookup;
    ops->forget = ops_forget;
    ops->forget_multi = ops_forget_multi;
    ops->getattr = ops_getattr;
    ops->setattr = ops_setattr;
    ops->statfs = ops_statfs;
}
