/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_OPS_H
#define FUSEFS_OPS_H

/*
 * The FUSE operations, by family: ops_meta.c (names and attributes), ops_dir.c (what changes a directory), ops_readdir.c,
 * ops_rename.c, ops_file.c, ops_lock.c, ops_xattr.c. Each function ends in exactly one reply: at once if the
 * cache can answer, otherwise from zkc's completion thread. What they share is in ops_meta.c.
 */
#include <fuse3/fuse_lowlevel.h>

#include "fusefs/fs.h"
#include "fusefs/inode.h"
#include "fusefs/stats.h"

struct handle;

/* Adds each family to the table. */
void ops_meta_fill(struct fuse_lowlevel_ops *ops);
void ops_dir_fill(struct fuse_lowlevel_ops *ops);
void ops_readdir_fill(struct fuse_lowlevel_ops *ops);
void ops_rename_fill(struct fuse_lowlevel_ops *ops);
void ops_file_fill(struct fuse_lowlevel_ops *ops);
void ops_xattr_fill(struct fuse_lowlevel_ops *ops);
void ops_poll_fill(struct fuse_lowlevel_ops *ops);
void ops_lock_fill(struct fuse_lowlevel_ops *ops);

/* Start of every operation: counts it. */
struct fusefs *ops_begin(fuse_req_t req, enum stats_op op);

/* Why nothing can be done now: EHOSTDOWN with offline=error and no server, else 0. */
int ops_gate(struct fusefs *fs);
/* The same for what changes something: EROFS on a read-only mount too. */
int ops_write_gate(struct fusefs *fs);
/* The same for opening a file for write: EHOSTDOWN without a server, since such a write could only fail at
 * close, which shells do not look at. */
int ops_open_write_gate(struct fusefs *fs);

/* The inode with a reference for the caller; NULL: ESTALE (in *err), dead ones too. */
struct inode *ops_get_inode(struct fusefs *fs, fuse_ino_t ino, int *err);
void ops_put_inode(struct fusefs *fs, struct inode *inode);

/* Answers with the open file h, or releases it if nobody takes it any more. */
void ops_reply_open(struct fusefs *fs, fuse_req_t req, struct handle *h, struct fuse_file_info *fi);
/* Answers with what h has at this offset. */
void ops_reply_read(struct fusefs *fs, fuse_req_t req, struct handle *h, size_t len, off_t offset);

/* Answers with an entry, and does what follows from how that went. */
void ops_reply_entry(struct fusefs *fs, fuse_req_t req, const struct fuse_entry_param *e);
/* After an entry was sent: an error means that the kernel did not take the reference. A change that was
 * published between filling the entry and the kernel's taking it found no inode there to invalidate, so
 * what was told is compared once more. */
void ops_entry_sent(struct fusefs *fs, const struct fuse_entry_param *e, int err);
void ops_give_back(struct fusefs *fs, fuse_ino_t ino, uint64_t count);

/* Whether the copy can be answered from: covered by its watches, or there is no server to ask. For a
 * directory this includes that it is armed. */
bool ops_is_current(struct fusefs *fs, const struct inode *inode);

#endif
