/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snapshot_writer.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/assert.h"
#include "common/buf.h"
#include "common/xalloc.h"
#include "server/jute/txn.h"
#include "server/jute/wire.h"
#include "server/store/version_dir.h"

enum {
    FLUSH_BYTES = 256 * 1024, /* small pieces are gathered up to this */
    /* The file is synced each time it has grown by this. With one sync at the end, a sync of the
     * log, which is on the same disk, took up to 120 ms longer: it waited for hundreds of
     * megabytes. */
    SYNC_BYTES = 4 << 20,
};

/* Apache looks at the part before the first dot: this is no snapshot to it. */
static const char temporary_prefix[] = "tmp.";

struct snapshot_writer {
    const struct fsops *fs;
    char *dir;
    char *path;
    char *temporary;
    int64_t zxid;
    int fd;
    int64_t position;   /* bytes written to the file */
    int64_t synced;     /* of them, on disk */
    struct buf pending; /* behind them */
    uLong checksum;     /* Adler-32 of all bytes up to the end of pending */
    int failed;
};

static int flush(struct snapshot_writer *w)
{
    size_t len = buf_readable(&w->pending);
    int rc = fs_write_full(w->fs, w->fd, buf_head(&w->pending), len, w->position);
    if (rc != 0) {
        return rc;
    }
    w->position += (int64_t)len;
    buf_reset(&w->pending);
    if (w->position - w->synced < SYNC_BYTES) {
        return 0;
    }
    w->synced = w->position;
    return w->fs->fdatasync(w->fs->ctx, w->fd);
}

int snapshot_writer_write(struct snapshot_writer *w, const void *data, size_t len)
{
    zk_assert(w->failed == 0);
    while (len > 0 && w->failed == 0) {
        uInt piece = len < UINT32_MAX ? (uInt)len : UINT32_MAX;
        w->checksum = adler32(w->checksum, data, piece);
        buf_append(&w->pending, data, piece);
        data = (const char *)data + piece;
        len -= piece;
        if (buf_readable(&w->pending) >= FLUSH_BYTES) {
            w->failed = flush(w);
        }
    }
    return w->failed;
}

static int write_header(struct snapshot_writer *w)
{
    struct buf header = BUF_EMPTY;
    put_int(&header, SNAPSHOT_MAGIC);
    put_int(&header, SNAPSHOT_VERSION);
    put_long(&header, -1); /* database id: never used */
    zk_assert(buf_readable(&header) == SNAPSHOT_HEADER_BYTES);
    int rc = snapshot_writer_write(w, buf_head(&header), buf_readable(&header));
    buf_fini(&header);
    return rc;
}

int snapshot_writer_open(const struct fsops *fs, const char *dir, int64_t zxid,
                         struct snapshot_writer **out)
{
    char *name = version_name_make(VERSION_SNAPSHOT, zxid);
    char *temporary = xasprintf("%s/%s%s", dir, temporary_prefix, name);
    int fd = fs->open(fs->ctx, temporary, FS_CREATE);
    if (fd < 0) {
        free(temporary);
        free(name);
        return fd;
    }
    struct snapshot_writer *w = xcalloc(1, sizeof(*w));
    w->fs = fs;
    w->dir = xstrdup(dir);
    w->path = fs_join(dir, name);
    w->temporary = temporary;
    w->zxid = zxid;
    w->fd = fd;
    w->checksum = 1;
    free(name);
    write_header(w); /* fits into pending: cannot fail */
    *out = w;
    return 0;
}

static void free_writer(struct snapshot_writer *w)
{
    buf_fini(&w->pending);
    free(w->temporary);
    free(w->path);
    free(w->dir);
    free(w);
}

void snapshot_writer_abort(struct snapshot_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->fd >= 0) {
        w->fs->close(w->fs->ctx, w->fd);
    }
    /* If this fails the file stays until the next start removes it. */
    w->fs->unlink(w->fs->ctx, w->temporary);
    free_writer(w);
}

/* A section and its seal: the checksum covers everything in front of it. */
static void write_sealed(struct snapshot_writer *w, struct buf *section)
{
    if (buf_readable(section) > 0) {
        snapshot_writer_write(w, buf_head(section), buf_readable(section));
        buf_reset(section);
    }
    put_long(section, (int64_t)w->checksum);
    put_slice(section, slice_of_str("/"));
    zk_assert(buf_readable(section) == SNAPSHOT_SEAL_BYTES);
    if (w->failed == 0) {
        snapshot_writer_write(w, buf_head(section), buf_readable(section));
    }
    buf_reset(section);
}

static int write_seals(struct snapshot_writer *w, uint64_t digest)
{
    struct buf section = BUF_EMPTY;
    write_sealed(w, &section);
    if (w->failed == 0) {
        put_long(&section, w->zxid);
        put_int(&section, TXN_DIGEST_VERSION);
        put_long(&section, (int64_t)digest);
        write_sealed(w, &section);
    }
    if (w->failed == 0) {
        put_long(&section, w->zxid);
        write_sealed(w, &section);
    }
    buf_fini(&section);
    return w->failed != 0 ? w->failed : flush(w);
}

static int close_synced(struct snapshot_writer *w)
{
    int rc = w->fs->fdatasync(w->fs->ctx, w->fd);
    int close_rc = w->fs->close(w->fs->ctx, w->fd);
    w->fd = -1;
    return rc != 0 ? rc : close_rc;
}

int snapshot_writer_finish(struct snapshot_writer *w, uint64_t digest)
{
    int rc = write_seals(w, digest);
    if (rc == 0) {
        rc = close_synced(w);
    }
    if (rc == 0) {
        rc = w->fs->rename(w->fs->ctx, w->temporary, w->path);
    }
    if (rc != 0) {
        snapshot_writer_abort(w);
        return rc;
    }
    rc = w->fs->fsync_dir(w->fs->ctx, w->dir);
    free_writer(w);
    return rc;
}

int64_t snapshot_writer_bytes(const struct snapshot_writer *w)
{
    return w->position + (int64_t)buf_readable(&w->pending);
}

/* ---- remains --------------------------------------------------------------------------------- */

struct removal {
    const struct fsops *fs;
    const char *dir;
    char **names; /* owned, and each */
    size_t count;
};

static void collect_temporary(void *arg, const char *name)
{
    struct removal *r = arg;
    size_t prefix_len = sizeof(temporary_prefix) - 1;
    struct version_file ignored;
    if (strncmp(name, temporary_prefix, prefix_len) == 0 &&
        version_name_parse(name + prefix_len, VERSION_SNAPSHOT, &ignored)) {
        r->names = xrealloc(r->names, (r->count + 1) * sizeof(*r->names));
        r->names[r->count++] = fs_join(r->dir, name);
    }
}

int snapshot_remove_temporaries(const struct fsops *fs, const char *dir)
{
    struct removal r = { fs, dir, NULL, 0 };
    int rc = fs->list_dir(fs->ctx, dir, collect_temporary, &r);
    for (size_t i = 0; i < r.count; i++) {
        int unlink_rc = fs->unlink(fs->ctx, r.names[i]);
        rc = rc != 0 ? rc : unlink_rc;
        free(r.names[i]);
    }
    free(r.names);
    return rc;
}
