/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snapshot_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/store/snapshot_source.h"
#include "server/store/snapshot_writer.h"
#include "server/jute/txn.h"

enum {
    WINDOW_BYTES = 1 << 20,
    SESSION_BYTES = 12,
    NODE_TAIL_BYTES = 8 + 60, /* ACL id, StatPersisted */
    ACL_VECTOR_BYTES_MAX = 1 << 20,
    LOOK_AHEAD_BYTES = 64, /* more than all that can follow the first seal */
};

const struct snapshot_sink snapshot_sink_none = { 0 };

/*
 * The unpacked stream, looked at through a window:
 *
 *      window  ...checked... summed   ...   start   ...   end
 *                            (adler32 is lazy)  (unread bytes)
 */
struct stream {
    struct snapshot_source *source;
    uint8_t *window; /* owned */
    size_t cap;
    size_t summed; /* checksum covers everything in front of this */
    size_t start;  /* first byte that was not taken */
    size_t end;    /* end of what was read */
    uLong checksum;
    int64_t taken; /* bytes taken in all */
    bool at_end;   /* the source has no more */
    struct snapshot_info *info;
};

static int bad(struct stream *s, const char *reason)
{
    s->info->reason = reason;
    return -EBADMSG;
}

static void sum_taken(struct stream *s)
{
    s->checksum = adler32(s->checksum, s->window + s->summed, (uInt)(s->start - s->summed));
    s->summed = s->start;
}

/* Moves the unread bytes to the front of the window. */
static void move_down(struct stream *s)
{
    sum_taken(s);
    memmove(s->window, s->window + s->start, s->end - s->start);
    s->end -= s->start;
    s->start = 0;
    s->summed = 0;
}

/* Has want unread bytes in the window, or all there are; how many, or -errno. A damaged length
 * costs no more memory than the file has bytes: the window grows as they arrive. */
static ssize_t look(struct stream *s, size_t want)
{
    if (s->end - s->start < want && !s->at_end) {
        move_down(s);
    }
    while (s->end - s->start < want && !s->at_end) {
        if (s->end == s->cap) {
            s->cap *= 2;
            s->window = xrealloc(s->window, s->cap);
        }
        ssize_t got = snapshot_source_read(s->source, s->window + s->end, s->cap - s->end);
        if (got == -EBADMSG) {
            return bad(s, "damaged compression");
        }
        if (got < 0) {
            return got;
        }
        s->at_end = got == 0;
        s->end += (size_t)got;
    }
    return (ssize_t)(s->end - s->start);
}

/* As look(), but fewer bytes than wanted are an error. */
static int need(struct stream *s, size_t want)
{
    ssize_t got = look(s, want);
    if (got < 0) {
        return (int)got;
    }
    return (size_t)got < want ? bad(s, "ends too early") : 0;
}

static void take(struct stream *s, size_t len)
{
    s->start += len;
    s->taken += (int64_t)len;
}

/* A cursor over the next len bytes, which need() has brought, and takes them. */
static struct wire take_wire(struct stream *s, size_t len)
{
    struct wire w;
    wire_init(&w, s->window + s->start, len);
    take(s, len);
    return w;
}

/* Has a string or buffer that begins at offset from start in the window; *end is where it ends. */
static int need_field(struct stream *s, size_t offset, size_t *end)
{
    int rc = need(s, offset + 4);
    if (rc != 0) {
        return rc;
    }
    struct wire w;
    wire_init(&w, s->window + s->start + offset, 4);
    int32_t len = wire_int(&w);
    if (len < -1) {
        return bad(s, "impossible length");
    }
    *end = offset + 4 + (len > 0 ? (size_t)len : 0);
    return need(s, *end);
}

/* ---- sections -------------------------------------------------------------------------------- */

static int read_header(struct stream *s)
{
    int rc = need(s, SNAPSHOT_HEADER_BYTES);
    if (rc != 0) {
        return rc;
    }
    struct wire w = take_wire(s, SNAPSHOT_HEADER_BYTES);
    /* Version and database id are not looked at, by us as by Apache. */
    return wire_int(&w) == SNAPSHOT_MAGIC ? 0 : bad(s, "not a snapshot");
}

static int read_count(struct stream *s, int32_t *count)
{
    int rc = need(s, 4);
    if (rc != 0) {
        return rc;
    }
    struct wire w = take_wire(s, 4);
    *count = wire_int(&w);
    return *count < 0 ? bad(s, "impossible count") : 0;
}

static int read_sessions(struct stream *s, const struct snapshot_sink *sink)
{
    int32_t count;
    int rc = read_count(s, &count);
    for (int32_t i = 0; i < count && rc == 0; i++) {
        rc = need(s, SESSION_BYTES);
        if (rc != 0) {
            break;
        }
        struct wire w = take_wire(s, SESSION_BYTES);
        int64_t session_id = wire_long(&w);
        int32_t timeout_ms = wire_int(&w);
        s->info->session_count++;
        if (sink->session != NULL && !sink->session(sink->arg, session_id, timeout_ms)) {
            rc = bad(s, "impossible session");
        }
    }
    return rc;
}

static void skip_acl(struct wire *w)
{
    struct acl ignored;
    acl_decode(w, &ignored);
}

/* One entry of the map. Its length is not written anywhere: try with more and more bytes. */
static int read_acl(struct stream *s, const struct snapshot_sink *sink)
{
    for (size_t want = LOOK_AHEAD_BYTES;; want *= 2) {
        ssize_t got = look(s, want);
        if (got < 0) {
            return (int)got;
        }
        struct wire w;
        wire_init(&w, s->window + s->start, (size_t)got);
        int64_t acl_id = wire_long(&w);
        struct vec acl = wire_vec(&w, skip_acl);
        if (wire_ok(&w)) {
            bool ok = sink->acl == NULL || sink->acl(sink->arg, acl_id, acl);
            take(s, (size_t)got - wire_left(&w));
            return ok ? 0 : bad(s, "impossible ACL");
        }
        if ((size_t)got < want) {
            return bad(s, "ends too early");
        }
        if (want > ACL_VECTOR_BYTES_MAX) {
            return bad(s, "impossible ACL");
        }
    }
}

static int read_acls(struct stream *s, const struct snapshot_sink *sink)
{
    int32_t count;
    int rc = read_count(s, &count);
    for (int32_t i = 0; i < count && rc == 0; i++) {
        rc = read_acl(s, sink);
    }
    return rc;
}

/* One node, or the "/" behind the last: *done. */
static int read_node(struct stream *s, const struct snapshot_sink *sink, bool *done)
{
    size_t path_end;
    int rc = need_field(s, 0, &path_end);
    if (rc != 0) {
        return rc;
    }
    if (path_end == 5 && s->window[s->start + 4] == '/') {
        take(s, path_end);
        *done = true;
        return 0;
    }
    size_t data_end;
    rc = need_field(s, path_end, &data_end);
    if (rc == 0) {
        rc = need(s, data_end + NODE_TAIL_BYTES);
    }
    if (rc != 0) {
        return rc;
    }
    struct wire w = take_wire(s, data_end + NODE_TAIL_BYTES);
    struct slice path = wire_slice(&w);
    struct slice data = wire_slice(&w);
    int64_t acl_id = wire_long(&w);
    struct persisted_stat stat;
    persisted_stat_decode(&w, &stat);
    zk_assert(wire_ok(&w));
    zk_assert(wire_left(&w) == 0);
    s->info->node_count++;
    bool ok = !slice_is_null(path) &&
              (sink->node == NULL || sink->node(sink->arg, path, data, acl_id, &stat));
    return ok ? 0 : bad(s, "impossible node");
}

static int read_nodes(struct stream *s, const struct snapshot_sink *sink)
{
    bool done = false;
    int rc = 0;
    while (rc == 0 && !done) {
        rc = read_node(s, sink, &done);
    }
    return rc;
}

static int read_seal(struct stream *s)
{
    int rc = need(s, SNAPSHOT_SEAL_BYTES);
    if (rc != 0) {
        return rc;
    }
    sum_taken(s);
    uLong expected = s->checksum;
    struct wire w = take_wire(s, SNAPSHOT_SEAL_BYTES);
    int64_t checksum = wire_long(&w);
    struct slice mark = wire_slice(&w);
    if (!slice_eq_str(mark, "/")) {
        return bad(s, "missing end mark");
    }
    return checksum == (int64_t)expected ? 0 : bad(s, "bad checksum");
}

/* Before version 2 the digest was a string in hex, of another sum: it is read and not compared. */
static int read_digest(struct stream *s)
{
    int rc = need(s, SNAPSHOT_DIGEST_BYTES);
    if (rc != 0) {
        return rc;
    }
    struct wire w = take_wire(s, 12);
    s->info->digest_zxid = wire_long(&w);
    int32_t version = wire_int(&w);
    size_t end = 8;
    if (version < TXN_DIGEST_VERSION) {
        rc = need_field(s, 0, &end);
        if (rc != 0) {
            return rc;
        }
    }
    w = take_wire(s, end);
    s->info->digest = (uint64_t)wire_long(&w);
    s->info->has_digest = version == TXN_DIGEST_VERSION;
    return read_seal(s);
}

/* Sections of a later version are passed over, but a seal must end them too, or the file was cut
 * off. */
static int skip_unknown(struct stream *s)
{
    static const uint8_t end_mark[] = { 0, 0, 0, 1, '/' };
    ssize_t left;
    while ((left = look(s, LOOK_AHEAD_BYTES)) >= LOOK_AHEAD_BYTES) {
        take(s, LOOK_AHEAD_BYTES / 2);
    }
    if (left <= 0) {
        return (int)left;
    }
    const size_t mark_len = sizeof(end_mark);
    const uint8_t *end = s->window + s->end;
    if ((size_t)left < mark_len || memcmp(end - mark_len, end_mark, mark_len) != 0) {
        return bad(s, "missing end mark");
    }
    take(s, (size_t)left);
    return 0;
}

/* What may follow the first seal: the digest, the last zxid of Apache 3.9, or both, each sealed. A
 * writer may have had its digests off, so their lengths tell them apart. */
static int read_trailers(struct stream *s)
{
    const ssize_t last_zxid_bytes = SNAPSHOT_LAST_ZXID_BYTES + SNAPSHOT_SEAL_BYTES;
    ssize_t left = look(s, LOOK_AHEAD_BYTES);
    if (left > 0 && left != last_zxid_bytes) {
        int rc = read_digest(s);
        if (rc != 0) {
            return rc;
        }
        left = look(s, LOOK_AHEAD_BYTES);
    }
    if (left == last_zxid_bytes) {
        /* It equals the zxid of the file's name, or is that of a later txn whose effects the nodes
         * may or may not have. Replay starts from the name's in both cases, so it is only checked.
         */
        take(s, SNAPSHOT_LAST_ZXID_BYTES);
        return read_seal(s);
    }
    return left < 0 ? (int)left : skip_unknown(s);
}

static int read_all(struct stream *s, const struct snapshot_sink *sink)
{
    int rc = read_header(s);
    if (rc == 0) {
        rc = read_sessions(s, sink);
    }
    if (rc == 0) {
        rc = read_acls(s, sink);
    }
    if (rc == 0) {
        rc = read_nodes(s, sink);
    }
    if (rc == 0) {
        rc = read_seal(s);
    }
    if (rc == 0) {
        rc = read_trailers(s);
    }
    s->info->byte_count = s->taken;
    return rc;
}

int snapshot_read(const struct fsops *fs, const char *dir, const struct version_file *file,
                  const struct snapshot_sink *sink, struct snapshot_info *info)
{
    *info = (struct snapshot_info){ 0 };
    struct stream s = {
        .cap = WINDOW_BYTES,
        .checksum = 1,
        .info = info,
    };
    char *path = fs_join(dir, file->name);
    int rc = snapshot_source_open(fs, path, file->packing, &s.source);
    free(path);
    if (rc != 0) {
        info->reason = "damaged compression";
        return rc;
    }
    s.window = xmalloc(s.cap);
    rc = read_all(&s, sink);
    free(s.window);
    snapshot_source_close(s.source);
    return rc;
}
