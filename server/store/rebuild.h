/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_REBUILD_H
#define SERVER_STORE_REBUILD_H

/*
 * What a leader's TRUNC and SNAP mean for the files of a learner (core/zab.h: LOG_TRUNCATE, SNAP_SAVE).
 * After a crash between any two steps recovery finds a state that holds everything the new one holds and
 * that this server has ever acknowledged: at worst the old history, which the next leader cuts again.
 *
 *      TRUNC 25   snapshot.10  snapshot.30x            log.1 (1..20)  log.21 (21..25|26..34x)
 *      SNAP 50    snapshot.10  snapshot.50 (durable)   log.1x  log.21x            then log.51
 *
 * No log writer may have the log open; it begins anew behind the zxid (txnlog_new).
 */
#include <stdint.h>

#include "server/store/fsops.h"

/*
 * Takes everything above zxid off the disk: newer snapshots first, newest to oldest, then the end of the
 * log (S10). 0, or -ENOENT: no snapshot and log lead to exactly zxid, so it cannot be done, nothing was
 * changed, and the server needs a SNAP; or another -errno. If the tree in memory is beyond zxid it is to
 * be recovered again afterwards.
 */
int rebuild_truncate(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                     int64_t zxid, size_t entry_bytes_max);

/*
 * snapshot.<zxid>, the tree that came as SNAP, is durable: makes it the state that recovery finds. The
 * whole log goes, newest file first, since it may be of another history or leave a gap; then every newer
 * snapshot. 0 or -errno; may be repeated.
 */
int rebuild_from_snapshot(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                          int64_t zxid);

#endif
