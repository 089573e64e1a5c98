/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <fcntl.h>

#include "fusefs/control.h"
#include "fusefs/control_make.h"
#include "fusefs/make.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"
#include "fusefs/scratch.h"

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

void ops_dir_fill(struct fuse_lowlevel_ops *ops)
{
    ops->mkdir = ops_mkdir;
    ops->mknod = ops_mknod;
    ops->create = ops_create;
    ops->unlink = ops_unlink;
    ops->rmdir = ops_rmdir;
    ops->symlink = ops_symlink;
    ops->link = ops_link;
}
