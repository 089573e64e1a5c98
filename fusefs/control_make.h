/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_MAKE_H
#define FUSEFS_CONTROL_MAKE_H

/*
 * Files that make znodes of other kinds:
 *
 *      D/.zk/ephemeral/NAME              ephemeral D/NAME
 *      D/.zk/sequential/PREFIX           D/PREFIX0000000042
 *      D/.zk/ephemeral-sequential/PREFIX both
 *      D/.zk/container/NAME              container D/NAME, with null data
 *      D/.zk/ttl/SECONDS/NAME            D/NAME, deleted when nobody has changed it for so long
 *
 * Creating one creates the znode, always a new one: EEXIST if the name is taken. Each write(2) is one setData
 * of its bytes, wherever the descriptor stands. Reading gives the name that was made, a line. An ephemeral
 * znode is deleted when the last descriptor is closed, by exit or kill too: a duplicate, a child's copy and
 * what /proc/PID/fd opens again each hold it. If its session is lost before, every read and write is ESTALE.
 *
 *      inode "D/.zk/ephemeral/NAME"  <--handle->inode--  handle  --handle->node-->  inode "D/NAME"
 *      (not found by any lookup)                                  (holders counts the handles)
 *
 * The znode is announced in this kernel as one that somebody else made: the caller's own system calls have
 * raised their events elsewhere.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

struct fusefs;
struct handle;
struct inode;

/* create, if parent is one of those directories; answers req then. False: it is not. */
bool control_make(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *fi);
/* open of a file that is made and held already, by /proc/PID/fd; takes the caller's reference on inode. */
void control_make_reopen(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                         struct fuse_file_info *fi);
/* Whether the znode that such an open file made is gone for it; the lock is held. */
bool control_made_is_lost(struct fusefs *fs, const struct handle *h);
/* The inode of the znode that a made file stands for; NULL: its last descriptor is closed. The lock is held. */
struct inode *control_made_node(const struct inode *made);

#endif
