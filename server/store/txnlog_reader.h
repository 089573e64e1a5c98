/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_TXNLOG_READER_H
#define SERVER_STORE_TXNLOG_READER_H

/*
 * Reads the transaction log across its files, and decides what a damaged place means:
 *
 *                    | in the last file          | in a file that others follow
 *      padding, end  | end of the log            | go on with the next file
 *      torn record   | end of the log, cut there | go on if the next file begins with the zxid that
 *                    |                           | is missing here, as it does when Apache was
 *                    |                           | killed in the middle of a write; else refuse
 *      bad record    | end of the log, cut there | refuse
 *
 * "Last" is the last file that ever held a txn: empty files and files without a header behind it
 * are remains of a start that did not get far, and are removed (rule L3). Damage in the last file
 * is a torn tail only if no valid record stands behind it that was not part of the same unsynced
 * batch: otherwise cutting would lose acknowledged txns (rule L4). A hole in the row of zxids is
 * refused (rule L9).
 *
 * Reading changes nothing on disk; txnlog_truncate.h does, given the tail found here. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"
#include "server/store/version_dir.h"

struct txnlog_entry {
    int64_t zxid;
    const uint8_t *data; /* TxnHeader, record, digest; valid until the next call */
    size_t len;
    int64_t previous_zxid; /* of the record before it, wanted or not; 0: it is the first one read */
    size_t file_index;     /* in txnlog_reader_files() */
    int64_t offset;        /* of its record in that file */
};

/* What has to be done to the files before anything is appended. */
struct txnlog_tail {
    bool needs_repair;
    size_t keep_files; /* the first so many files of the list stay, the others go */
    int64_t cut_bytes; /* length for the last one that stays; -1: as it is */
    char *reason;      /* owned; one line for the operator; NULL unless txn bytes are thrown away */
};

struct txnlog_reader;

/*
 * Opens dir for reading all txns with a zxid greater than after_zxid. entry_bytes_max: twice
 * jute.maxbuffer, see txnlog_file.h. 0 or -errno; on success *reader must be closed.
 */
int txnlog_reader_open(const struct fsops *fs, const char *dir, int64_t after_zxid,
                       size_t entry_bytes_max, struct txnlog_reader **reader);
void txnlog_reader_close(struct txnlog_reader *reader);

/*
 * 1: *entry is the next txn. 0: end of the log. -EBADMSG: damaged, see txnlog_reader_error().
 * -ENODATA: a txn is missing before the next one. Other -errno: a file could not be read. An error
 * is final.
 */
int txnlog_reader_next(struct txnlog_reader *reader, struct txnlog_entry *entry);
/* After an error: file, offset, zxid and what can be done, for the operator. Valid until close. */
const char *txnlog_reader_error(const struct txnlog_reader *reader);
/* The newest zxid met so far, also among the txns up to after_zxid, which are skipped; 0: none. */
int64_t txnlog_reader_seen_zxid(const struct txnlog_reader *reader);
/* The files of the directory, oldest first. */
const struct version_list *txnlog_reader_files(const struct txnlog_reader *reader);
/* Only after next() gave 0. */
const struct txnlog_tail *txnlog_reader_tail(const struct txnlog_reader *reader);

#endif
