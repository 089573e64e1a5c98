/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_ATTR_H
#define FUSEFS_ATTR_H

/* Attributes as stat(2) shows them, and how long the kernel may keep them. fs->lock is held. */
#include <sys/stat.h>

struct fusefs;
struct inode;
struct handle;
struct fuse_entry_param;

/* The published state; h, if not NULL, is a handle that still reads an older version. */
void attr_fill(const struct fusefs *fs, const struct inode *inode, const struct handle *h,
               struct stat *out);
/* Seconds: practically for ever while a watch covers the copy and no handle needs the kernel to ask
 * again, otherwise 0. */
double attr_timeout(const struct inode *inode);
/* Entry with attributes; counts the kernel's reference, which the caller gives back if the reply fails. */
void attr_fill_entry(const struct fusefs *fs, struct inode *inode, struct fuse_entry_param *out);

#endif
