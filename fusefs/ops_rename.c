/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming a file, or a directory without children, is one multi: the target gets the source's bytes (created if it is not there, set if it is,
 * so that it keeps its znode, ACL and watchers elsewhere), the source is deleted, both only if the source is
 * still at the version that was read. An empty directory in the target's place is deleted first. Here the
 * inode follows its name, as the kernel's does.
 *
 * A scratch file that is renamed to an ordinary name becomes a znode: the multi has no source to delete. A file
 * that is renamed to a scratch file's name is put away, see away.h; and scratch files among themselves
 * are renamed in memory.
 */
#include "fusefs/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/away.h"
#include "fusefs/control.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/handle.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"
#include "fusefs/request.h"
#include "fusefs/scratch.h"

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
    pid_t pid; /* thread that asked for it */
    bool to_exists;
    bool to_was_away; /* exists, but nobody here has seen it */
    bool is_dir;
    bool from_scratch; /* there is no znode yet */
    bool to_scratch;   /* there will be none */
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
        if (n->from_scratch) {
            scratch_end(&fs->cache.table, n->from);
        }
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

/* Without ZooKeeper: from one scratch file's name to another, or from a file's. */
static void rename_in_memory(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    struct inode *from = n->from;
    struct value *bytes = n->from_value;
    int err = 0;
    fs_lock(fs);
    if (n->from_scratch) {
        cache_detached(&fs->cache, from, n->to_dir, n->to_name);
    } else {
        char *path = xstrdup(from->path);
        struct Stat stat = from->stat;
        err = scratch_start(fs, from, bytes->bytes, bytes->len);
        if (!err) {
            cache_detached(&fs->cache, from, n->to_dir, n->to_name);
            away_add(fs, path, &stat, from, n->pid);
        }
        free(path);
    }
    fs_unlock(fs);
    rename_end(n, err);
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
        if (!n->from_scratch) {
            steps[count++] = set_step(ZKC_STEP_DELETE, n->from->path, NULL, n->from_version);
        }
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
    bool any_scratch = n->from_scratch || scratch_is(n->to);
    if ((n->flags & RENAME_EXCHANGE) && any_scratch) {
        return EINVAL;
    }
    if (n->to_exists && n->to->kind == INODE_DIR) {
        return EISDIR;
    }
    if (!n->to_exists && (n->flags & RENAME_EXCHANGE)) {
        return ENOENT;
    }
    bool has_bytes = n->from_scratch || n->from->value;
    return !has_bytes || ((n->flags & RENAME_EXCHANGE) && !n->to->value) ? EIO : 0;
}

/* What the reads say against it: 0 or an errno. The lock is held. */
static int check_rename(struct rename *n)
{
    n->to_exists = !n->to->dead && n->to->stat_known;
    n->is_dir = n->from->kind == INODE_DIR;
    if (n->from->dead) {
        return ENOENT;
    }
    if (n->to_exists && !n->to_was_away && (n->flags & RENAME_NOREPLACE)) {
        return EEXIST;
    }
    return n->is_dir ? check_dirs(n) : check_files(n);
}

/* Whether the target will be a scratch file. One that others know is not: a znode of that name, a file that
 * is being written, one too large for the memory. The lock is held. */
static bool stays_in_memory(const struct rename *n)
{
    bool is_name = scratch_is(n->to) || (!n->to_exists && scratch_is_name(n->r.fs, n->to_name));
    if (!is_name || n->is_dir || (n->flags & RENAME_EXCHANGE) || n->to_was_away) {
        return false;
    }
    bool may_delete = !n->from_dir->perms_known || (n->from_dir->perms & (unsigned)ZOO_PERM_DELETE);
    return n->from_scratch || (n->from->writers == 0 && may_delete);
}

/* Both have been read. */
static void rename_decide(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    n->from_scratch = scratch_is(n->from);
    int err = n->rc == ZOK ? check_rename(n) : errno_from_zk(n->rc);
    if (!err) {
        value_unref(n->from_value);
        n->from_value = n->from_scratch  ? scratch_value(n->from)
                        : n->from->value ? value_ref(n->from->value)
                                         : NULL;
        n->to_scratch = stays_in_memory(n);
        size_t len = n->from_value ? n->from_value->len : 0;
        err = !n->to_scratch && len > fs_value_limit(fs, n->to->path) ? EFBIG : 0;
        n->from_mzxid = n->from->stat.mzxid;
        n->from_version = n->from->stat.version;
        value_unref(n->to_value);
        n->to_value = n->to->value ? value_ref(n->to->value) : NULL;
    }
    fs_unlock(fs);
    if (err) {
        rename_end(n, err);
    } else if (n->to_scratch) {
        rename_in_memory(n);
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

/* A scratch file is known as it is. */
static void rename_read_one(struct rename *n, struct inode *inode, bool is_znode)
{
    if (is_znode) {
        fetch_node(n->r.fs, inode, on_rename_read, n);
    } else {
        on_rename_read(n, ZOK);
    }
}

static void rename_read(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    renew_target(n);
    n->pending = 2;
    n->rc = ZOK;
    bool reads_from = inode_is_znode(n->from);
    bool reads_to = inode_is_znode(n->to);
    fs_unlock(fs);
    rename_read_one(n, n->from, reads_from);
    rename_read_one(n, n->to, reads_to);
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
    n->to_was_away = away_take(fs, to->path);
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
        if (n) {
            n->pid = fuse_req_ctx(req)->pid;
        }
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
