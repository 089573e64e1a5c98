/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/away.h"
#include "fusefs/control.h"
#include "fusefs/control_make.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/listing.h"
#include "fusefs/make.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"
#include "fusefs/request.h"
#include "fusefs/scratch.h"

/* ---- what changes a directory -------------------------------------------------------------------------------- */

/* Common checks of a change to name in parent; answers and returns NULL if it may not be. */
static struct inode *begin_change(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent,
                                  const char *name, int control_err)
{
    int err = ops_write_gate(fs);
    struct inode *dir = err ? NULL : ops_get_inode(fs, parent, &err);
    if (dir && inode_is_control(dir)) {
        err = EPERM;
    } else if (dir && control_is_name(fs, dir, name)) {
        err = control_err;
    } else if (dir) {
        err = name_check(name);
    }
    if (!err) {
        return dir;
    }
    if (dir) {
        ops_put_inode(fs, dir);
    }
    fuse_reply_err(req, err);
    return NULL;
}

static void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    struct fusefs *fs = ops_begin(req, STATS_MKDIR);
    if (notify_is_helper(fs, req)) {
        notify_helper_create(fs, req, parent, name, NULL);
        return;
    }
    struct inode *dir = begin_change(fs, req, parent, name, EEXIST);
    if (dir) {
        make_node(fs, req, dir, name, INODE_DIR, true, NULL);
    }
}

static void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)rdev;
    struct fusefs *fs = ops_begin(req, STATS_MKNOD);
    if (!S_ISREG(mode)) {
        fuse_reply_err(req, EPERM);
        return;
    }
    struct inode *dir = begin_change(fs, req, parent, name, EEXIST);
    if (dir && !scratch_make(fs, req, dir, name, mode, NULL)) {
        make_node(fs, req, dir, name, INODE_FILE, true, NULL);
    }
}

static void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                       struct fuse_file_info *fi)
{
    struct fusefs *fs = ops_begin(req, STATS_CREATE);
    if (notify_is_helper(fs, req)) {
        notify_helper_create(fs, req, parent, name, fi);
        return;
    }
    if (control_make(fs, req, parent, name, fi)) {
        return;
    }
    struct inode *dir = begin_change(fs, req, parent, name, EISDIR);
    if (dir && !scratch_make(fs, req, dir, name, mode, fi)) {
        make_node(fs, req, dir, name, INODE_FILE, fi->flags & O_EXCL, fi);
    }
}

static void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fusefs *fs = ops_begin(req, STATS_UNLINK);
    if (notify_is_helper(fs, req)) {
        fuse_reply_err(req, 0);
        return;
    }
    struct inode *dir = begin_change(fs, req, parent, name, EPERM);
    if (dir && !scratch_unlink(fs, req, dir, name)) {
        make_gone(fs, req, dir, name, EISDIR);
    }
}

static void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fusefs *fs = ops_begin(req, STATS_RMDIR);
    if (notify_is_helper(fs, req)) {
        fuse_reply_err(req, 0);
        return;
    }
    struct inode *dir = begin_change(fs, req, parent, name, EPERM);
    if (dir) {
        make_gone(fs, req, dir, name, ENOTEMPTY);
    }
}

static void ops_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link;
    (void)parent;
    (void)name;
    ops_begin(req, STATS_SYMLINK);
    fuse_reply_err(req, EPERM);
}

static void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)ino;
    (void)new_parent;
    (void)new_name;
    ops_begin(req, STATS_LINK);
    fuse_reply_err(req, EPERM);
}

/* ---- open directories ------------------------------------------------------------------------------------------ */

/* One open directory: the names as they were when it was opened. */
struct dir_handle {
    struct inode *dir;     /* referenced */
    struct listing *names; /* counted; NULL: a control directory */
    bool shows_control;    /* lists the control directory too */
};

struct opendir {
    struct request r;
    struct inode *dir; /* referenced */
    struct fuse_file_info fi;
};

static struct dir_handle *dir_from_fh(uint64_t fh)
{
    return (struct dir_handle *)(uintptr_t)fh;
}

static void dir_handle_free(struct fusefs *fs, struct dir_handle *d)
{
    fs_lock(fs);
    listing_unref(d->names);
    inode_unref(&fs->cache.table, d->dir);
    fs_unlock(fs);
    free(d);
}

/* Takes the caller's reference on dir. */
static void reply_opendir(struct fusefs *fs, fuse_req_t req, struct inode *dir,
                          struct fuse_file_info *fi)
{
    struct dir_handle *d = xcalloc(1, sizeof(*d));
    d->dir = dir;
    fs_lock(fs);
    if (dir->kind == INODE_DIR) {
        d->names = dir->listing ? listing_ref(dir->listing) : listing_new(NULL, 0);
        scratch_add_names(dir, &d->names);
        away_hide_names(fs, dir, &d->names);
        d->shows_control = fs->options.control == FUSEFS_CONTROL_VISIBLE;
    }
    fs_unlock(fs);
    fi->fh = (uint64_t)(uintptr_t)d;
    if (fuse_reply_open(req, fi) != 0) {
        dir_handle_free(fs, d);
    }
}

static void on_opendir_fetched(void *arg, int rc)
{
    struct opendir *o = arg;
    struct fusefs *fs = o->r.fs;
    fs_lock(fs);
    bool is_gone = o->dir->dead;
    fs_unlock(fs);
    bool is_ours = request_claim(&o->r);
    if (is_ours && rc == ZOK && !is_gone) {
        reply_opendir(fs, o->r.req, o->dir, &o->fi);
    } else {
        if (is_ours) {
            fuse_reply_err(o->r.req, rc == ZOK || rc == ZNONODE ? ESTALE : errno_from_zk(rc));
        }
        ops_put_inode(fs, o->dir);
    }
    free(o);
}

static void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fusefs *fs = ops_begin(req, STATS_OPENDIR);
    int err = ops_gate(fs);
    struct inode *dir = err ? NULL : ops_get_inode(fs, ino, &err);
    if (!dir) {
        fuse_reply_err(req, err);
        return;
    }
    bool is_connected = zkc_is_connected(fs->zkc);
    fs_lock(fs);
    bool is_armed = dir->armed;
    bool is_current =
        inode_is_control(dir) || (is_armed && dir->kids_watched) || (!is_connected && dir->listing);
    fs_unlock(fs);
    if (is_current) {
        reply_opendir(fs, req, dir, fi);
        return;
    }
    struct opendir *o = xcalloc(1, sizeof(*o));
    o->dir = dir;
    o->fi = *fi;
    if (!request_begin(&o->r, fs, req)) {
        ops_put_inode(fs, dir);
        free(o);
    } else if (is_armed) {
        fetch_node(fs, dir, on_opendir_fetched, o);
    } else {
        fetch_arm(fs, dir, on_opendir_fetched, o);
    }
}

static void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_RELEASEDIR);
    dir_handle_free(fs, dir_from_fh(fi->fh));
    fuse_reply_err(req, 0);
}

static void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    (void)fi;
    ops_begin(req, STATS_FSYNC);
    fuse_reply_err(req, 0); /* a name is in ZooKeeper when the call that made it has returned */
}

/* ---- reading them ----------------------------------------------------------------------------------------------- */

/* Offsets: 0 ".", 1 "..", 2 the control directory (listed or not), then the names. */
enum { FIRST_NAME = 3 };

/* A directory's entries are read ahead in bursts of this many. */
enum { BURST_ENTRIES = 512 };

/* The shortest entry with attributes takes more. */
enum { ENTRY_BYTES_MIN = 128 };

/* One buffer to be filled. */
struct readdir {
    struct request r;
    struct dir_handle *d; /* the kernel does not release it while a request is open */
    size_t size;
    off_t offset;
    bool plus;
    struct inode *held[BURST_ENTRIES]; /* referenced while the burst is read */
    size_t held_count;
};

static const char *entry_name(const struct fusefs *fs, const struct dir_handle *d, off_t at)
{
    if (at < 2) {
        return at == 0 ? "." : "..";
    }
    if (at == 2) {
        return d->shows_control ? fs->options.control_name : NULL;
    }
    size_t index = (size_t)(at - FIRST_NAME);
    if (!d->names) {
        return control_file_name(d->dir, index);
    }
    return index < d->names->count ? d->names->names[index] : NULL;
}

/* The inode of an entry; NULL if nothing is known of it. The lock is held. */
static struct inode *entry_inode(struct fusefs *fs, const struct dir_handle *d, const char *name)
{
    if (!d->names) {
        return control_get_file(fs, d->dir, name);
    }
    if (control_is_name(fs, d->dir, name)) {
        return control_get_dir(fs, d->dir);
    }
    struct inode *inode = inode_find_child(&fs->cache.table, d->dir, name);
    return inode && inode->stat_known && inode->kind != INODE_UNKNOWN ? inode : NULL;
}

/* Adds one entry; the size that it needs. What the kernel is told of an inode, and counts a reference for,
 * goes to told, whose ino is 0 otherwise. The lock is held. */
static size_t add_entry(struct readdir *rd, char *buf, size_t room, off_t at, const char *name,
                        struct fuse_entry_param *told)
{
    struct fusefs *fs = rd->r.fs;
    struct inode *inode = at >= 2 ? entry_inode(fs, rd->d, name) : NULL;
    memset(told, 0, sizeof(*told));
    told->attr.st_ino = (ino_t)-1; /* not known; 0 would hide the name */
    if (at < 2) {
        struct inode *parent = rd->d->dir->parent ? rd->d->dir->parent : rd->d->dir;
        told->attr.st_ino = at == 0 ? rd->d->dir->ino : parent->ino;
        told->attr.st_mode = S_IFDIR;
    } else if (inode && !rd->plus) {
        attr_fill(fs, inode, NULL, &told->attr);
    } else if (inode) {
        attr_fill_entry(fs, inode, told);
    }
    if (!rd->plus) {
        return fuse_add_direntry(rd->r.req, buf, room, name, &told->attr, at + 1);
    }
    size_t need = fuse_add_direntry_plus(rd->r.req, buf, room, name, told, at + 1);
    if (inode && need > room) {
        inode->nlookup--; /* there was no room: the kernel does not get it */
        told->ino = 0;
    }
    return need;
}

static void readdir_free(struct readdir *rd)
{
    struct fusefs *fs = rd->r.fs;
    fs_lock(fs);
    for (size_t i = 0; i < rd->held_count; i++) {
        inode_unref(&fs->cache.table, rd->held[i]);
    }
    fs_unlock(fs);
    free(rd);
}

static void readdir_reply(struct readdir *rd)
{
    struct fusefs *fs = rd->r.fs;
    char *buf = xmalloc(rd->size + 1);
    struct fuse_entry_param *told = xcalloc(rd->size / ENTRY_BYTES_MIN + 1, sizeof(*told));
    size_t told_count = 0;
    size_t used = 0;
    fs_lock(fs);
    for (off_t at = rd->offset;; at++) {
        const char *name = entry_name(fs, rd->d, at);
        if (!name && at == 2) {
            continue;
        }
        if (!name) {
            break;
        }
        if (at >= FIRST_NAME && control_is_name(fs, rd->d->dir, name)) {
            continue; /* a znode that the control directory hides */
        }
        size_t need = add_entry(rd, buf + used, rd->size - used, at, name, &told[told_count]);
        if (need > rd->size - used) {
            break;
        }
        used += need;
        told_count += told[told_count].ino != 0;
    }
    fs_unlock(fs);
    int err = fuse_reply_buf(rd->r.req, buf, used);
    for (size_t i = 0; i < told_count; i++) {
        ops_entry_sent(fs, &told[i], err);
    }
    free(told);
    free(buf);
}

static void on_burst(void *arg, int rc)
{
    struct readdir *rd = arg;
    (void)rc; /* an entry that could not be read is listed without attributes */
    if (request_claim(&rd->r)) {
        readdir_reply(rd);
    }
    readdir_free(rd);
}

/* The entries from the offset on of which nothing is known yet, if the first of them would be needed. */
static void plan_burst(struct readdir *rd)
{
    struct fusefs *fs = rd->r.fs;
    struct dir_handle *d = rd->d;
    fs_lock(fs);
    size_t index = rd->offset < FIRST_NAME ? 0 : (size_t)(rd->offset - FIRST_NAME);
    for (size_t i = index; d->names && !d->dir->dead && i < d->names->count; i++) {
        if (i - index == BURST_ENTRIES) {
            break;
        }
        const char *name = d->names->names[i];
        struct inode *inode = inode_find_child(&fs->cache.table, d->dir, name);
        if (inode && inode->stat_known && inode->kind != INODE_UNKNOWN && inode->perms_known) {
            continue;
        }
        if (!inode) {
            char *path = name_join(d->dir->path, name);
            inode = inode_add(&fs->cache.table, d->dir, path, INODE_UNKNOWN);
            free(path);
        }
        rd->held[rd->held_count++] = inode_ref(inode);
        readahead_hold_locked(fs, inode); /* the next buffer's entries are among them */
    }
    fs_unlock(fs);
}

static void start_readdir(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi,
                          struct fusefs *fs, bool plus)
{
    struct readdir *rd = xcalloc(1, sizeof(*rd));
    rd->d = dir_from_fh(fi->fh);
    rd->size = size;
    rd->offset = offset;
    rd->plus = plus;
    rd->r.fs = fs;
    rd->r.req = req;
    if (plus && zkc_is_connected(fs->zkc)) {
        plan_burst(rd);
    }
    if (rd->held_count == 0) {
        readdir_reply(rd);
        readdir_free(rd);
    } else if (request_begin(&rd->r, fs, req)) {
        fetch_inodes(fs, rd->held, rd->held_count, on_burst, rd);
    } else {
        readdir_free(rd);
    }
}

static void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
    (void)ino;
    start_readdir(req, size, offset, fi, ops_begin(req, STATS_READDIR), false);
}

static void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                            struct fuse_file_info *fi)
{
    (void)ino;
    start_readdir(req, size, offset, fi, ops_begin(req, STATS_READDIRPLUS), true);
}

void ops_dir_fill(struct fuse_lowlevel_ops *ops)
{
    ops->mkdir = ops_mkdir;
    ops->mknod = ops_mknod;
    ops->create = ops_create;
    ops->unlink = ops_unlink;
    ops->rmdir = ops_rmdir;
    ops->symlink = ops_symlink;
    ops->link = ops_link;
    ops->opendir = ops_opendir;
    ops->releasedir = ops_releasedir;
    ops->fsyncdir = ops_fsyncdir;
    ops->readdir = ops_readdir;
    ops->readdirplus = ops_readdirplus;
}
