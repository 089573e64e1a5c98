/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_SYNC_H
#define SERVER_CORE_SYNC_H

/*
 * How a learner whose last zxid is P is brought to the leader's history: DIFF, TRUNC or SNAP
 * (quorum-protocol 6, whose table this follows case by case; ZAB-5). max is the last txn that
 * counts as committed, L what the leader has applied, and min begins what it has in memory:
 *
 *      1 forced                      SNAP
 *      2 P == L                      DIFF, nothing is missing
 *      3 P > max                     TRUNC to max: what P has beyond was never committed (S9)
 *      4 min <= P <= max             from memory
 *      5 P < min                     from the log on disk, then from memory, if that has no
 *                                    gap (S8) and is worth it
 *      6 otherwise                   SNAP
 *
 * Where the history lacks P, and behind it a later epoch has begun (4, 5), Apache gives up and
 * sends SNAP; here a TRUNC to the last txn of P's own epoch does, and a leader that was deposed in
 * the middle of its writes does not cost a whole tree.
 *
 * Pure; the disk is asked through the shell (zab.h: LOG_FIND).
 */
#include <stdint.h>

#include "server/core/history.h"
#include "server/jute/quorum_packet.h"
#include "server/jute/wire.h"

/* What the log on disk has at and behind a zxid. */
struct log_place {
    bool is_known;          /* the disk was asked */
    int64_t first_zxid;     /* first txn at or above; 0: none, or there is a gap behind it */
    int64_t previous_zxid;  /* the one in front of it; 0: the log does not reach back so far */
    int64_t log_bytes;      /* of the files from here to the end */
    int64_t snapshot_bytes; /* of the newest snapshot */
};

struct sync_input {
    int64_t peer_zxid;    /* P: the learner's last logged one */
    int64_t applied_zxid; /* L: max, or the start of the leader's epoch if that is later */
    int64_t max_zxid;
    bool force_snap;      /* forceSnapshotSync */
    int32_t size_percent; /* snapshotSizeFactor: log against snapshot; 0: no limit, < 0: never */
    struct log_place disk;
};

struct sync_plan {
    bool asks_disk;               /* nothing is decided: ask, and choose again with the answer */
    enum quorum_packet_type type; /* ZAB_DIFF, ZAB_TRUNC or ZAB_SNAP */
    int64_t zxid;                 /* the packet's */
    int64_t disk_after;           /* first the logged txns above this one, up to disk_until; */
    int64_t disk_until;           /* none if it is not above */
    struct proposal *first;       /* then these, to the end of the history; NULL: none */
};

struct sync_plan sync_choose(const struct history *h, const struct sync_input *in);

/* Appends what a learner gets of a txn from the log on disk: PROPOSAL and COMMIT, an observer
 * INFORM. */
void sync_encode_txn(struct buf *out, int64_t zxid, struct slice entry, bool is_observer);

#endif
