/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_MADE_H
#define FUSEFS_CONTROL_MADE_H

/*
 * The open files of control_make.h. The inode is no znode's and no lookup finds it; its handles point to the
 * znode's, which counts them:
 *
 *      inode "D/.zk/ephemeral/NAME"  <--handle->inode--  handle  --handle->node-->  inode "D/NAME"
 *      INODE_CONTROL_MADE                                                           holders
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

#include "fusefs/handle.h"

struct fusefs;

/* An open file of made, which holds node; fills in fi. session_id is that of an ephemeral znode, else 0;
 * take_name is what it reads. The lock is held. */
struct handle *control_made_open(struct inode *made, struct inode *node, int64_t session_id,
                                 struct value *take_name, struct fuse_file_info *fi);
/* The last holder's end deletes an ephemeral znode. Before handle_release. */
void control_made_release(struct fusefs *fs, struct handle *h);
/* open of a file that is held already, by /proc/PID/fd; takes the caller's reference on inode. */
void control_made_reopen(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                         struct fuse_file_info *fi);
/* Whether the znode is gone for h, with its session or by itself; the lock is held. */
bool control_made_is_lost(struct fusefs *fs, const struct handle *h);
/* The inode of the znode that a made file stands for; NULL: its last descriptor is closed. The lock is held. */
struct inode *control_made_node(const struct inode *made);

#endif
