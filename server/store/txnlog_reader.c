/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/txnlog_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/store/txnlog.h"
#include "server/store/txnlog_file.h"

/* A torn record at the end of a file that others follow; excused if they bring the txn again. */
struct tear {
    bool is_open;
    size_t index;       /* of the file */
    int64_t offset;     /* of the record */
    int64_t zxid;       /* that it must have had */
    const char *reason; /* static */
};

struct txnlog_reader {
    const struct fsops *fs;
    char *dir;
    int64_t after_zxid;
    size_t entry_bytes_max;
    struct version_list list;
    size_t live_count;       /* files but the blank ones at the end */
    size_t index;            /* of the current file; live_count at the end */
    bool is_open;            /* file is */
    struct txnlog_file file; /* the current one */
    int64_t offset;          /* of the next record in it */
    size_t file_records;     /* valid ones read from it */
    int64_t seen_zxid;       /* of the last valid record */
    int64_t last_zxid;       /* of the last txn given out; after_zxid before the first */
    struct tear tear;
    struct txnlog_tail tail;
    int failed;  /* 0 or the error that ended reading */
    char *error; /* owned; its text */
};

static const char *name_of(const struct txnlog_reader *r, size_t index)
{
    return r->list.files[index].name;
}

__attribute__((format(printf, 3, 4))) static int fault(struct txnlog_reader *r, int rc,
                                                       const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(r->error);
    r->error = xvasprintf(fmt, ap);
    va_end(ap);
    r->failed = rc;
    return rc;
}

static int fault_io(struct txnlog_reader *r, size_t index, int rc)
{
    return fault(r, rc, "%s/%s: cannot read: error %d", r->dir, name_of(r, index), -rc);
}

/* A damage that costs synced txns. The command leaves a log that the next start judges anew. */
static int fault_damage(struct txnlog_reader *r, size_t index, int64_t offset, const char *reason)
{
    return fault(r, -EBADMSG,
                 "%s/%s: %s at offset %" PRId64 ", after zxid 0x%" PRIx64
                 ", and valid txns follow behind it. Restore the file from a copy or from another "
                 "server; to give up everything from there on: truncate -s %" PRId64
                 " %s/%s, and move the later log files away",
                 r->dir, name_of(r, index), reason, offset, (uint64_t)r->seen_zxid, offset, r->dir,
                 name_of(r, index));
}

static int open_file(struct txnlog_reader *r, size_t index, struct txnlog_file *f)
{
    char *path = fs_join(r->dir, name_of(r, index));
    int rc = txnlog_file_open(r->fs, path, r->entry_bytes_max, f);
    free(path);
    return rc != 0 ? fault_io(r, index, rc) : 0;
}

/*
 * A valid record behind the damage was synced after it, unless both were in the one batch that a
 * crash cut off. That batch is never further than this from its end, and what is missing of it is
 * whole sectors; any other damage has cost acknowledged txns (L4).
 */
static int check_nothing_follows(struct txnlog_reader *r, size_t index, struct txnlog_file *f,
                                 int64_t offset, const char *reason)
{
    int64_t reach = TXNLOG_BATCH_BYTES_MAX + (int64_t)r->entry_bytes_max;
    int64_t next;
    int rc = txnlog_file_find_record(f, offset + 1, r->seen_zxid, &next);
    if (rc == 1) {
        rc = txnlog_file_has_lost_sector(f, offset, next);
        if (rc == 0) {
            return fault_damage(r, index, offset, reason);
        }
    }
    if (rc == 1) {
        rc = txnlog_file_find_record(f, offset + reach, r->seen_zxid, &next);
    }
    if (rc < 0) {
        return fault_io(r, index, rc);
    }
    return rc == 1 ? fault_damage(r, index, offset, reason) : 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int judge_blank(struct txnlog_reader *r, size_t index, struct txnlog_file *f, bool *is_blank)
{
    enum header_state header;
    int rc = txnlog_file_header(f, &header);
    if (rc == 0 && header == HEADER_TORN) {
        *is_blank = true;
        return check_nothing_follows(r, index, f, 0, "missing header");
    }
    struct txnlog_record record = { .state = RECORD_BAD };
    if (rc == 0 && header == HEADER_OK) {
        rc = txnlog_file_record(f, TXNLOG_HEADER_BYTES, &record);
    }
    if (rc != 0) {
        return fault_io(r, index, rc);
    }
    *is_blank = record.state == RECORD_END;
    return *is_blank ? check_nothing_follows(r, index, f, TXNLOG_HEADER_BYTES, "missing record")
                     : 0;
}

/* Leaves out the files at the end that hold no txn. */
static int drop_blank_files(struct txnlog_reader *r)
{
    r->live_count = r->list.count;
    bool is_blank = true;
    while (r->live_count > 0 && is_blank) {
        size_t index = r->live_count - 1;
        struct txnlog_file f;
        int rc = open_file(r, index, &f);
        if (rc != 0) {
            return rc;
        }
        rc = judge_blank(r, index, &f, &is_blank);
        txnlog_file_close(&f);
        if (rc != 0) {
            return rc;
        }
        if (is_blank) {
            r->live_count--;
        }
    }
    return 0;
}

/* The newest file that may begin at or before the first txn wanted. */
static size_t find_first_file(const struct txnlog_reader *r)
{
    size_t first = 0;
    for (size_t i = 0; i < r->live_count; i++) {
        if (r->list.files[i].zxid <= r->after_zxid + 1) {
            first = i;
        }
    }
    return first;
}

int txnlog_reader_open(const struct fsops *fs, const char *dir, int64_t after_zxid,
                       size_t entry_bytes_max, struct txnlog_reader **reader)
{
    struct version_list list;
    int rc = version_list_read(fs, dir, VERSION_LOG, &list);
    if (rc != 0) {
        return rc;
    }
    struct txnlog_reader *r = xcalloc(1, sizeof(*r));
    r->fs = fs;
    r->dir = xstrdup(dir);
    r->after_zxid = after_zxid;
    r->entry_bytes_max = entry_bytes_max;
    r->list = list;
    r->last_zxid = after_zxid;
    r->tail.cut_bytes = -1;
    /* A damage found here is given out by the first next(), with its text. */
    if (drop_blank_files(r) == 0) {
        r->index = find_first_file(r);
    }
    *reader = r;
    return 0;
}

static void close_current(struct txnlog_reader *r)
{
    if (r->is_open) {
        txnlog_file_close(&r->file);
        r->is_open = false;
    }
}

void txnlog_reader_close(struct txnlog_reader *r)
{
    if (r == NULL) {
        return;
    }
    close_current(r);
    version_list_fini(&r->list);
    free(r->tail.reason);
    free(r->error);
    free(r->dir);
    free(r);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int open_current(struct txnlog_reader *r)
{
    int rc = open_file(r, r->index, &r->file);
    if (rc != 0) {
        return rc;
    }
    r->is_open = true;
    r->offset = TXNLOG_HEADER_BYTES;
    r->file_records = 0;
    enum header_state header;
    rc = txnlog_file_header(&r->file, &header);
    if (rc != 0) {
        return fault_io(r, r->index, rc);
    }
    if (header != HEADER_OK) {
        return fault(r, -EBADMSG,
                     "%s/%s: not a transaction log: its header is %s. Restore the file, or move it "
                     "away if it is not yours",
                     r->dir, name_of(r, r->index),
                     header == HEADER_TORN ? "missing, but later log files follow" : "wrong");
    }
    return 0;
}

/* Zxids of one epoch are logged without a gap; the first one of a later epoch has counter 1. */
static bool is_next_zxid(int64_t previous, int64_t zxid)
{
    bool is_later_epoch = zxid >> 32 > previous >> 32;
    return is_later_epoch ? (uint32_t)zxid == 1 : zxid == previous + 1;
}

/* Is this valid record at its place in the row? */
static int check_order(struct txnlog_reader *r, const struct txnlog_record *record)
{
    if (record->zxid <= r->seen_zxid) {
        return fault(r, -EBADMSG,
                     "%s/%s: zxid 0x%" PRIx64 " at offset %" PRId64 " comes after zxid 0x%" PRIx64
                     ": zxids must ascend. Move the file that does not belong here away",
                     r->dir, name_of(r, r->index), (uint64_t)record->zxid, r->offset,
                     (uint64_t)r->seen_zxid);
    }
    struct tear *t = &r->tear;
    if (t->is_open && t->zxid > r->after_zxid && record->zxid != t->zxid) {
        return fault_damage(r, t->index, t->offset, t->reason);
    }
    t->is_open = false;
    if (record->zxid > r->after_zxid && !is_next_zxid(r->last_zxid, record->zxid)) {
        return fault(r, -ENODATA,
                     "%s/%s: the log goes on with zxid 0x%" PRIx64 ", but the txns after 0x%" PRIx64
                     " are missing. Restore the log files or the newer snapshot they led up to",
                     r->dir, name_of(r, r->index), (uint64_t)record->zxid, (uint64_t)r->last_zxid);
    }
    return 0;
}

/* The whole log has been read: what is left over behind it? reason: NULL for a clean end. */
static void find_tail(struct txnlog_reader *r, const char *reason)
{
    struct txnlog_tail *tail = &r->tail;
    tail->keep_files = r->live_count;
    size_t torn_index = r->index;
    int64_t torn_offset = r->offset;
    if (r->tear.is_open) {
        /* The file behind the tear brought nothing valid either. */
        reason = r->tear.reason;
        torn_index = r->tear.index;
        torn_offset = r->tear.offset;
        tail->keep_files = torn_index + 1;
        tail->cut_bytes = torn_offset;
    } else if (reason != NULL && r->file_records == 0) {
        tail->keep_files = r->index;
    } else if (reason != NULL) {
        tail->cut_bytes = r->offset;
    }
    tail->needs_repair = tail->keep_files < r->list.count || tail->cut_bytes >= 0;
    if (reason != NULL) {
        tail->reason =
            xasprintf("%s/%s: %s at offset %" PRId64 ", after zxid 0x%" PRIx64
                      ": a write that was cut off and never acknowledged",
                      r->dir, name_of(r, torn_index), reason, torn_offset, (uint64_t)r->seen_zxid);
    }
}

/* The current file gives no further record. 0, or the error that this is. */
static int leave_file(struct txnlog_reader *r, const struct txnlog_record *record)
{
    const char *reason = record->state == RECORD_END ? NULL : record->reason;
    if (r->index + 1 == r->live_count) {
        int rc = check_nothing_follows(r, r->index, &r->file, r->offset,
                                       reason != NULL ? reason : "missing record");
        if (rc != 0) {
            return rc;
        }
        find_tail(r, reason);
    } else if (record->state == RECORD_BAD) {
        return fault_damage(r, r->index, r->offset, reason);
    } else if (record->state == RECORD_TORN) {
        int64_t missing = r->file_records > 0 ? r->seen_zxid + 1 : r->list.files[r->index].zxid;
        r->tear = (struct tear){ true, r->index, r->offset, missing, reason };
    }
    close_current(r);
    r->index++;
    return 0;
}

/* One step: 1 = a wanted txn is in *entry, 0 = call again, -errno. */
static int step(struct txnlog_reader *r, struct txnlog_entry *entry)
{
    int rc = r->is_open ? 0 : open_current(r);
    if (rc != 0) {
        return rc;
    }
    struct txnlog_record record;
    rc = txnlog_file_record(&r->file, r->offset, &record);
    if (rc != 0) {
        return fault_io(r, r->index, rc);
    }
    if (record.state != RECORD_OK) {
        return leave_file(r, &record);
    }
    rc = check_order(r, &record);
    if (rc != 0) {
        return rc;
    }
    *entry = (struct txnlog_entry){
        .zxid = record.zxid,
        .data = record.data,
        .len = record.len,
        .previous_zxid = r->seen_zxid,
        .file_index = r->index,
        .offset = r->offset,
    };
    r->seen_zxid = record.zxid;
    r->file_records++;
    r->offset = record.end;
    if (record.zxid <= r->after_zxid) {
        return 0;
    }
    r->last_zxid = record.zxid;
    return 1;
}

int txnlog_reader_next(struct txnlog_reader *r, struct txnlog_entry *entry)
{
    if (r->failed != 0) {
        return r->failed;
    }
    while (r->index < r->live_count) {
        int rc = step(r, entry);
        if (rc != 0) {
            return rc;
        }
    }
    if (r->live_count == 0) {
        r->tail.keep_files = 0;
        r->tail.needs_repair = r->list.count > 0;
    }
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

const char *txnlog_reader_error(const struct txnlog_reader *r)
{
    zk_assert(r->failed != 0);
    return r->error;
}

int64_t txnlog_reader_seen_zxid(const struct txnlog_reader *r)
{
    return r->seen_zxid;
}

const struct version_list *txnlog_reader_files(const struct txnlog_reader *r)
{
    return &r->list;
}

const struct txnlog_tail *txnlog_reader_tail(const struct txnlog_reader *r)
{
    zk_assert(r->failed == 0);
    zk_assert(r->index >= r->live_count);
    return &r->tail;
}
