/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_LOG_BRIDGE_H
#define SERVER_STORE_LOG_BRIDGE_H

/*
 * The log on disk as a bridge from a learner's last zxid to what the leader has in memory
 * (core/sync.h, case 5), read while the log thread goes on appending behind it:
 *
 *      log.1  ... P ............. log.5000 .......... until |  in memory ...
 *                 ^ log_bridge_find   log_bridge_read ----^
 *
 * Rule S8: zxids alone do not prove that a log has no gap, since an epoch may end anywhere. A gap
 * was made by a snapshot that came from a leader, and that snapshot stands on the disk under a zxid
 * that the log lacks. Any thread, one at a time.
 */
#include "server/core/sync.h"
#include "server/store/fsops.h"

struct log_dirs {
    const struct fsops *fs;
    const char *snapshot_dir;
    const char *log_dir;
    size_t entry_bytes_max;
};

/*
 * Looks for zxid. From it to until_zxid, if that is larger, the log is read to see that it has no
 * gap. The newest file counts with newest_bytes, since it may have been made longer in advance; <
 * 0: with its size. 0 or -errno: it cannot be read, or there is a gap.
 */
int log_bridge_find(const struct log_dirs *dirs, int64_t zxid, int64_t until_zxid,
                    int64_t newest_bytes, struct log_place *place);

struct log_bridge;

/* For the txns above after_zxid up to until_zxid, which must be in the log or the start of an epoch
 * with txns. 0 or -errno; on success close it. */
int log_bridge_open(const struct log_dirs *dirs, int64_t after_zxid, int64_t until_zxid,
                    bool is_observer, struct log_bridge **bridge);
/* Appends to out what a learner gets of the next txns (sync_encode_txn), until that is at least
 * bytes. 1: more follow, 0: that was all, or -errno. */
int log_bridge_read(struct log_bridge *b, size_t bytes, struct buf *out);
void log_bridge_close(struct log_bridge *b);

#endif
