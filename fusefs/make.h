/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_MAKE_H
#define FUSEFS_MAKE_H

/*
 * Creating and deleting one znode on behalf of a request. After a lost connection the znode is looked for:
 * what can be settled that way is, the rest is EIO.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

#include "fusefs/inode.h"

struct fusefs;

/* Creates name in dir, whose reference it takes, and answers req: with an entry, or, if fi is given, with an
 * open file. Without exclusive, a file that is already there is opened instead. */
void make_node(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
               enum inode_kind kind, bool exclusive, const struct fuse_file_info *fi);

/* Deletes name in dir, whose reference it takes; never what has children: not_empty is the errno then. */
void make_gone(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
               int not_empty);

#endif
