/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/core/zxid.h"
#include "server/store/epoch_file.h"
#include "server/store/rebuild.h"
#include "server/store/txnlog_tail.h"

/* Bytes on their way to the disk before clients that wait for it are not read any more. */
enum { LOG_BACKLOG_BYTES_MAX = 64 * 1024 * 1024 };

/* How long a snapshot pauses for a slow disk before it looks again, and a member whose disk has failed. */
enum { SNAPSHOT_RETRY_MS = 5, DISK_RETRY_MS = 1000 };

/* Room that a log needs beyond what it grows by. */
enum { SPARE_BYTES = 256 * 1024 };

static const char module[] = "server";

static size_t entry_bytes_max(const struct server *s)
{
    return 2 * (size_t)s->cfg->jute_maxbuffer;
}

/* ---- recovery --------------------------------------------------------------------------------------------- */

static int recover(const struct server *s, bool is_locked, struct recovery *out)
{
    const struct config *cfg = s->cfg;
    const struct recovery_options options = {
        .data_dir = cfg->data_dir,
        .log_dir = cfg->log_dir,
        .frame_bytes_max = (size_t)cfg->jute_maxbuffer,
        .is_locked = is_locked,
        .trust_empty_snapshot = cfg->snapshot_trust_empty,
        .tree = { .hash_seed = s->seed, .extended_types = cfg->extended_types },
    };
    int err = recovery_run(&fsops_posix, &options, out);
    if (err < 0) {
        log_error(module, "cannot recover %s: %s", cfg->data_dir,
                  out->error ? out->error : strerror(-err));
        recovery_fini(out); /* the text is the caller's, also after a failure */
        return err;
    }
    if (out->digest_mismatches > 0) {
        log_warn(module, "%" PRId64 " txns left a tree whose digest is not the logged one",
                 out->digest_mismatches);
    }
    return 0;
}

/* Each member's own, without a txn. */
static void set_config_node(const struct server *s, struct data_tree *tree)
{
    if (!server_is_alone(s)) {
        data_tree_set_config(tree, slice_of_str(s->membership.text),
                             s->membership.ensemble.config_version, clock_wall_ms());
    }
}

int server_store_recover(struct server *s)
{
    int err = recover(s, false, &s->recovered);
    if (err == 0) {
        set_config_node(s, s->recovered.tree);
    }
    return err;
}

int server_store_read_epochs(struct server *s, struct zab_start *start)
{
    struct epochs epochs;
    int err = epochs_read(&fsops_posix, s->recovered.snapshot_dir, start->last_zxid, &epochs);
    if (err < 0) {
        log_error(module, "cannot use acceptedEpoch and currentEpoch in %s: %s",
                  s->recovered.snapshot_dir,
                  err == -EBADMSG ? "they do not fit together, or not to the log" : strerror(-err));
        return err;
    }
    start->accepted_epoch = epochs.accepted;
    start->current_epoch = epochs.current;
    return 0;
}

void server_store_read_tail(struct server *s, struct history_tail *tail)
{
    int err = txnlog_read_tail(&fsops_posix, s->recovered.log_dir, s->recovered.last_zxid,
                               (size_t)s->cfg->commit_log_count, entry_bytes_max(s), tail);
    if (err < 0) {
        /* Costs a snapshot where a few txns would do. */
        log_warn(module, "cannot read the end of the log: %s", strerror(-err));
    }
}

/* ---- the threads ------------------------------------------------------------------------------------------- */

static int start_log(struct server *s, int64_t last_zxid)
{
    const struct config *cfg = s->cfg;
    const struct log_thread_config config = {
        .fs = &fsops_posix,
        .dir = s->recovered.log_dir,
        .log = {
            .prealloc_bytes = (int64_t)cfg->prealloc_kb * 1024,
            .file_bytes_max = cfg->txnlog_size_limit_kb > 0 ? cfg->txnlog_size_limit_kb * 1024 : 0,
            .entry_bytes_max = entry_bytes_max(s),
            .force_sync = cfg->force_sync,
        },
        .last_zxid = last_zxid,
        .backlog_bytes_max = LOG_BACKLOG_BYTES_MAX,
        .fsync_warning_us = (int64_t)cfg->fsync_warning_ms * 1000,
        .events = &s->store_events,
    };
    return log_thread_start(&config, &s->log);
}

static int start_snapshots(struct server *s)
{
    const struct config *cfg = s->cfg;
    const struct snap_thread_config config = {
        .fs = &fsops_posix,
        .snapshot_dir = s->recovered.snapshot_dir,
        .log_dir = s->recovered.log_dir,
        .retain_count = cfg->purge_interval_ms > 0 ? (size_t)cfg->purge_retain_count : 0,
        .events = &s->store_events,
    };
    int err = snap_thread_start(&config, &s->snap);
    if (err == 0) {
        struct snapshotter_stats stats = s->snapshotter.stats;
        snapshotter_init(&s->snapshotter, s->peer, s->snap);
        s->snapshotter.stats = stats;
    }
    return err;
}

int server_store_start(struct server *s)
{
    int err = thread_queue_init(&s->store_events);
    if (err < 0) {
        return err;
    }
    err = start_log(s, s->recovered.last_zxid);
    if (err < 0) {
        goto err_queue;
    }
    err = start_snapshots(s);
    if (err < 0) {
        goto err_log;
    }
    return 0;

err_log:
    log_thread_stop(s->log);
    s->log = NULL;
err_queue:
    thread_queue_fini(&s->store_events);
    return err;
}

/* ---- a disk that fails ------------------------------------------------------------------------------------------ */

/* Alone there is nobody who could go on meanwhile: the process ends, and whoever watches it knows. A
 * member leaves the quorum and lives on (S13). */
static void disk_failed(struct server *s, int err, const char *what)
{
    struct replication *r = &s->replication;
    if (server_is_alone(s)) {
        log_error(module, "cannot %s, stopping: %s", what, strerror(-err));
        server_fail(s, err);
    } else if (!r->is_disk_bad) {
        log_error(module, "cannot %s, leaving the quorum until the disk works: %s", what,
                  strerror(-err));
        r->is_disk_bad = true;
        r->is_failure_untold = true;
    }
}

static void check(struct server *s, int err, const char *what)
{
    if (err < 0) {
        disk_failed(s, err, what);
    }
}

/* Nothing that the core takes for done has failed. */
static bool disk_works(const struct server *s)
{
    return !s->failure && !s->replication.is_disk_bad;
}

/* ---- what the threads say ------------------------------------------------------------------------------------ */

static void on_log_synced(struct server *s, const struct store_event *done)
{
    struct server_counters *n = &s->counters;
    n->fsync_count++;
    n->fsync_us_total += done->duration_us;
    n->fsync_us_max = done->duration_us > n->fsync_us_max ? done->duration_us : n->fsync_us_max;
    n->fsync_slow_count += done->duration_us > (int64_t)s->cfg->fsync_warning_ms * 1000;
    struct peer_event ev = { .type = PEER_LOG_SYNCED, .zxid = done->zxid };
    server_step(s, &ev);
}

static void on_snap_written(struct server *s, const struct store_event *done)
{
    snapshotter_ended(&s->snapshotter, true);
    log_info(module, "snapshot written zxid=0x%" PRIx64 " ms=%" PRId64, done->zxid,
             done->duration_us / 1000);
    if (s->replication.is_saving) {
        server_zab_snap_saved(s);
    }
}

static void on_snap_failed(struct server *s, const struct store_event *done)
{
    snapshotter_ended(&s->snapshotter, false);
    log_warn(module, "cannot write snapshot zxid=0x%" PRIx64 ", the older ones stay: %s",
             done->zxid, strerror(-done->error));
    if (s->replication.is_saving) {
        disk_failed(s, done->error, "save the leader's snapshot");
    }
}

static void on_store_event(struct server *s, const struct store_event *done)
{
    switch (done->type) {
    case STORE_LOG_SYNCED:
        on_log_synced(s, done);
        break;
    case STORE_LOG_FAILED:
        /* What the kernel kept of the pages is unknown: trying again could acknowledge a lie (L1). */
        disk_failed(s, done->error, "write the transaction log");
        break;
    case STORE_SNAP_WRITTEN:
        on_snap_written(s, done);
        break;
    case STORE_SNAP_FAILED:
        on_snap_failed(s, done);
        break;
    }
}

void server_store_take_events(struct server *s)
{
    struct queue_item *item = thread_queue_pop_all(&s->store_events);
    while (item) {
        struct queue_item *next = item->next;
        struct store_event *done = (struct store_event *)item;
        on_store_event(s, done);
        free(done);
        item = next;
    }
    server_zab_after_step(s);
}

/* A thread was ended, and what it has said before does not concern anybody any more. */
static void forget_events(struct server *s, enum store_event_type first,
                          enum store_event_type second)
{
    struct queue_item *item = thread_queue_pop_all(&s->store_events);
    while (item) {
        struct queue_item *next = item->next;
        struct store_event *done = (struct store_event *)item;
        if (done->type == first || done->type == second) {
            free(done);
        } else {
            thread_queue_push(&s->store_events, item);
        }
        item = next;
    }
}

void server_store_stop(struct server *s)
{
    server_store_carry_out_log(s);
    if (s->log) {
        log_thread_stop(s->log);
        s->log = NULL;
    }
    server_store_take_events(s);
    snapshotter_fini(&s->snapshotter);
    if (s->snap) {
        snap_thread_stop(s->snap);
        s->snap = NULL;
    }
    server_store_take_events(s);
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

void server_store_carry_out_log(struct server *s)
{
    struct buf *batch = &s->peer->actions.log_batch;
    if (buf_readable(batch) > 0 && s->log) {
        s->log_bytes += (int64_t)buf_readable(batch);
        log_thread_append(s->log, batch);
    }
}

/* snapCount, or snapSizeLimitInKb. The log is rolled at the same point, so that a purge can drop whole
 * files. The tree has one image at a time. */
static void begin_snapshot(struct server *s)
{
    int64_t limit = s->cfg->snap_size_limit_kb * 1024;
    bool is_due = s->peer->actions.snapshot_due || (limit > 0 && s->log_bytes > limit);
    if (is_due && s->log && !s->snapshotter.is_writing && !s->replication.sender.is_walking) {
        s->peer->actions.snapshot_due = false;
        s->log_bytes = 0;
        log_thread_roll(s->log);
        snapshotter_begin(&s->snapshotter);
    }
}

bool server_store_turn(struct server *s)
{
    if (s->failure) {
        return false;
    }
    begin_snapshot(s);
    bool busy = snapshotter_turn(&s->snapshotter);
    if (s->snapshotter.is_walking && !busy) {
        loop_timer_set(&s->loop, &s->snapshot_retry, s->loop.now_ms + SNAPSHOT_RETRY_MS);
    }
    return busy;
}

/* ---- what replication does to the disk ------------------------------------------------------------------------ */

void server_store_save_accepted_epoch(struct server *s, int64_t epoch)
{
    check(s, epochs_write_accepted(&fsops_posix, s->recovered.snapshot_dir, epoch),
          "save acceptedEpoch");
}

void server_store_save_current_epoch(struct server *s, int64_t epoch)
{
    check(s, epochs_write_current(&fsops_posix, s->recovered.snapshot_dir, epoch),
          "save currentEpoch");
}

/* S11: everything that was logged is on disk, and nobody writes any more. */
static void end_log(struct server *s)
{
    server_store_carry_out_log(s);
    int err = log_thread_stop(s->log);
    s->log = NULL;
    forget_events(s, STORE_LOG_SYNCED, STORE_LOG_SYNCED);
    check(s, err, "write the transaction log");
}

void server_store_end_snapshots(struct server *s)
{
    image_sender_abandon(&s->replication.sender);
    snapshotter_fini(&s->snapshotter);
    snap_thread_stop(s->snap);
    s->snap = NULL;
    forget_events(s, STORE_SNAP_WRITTEN, STORE_SNAP_FAILED);
    s->replication.is_saving = false;
    int err = start_snapshots(s);
    if (err < 0) {
        log_error(module, "cannot start the snapshot thread, stopping: %s", strerror(-err));
        server_fail(s, err);
    }
}

void server_store_install(struct server *s, struct data_tree *tree, struct saved_session *sessions,
                          size_t session_count)
{
    struct data_tree *old = s->recovered.tree;
    int64_t now_ms = clock_now_ms();
    server_store_end_snapshots(s);
    set_config_node(s, tree);
    peer_replace_tree(s->peer, tree);
    for (size_t i = 0; i < session_count; i++) {
        peer_restore_session(s->peer, sessions[i].session_id, sessions[i].timeout_ms, now_ms);
    }
    s->recovered.tree = tree;
    data_tree_free(old);
    free(sessions);
}

/* Tree and log are what the disk has. */
static int recover_again(struct server *s)
{
    struct recovery again;
    int err = recover(s, true, &again);
    if (err < 0) {
        return err;
    }
    server_store_install(s, again.tree, again.sessions, again.session_count);
    again.tree = NULL;
    again.sessions = NULL;
    s->recovered.last_zxid = again.last_zxid;
    recovery_fini(&again);
    return 0;
}

void server_store_truncate(struct server *s, int64_t zxid)
{
    end_log(s);
    if (!disk_works(s)) {
        return;
    }
    int err = rebuild_truncate(&fsops_posix, s->recovered.snapshot_dir,
                                            s->recovered.log_dir, zxid, entry_bytes_max(s));
    s->replication.is_not_truncated = err == -ENOENT;
    if (err == -ENOENT) {
        log_info(module, "cannot cut the log behind zxid=0x%" PRIx64 ", asking for a snapshot",
                 (uint64_t)zxid);
        check(s, start_log(s, s->peer->tree->last_zxid), "start the log thread");
        return;
    }
    log_info(module, "log cut behind zxid=0x%" PRIx64, (uint64_t)zxid);
    check(s, err, "cut the log as the leader wants it");
    if (disk_works(s) && s->peer->tree->last_zxid > zxid) {
        check(s, recover_again(s), "read the data directory again");
    }
    if (disk_works(s)) {
        check(s, start_log(s, zxid), "start the log thread");
    }
}

void server_store_reload(struct server *s)
{
    end_log(s);
    server_store_end_snapshots(s);
    if (disk_works(s)) {
        check(s, recover_again(s), "read the data directory again");
    }
    if (disk_works(s)) {
        check(s, start_log(s, s->recovered.last_zxid), "start the log thread");
    }
}

/* The tree that came as SNAP is durable: the log begins anew behind it. */
void server_store_begin_anew(struct server *s, int64_t zxid)
{
    end_log(s);
    if (disk_works(s)) {
        check(s,
              rebuild_from_snapshot(&fsops_posix, s->recovered.snapshot_dir, s->recovered.log_dir,
                                    zxid),
              "remove the old log");
    }
    if (disk_works(s)) {
        check(s, start_log(s, zxid), "start the log thread");
    }
}

/* ---- a member whose disk has failed --------------------------------------------------------------------------- */

void server_store_suspend(struct server *s)
{
    buf_reset(&s->peer->actions.log_batch);
    if (s->log) {
        log_thread_stop(s->log); /* its error is known */
        s->log = NULL;
    }
    forget_events(s, STORE_LOG_SYNCED, STORE_LOG_FAILED);
    server_store_end_snapshots(s);
    loop_timer_set(&s->loop, &s->disk_retry, clock_now_ms() + DISK_RETRY_MS);
}

static const char probe_name[] = "probe";

/* Is there room for a log to grow, and does a write arrive? */
static int probe(const struct server *s, const char *dir)
{
    struct statvfs room;
    int64_t needed = 2 * (int64_t)s->cfg->prealloc_kb * 1024 + SPARE_BYTES;
    if (statvfs(dir, &room) < 0) {
        return -errno;
    }
    if ((int64_t)room.f_bavail * (int64_t)room.f_frsize < needed) {
        return -ENOSPC;
    }
    int err = fs_replace_file(&fsops_posix, dir, probe_name, probe_name, sizeof(probe_name));
    if (err == 0) {
        char *path = fs_join(dir, probe_name);
        err = fsops_posix.unlink(fsops_posix.ctx, path);
        free(path);
    }
    return err;
}

static int resume(struct server *s)
{
    int err = probe(s, s->recovered.snapshot_dir);
    if (err == 0) {
        err = probe(s, s->recovered.log_dir);
    }
    if (err == 0) {
        err = recover_again(s);
    }
    if (err == 0) {
        err = start_log(s, s->recovered.last_zxid);
    }
    return err;
}

void server_store_try_to_resume(struct server *s)
{
    int err = resume(s);
    if (err < 0) {
        log_debug(module, "the disk does not work yet: %s", strerror(-err));
        loop_timer_set(&s->loop, &s->disk_retry, clock_now_ms() + DISK_RETRY_MS);
        return;
    }
    log_info(module, "the disk works again");
    s->replication.is_disk_bad = false;
    s->replication.is_reloaded = true;
    server_zab_after_step(s);
}
