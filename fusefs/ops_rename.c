/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming a file, or a directory without children, is one multi: the target gets the source's bytes (created if it is not there, set if it is,
 * so that it keeps its znode, ACL and watchers elsewhere), the source is deleted, both only if the source is
 * still at the version that was read. An empty directory in the target's place is deleted first. Here the
 * inode follows its name, as the kernel's does.
 */
#include "fusefs/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/control.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/handle.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"
#include "fusefs/request.h"

enum { TRIES_MAX = 20 };

struct rename {
    struct request r;
    struct inode *from_dir; /* referenced */
    struct inode *to_dir;   /* referenced */
    struct inode *from;     /* referenced */
    struct inode *to;       /* referenced; may stand for nothing */
    char *to_name;          /* owned */
    unsigned flags;
    struct value *from_value; /* counted; what the multi is made from; NULL: null data */
    struct value *to_value;   /* counted; RENAME_EXCHANGE */
    int64_t from_mzxid;
    int32_t from_version;
    bool to_exists;
    bool is_dir;
    int tries;
    int pending; /* by fs->lock: reads still open */
    int rc;      /* by fs->lock: the worse of them */
};

static void rename_read(struct rename *n);

static void rename_end(struct rename *n, int err)
{
    struct fusefs *fs = n->r.fs;
    request_reply_err(&n->r, err);
    fs_lock(fs);
    inode_unref(&fs->cache.table, n->from);
    inode_unref(&fs->cache.table, n->to);
    inode_unref(&fs->cache.table, n->from_dir);
    inode_unref(&fs->cache.table, n->to_dir);
    fs_unlock(fs);
    value_unref(n->from_value);
    value_unref(n->to_value);
    free(n->to_name);
    free(n);
}

/* Open handles go on from the version that the same bytes have under the new name; the lock is held. */
static void rebase_handles(struct inode *inode)
{
    struct value *now = inode->value;
    list_for_each (l, &inode->handles) {
        struct handle *h = list_entry(l, struct handle, link);
        bool is_same =
            now && h->value && h->value->len == now->len && value_is_prefix(h->value, now);
        if (is_same) {
            value_unref(h->value);
            h->value = value_ref(now);
        }
    }
}

static void on_renamed_known(void *arg, int rc)
{
    struct rename *n = arg;
    (void)rc; /* the rename has happened; what it shows now is learned at the next look otherwise */
    fs_lock(n->r.fs);
    rebase_handles(n->from);
    if (n->flags & RENAME_EXCHANGE) {
        rebase_handles(n->to);
    }
    fs_unlock(n->r.fs);
    rename_end(n, 0);
}

/* The multi is through. */
static void rename_apply(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    if (n->flags & RENAME_EXCHANGE) {
        cache_exchanged(&fs->cache, n->from, n->to);
    } else {
        cache_renamed(&fs->cache, n->from, n->to_dir, n->to_name);
    }
    bool is_dir = n->from->kind == INODE_DIR;
    fs_unlock(fs);
    if (is_dir) {
        fetch_arm(fs, n->from, on_renamed_known, n);
    } else {
        fetch_node(fs, n->from, on_renamed_known, n);
    }
}

/* After a lost connection: has it happened? */
static void on_source_read_back(void *arg, const struct zkc_result *result)
{
    struct rename *n = arg;
    bool is_untouched = result->rc == ZOK && result->stat->mzxid == n->from_mzxid;
    if (result->rc == ZNONODE && !(n->flags & RENAME_EXCHANGE)) {
        rename_apply(n);
    } else if (is_untouched && ++n->tries < TRIES_MAX) {
        rename_read(n);
    } else {
        rename_end(n, EIO);
    }
}

static int rename_errno(const struct rename *n, int rc)
{
    if (rc == ZNOTEMPTY) {
        return n->is_dir ? ENOTEMPTY : EBUSY; /* got children meanwhile: no file any more */
    }
    return rc == ZNODEEXISTS && (n->flags & RENAME_NOREPLACE) ? EEXIST : errno_from_zk(rc);
}

static void on_multi(void *arg, const struct zkc_result *result)
{
    struct rename *n = arg;
    int rc = result->rc;
    bool is_race =
        rc == ZBADVERSION || rc == ZNONODE || (rc == ZNODEEXISTS && !(n->flags & RENAME_NOREPLACE));
    if (rc == ZOK) {
        rename_apply(n);
    } else if (rc == ZCONNECTIONLOSS) {
        zkc_exists(n->r.fs->zkc, n->from->path, 0, on_source_read_back, n);
    } else if (is_race && ++n->tries < TRIES_MAX) {
        rename_read(n);
    } else {
        rename_end(n, rename_errno(n, rc));
    }
}

static struct zkc_step set_step(enum zkc_step_type type, const char *path, const struct value *v,
                                int32_t version)
{
    struct zkc_step step = { type, path, v ? v->bytes : NULL, v ? (int)v->len : -1, version, 0 };
    return step;
}

static void rename_send(struct rename *n)
{
    struct zkc_step steps[3];
    int count = 0;
    if (n->is_dir && n->to_exists) {
        steps[count++] = set_step(ZKC_STEP_DELETE, n->to->path, NULL, -1);
    }
    if (n->flags & RENAME_EXCHANGE) {
        zk_assert(n->to_value); /* check_files has seen it */
        steps[count++] = set_step(ZKC_STEP_SET, n->to->path, n->from_value, n->to_value->version);
        steps[count++] = set_step(ZKC_STEP_SET, n->from->path, n->to_value, n->from_version);
    } else {
        bool is_set = n->to_exists && !n->is_dir;
        steps[count++] =
            set_step(is_set ? ZKC_STEP_SET : ZKC_STEP_CREATE, n->to->path, n->from_value, -1);
        steps[count++] = set_step(ZKC_STEP_DELETE, n->from->path, NULL, n->from_version);
    }
    zkc_multi(n->r.fs->zkc, steps, count, on_multi, n);
}

/* A directory that is renamed: 0 or an errno. The lock is held. */
static int check_dirs(const struct rename *n)
{
    if (n->flags & RENAME_EXCHANGE || n->from->stat.numChildren > 0) {
        return EXDEV; /* mv copies */
    }
    if (n->to_exists && n->to->kind != INODE_DIR) {
        return ENOTDIR;
    }
    return n->to_exists && n->to->stat.numChildren > 0 ? ENOTEMPTY : 0;
}

static int check_files(const struct rename *n)
{
    if (n->to_exists && n->to->kind == INODE_DIR) {
        return EISDIR;
    }
    if (!n->to_exists && (n->flags & RENAME_EXCHANGE)) {
        return ENOENT;
    }
    return !n->from->value || ((n->flags & RENAME_EXCHANGE) && !n->to->value) ? EIO : 0;
}

/* What the reads say against it: 0 or an errno. The lock is held. */
static int check_rename(struct rename *n)
{
    n->to_exists = !n->to->dead && n->to->stat_known;
    n->is_dir = n->from->kind == INODE_DIR;
    if (n->from->dead) {
        return ENOENT;
    }
    if (n->to_exists && (n->flags & RENAME_NOREPLACE)) {
        return EEXIST;
    }
    int err = n->is_dir ? check_dirs(n) : check_files(n);
    size_t len = n->from->value ? n->from->value->len : 0;
    return err ? err : len > fs_value_limit(n->r.fs, n->to->path) ? EFBIG : 0;
}

/* Both have been read. */
static void rename_decide(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    int err = n->rc == ZOK ? check_rename(n) : errno_from_zk(n->rc);
    if (!err) {
        value_unref(n->from_value);
        n->from_value = n->from->value ? value_ref(n->from->value) : NULL;
        n->from_mzxid = n->from->stat.mzxid;
        n->from_version = n->from->stat.version;
        value_unref(n->to_value);
        n->to_value = n->to->value ? value_ref(n->to->value) : NULL;
    }
    fs_unlock(fs);
    if (err) {
        rename_end(n, err);
    } else {
        rename_send(n);
    }
}

static void on_rename_read(void *arg, int rc)
{
    struct rename *n = arg;
    fs_lock(n->r.fs);
    if (rc != ZOK && rc != ZNONODE) {
        n->rc = rc;
    }
    bool is_last = --n->pending == 0;
    fs_unlock(n->r.fs);
    if (is_last) {
        rename_decide(n);
    }
}

/* The target's inode may have died between two tries; the lock is held. */
static void renew_target(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    if (!n->to->dead) {
        return;
    }
    struct inode *to = inode_find_child(&fs->cache.table, n->to_dir, n->to_name);
    if (!to) {
        to = inode_add(&fs->cache.table, n->to_dir, n->to->path, INODE_UNKNOWN);
    }
    inode_ref(to);
    inode_unref(&fs->cache.table, n->to);
    n->to = to;
}

static void rename_read(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    renew_target(n);
    n->pending = 2;
    n->rc = ZOK;
    fs_unlock(fs);
    fetch_node(fs, n->from, on_rename_read, n);
    fetch_node(fs, n->to, on_rename_read, n);
}

/* Both names are allowed: 0 or an errno. */
static int check_names(struct fusefs *fs, const struct inode *from_dir, const char *name,
                       const struct inode *to_dir, const char *to_name, unsigned flags)
{
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return EINVAL;
    }
    if (inode_is_control(from_dir) || inode_is_control(to_dir) ||
        control_is_name(fs, from_dir, name) || control_is_name(fs, to_dir, to_name)) {
        return EPERM;
    }
    return name_check(to_name);
}

static struct rename *rename_new(struct fusefs *fs, struct inode *from_dir, const char *name,
                                 struct inode *to_dir, const char *to_name, unsigned flags)
{
    fs_lock(fs);
    struct inode *from = inode_find_child(&fs->cache.table, from_dir, name);
    if (!from) {
        fs_unlock(fs);
        return NULL;
    }
    struct rename *n = xcalloc(1, sizeof(*n));
    n->from_dir = from_dir;
    n->to_dir = to_dir;
    n->flags = flags;
    n->to_name = xstrdup(to_name);
    n->from = inode_ref(from);
    struct inode *to = inode_find_child(&fs->cache.table, to_dir, to_name);
    if (!to) {
        char *path = name_join(to_dir->path, to_name);
        to = inode_add(&fs->cache.table, to_dir, path, INODE_UNKNOWN);
        free(path);
    }
    n->to = inode_ref(to);
    fs_unlock(fs);
    return n;
}

static void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                       const char *new_name, unsigned int flags)
{
    struct fusefs *fs = ops_begin(req, STATS_RENAME);
    int err = ops_write_gate(fs);
    struct inode *from_dir = err ? NULL : ops_get_inode(fs, parent, &err);
    struct inode *to_dir = err ? NULL : ops_get_inode(fs, new_parent, &err);
    struct rename *n = NULL;
    if (!err) {
        err = check_names(fs, from_dir, name, to_dir, new_name, flags);
    }
    if (!err) {
        n = rename_new(fs, from_dir, name, to_dir, new_name, flags);
        err = n ? 0 : ESTALE;
    }
    if (err) {
        fuse_reply_err(req, err);
        if (from_dir) {
            ops_put_inode(fs, from_dir);
        }
        if (to_dir) {
            ops_put_inode(fs, to_dir);
        }
    } else if (request_begin(&n->r, fs, req)) {
        rename_read(n);
    } else {
        rename_end(n, EINTR);
    }
}

void ops_rename_fill(struct fuse_lowlevel_ops *ops)
{
    ops->rename = ops_rename;
}
