/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_PURGE_H
#define SERVER_STORE_PURGE_H

/*
 * Deletes snapshots and logs that are no longer needed (rule L8). What stays is a chain from which
 * the server can recover even if the newer snapshots are lost: the retain_count newest snapshots
 * that are whole, every log file that begins after the oldest of them, and the one before, which
 * may straddle it.
 *
 *      snapshot   .10 x    .25 x(damaged)  .40 keep    .60 keep    .80 keep
 *      log        .1 x     .11 x   .30 keep (straddles 40)   .45 keep   .61 keep   .81 keep
 */
#include <stddef.h>

#include "server/store/fsops.h"

enum { PURGE_RETAIN_MIN = 3 };

struct purge_result {
    size_t snapshots;
    size_t logs;
};

/*
 * retain_count below PURGE_RETAIN_MIN is taken as that. Fewer whole snapshots than that: nothing is
 * deleted. *result counts what was, also after a failure. 0 or the -errno of the first call that
 * failed; what remains is always a complete chain. May run while the server logs; at most one at a
 * time.
 */
int purge_run(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
              size_t retain_count, struct purge_result *result);

#endif
