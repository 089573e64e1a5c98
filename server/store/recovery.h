/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_RECOVERY_H
#define SERVER_STORE_RECOVERY_H

/*
 * From the files to the state at the end of the log: newest valid snapshot, then every later txn.
 *
 *      snapshot.36  ->  tree + sessions  ->  log.1 (txns after 36), log.37, ...  ->  last zxid
 *
 * The directories may be Apache's as they are. What is refused, and why, is told in one text for
 * the operator: a refusal never changes a file. Rules: L3, L4 (txnlog_reader.h), L9 no snapshot or
 * a missing range of txns, L10 state and zxid move together.
 *
 * Runs before the server's threads start, or while they are stopped.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/store/fsops.h"
#include "server/store/session_map.h"
#include "server/tree/data_tree.h"

struct recovery_options {
    const char *data_dir;      /* dataDir: snapshots are in its version-2 */
    const char *log_dir;       /* dataLogDir: logs are in its version-2; may be the same */
    size_t frame_bytes_max;    /* jute.maxbuffer */
    bool is_locked;            /* an earlier recovery of the caller keeps other servers out */
    bool trust_empty_snapshot; /* snapshot.trust.empty: replay a log without a snapshot (rule L9) */
    struct data_tree_config tree;
};

struct recovery {
    struct data_tree *tree;         /* owned by the caller after success */
    struct saved_session *sessions; /* owned by the caller after success; ascending by id */
    size_t session_count;
    int64_t last_zxid;         /* of the log, or of the snapshot if the log has nothing newer */
    int64_t snapshot_zxid;     /* that was loaded; 0 if fresh */
    int64_t txn_count;         /* replayed */
    int64_t digest_mismatches; /* txns whose logged digest is not the tree's: told, not refused */
    bool is_fresh;             /* the directories were empty: snapshot.0 was written */
    char *snapshot_dir;        /* data_dir/version-2; owned by the caller after success */
    char *log_dir;             /* log_dir/version-2; likewise */
    char *error;               /* owned by the caller after failure: one line for the operator */
    const struct fsops *fs;    /* that the locks are from */
    int locks[2];              /* descriptors that keep other servers out of the directories */
    int lock_count;
};

/*
 * 0 or -errno. -EBADMSG: damaged files; -ENODATA: txns are missing; -ENOTSUP: directories mixed up;
 * -EBUSY: another server runs on them, which is kept out from here to recovery_fini(). On success a
 * torn tail has been cut, so the log may be appended to from last_zxid on. Ephemerals of sessions
 * that are not in the table are left: deleting them is for the leader and a standalone server
 * (data_tree_kill_orphans).
 */
int recovery_run(const struct fsops *fs, const struct recovery_options *opts, struct recovery *out);
/* Frees what *out owns and lets other servers into the directories. */
void recovery_fini(struct recovery *out);

#endif
