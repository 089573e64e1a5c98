/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_TXNLOG_TRUNCATE_H
#define SERVER_STORE_TXNLOG_TRUNCATE_H

/*
 * Takes txns off the end of the log, in an order that leaves a readable log after a crash at any
 * point (rule S10): later files first, newest to oldest; the directory is synced; then the file is
 * cut and synced. No writer may have the log open.
 */
#include "server/store/txnlog_reader.h"

/* Carries out what the reader found at the end (rules L3, L4). 0 or -errno; may be repeated. */
int txnlog_repair(const struct fsops *fs, const char *dir, const struct version_list *files,
                  const struct txnlog_tail *tail);

/*
 * Removes every txn with a zxid greater than zxid. -ENOENT: zxid is not a point of this log
 * (neither is it in it nor does its successor in the same epoch begin it), nothing was changed: the
 * histories differ, the caller must take a snapshot instead. Errors of the reader are passed on.
 * Snapshots newer than zxid are the caller's to remove, first.
 */
int txnlog_truncate(const struct fsops *fs, const char *dir, int64_t zxid, size_t entry_bytes_max);

#endif
