/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_COMMIT_H
#define FUSEFS_COMMIT_H

/*
 * Writing values: one setData, the cache brought up to date with it, and certainty about its outcome. If
 * the connection is lost under a setData, the znode is read back: the new bytes are there (done), or the
 * version from before is (sent again, conditionally), or neither can be told (ZSYSTEMERROR, which is EIO).
 */
#include <fuse3/fuse_lowlevel.h>
#include <stddef.h>
#include <stdint.h>

struct fusefs;
struct inode;
struct handle;

/* rc: ZOK or libzookeeper's. Without a lock, on zkc's threads. */
typedef void (*commit_done_fn)(void *arg, int rc);

/* Sets the data of the inode's znode, if it still has that version (-1: any). The bytes are copied. len
 * -1 is null data. The caller holds the inode until done. */
void commit_value(struct fusefs *fs, struct inode *inode, const void *data, int len,
                  int32_t version, commit_done_fn done, void *arg);

/* The same at any version, by another way than the file's own: watchers of the inode in this kernel are told,
 * as of anybody's change. */
void commit_announced(struct fusefs *fs, struct inode *inode, const void *data, int len,
                      commit_done_fn done, void *arg);

/* Changes the value to what edit makes of the current one, again if somebody else is faster: for truncate
 * and touch. edit gets the bytes of the current value and returns the new ones for the caller to free. */
typedef char *(*commit_edit_fn)(const char *bytes, size_t len, size_t *new_len, int64_t param);
void commit_edit(struct fusefs *fs, struct inode *inode, commit_edit_fn edit, int64_t param,
                 commit_done_fn done, void *arg);

/* flush and fsync: answers req when what was written is in ZooKeeper, or with the errno of why it is not;
 * then it stays in the handle and the next flush tries again. */
void commit_handle(struct fusefs *fs, fuse_req_t req, struct handle *h);

/* What was written through the handle is to be in ZooKeeper before something else happens. A mere truncation
 * is not worth it. */
void commit_before(struct fusefs *fs, struct handle *h, commit_done_fn done, void *arg);

/* flush, which comes with each close of a duplicate: a shell opens with O_TRUNC, duplicates the descriptor
 * and closes one of the two before anything is written. An empty value at that moment would be seen
 * everywhere, so a mere truncation waits for more, at the latest until the file is released. */
void commit_flush(struct fusefs *fs, fuse_req_t req, struct handle *h);
/* release: nobody is left to be told of a failure. Until the outcome is known the inode counts as closing,
 * and whoever looks at it asks the ensemble, whose answer comes after this. Before handle_release. */
void commit_release(struct fusefs *fs, struct handle *h);

#endif
