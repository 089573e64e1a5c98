/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/txnlog.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "common/assert.h"
#include "common/buf.h"
#include "common/xalloc.h"
#include "server/jute/wire.h"
#include "server/store/version_dir.h"

/* A file is extended when fewer bytes than this would stay free behind the batch. */
enum { PREALLOC_HEADROOM_BYTES = 4096 };

struct txnlog {
    const struct fsops *fs;
    char *dir;
    struct txnlog_options opts;
    int fd;             /* current file; -1: the next batch starts one */
    int64_t position;   /* end of the committed content */
    int64_t file_size;  /* position plus the preallocated tail */
    int64_t written;    /* committed by this object over all files */
    int64_t last_zxid;  /* last appended; the batch's end */
    int64_t first_zxid; /* of the batch; names the file that it starts */
    struct buf batch;   /* records, led by a file header if fd is -1 */
    int failed;         /* 0 or the -errno that ended this log */
};

struct txnlog *txnlog_new(const struct fsops *fs, const char *dir,
                          const struct txnlog_options *opts, int64_t last_zxid)
{
    struct txnlog *log = xcalloc(1, sizeof(*log));
    log->fs = fs;
    log->dir = xstrdup(dir);
    log->opts = *opts;
    log->fd = -1;
    log->last_zxid = last_zxid;
    buf_init(&log->batch);
    return log;
}

void txnlog_free(struct txnlog *log)
{
    if (log == NULL) {
        return;
    }
    if (log->fd >= 0) {
        log->fs->close(log->fs->ctx, log->fd); /* all that counts was synced */
    }
    buf_fini(&log->batch);
    free(log->dir);
    free(log);
}

static int fail(struct txnlog *log, int rc)
{
    zk_assert(rc < 0);
    log->failed = rc;
    return rc;
}

static void put_file_header(struct buf *b)
{
    put_int(b, TXNLOG_MAGIC);
    put_int(b, TXNLOG_VERSION);
    put_long(b, 0); /* database id: never used */
}

static int64_t entry_zxid(const void *entry, size_t len)
{
    struct wire w;
    wire_init(&w, (const uint8_t *)entry + TXN_HEADER_ZXID_OFFSET, len - TXN_HEADER_ZXID_OFFSET);
    return wire_long(&w);
}

int txnlog_append(struct txnlog *log, int64_t zxid, const void *entry, size_t len)
{
    zk_assert(len >= TXN_HEADER_BYTES);
    zk_assert(len <= INT32_MAX);
    zk_assert(entry_zxid(entry, len) == zxid);
    if (log->failed != 0) {
        return log->failed;
    }
    if (zxid <= log->last_zxid) {
        return -EINVAL;
    }
    if (log->opts.entry_bytes_max > 0 && len > log->opts.entry_bytes_max) {
        return -EMSGSIZE;
    }
    if (buf_readable(&log->batch) == 0) {
        log->first_zxid = zxid;
        if (log->fd < 0) {
            put_file_header(&log->batch);
        }
    }
    put_long(&log->batch, (int64_t)adler32(1, entry, (uInt)len));
    put_int(&log->batch, (int32_t)len);
    buf_append(&log->batch, entry, len);
    put_byte(&log->batch, TXNLOG_END_MARK);
    log->last_zxid = zxid;
    return 0;
}

bool txnlog_batch_is_full(const struct txnlog *log)
{
    return buf_readable(&log->batch) >= TXNLOG_BATCH_BYTES_MAX;
}

/* Creates the batch's own file. One that is there already may hold acknowledged txns: never
 * touched. */
static int open_file(struct txnlog *log)
{
    char *name = version_name_make(VERSION_LOG, log->first_zxid);
    char *path = fs_join(log->dir, name);
    int fd = log->fs->open(log->fs->ctx, path, FS_CREATE_NEW);
    free(path);
    free(name);
    if (fd < 0) {
        return fd;
    }
    log->fd = fd;
    log->position = 0;
    log->file_size =
        TXNLOG_HEADER_BYTES; /* so a fresh file gets 16 + prealloc_bytes, as Apache's */
    return 0;
}

/* Keeps the file's length ahead of its content, so that most syncs need not write a new length. */
static int preallocate(struct txnlog *log, int64_t end)
{
    int64_t step = log->opts.prealloc_bytes;
    if (step <= 0 || end + PREALLOC_HEADROOM_BYTES < log->file_size) {
        return 0;
    }
    int64_t size = log->file_size + step;
    if (end >= size) {
        size = end + step - end % step; /* a batch larger than a step: the next multiple */
    }
    int rc = log->fs->truncate(log->fs->ctx, log->fd, size);
    if (rc == 0) {
        log->file_size = size;
    }
    return rc;
}

static int write_batch(struct txnlog *log)
{
    bool is_new = log->fd < 0;
    int rc = is_new ? open_file(log) : 0;
    if (rc != 0) {
        return rc;
    }
    size_t len = buf_readable(&log->batch);
    rc = preallocate(log, log->position + (int64_t)len);
    if (rc == 0) {
        rc = fs_write_full(log->fs, log->fd, buf_head(&log->batch), len, log->position);
    }
    if (rc == 0 && log->opts.force_sync) {
        rc = log->fs->fdatasync(log->fs->ctx, log->fd);
    }
    if (rc == 0 && log->opts.force_sync && is_new) {
        rc = log->fs->fsync_dir(log->fs->ctx, log->dir);
    }
    if (rc == 0) {
        log->position += (int64_t)len;
        log->written += (int64_t)len;
        buf_reset(&log->batch);
    }
    return rc;
}

/* Shortens the file to its content and lets go of it. Both only tidy up: the content is durable,
 * and a tail of zeros is legal. An error still ends the log, because a disk that gives one needs a
 * person. */
static int close_file(struct txnlog *log)
{
    int rc = 0;
    if (log->opts.prealloc_bytes > 0) {
        rc = log->fs->truncate(log->fs->ctx, log->fd, log->position);
    }
    int close_rc = log->fs->close(log->fs->ctx, log->fd);
    log->fd = -1;
    log->position = 0;
    return rc != 0 ? rc : close_rc;
}

int txnlog_commit(struct txnlog *log)
{
    if (log->failed != 0) {
        return log->failed;
    }
    if (buf_readable(&log->batch) == 0) {
        return 0;
    }
    int rc = write_batch(log);
    if (rc == 0 && log->opts.file_bytes_max > 0 && log->position > log->opts.file_bytes_max) {
        rc = close_file(log);
    }
    return rc != 0 ? fail(log, rc) : 0;
}

int txnlog_roll(struct txnlog *log)
{
    int rc = txnlog_commit(log);
    if (rc == 0 && log->fd >= 0) {
        rc = close_file(log);
        if (rc != 0) {
            fail(log, rc);
        }
    }
    return rc;
}

int64_t txnlog_file_bytes(const struct txnlog *log)
{
    return log->position + (int64_t)buf_readable(&log->batch);
}

int64_t txnlog_last_zxid(const struct txnlog *log)
{
    return log->last_zxid;
}

int64_t txnlog_written_bytes(const struct txnlog *log)
{
    return log->written;
}
