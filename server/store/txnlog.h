/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_TXNLOG_H
#define SERVER_STORE_TXNLOG_H

/*
 * The writing end of the transaction log (docs/on-disk.md, "Transaction log"). Txns are collected
 * into a batch, and txnlog_commit() brings the batch to disk with one write and one fdatasync.
 *
 *      log.1                            log.2f (named after the first txn in it)
 *      [header][record]...[record]      [header][record][record] 0 0 0 0 ... (preallocated)
 *
 * It never appends to a file it did not create: the first batch after opening or rolling starts a
 * new one. Reading is txnlog_reader.h, cutting is txnlog_truncate.h. Not for sharing between
 * threads: in the server the log thread owns it.
 *
 * Rules (field-server): L1 nothing is reported durable before fdatasync, and after one failed call
 * the log refuses everything; L2 zxids strictly ascend; L3 a new file is durable under its name
 * before its first batch is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"

enum {
    TXNLOG_MAGIC = 0x5a4b4c47, /* "ZKLG" */
    TXNLOG_VERSION = 2,
    TXNLOG_HEADER_BYTES = 16,
    TXNLOG_RECORD_HEAD_BYTES = 12,  /* checksum, length */
    TXNLOG_RECORD_EXTRA_BYTES = 13, /* ... and the end mark */
    TXNLOG_END_MARK = 'B',
    TXN_HEADER_BYTES = 32,       /* the shortest entry */
    TXN_HEADER_ZXID_OFFSET = 12, /* within an entry */
    /* A batch takes no further txn once it has this many bytes. The reader relies on it: what one
     * crash can tear is one batch, so damage further than that from the end is not a torn tail. */
    TXNLOG_BATCH_BYTES_MAX = 1 << 20,
};

struct txnlog_options {
    int64_t prealloc_bytes; /* step by which a file grows ahead of its content; 0: off */
    int64_t file_bytes_max; /* roll when a file has grown past this; 0: never */
    size_t entry_bytes_max; /* what every peer can read (rule L11); 0: no limit */
    bool force_sync; /* false (forceSync=no): commits are not durable. The operator's choice */
};

struct txnlog;

/* dir must exist. last_zxid: the newest txn in the log so far (0: none); the next is greater. */
struct txnlog *txnlog_new(const struct fsops *fs, const char *dir,
                          const struct txnlog_options *opts, int64_t last_zxid);
/* Closes the file. A batch that was not committed is dropped: call txnlog_roll() first. */
void txnlog_free(struct txnlog *log);

/*
 * Adds one txn to the batch. entry: TxnHeader, record and perhaps digest, as encoded by jute; it is
 * copied. The batch is unchanged after -EINVAL: zxid is not greater than every earlier one; and
 * after -EMSGSIZE: the entry is longer than entry_bytes_max.
 */
int txnlog_append(struct txnlog *log, int64_t zxid, const void *entry, size_t len);
/* True once the batch should be committed before more is added. */
bool txnlog_batch_is_full(const struct txnlog *log);
/*
 * Brings the batch to disk; 0 when it is durable (also with an empty batch). The first error is
 * final: every later append, commit and roll returns it too, because what the kernel kept of the
 * failed pages is unknown.
 */
int txnlog_commit(struct txnlog *log);
/* Commits, cuts the file to its content and closes it. The next append starts a new file. */
int txnlog_roll(struct txnlog *log);

/* Bytes of content in the current file, the uncommitted batch included; 0: no file yet. */
int64_t txnlog_file_bytes(const struct txnlog *log);
int64_t txnlog_last_zxid(const struct txnlog *log);
/* Bytes ever committed by this object, headers included. */
int64_t txnlog_written_bytes(const struct txnlog *log);

#endif
