/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_ADMIN_ENVIRONMENT_H
#define SERVER_ADMIN_ENVIRONMENT_H

/* What administration asks the operating system for. Any thread. Nothing here fails: an answer
 * that cannot be had is 0 or "<NA>". */
#include <stdint.h>

#include "common/buf.h"

/* The text of `envi`: Apache's keys, less those that only a JVM has. */
void environment_print(const char *version, struct buf *out);

/* Bytes in the files of path/version-2; path is dataDir or dataLogDir. */
int64_t environment_dir_bytes(const char *path);

/* Open descriptors of this process, and how many it may have. */
int64_t environment_open_fds(void);
int64_t environment_fds_max(void);

#endif
