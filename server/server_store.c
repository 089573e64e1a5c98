/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/store/txnlog_tail.h"

/* Bytes on their way to the disk before clients that wait for it are not read any more. */
enum { LOG_BACKLOG_BYTES_MAX = 64 * 1024 * 1024 };

/* How long a snapshot pauses for a slow disk before it looks again. */
enum { SNAPSHOT_RETRY_MS = 5 };

static const char module[] = "server";

size_t server_entry_bytes_max(const struct server *s)
{
    return 2 * (size_t)s->cfg->jute_maxbuffer;
}

/* ---- recovery -------------------------------------------------------------------------------- */

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
void server_store_set_config_node(const struct server *s, struct data_tree *tree)
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
        server_store_set_config_node(s, s->recovered.tree);
    }
    return err;
}

static int read_epochs(const struct recovery *r, struct epochs *epochs)
{
    int err = epochs_read(&fsops_posix, r->snapshot_dir, r->last_zxid, epochs);
    if (err < 0) {
        log_error(module, "cannot use acceptedEpoch and currentEpoch in %s: %s", r->snapshot_dir,
                  err == -EBADMSG ? "they do not fit together, or not to the log" : strerror(-err));
    }
    return err;
}

int server_store_read_epochs_and_tail(const struct server *s, const struct recovery *r,
                                      struct epochs *epochs, struct history_tail *tail)
{
    int err = read_epochs(r, epochs);
    if (err < 0) {
        return err;
    }
    err = txnlog_read_tail(&fsops_posix, r->snapshot_dir, r->log_dir, r->last_zxid,
                           (size_t)s->cfg->commit_log_count, server_entry_bytes_max(s), tail);
    if (err < 0) {
        /* Costs a snapshot where a few txns would do. */
        log_warn(module, "cannot read the end of the log: %s", strerror(-err));
    }
    return 0;
}

int server_store_read_state(const struct server *s, struct store_state *state)
{
    *state = (struct store_state){ .tail = { .entries = BUF_EMPTY } };
    int err = recover(s, true, &state->recovered);
    if (err == 0) {
        err = server_store_read_epochs_and_tail(s, &state->recovered, &state->epochs, &state->tail);
    }
    if (err < 0) {
        store_state_fini(state);
    }
    return err;
}

void store_state_fini(struct store_state *state)
{
    recovery_fini(&state->recovered);
    buf_fini(&state->tail.entries);
}

/* ---- the threads ----------------------------------------------------------------------------- */

static int start_log(struct server *s, int64_t last_zxid)
{
    const struct config *cfg = s->cfg;
    const struct log_thread_config config = {
        .fs = &fsops_posix,
        .dir = s->recovered.log_dir,
        .log = {
            .prealloc_bytes = (int64_t)cfg->prealloc_kb * 1024,
            .file_bytes_max = cfg->txnlog_size_limit_kb > 0 ? cfg->txnlog_size_limit_kb * 1024 : 0,
            .entry_bytes_max = server_entry_bytes_max(s),
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

int server_store_start_threads(struct server *s, int64_t last_zxid)
{
    int err = start_log(s, last_zxid);
    if (err < 0) {
        return err;
    }
    err = start_snapshots(s);
    if (err < 0) {
        log_thread_stop(s->log);
        s->log = NULL;
    }
    return err;
}

int server_store_start(struct server *s)
{
    int err = thread_queue_init(&s->store_events);
    if (err < 0) {
        return err;
    }
    err = job_thread_start(&s->store_events, &s->jobs);
    if (err < 0) {
        goto err_queue;
    }
    err = server_store_start_threads(s, s->recovered.last_zxid);
    if (err < 0) {
        goto err_jobs;
    }
    return 0;

err_jobs:
    job_thread_stop(s->jobs);
err_queue:
    thread_queue_fini(&s->store_events);
    return err;
}

/* ---- what the threads say -------------------------------------------------------------------- */

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
    if (!snapshotter_ended(&s->snapshotter, done->serial, true)) {
        return; /* of a tree that is not ours any more */
    }
    log_info(module, "snapshot written zxid=0x%" PRIx64 " ms=%" PRId64, done->zxid,
             done->duration_us / 1000);
    if (s->replication.is_saving) {
        server_zab_snap_saved(s);
    }
}

static void on_snap_failed(struct server *s, const struct store_event *done)
{
    if (!snapshotter_ended(&s->snapshotter, done->serial, false)) {
        return;
    }
    log_warn(module, "cannot write snapshot zxid=0x%" PRIx64 ", the older ones stay: %s",
             done->zxid, strerror(-done->error));
    if (s->replication.is_saving) {
        server_disk_failed(s, done->error, "save the leader's snapshot");
    }
}

static void on_store_event(struct server *s, const struct store_event *done)
{
    switch (done->type) {
    case STORE_LOG_SYNCED:
        if (s->log) { /* else it was taken over, and is being ended (S11) */
            on_log_synced(s, done);
        }
        break;
    case STORE_LOG_FAILED:
        /* What the kernel kept of the pages is unknown: trying again could acknowledge a lie (L1).
         */
        if (s->log) {
            server_disk_failed(s, done->error, "write the transaction log");
        }
        break;
    case STORE_JOB_DONE:
        done->job->done(done->job);
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

void server_store_stop(struct server *s)
{
    server_store_carry_out_log(s);
    if (s->log) {
        log_thread_stop(s->log);
        s->log = NULL;
    }
    server_store_take_events(s);
    snapshotter_abandon(&s->snapshotter);
    if (s->snap) {
        snap_thread_stop(s->snap);
        s->snap = NULL;
    }
    s->is_stopping = true;
    job_thread_stop(s->jobs);
    server_store_take_events(s);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void server_store_carry_out_log(struct server *s)
{
    struct buf *batch = &s->peer->actions.log_batch;
    if (buf_readable(batch) > 0 && s->log) {
        s->log_bytes += (int64_t)buf_readable(batch);
        log_thread_append(s->log, batch);
    }
}

/* snapCount, or snapSizeLimitInKb. The log is rolled at the same point, so that a purge can drop
 * whole files. The tree has one image at a time. */
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
