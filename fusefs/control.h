/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_H
#define FUSEFS_CONTROL_H

/*
 * The control directory of each directory: D/.zk/data (a handle on D's own data), and generated text:
 * D/.zk/stat, D/.zk/acl, ROOT/.zk/session, ROOT/.zk/stats (control_file.h); D/.zk/lock, an empty file to lock D by;
 * and directories in which znodes of other kinds are made: ephemeral, sequential ... (control_make.h). Reached by name; listed only if the option
 * says so. Its inodes are no znodes and cost no request until they are read.
 */
#include <stddef.h>

#include "common/buf.h"
#include "fusefs/inode.h"

struct fusefs;
struct zkc_info;

/* Names of the files of a control directory, in listing order; NULL at the end. */
const char *control_file_name(const struct inode *dir, size_t index);

/* Whether name in dir is the control directory's. */
bool control_is_name(const struct fusefs *fs, const struct inode *dir, const char *name);
/* The control directory of dir, or what has that name in a control directory; NULL: none. The lock is
 * held; the caller takes a reference before it drops it. */
struct inode *control_get_dir(struct fusefs *fs, struct inode *dir);
struct inode *control_get_file(struct fusefs *fs, struct inode *control_dir, const char *name);

/* The TTL that the name of a directory in D/.zk/ttl means; 0: none. Whole seconds, written one way only. */
int64_t control_ttl_ms(const char *name);

/* The text of a control file that needs no request: stat, session, stats. The lock is not held. */
void control_print(struct fusefs *fs, const struct inode *file, struct buf *out);
/* The eleven lines that zkCli prints. */
void control_print_stat(const struct Stat *stat, struct buf *out);

#endif
