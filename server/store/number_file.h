/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_NUMBER_FILE_H
#define SERVER_STORE_NUMBER_FILE_H

/*
 * Files that hold one decimal number: myid in dataDir; acceptedEpoch and currentEpoch in its
 * version-2 (docs/on-disk.md). Written all or nothing (rule E3).
 */
#include <stdint.h>

#include "server/store/fsops.h"

/* Reads the first line of dir/name, white space around it ignored. -ENOENT: no such file. -EBADMSG:
 * not a number from 0 to INT64_MAX. */
int number_file_read(const struct fsops *fs, const char *dir, const char *name, int64_t *value);
/* Durable when it returns 0. A failed write leaves the old number or the new one. */
int number_file_write(const struct fsops *fs, const char *dir, const char *name, int64_t value);

#endif
