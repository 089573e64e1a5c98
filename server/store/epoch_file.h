/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_EPOCH_FILE_H
#define SERVER_STORE_EPOCH_FILE_H

/*
 * The two numbers that a member of an ensemble must never forget (quorum-protocol 8): the files
 * acceptedEpoch and currentEpoch beside the snapshots. Written all or nothing, and durable before the
 * call returns (rule E3), so a SAVE_ action of the core is done when it has been carried out.
 */
#include <stdint.h>

#include "server/store/fsops.h"

struct epochs {
    int64_t accepted; /* of the newest leader that this server has promised to follow */
    int64_t current;  /* of the newest leader whose history it has */
};

/*
 * Reads both from dir. One that is missing, because the server has run alone so far or is new, is the
 * epoch of last_zxid and is written. 0; -EBADMSG: not a number, or the accepted one is below the current
 * one or below the epoch of last_zxid, which no order of writes can leave; or another -errno. E4: a
 * current one below the epoch of last_zxid is what a crash leaves between the txns of a new leader's
 * history and the file (E2); the server votes with it, as it has not all of that history.
 */
int epochs_read(const struct fsops *fs, const char *dir, int64_t last_zxid, struct epochs *out);

int epochs_write_accepted(const struct fsops *fs, const char *dir, int64_t epoch);
int epochs_write_current(const struct fsops *fs, const char *dir, int64_t epoch);

#endif
