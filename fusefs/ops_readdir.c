/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/control.h"
#include "fusefs/dir_handle.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/listing.h"
#include "fusefs/request.h"

/* ---- opening them ------------------------------------------------------------------------------ */

static struct dir_handle *dir_from_fh(uint64_t fh)
{
    return (struct dir_handle *)(uintptr_t)fh;
}

struct opendir {
    struct request r;
    struct inode *dir; /* referenced */
    struct fuse_file_info fi;
};

/* Takes the caller's reference on dir. */
static void reply_opendir(struct fusefs *fs, fuse_req_t req, struct inode *dir,
                          struct fuse_file_info *fi)
{
    struct dir_handle *d = dir_handle_new(fs, dir);
    fi->fh = (uint64_t)(uintptr_t)d;
    if (fuse_reply_open(req, fi) != 0) {
        dir_handle_unref(fs, d);
    }
}

/* The lock is held. */
static bool has_current_names(struct fusefs *fs, const struct inode *dir)
{
    return inode_is_control(dir) || (dir->armed && dir->kids_watched) ||
           (dir->listing && !zkc_is_connected(fs->zkc));
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
    fs_lock(fs);
    bool is_armed = dir->armed;
    bool is_current = has_current_names(fs, dir);
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
    dir_handle_unref(fs, dir_from_fh(fi->fh));
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

/* The shortest entry with attributes takes as much. */
enum { ENTRY_BYTES_MIN = 160 };

/* One buffer to be filled. */
struct readdir {
    struct request r;
    struct dir_waiter waiter;
    struct dir_handle *d; /* referenced */
    size_t size;
    off_t offset;
    bool plus;
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
    dir_handle_unref(rd->r.fs, rd->d);
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

static void on_entries_known(struct dir_waiter *w)
{
    struct readdir *rd = list_entry(w, struct readdir, waiter);
    if (request_claim(&rd->r)) {
        readdir_reply(rd);
    }
    readdir_free(rd);
}

static void fill_buffer(struct readdir *rd)
{
    if (rd->plus) {
        size_t index = rd->offset < FIRST_NAME ? 0 : (size_t)(rd->offset - FIRST_NAME);
        dir_handle_want(rd->r.fs, rd->d, index, rd->size / ENTRY_BYTES_MIN, &rd->waiter);
    } else {
        on_entries_known(&rd->waiter);
    }
}

static void on_names_read(void *arg, int rc)
{
    struct readdir *rd = arg;
    (void)rc; /* without an answer the names are those that we have */
    dir_handle_renew(rd->r.fs, rd->d);
    fill_buffer(rd);
}

/* rewinddir shows the directory as it is now, as opendir would. */
static void rewind_names(struct readdir *rd)
{
    struct fusefs *fs = rd->r.fs;
    fs_lock(fs);
    bool is_current = has_current_names(fs, rd->d->dir);
    fs_unlock(fs);
    if (is_current) {
        on_names_read(rd, 0);
    } else {
        fetch_node(fs, rd->d->dir, on_names_read, rd);
    }
}

/* Whether it is read from its beginning again. */
static bool is_rewound(struct fusefs *fs, struct dir_handle *d, off_t offset)
{
    fs_lock(fs);
    bool is_again = offset == 0 && d->was_read && !d->dir->dead;
    d->was_read = true;
    fs_unlock(fs);
    return is_again;
}

static void start_readdir(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi,
                          struct fusefs *fs, bool plus)
{
    struct readdir *rd = xcalloc(1, sizeof(*rd));
    rd->d = dir_handle_ref(fs, dir_from_fh(fi->fh));
    rd->size = size;
    rd->offset = offset;
    rd->plus = plus;
    rd->waiter.go_on = on_entries_known;
    if (!request_begin(&rd->r, fs, req)) {
        readdir_free(rd);
    } else if (is_rewound(fs, rd->d, offset)) {
        rewind_names(rd);
    } else {
        fill_buffer(rd);
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

void ops_readdir_fill(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = ops_opendir;
    ops->releasedir = ops_releasedir;
    ops->fsyncdir = ops_fsyncdir;
    ops->readdir = ops_readdir;
    ops->readdirplus = ops_readdirplus;
}
