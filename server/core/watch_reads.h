/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_WATCH_READS_H
#define SERVER_CORE_WATCH_READS_H

/* addWatch, checkWatches, removeWatches, setWatches and setWatches2 (client-protocol 11). Thread: the core's.
 * Pure. */
#include "server/core/reads.h"

/* ZK_UNIMPLEMENTED: it is none of them. */
enum zk_err answer_watch_request(struct read *r);

#endif
