/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_TXNLOG_TAIL_H
#define SERVER_STORE_TXNLOG_TAIL_H

/*
 * The last txns of the log, for a server that has just started: with them in memory a learner that
 * is a little behind gets the difference instead of a snapshot. Rule S8: only what is known to be
 * without a gap up to last_zxid is given (see log_bridge.h for what a gap is).
 */
#include "server/core/history.h"
#include "server/store/fsops.h"

/*
 * Appends up to about count txns to out, which is empty. Nothing if the log does not end with
 * last_zxid, as after a snapshot that came from a leader. 0 or -errno; after an error out is empty.
 */
int txnlog_read_tail(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                     int64_t last_zxid, size_t count, size_t entry_bytes_max,
                     struct history_tail *out);

#endif
