/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_FILE_H
#define FUSEFS_CONTROL_FILE_H

/*
 * The files of the control directory that are text and no znode's bytes: stat, acl, session, stats. A reader
 * gets the text of the moment at which it starts, again if it starts over at offset 0. What is written to acl
 * is set at close, all of it or nothing; close returns how that went.
 */
#include <fuse3/fuse_lowlevel.h>

struct fusefs;
struct inode;

/* open of any file of the control directory but data; takes the caller's reference on inode. */
void control_open(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                  struct fuse_file_info *fi);

#endif
