/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_TXNLOG_FILE_H
#define SERVER_STORE_TXNLOG_FILE_H

/*
 * One transaction log file, open for reading: says what stands at an offset, judges nothing.
 * Whether a damaged record is a torn tail or lost data depends on the other files: txnlog_reader.h
 * decides that. The file's length is taken once, so a file that is being written can be read as
 * well.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"

struct txnlog_file {
    const struct fsops *fs;
    int fd;
    int64_t size;
    size_t entry_bytes_max;
    uint8_t *window; /* owned; a piece of the file */
    size_t window_cap;
    size_t window_len;    /* bytes of the file in it ... */
    int64_t window_start; /* ... and where they stand there */
};

enum header_state {
    HEADER_OK,
    HEADER_TORN, /* shorter than a header, or nothing but zeros: the first write did not arrive */
    HEADER_BAD,  /* something else */
};

enum record_state {
    RECORD_OK,
    RECORD_END, /* end of the file, or of its content: padding follows */
    /* Does not fit into the file, or lacks its end mark: a write that was cut off. Apache takes it
     * for the quiet end of the file. */
    RECORD_TORN,
    RECORD_BAD, /* complete, but not what was written. Apache refuses to start */
};

struct txnlog_record {
    enum record_state state;
    const char *reason;  /* static text, for TORN and BAD */
    int64_t zxid;        /* from here on only for OK */
    const uint8_t *data; /* the entry; valid until the next call on this file */
    size_t len;
    int64_t end; /* offset of the next record */
};

/* entry_bytes_max: the longest entry that a server logs by its present configuration. A longer one
 * was logged when the limit was higher, and is read as well: memory is taken only for a record that
 * fits into the file. */
int txnlog_file_open(const struct fsops *fs, const char *path, size_t entry_bytes_max,
                     struct txnlog_file *f);
void txnlog_file_close(struct txnlog_file *f);
int txnlog_file_header(struct txnlog_file *f, enum header_state *state);
int txnlog_file_record(struct txnlog_file *f, int64_t offset, struct txnlog_record *record);
/* Looks for a whole, valid record newer than zxid at any offset from start on. 1 found, at *offset;
 * 0 none; -errno. */
int txnlog_file_find_record(struct txnlog_file *f, int64_t start, int64_t zxid, int64_t *offset);
/* Whether a sector between start and end never reached the disk: a file is never written twice, so
 * what was lost reads as zeros up to the end of its sector. 1, 0 or -errno. */
int txnlog_file_has_lost_sector(struct txnlog_file *f, int64_t start, int64_t end);

#endif
