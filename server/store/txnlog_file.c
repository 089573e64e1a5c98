/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/txnlog_file.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/xalloc.h"
#include "server/jute/wire.h"
#include "server/store/txnlog.h"

enum {
    WINDOW_BYTES = 1 << 20,
    ZERO_BLOCK_BYTES = 4096, /* step by which padding is skipped */
};

static const uint8_t zeros[ZERO_BLOCK_BYTES];

static bool is_zero(const uint8_t *p, size_t len)
{
    return memcmp(p, zeros, len) == 0;
}

int txnlog_file_open(const struct fsops *fs, const char *path, size_t entry_bytes_max,
                     struct txnlog_file *f)
{
    int fd = fs->open(fs->ctx, path, FS_READ);
    if (fd < 0) {
        return fd;
    }
    int64_t size;
    int rc = fs->size(fs->ctx, fd, &size);
    if (rc != 0) {
        fs->close(fs->ctx, fd);
        return rc;
    }
    *f = (struct txnlog_file){
        .fs = fs,
        .fd = fd,
        .size = size,
        .entry_bytes_max = entry_bytes_max,
        .window = xmalloc(WINDOW_BYTES),
        .window_cap = WINDOW_BYTES,
    };
    return 0;
}

void txnlog_file_close(struct txnlog_file *f)
{
    f->fs->close(f->fs->ctx, f->fd);
    free(f->window);
}

/*
 * Points *data at the bytes from offset on. Returns how many are there: at least want, or fewer if
 * the file ends before; or -errno.
 */
static ssize_t peek(struct txnlog_file *f, int64_t offset, size_t want, const uint8_t **data)
{
    int64_t window_end = f->window_start + (int64_t)f->window_len;
    bool is_inside = offset >= f->window_start && offset <= window_end;
    if (!is_inside || (window_end - offset < (int64_t)want && window_end < f->size)) {
        if (want > f->window_cap) {
            f->window_cap = want + WINDOW_BYTES;
            f->window = xrealloc(f->window, f->window_cap);
        }
        int64_t left = f->size > offset ? f->size - offset : 0;
        size_t len = left < (int64_t)f->window_cap ? (size_t)left : f->window_cap;
        ssize_t got = fs_read_full(f->fs, f->fd, f->window, len, offset);
        f->window_start = offset;
        f->window_len = got < 0 ? 0 : (size_t)got;
        if (got < 0) {
            return got;
        }
    }
    size_t skip = (size_t)(offset - f->window_start);
    *data = f->window + skip;
    return (ssize_t)(f->window_len - skip);
}

int txnlog_file_header(struct txnlog_file *f, enum header_state *state)
{
    const uint8_t *p;
    ssize_t got = peek(f, 0, TXNLOG_HEADER_BYTES, &p);
    if (got < 0) {
        return (int)got;
    }
    if (got < TXNLOG_HEADER_BYTES || is_zero(p, TXNLOG_HEADER_BYTES)) {
        *state = HEADER_TORN;
        return 0;
    }
    struct wire w;
    wire_init(&w, p, TXNLOG_HEADER_BYTES);
    /* Version and database id are not looked at, by us as by Apache. */
    *state = wire_int(&w) == TXNLOG_MAGIC ? HEADER_OK : HEADER_BAD;
    return 0;
}

static int torn(struct txnlog_record *record, const char *reason)
{
    record->state = RECORD_TORN;
    record->reason = reason;
    return 0;
}

static int bad(struct txnlog_record *record, const char *reason)
{
    record->state = RECORD_BAD;
    record->reason = reason;
    return 0;
}

/* The entry and its end mark are at p, len + 1 bytes. */
static int check_entry(struct txnlog_record *record, int64_t checksum, const uint8_t *p, size_t len)
{
    if (p[len] != TXNLOG_END_MARK) {
        return torn(record, "missing end mark");
    }
    if (checksum != (int64_t)adler32(1, p, (uInt)len)) {
        return bad(record, "bad checksum");
    }
    if (len < TXN_HEADER_BYTES) {
        return bad(record, "entry shorter than its header");
    }
    struct wire w;
    wire_init(&w, p + TXN_HEADER_ZXID_OFFSET, len - TXN_HEADER_ZXID_OFFSET);
    record->state = RECORD_OK;
    record->zxid = wire_long(&w);
    record->data = p;
    record->len = len;
    return 0;
}

int txnlog_file_record(struct txnlog_file *f, int64_t offset, struct txnlog_record *record)
{
    const uint8_t *p;
    ssize_t got = peek(f, offset, TXNLOG_RECORD_HEAD_BYTES, &p);
    if (got < 0) {
        return (int)got;
    }
    if (got < TXNLOG_RECORD_HEAD_BYTES) {
        record->state = RECORD_END;
        return is_zero(p, (size_t)got) ? 0 : torn(record, "cut off inside the record's head");
    }
    struct wire w;
    wire_init(&w, p, TXNLOG_RECORD_HEAD_BYTES);
    int64_t checksum = wire_long(&w);
    int32_t len = wire_int(&w);
    if (len == 0) {
        record->state = RECORD_END;
        return checksum == 0 ? 0 : torn(record, "empty record");
    }
    if (len < 0) {
        return bad(record, "impossible length");
    }
    record->end = offset + TXNLOG_RECORD_EXTRA_BYTES + len;
    if (record->end > f->size) {
        return torn(record, "cut off inside the record");
    }
    got = peek(f, offset, TXNLOG_RECORD_EXTRA_BYTES + (size_t)len, &p);
    if (got < 0) {
        return (int)got;
    }
    if (got < TXNLOG_RECORD_EXTRA_BYTES + len) {
        return torn(record, "cut off inside the record"); /* the file was shortened meanwhile */
    }
    return check_entry(record, checksum, p + TXNLOG_RECORD_HEAD_BYTES, (size_t)len);
}

enum {
    SECTOR_BYTES = 512,  /* what a disk writes whole or not at all; larger ones are multiples */
    HEAD_ZERO_BYTES = 4, /* the high half of a record's checksum: these zeros say nothing */
};

/* A record begins with 0 0 0 0, a checksum other than 0, and a length that a server logs. */
static bool looks_like_record(const struct txnlog_file *f, const uint8_t *p)
{
    struct wire w;
    wire_init(&w, p + 8, 4);
    int32_t len = wire_int(&w);
    return is_zero(p, 4) && !is_zero(p + 4, 4) && len > 0 && (size_t)len <= f->entry_bytes_max;
}

int txnlog_file_find_record(struct txnlog_file *f, int64_t start, int64_t zxid, int64_t *offset)
{
    int64_t shortest = TXNLOG_RECORD_EXTRA_BYTES + TXN_HEADER_BYTES;
    for (int64_t at = start; at + shortest <= f->size;) {
        const uint8_t *p;
        ssize_t got = peek(f, at, ZERO_BLOCK_BYTES, &p);
        if (got < TXNLOG_RECORD_HEAD_BYTES) {
            return got < 0 ? (int)got : 0;
        }
        if (got >= ZERO_BLOCK_BYTES && is_zero(p, ZERO_BLOCK_BYTES)) {
            at += ZERO_BLOCK_BYTES - 7; /* a head may begin in it with up to seven zeros */
            continue;
        }
        if (looks_like_record(f, p)) {
            struct txnlog_record record;
            int rc = txnlog_file_record(f, at, &record);
            if (rc != 0) {
                return rc;
            }
            if (record.state == RECORD_OK && record.zxid > zxid) {
                *offset = at;
                return 1;
            }
        }
        at++;
    }
    return 0;
}

int txnlog_file_has_lost_sector(struct txnlog_file *f, int64_t start, int64_t end)
{
    /* The record at end may begin in a lost sector: its head begins with zeros. */
    for (int64_t at = start; at < end;) {
        const uint8_t *p;
        int64_t next = at - at % SECTOR_BYTES + SECTOR_BYTES;
        size_t want = (size_t)(next - at);
        ssize_t got = peek(f, at, want, &p);
        if (got < 0) {
            return (int)got;
        }
        if (got >= (ssize_t)want && want > HEAD_ZERO_BYTES && is_zero(p, want)) {
            return 1;
        }
        at = next;
    }
    return 0;
}
