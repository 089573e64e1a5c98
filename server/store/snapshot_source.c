/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snapshot_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "server/jute/wire.h"
#include "server/store/snappy.h"

enum {
    INPUT_BYTES = 256 * 1024,
    GZIP_WINDOW_BITS = 15 + 16, /* + 16: gzip's header and trailer */
    SNAPPY_HEADER_BYTES = 16,
    SNAPPY_BLOCK_MAX = 8 << 20, /* snappy-java uses 32 KiB unless told otherwise */
};

struct snapshot_source {
    const struct fsops *fs;
    enum version_packing packing;
    int fd;
    int64_t position;  /* in the file */
    z_stream inflater; /* gzip only */
    bool gzip_ended;   /* between the end of one gzip member and the next or the end of the file */
    uint8_t *input;    /* owned; packed bytes; NULL for plain */
    struct buf output; /* snappy: unpacked bytes not yet given out */
};

static int start_gzip(struct snapshot_source *s)
{
    return inflateInit2(&s->inflater, GZIP_WINDOW_BITS) == Z_OK ? 0 : -ENOMEM;
}

static int start_snappy(struct snapshot_source *s)
{
    static const uint8_t magic[8] = "\x82SNAPPY";
    uint8_t header[SNAPPY_HEADER_BYTES];
    ssize_t got = fs_read_full(s->fs, s->fd, header, sizeof(header), 0);
    if (got < 0) {
        return (int)got;
    }
    bool is_ok = got == SNAPPY_HEADER_BYTES && memcmp(header, magic, sizeof(magic)) == 0;
    s->position = SNAPPY_HEADER_BYTES;
    return is_ok ? 0 : -EBADMSG;
}

int snapshot_source_open(const struct fsops *fs, const char *path, enum version_packing packing,
                         struct snapshot_source **out)
{
    int fd = fs->open(fs->ctx, path, FS_READ);
    if (fd < 0) {
        return fd;
    }
    struct snapshot_source *s = xcalloc(1, sizeof(*s));
    s->fs = fs;
    s->packing = packing;
    s->fd = fd;
    s->gzip_ended =
        true; /* an empty file is an empty stream, which no reader accepts as a snapshot */
    s->input = packing == PACKING_GZIP ? xmalloc(INPUT_BYTES) : NULL;
    int rc = 0;
    if (packing == PACKING_GZIP) {
        rc = start_gzip(s);
    } else if (packing == PACKING_SNAPPY) {
        rc = start_snappy(s);
    }
    if (rc != 0) {
        snapshot_source_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void snapshot_source_close(struct snapshot_source *s)
{
    if (s->packing == PACKING_GZIP) {
        inflateEnd(&s->inflater);
    }
    s->fs->close(s->fs->ctx, s->fd);
    buf_fini(&s->output);
    free(s->input);
    free(s);
}

/* ---- plain ----------------------------------------------------------------------------------- */

static ssize_t read_plain(struct snapshot_source *s, void *dst, size_t len)
{
    ssize_t got = s->fs->pread(s->fs->ctx, s->fd, dst, len, s->position);
    if (got > 0) {
        s->position += got;
    }
    return got;
}

/* ---- gzip ------------------------------------------------------------------------------------ */

static ssize_t fill_gzip(struct snapshot_source *s)
{
    ssize_t got = read_plain(s, s->input, INPUT_BYTES);
    if (got > 0) {
        s->inflater.next_in = s->input;
        s->inflater.avail_in = (uInt)got;
    }
    return got;
}

static ssize_t read_gzip(struct snapshot_source *s, void *dst, size_t len)
{
    uInt want = len < INPUT_BYTES ? (uInt)len : INPUT_BYTES;
    s->inflater.next_out = dst;
    s->inflater.avail_out = want;
    while (s->inflater.avail_out == want) {
        if (s->inflater.avail_in == 0) {
            ssize_t got = fill_gzip(s);
            if (got < 0) {
                return got;
            }
            if (got == 0) {
                return s->gzip_ended ? 0 : -EBADMSG;
            }
        }
        s->gzip_ended = false;
        int rc = inflate(&s->inflater, Z_NO_FLUSH);
        if (rc == Z_STREAM_END) {
            s->gzip_ended = true;
            inflateReset(&s->inflater);
        } else if (rc != Z_OK) {
            return -EBADMSG;
        }
    }
    return (ssize_t)(want - s->inflater.avail_out);
}

/* ---- snappy ---------------------------------------------------------------------------------- */

/* Unpacks the next block into output; 1, or 0 at the end of the file. */
static int fill_snappy(struct snapshot_source *s)
{
    uint8_t head[4];
    ssize_t got = fs_read_full(s->fs, s->fd, head, sizeof(head), s->position);
    if (got <= 0) {
        return (int)got;
    }
    struct wire w;
    wire_init(&w, head, (size_t)got);
    int32_t len = wire_int(&w);
    if (!wire_ok(&w) || len <= 0 || len > SNAPPY_BLOCK_MAX) {
        return -EBADMSG;
    }
    uint8_t *block = xmalloc((size_t)len);
    got = fs_read_full(s->fs, s->fd, block, (size_t)len, s->position + (int64_t)sizeof(head));
    int rc = got < 0 ? (int)got : -EBADMSG;
    if (got == len && snappy_decode(block, (size_t)len, SNAPPY_BLOCK_MAX, &s->output)) {
        s->position += (int64_t)sizeof(head) + len;
        rc = 1;
    }
    free(block);
    return rc;
}

static ssize_t read_snappy(struct snapshot_source *s, void *dst, size_t len)
{
    while (buf_readable(&s->output) == 0) {
        int rc = fill_snappy(s);
        if (rc <= 0) {
            return rc;
        }
    }
    size_t left = buf_readable(&s->output);
    size_t count = len < left ? len : left;
    memcpy(dst, buf_head(&s->output), count);
    buf_consume(&s->output, count);
    return (ssize_t)count;
}

ssize_t snapshot_source_read(struct snapshot_source *s, void *dst, size_t len)
{
    switch (s->packing) {
    case PACKING_GZIP:
        return read_gzip(s, dst, len);
    case PACKING_SNAPPY:
        return read_snappy(s, dst, len);
    case PACKING_NONE:
        break;
    }
    return read_plain(s, dst, len);
}
