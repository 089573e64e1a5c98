/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "server/store/snapshot_tree.h"
#include "server/store/snapshot_writer.h"
#include "server/store/txnlog.h"
#include "server/store/txnlog_truncate.h"

enum { REWRITE_BYTES = 64 * 1024 };

static const char module[] = "store";

struct run {
    const struct fsops *fs;
    const struct recovery_options *opts;
    struct recovery *out;
    struct session_map sessions;
    struct version_list snapshots;
    struct txnlog_reader *reader;
    size_t valid_index;        /* of the snapshot that was loaded */
    struct snapshot_info info; /* of it */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct run *r, int rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(r->out->error);
    r->out->error = xvasprintf(fmt, ap);
    va_end(ap);
    return rc;
}

static int refuse_io(struct run *r, const char *what, const char *path, int rc)
{
    return refuse(r, rc, "cannot %s %s: %s", what, path, strerror(-rc));
}

/* ---- directories ----------------------------------------------------------------------------- */

static int prepare_dir(struct run *r, const char *dir)
{
    int rc = fs_make_dirs(r->fs, dir);
    return rc != 0 ? refuse_io(r, "make the directory", dir, rc) : 0;
}

/* Two directories: then each must hold its own kind only. */
static int check_dir_is_free_of(struct run *r, const char *dir, enum version_kind kind,
                                const char *kind_name)
{
    struct version_list found;
    int rc = version_list_read(r->fs, dir, kind, &found);
    if (rc != 0) {
        return refuse_io(r, "list", dir, rc);
    }
    if (found.count > 0) {
        rc = refuse(
            r, -ENOTSUP,
            "%s/%s: a %s in the wrong directory. Are dataDir and dataLogDir mixed up, or was "
            "dataLogDir set later? Move the %ss to where they belong",
            dir, found.files[0].name, kind_name, kind_name);
    }
    version_list_fini(&found);
    return rc;
}

/* "dir/version-2" without the slashes too many that would make one directory look like two. */
static char *version_dir_of(const char *dir)
{
    struct buf path = BUF_EMPTY;
    for (const char *p = dir; *p != '\0'; p++) {
        if (*p != '/' || (p[1] != '/' && p[1] != '\0')) {
            buf_append(&path, p, 1);
        }
    }
    buf_append_str(&path, "/version-2");
    return buf_take_str(&path);
}

/*
 * A second server by mistake would take the first one's unfinished writes for torn ones and cut
 * them off. Held until recovery_fini().
 */
static int lock_dir(struct run *r, const char *dir)
{
    if (r->opts->is_locked) {
        return 0;
    }
    int fd = r->fs->lock_dir(r->fs->ctx, dir);
    if (fd == -EBUSY) {
        return refuse(r, fd, "%s is in use by another server", dir);
    }
    if (fd < 0) {
        return refuse_io(r, "lock", dir, fd);
    }
    r->out->locks[r->out->lock_count++] = fd;
    return 0;
}

static int prepare_dirs(struct run *r)
{
    struct recovery *out = r->out;
    out->snapshot_dir = version_dir_of(r->opts->data_dir);
    out->log_dir = version_dir_of(r->opts->log_dir);
    bool is_one = strcmp(out->snapshot_dir, out->log_dir) == 0;
    int rc = prepare_dir(r, out->snapshot_dir);
    if (rc == 0 && !is_one) {
        rc = prepare_dir(r, out->log_dir);
    }
    if (rc == 0) {
        rc = lock_dir(r, out->snapshot_dir);
    }
    if (rc == 0 && !is_one) {
        rc = lock_dir(r, out->log_dir);
    }
    if (rc == 0 && !is_one) {
        rc = check_dir_is_free_of(r, out->snapshot_dir, VERSION_LOG, "transaction log");
        if (rc == 0) {
            rc = check_dir_is_free_of(r, out->log_dir, VERSION_SNAPSHOT, "snapshot");
        }
    }
    return rc;
}

/* ---- snapshot -------------------------------------------------------------------------------- */

/* Loads the newest snapshot that is whole. 0, -ENOENT if there are none at all, or the refusal. */
static int load_snapshot(struct run *r)
{
    struct recovery *out = r->out;
    for (size_t i = r->snapshots.count; i > 0; i--) {
        const struct version_file *file = &r->snapshots.files[i - 1];
        int rc =
            snapshot_load_tree(r->fs, out->snapshot_dir, file, out->tree, &r->sessions, &r->info);
        if (rc == 0) {
            r->valid_index = i - 1;
            out->snapshot_zxid = file->zxid;
            log_info(module, "loaded %s/%s nodes=%" PRId64 " sessions=%" PRId64, out->snapshot_dir,
                     file->name, r->info.node_count, r->info.session_count);
            return 0;
        }
        if (rc != -EBADMSG) {
            return refuse_io(r, "read", file->name, rc);
        }
        log_warn(module, "%s/%s is not a whole snapshot (%s), trying an older one",
                 out->snapshot_dir, file->name, r->info.reason);
        session_map_fini(&r->sessions);
        session_map_init(&r->sessions);
    }
    if (r->snapshots.count == 0) {
        return -ENOENT;
    }
    return refuse(r, -EBADMSG, "%s: none of the %zu snapshots is whole; restore one from a copy",
                  out->snapshot_dir, r->snapshots.count);
}

/*
 * A damaged snapshot that was skipped stood for txns up to its zxid. If the log does not reach that
 * far, they are lost (rule L9).
 */
static int check_nothing_was_skipped(struct run *r)
{
    const struct version_file *newest = &r->snapshots.files[r->snapshots.count - 1];
    if (newest->zxid <= r->out->last_zxid) {
        return 0;
    }
    return refuse(r, -ENODATA,
                  "%s/%s is damaged, and the log ends before it, at zxid 0x%" PRIx64
                  ": the txns between are missing. Restore the snapshot, or move it away to go on "
                  "without them",
                  r->out->snapshot_dir, newest->name, (uint64_t)r->out->last_zxid);
}

/* ---- log ------------------------------------------------------------------------------------- */

static void check_digest(struct run *r, int64_t zxid, uint64_t expected, const char *source)
{
    if (r->out->tree->digest == expected) {
        return;
    }
    if (r->out->digest_mismatches++ == 0) {
        log_warn(module,
                 "digest mismatch after zxid=0x%" PRIx64 ": tree %" PRIu64 ", %s %" PRIu64
                 "; this server's history differs from the one that was logged",
                 (uint64_t)zxid, r->out->tree->digest, source, expected);
    }
}

/* The snapshot's digest is that of the tree after one certain txn; before it a fuzzy snapshot's
 * tree is no state that ever was, so the log's digests are not compared either. */
static void compare_digests(struct run *r, const struct txn *txn)
{
    int64_t zxid = r->out->tree->last_zxid;
    if (r->info.has_digest && r->info.digest_zxid > 0 && zxid == r->info.digest_zxid) {
        check_digest(r, zxid, r->info.digest, "snapshot");
    }
    bool is_comparable = r->info.has_digest || r->out->snapshot_zxid == 0;
    if (txn != NULL && txn->has_digest && is_comparable && zxid >= r->info.digest_zxid) {
        check_digest(r, zxid, (uint64_t)txn->digest.digest, "log");
    }
}

static void apply(struct run *r, const struct txn *txn)
{
    /* Both move before anybody can look (L7, L10). */
    if (txn->hdr.type == OP_CREATE_SESSION) {
        session_map_set(&r->sessions, txn->hdr.session_id, txn->body.create_session.timeout_ms);
    } else if (txn->hdr.type == OP_CLOSE_SESSION) {
        session_map_remove(&r->sessions, txn->hdr.session_id);
    }
    data_tree_apply(r->out->tree, txn, NULL);
    compare_digests(r, txn);
    r->out->txn_count++;
}

static int replay(struct run *r)
{
    struct recovery *out = r->out;
    struct txnlog_entry entry;
    int rc;
    while ((rc = txnlog_reader_next(r->reader, &entry)) == 1) {
        struct txn txn;
        if (!txn_decode(entry.data, entry.len, &txn)) {
            return refuse(r, -EBADMSG,
                          "%s/%s: the txn at offset %" PRId64 ", zxid 0x%" PRIx64
                          ", is of an unknown type or does not fit its type",
                          out->log_dir,
                          txnlog_reader_files(r->reader)->files[entry.file_index].name,
                          entry.offset, (uint64_t)entry.zxid);
        }
        apply(r, &txn);
        out->last_zxid = entry.zxid;
    }
    return rc == 0 ? 0 : refuse(r, rc, "%s", txnlog_reader_error(r->reader));
}

static int repair_tail(struct run *r)
{
    const struct txnlog_tail *tail = txnlog_reader_tail(r->reader);
    if (!tail->needs_repair) {
        return 0;
    }
    if (tail->reason != NULL) {
        log_warn(module, "%s; cutting it off", tail->reason);
    }
    int rc = txnlog_repair(r->fs, r->out->log_dir, txnlog_reader_files(r->reader), tail);
    return rc != 0 ? refuse_io(r, "repair the end of the log in", r->out->log_dir, rc) : 0;
}

/* A txn is a request with what the leader added to it; no server logs more than twice the limit. */
static size_t entry_bytes_max(const struct run *r)
{
    return 2 * r->opts->frame_bytes_max;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* The end of the content, rounded up to a chunk: behind it stand zeros, the room ahead, or nothing. */
static int find_content_end(const struct fsops *fs, int fd, uint8_t *chunk, int64_t *end)
{
    int64_t size;
    int rc = fs->size(fs->ctx, fd, &size);
    *end = (size + REWRITE_BYTES - 1) / REWRITE_BYTES * REWRITE_BYTES;
    while (rc == 0 && *end > 0) {
        ssize_t got = fs->pread(fs->ctx, fd, chunk, REWRITE_BYTES, *end - REWRITE_BYTES);
        if (got < 0 || !is_zero(chunk, (size_t)got)) {
            return got < 0 ? (int)got : 0;
        }
        *end -= REWRITE_BYTES;
    }
    return rc;
}

static int rewrite_chunks(const struct fsops *fs, int fd, uint8_t *chunk, int64_t from, int64_t end)
{
    for (int64_t at = from; at < end; at += REWRITE_BYTES) {
        ssize_t got = fs->pread(fs->ctx, fd, chunk, REWRITE_BYTES, at);
        if (got <= 0) {
            return (int)got;
        }
        int rc = fs_write_full(fs, fd, chunk, (size_t)got, at);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* After a failed fdatasync Linux keeps the pages, counts them as written and never tries again: another
 * fdatasync succeeds, and the power takes them. Written once more they are dirty again. That can only be the
 * last batch: the one before it was durable, and after a failure nothing is added to that file. */
static int rewrite_last_batch(const struct fsops *fs, int fd, size_t entry_bytes_max)
{
    uint8_t *chunk = xmalloc(REWRITE_BYTES);
    int64_t batch_bytes = TXNLOG_HEADER_BYTES + TXNLOG_BATCH_BYTES_MAX + TXNLOG_RECORD_EXTRA_BYTES +
                          (int64_t)entry_bytes_max;
    int64_t end;
    int rc = find_content_end(fs, fd, chunk, &end);
    if (rc == 0) {
        int64_t chunks = (batch_bytes + REWRITE_BYTES - 1) / REWRITE_BYTES + 1;
        int64_t from = end - chunks * REWRITE_BYTES;
        rc = rewrite_chunks(fs, fd, chunk, from > 0 ? from : 0, end);
    }
    free(chunk);
    return rc;
}

/* A killed process leaves what it had written but not synced in the kernel's cache: found now, and gone with
 * the power. What a server counts as its own is durable first. */
static int sync_found(struct run *r)
{
    const struct fsops *fs = r->fs;
    const struct txnlog_tail *tail = txnlog_reader_tail(r->reader);
    const struct version_list *logs = txnlog_reader_files(r->reader);
    size_t kept = tail->needs_repair ? tail->keep_files : logs->count;
    int rc = 0;
    if (kept > 0) {
        char *path = fs_join(r->out->log_dir, logs->files[kept - 1].name);
        int fd = fs->open(fs->ctx, path, FS_WRITE);
        rc = fd < 0 ? fd : rewrite_last_batch(fs, fd, entry_bytes_max(r));
        rc = rc != 0 ? rc : fs->fdatasync(fs->ctx, fd);
        if (fd >= 0) {
            fs->close(fs->ctx, fd);
        }
        free(path);
    }
    if (rc == 0) {
        rc = fs->fsync_dir(fs->ctx, r->out->log_dir);
    }
    if (rc == 0) {
        rc = fs->fsync_dir(fs->ctx, r->out->snapshot_dir);
    }
    return rc != 0 ? refuse_io(r, "sync", r->out->log_dir, rc) : 0;
}

static int open_reader(struct run *r, int64_t after_zxid)
{
    int rc = txnlog_reader_open(r->fs, r->out->log_dir, after_zxid, entry_bytes_max(r), &r->reader);
    return rc != 0 ? refuse_io(r, "list", r->out->log_dir, rc) : 0;
}

/* ---- without a snapshot ---------------------------------------------------------------------- */

static int start_fresh(struct run *r)
{
    struct recovery *out = r->out;
    out->is_fresh = true;
    int rc = snapshot_write_tree(r->fs, out->snapshot_dir, out->tree, NULL, 0);
    if (rc != 0) {
        return refuse_io(r, "write the first snapshot in", out->snapshot_dir, rc);
    }
    /* Left by zkServer-initialize: an empty database is wanted. Now there is one. */
    char *marker = fs_join(r->opts->log_dir, "initialize");
    rc = r->fs->unlink(r->fs->ctx, marker);
    if (rc != 0 && rc != -ENOENT) {
        refuse_io(r, "remove", marker, rc);
    }
    free(marker);
    return rc == -ENOENT ? 0 : rc;
}

/* No snapshot: fresh if the log is empty too, else something is missing (rule L9). */
static int start_without_snapshot(struct run *r)
{
    int rc = replay(r);
    if (rc != 0) {
        return rc;
    }
    if (r->out->txn_count == 0) {
        return start_fresh(r);
    }
    if (!r->opts->trust_empty_snapshot) {
        return refuse(
            r, -ENODATA,
            "%s: there is a transaction log but no snapshot, so what the log began with is not "
            "known. Restore a snapshot; if the log is known to be complete, start once with "
            "snapshot.trust.empty=true",
            r->out->snapshot_dir);
    }
    log_warn(module, "no snapshot: the log alone is trusted (snapshot.trust.empty)");
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int find_state(struct run *r)
{
    int rc = load_snapshot(r);
    bool has_snapshot = rc == 0;
    if (rc != 0 && rc != -ENOENT) {
        return rc;
    }
    r->out->last_zxid = r->out->snapshot_zxid;
    rc = open_reader(r, r->out->snapshot_zxid);
    if (rc != 0) {
        return rc;
    }
    if (!has_snapshot) {
        return start_without_snapshot(r);
    }
    compare_digests(r, NULL);
    rc = replay(r);
    return rc != 0 ? rc : check_nothing_was_skipped(r);
}

static int run(struct run *r)
{
    struct recovery *out = r->out;
    int rc = prepare_dirs(r);
    if (rc != 0) {
        return rc;
    }
    rc = version_list_read(r->fs, out->snapshot_dir, VERSION_SNAPSHOT, &r->snapshots);
    if (rc != 0) {
        return refuse_io(r, "list", out->snapshot_dir, rc);
    }
    out->tree = data_tree_new(&r->opts->tree);
    rc = find_state(r);
    if (rc == 0) {
        rc = repair_tail(r);
    }
    if (rc == 0) {
        rc = sync_found(r);
    }
    if (rc == 0) {
        rc = snapshot_remove_temporaries(r->fs, out->snapshot_dir);
        if (rc != 0) {
            refuse_io(r, "remove the temporary files in", out->snapshot_dir, rc);
        }
    }
    if (rc == 0) {
        data_tree_recovered(out->tree);
        out->sessions = session_map_list(&r->sessions, &out->session_count);
        log_info(module,
                 "recovered zxid=0x%" PRIx64 " txns=%" PRId64 " nodes=%" PRId64 " sessions=%zu",
                 (uint64_t)out->last_zxid, out->txn_count, data_tree_count(out->tree),
                 out->session_count);
    }
    return rc;
}

int recovery_run(const struct fsops *fs, const struct recovery_options *opts, struct recovery *out)
{
    *out = (struct recovery){ .fs = fs };
    struct run r = { .fs = fs, .opts = opts, .out = out };
    session_map_init(&r.sessions);
    int rc = run(&r);
    txnlog_reader_close(r.reader);
    version_list_fini(&r.snapshots);
    session_map_fini(&r.sessions);
    if (rc != 0) {
        char *error = out->error;
        out->error = NULL;
        recovery_fini(out);
        out->error = error;
    }
    return rc;
}

void recovery_fini(struct recovery *out)
{
    for (int i = 0; i < out->lock_count; i++) {
        out->fs->close(out->fs->ctx, out->locks[i]);
    }
    data_tree_free(out->tree);
    free(out->sessions);
    free(out->snapshot_dir);
    free(out->log_dir);
    free(out->error);
    *out = (struct recovery){ 0 };
}
