/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_MOUNTPOINT_H
#define MOUNTD_MOUNTPOINT_H

/*
 * What can be wrong with a mount before anything is started, each said in one line that tells
 * what to do. The kernel and fusermount3 would refuse most of it too, later and in fewer words.
 */
#include <stdbool.h>

struct fusefs_options;

/* Checks that a mount can be made on path and gives its absolute name, without symbolic links, in
 * *resolved. Does not trigger an automount: systemd mounts below its own autofs. 0, or -errno with
 * *error set; the caller frees both. */
int mountpoint_check(const char *path, char **resolved, char **error);

/* Checks the means of mounting: /dev/fuse, fusermount3, allow_other for ordinary users. 0, or
 * -errno with *error set. */
int mountpoint_check_means(const struct fusefs_options *o, char **error);

/* True if fusermount3 can be found. */
bool mountpoint_has_fusermount(void);

/* True if the topmost mount on an absolute path is one of zkfs. mountinfo: NULL for this
 * process's. */
bool mountpoint_is_zkfs(const char *path, const char *mountinfo);

/* True if a fuse.conf file lets ordinary users pass allow_other. */
bool fuse_conf_allows_other(const char *file);

#endif
