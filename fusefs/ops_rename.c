/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming a file is one multi: the target gets the source's bytes, the source is deleted if it is still at the version
 * that was read. A target that exists is set, so that it keeps its znode, ACL and watchers elsewhere; one that
 * does not gets the source's ACL. A directory is created again with all below it and deleted from below, in
 * one multi too; an empty directory in the target's place is deleted first. What does not fit a request is
 * EXDEV, and mv copies. Here the inode follows its name, as the kernel's does.
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
#include "fusefs/rename.h"
#include "fusefs/scratch.h"
#include "fusefs/subtree.h"

void rename_end(struct rename *n, int err)
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
    subtree_free(n->tree);
    free(n->to_name);
    free(n);
}

/* Without ZooKeeper: from one scratch file's name to another, or from a file's. */
static void rename_in_memory(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    struct inode *from = n->from;
    fs_lock(fs);
    if (!n->from_scratch) {
        char *path = xstrdup(from->path);
        struct Stat stat = from->stat;
        cache_forget(&fs->cache, from);
        zk_assert(n->from_value); /* check_files has seen it */
        int err = scratch_start(fs, from, n->from_value->bytes, n->from_value->len);
        zk_assert(err == 0); /* stays_in_memory has seen that there is room */
        away_add(fs, path, &stat, from, n->pid);
        free(path);
    }
    cache_moved(&fs->cache, from, n->to_dir, n->to_name);
    fs_unlock(fs);
    rename_end(n, 0);
}

/* A directory that is renamed: 0 or an errno. The lock is held. */
static int check_dirs(const struct rename *n)
{
    if (n->flags & RENAME_EXCHANGE) {
        return EINVAL;
    }
    if (n->to_exists && n->to->kind != INODE_DIR) {
        return ENOTDIR;
    }
    bool is_full = n->to_exists && (n->to->stat.numChildren > 0 || n->to->scratches > 0);
    return is_full ? ENOTEMPTY : 0;
}

static int check_files(const struct rename *n)
{
    bool any_scratch = n->from_scratch || scratch_is(n->to);
    if (!n->from_scratch && n->from->stat.ephemeralOwner > 0) {
        return EPERM; /* it belongs to the session that made it */
    }
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
    if (n->from_scratch) {
        return true;
    }
    const struct value *v = n->from->value;
    bool may_delete = !n->from_dir->perms_known || (n->from_dir->perms & (unsigned)ZOO_PERM_DELETE);
    return v && n->from->writers == 0 && may_delete && scratch_has_room(n->r.fs, v->len);
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
        n->to_mzxid = n->to_exists ? n->to->stat.mzxid : 0;
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

void rename_read(struct rename *n)
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
    /* A directory cannot take the place of its znode: that is settled first. */
    n->to_was_away = from->kind != INODE_DIR && away_take(fs, to->path);
    fs_unlock(fs);
    return n;
}

/* Nothing is hidden any more in a directory that is to be renamed, or replaced. */
static void on_target_settled(void *arg)
{
    rename_read(arg);
}

static void on_source_settled(void *arg)
{
    struct rename *n = arg;
    if (away_settle(n->r.fs, n->to->path, on_target_settled, n)) {
        rename_read(n);
    }
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
    } else if (!request_begin(&n->r, fs, req)) {
        rename_end(n, EINTR);
    } else if (away_settle(fs, n->from->path, on_source_settled, n)) {
        on_source_settled(n);
    }
}

void ops_rename_fill(struct fuse_lowlevel_ops *ops)
{
    ops->rename = ops_rename;
}
