/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_COMMIT_ACL_H
#define FUSEFS_COMMIT_ACL_H

/*
 * Setting a znode's ACL. The current one is read first: an ACL that is there already (cp -a copies it along
 * with the file) costs no change, and a lost connection is settled by reading again. The last writer wins.
 */
#include <stdbool.h>
#include <stddef.h>

struct fusefs;
struct inode;

/* err: 0 or an errno. Without a lock, on zkc's threads or before commit_acl returns. */
typedef void (*commit_acl_done_fn)(void *arg, int err);

/* Gives the inode's znode the ACL of the text (acl_text.h): EINVAL if it is none. With announces, watchers
 * of the inode in this kernel are told, as of anybody's change; without, the caller's system call tells them.
 * The caller holds the inode until done. */
void commit_acl(struct fusefs *fs, struct inode *inode, const char *text, size_t len,
                bool announces, commit_acl_done_fn done, void *arg);

#endif
