/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_HISTORY_H
#define SERVER_CORE_HISTORY_H

/*
 * ZAB-1. What this server has logged, how much of it is durable, committed and in the tree, in zxid
 * order:
 *
 *      recent (delivered, for learners that are a little behind) | inflight (logged, not delivered)
 *      ... 5  6  7                                                |  8  9  10  11
 *                ^ delivered_zxid              committed_zxid -----^  |      ^ logged_zxid
 *                                                    synced_zxid -----+
 *
 * Both a leader and a follower deliver what is committed *and* in their own log (S13), through the
 * same function, in synchronisation as in broadcast (S4). What is logged and not delivered stays
 * here when the role ends: if this server leads next, it is part of its history (S11, S12). Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"

struct proposal {
    struct list line;
    int64_t zxid;
    uint64_t origin; /* the local client that waits, or 0 */
    int32_t cxid;
    struct buf entry; /* the encoded txn */
};

/* One txn of a log in memory, followed by len bytes: its encoding. */
struct log_entry_head {
    int64_t zxid;
    int64_t len;
};

/* The last txns of a log, without a gap up to its end. */
struct history_tail {
    int64_t before_zxid; /* zxid just before the first */
    size_t count;
    struct buf entries; /* struct log_entry_head and its bytes each, oldest first */
};

/* However many proposals are to be kept, large ones must not fill the memory. */
#define HISTORY_RECENT_BYTES_MAX ((size_t)64 << 20)

struct history {
    struct list inflight;  /* struct proposal.line */
    struct list recent;    /* struct proposal.line; the last ones delivered */
    struct list delivered; /* given out by history_next and still in use */
    int64_t inflight_count;
    int32_t recent_count;
    int64_t recent_bytes;
    int32_t recent_max;       /* commitLogCount; 0: keep none */
    int64_t before_recent;    /* zxid just before the first of recent and inflight */
    int64_t log_from_zxid;    /* the log on disk has all from here on, without a gap (S8) */
    int64_t logged_zxid;      /* last appended */
    int64_t synced_zxid;      /* durable up to here */
    int64_t committed_zxid;
    int64_t delivered_zxid;
};

/* Everything up to zxid is durable and in the tree. */
void history_init(struct history *h, int64_t zxid, int32_t recent_max);
void history_fini(struct history *h);
/* The server's data was replaced: everything is forgotten and begins anew at zxid. */
void history_reset(struct history *h, int64_t zxid);

/* Right after init or reset: these were the last before the end. */
void history_recall(struct history *h, const struct history_tail *tail);

/* Appends; the zxid must be above logged_zxid. The proposal stays the history's. */
struct proposal *history_append(struct history *h, int64_t zxid, const void *entry, size_t len);
void history_synced(struct history *h, int64_t zxid);
void history_commit(struct history *h, int64_t zxid);
/* The next proposal that is committed and durable, or NULL. It stays valid until history_settle. */
struct proposal *history_next(struct history *h);
/* What was given out has been used: it moves to recent. */
void history_settle(struct history *h);

/* Forgets what was logged above zxid; the log has been cut there. What was delivered above it is
 * gone from the tree as well. */
void history_truncate(struct history *h, int64_t zxid);
/* Nobody waits for what is in flight any more. */
void history_forget_origins(struct history *h);

/* The first proposal above zxid, recent or in flight; NULL if there is none. Then the one after p.
 */
struct proposal *history_after(const struct history *h, int64_t zxid);
struct proposal *history_following(const struct history *h, const struct proposal *p);

#endif
