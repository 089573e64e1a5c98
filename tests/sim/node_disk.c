/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "server/store/rebuild.h"
#include "server/store/txnlog_tail.h"
#include "tests/sim/world.h"

enum {
    ENTRY_BYTES_MAX = 2 * FRAME_BYTES_MAX,
    LOG_LATENCY_US_MAX = 2000000,
    DISK_RETRY_US = 1000000,
};

/* A file call failed, and only a fault that was planned may do that: the core will be told, and nothing else
 * is asked of the disk until it works again. */
static void disk_failed(struct world *w, struct node *n, const char *what, int rc)
{
    if (!fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d: %s without a fault: %s", n->index + 1, what, strerror(-rc));
    }
    world_note(w, n->index, "disk failed", -rc, 0);
    world_saw(w, SEEN_DISK_FAILED);
    n->is_disk_bad = true;
    n->is_failure_untold = true;
}

/* ---- the log thread -------------------------------------------------------------------------------------- */

/* Appends and commits what is in log_busy. 0 or -errno; *zxid: the last one. */
static int write_log(struct node *n, int64_t *zxid)
{
    const uint8_t *at = buf_head(&n->log_busy);
    const uint8_t *end = at + buf_readable(&n->log_busy);
    int rc = 0;
    if (n->wants_roll) {
        n->wants_roll = false;
        rc = txnlog_roll(n->log);
    }
    while (at < end && rc == 0) {
        struct log_entry_head head;
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        rc = txnlog_append(n->log, head.zxid, at, (size_t)head.len);
        at += head.len;
        *zxid = head.zxid;
    }
    return rc != 0 ? rc : txnlog_commit(n->log);
}

void node_write_log_in_part(struct world *w, struct node *n)
{
    int64_t ignored;
    if (n->is_log_busy && world_chance(w, 2)) {
        fake_fs_fail_at(n->fs, 1 + prng_below(&w->rng, 5), EIO);
        write_log(n, &ignored);
    }
    fake_fs_fail_at(n->fs, 0, 0);
}

static void log_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    int64_t zxid = 0;
    if ((uint64_t)ev->a != n->log_serial) {
        return; /* that thread was ended */
    }
    int rc = write_log(n, &zxid);
    n->is_log_busy = false;
    buf_reset(&n->log_busy);
    if (rc != 0) {
        disk_failed(w, n, "cannot write the log", rc);
        node_finish_turn(w, n);
        return;
    }
    world_note(w, n->index, "synced", zxid, 0);
    truth_durable(w, n, zxid);
    node_turn(w, n, (struct peer_event){ .type = PEER_LOG_SYNCED, .zxid = zxid });
}

void node_kick_log(struct world *w, struct node *n)
{
    if (n->is_log_busy || buf_readable(&n->log_queue) == 0) {
        return;
    }
    struct buf empty = n->log_busy;
    n->log_busy = n->log_queue;
    n->log_queue = empty;
    n->is_log_busy = true;
    n->wants_roll |= world_chance(w, w->plan.roll_one_in);
    int64_t us = n->log_latency_us / 2 + world_below(w, n->log_latency_us);
    if (world_chance(w, 30)) {
        us *= 1 + world_below(w, 30);
    }
    us = us > LOG_LATENCY_US_MAX ? LOG_LATENCY_US_MAX : us;
    world_plan_event(w, us, n->index, log_event)->a = (int64_t)n->log_serial;
}

void node_reopen_log(struct node *n, int64_t last_zxid)
{
    struct txnlog_options opts = { .prealloc_bytes = n->index % 2 ? 4096 : 0, .force_sync = true };
    zk_assert(!n->is_log_busy); /* S11 */
    zk_assert(buf_readable(&n->log_queue) == 0);
    txnlog_free(n->log);
    n->log = txnlog_new(fake_fs_ops(n->fs), n->log_dir, &opts, last_zxid);
    n->wants_roll = false;
    n->appended_zxid = last_zxid;
}

/* ---- recovery ------------------------------------------------------------------------------------------------ */

int node_recover(struct world *w, struct node *n, struct recovery *out)
{
    const struct recovery_options options = {
        .data_dir = "/d",
        .log_dir = "/d",
        .frame_bytes_max = FRAME_BYTES_MAX,
        .tree = { .hash_seed = w->seed, .extended_types = true },
    };
    int rc = recovery_run(fake_fs_ops(n->fs), &options, out);
    if (rc != 0 && !fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d does not start: %s", n->index + 1, out->error);
    }
    if (rc == 0 && out->digest_mismatches > 0) {
        sim_fail(w, "server %d: its log leads to another digest", n->index + 1);
    }
    return rc;
}

int node_read_epochs(struct world *w, struct node *n, const char *dir, int64_t last_zxid,
                     struct epochs *out)
{
    int rc = epochs_read(fake_fs_ops(n->fs), dir, last_zxid, out);
    if (rc != 0 && !fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d does not start: its epochs do not fit to its log", n->index + 1);
    }
    return rc;
}

void node_read_tail(const struct world *w, struct node *n, int64_t last_zxid,
                    struct history_tail *out)
{
    /* An error costs a snapshot where a few txns would do. */
    txnlog_read_tail(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, last_zxid,
                     (size_t)n->commit_log_count, ENTRY_BYTES_MAX, out);
    const uint8_t *at = buf_head(&out->entries);
    const uint8_t *end = at + buf_readable(&out->entries);
    struct log_entry_head head;
    for (int64_t last = 0; at < end; last = head.zxid) {
        memcpy(&head, at, sizeof(head));
        at += sizeof(head) + (size_t)head.len;
        if (last != 0) {
            truth_neighbours(w, n, last, head.zxid);
        }
    }
}

void node_restore_sessions(struct world *w, struct node *n, const struct recovery *state)
{
    for (size_t i = 0; i < state->session_count; i++) {
        peer_restore_session(n->peer, state->sessions[i].session_id, state->sessions[i].timeout_ms,
                             node_now_ms(w, n));
    }
}

void node_replace_tree(struct world *w, struct node *n, struct recovery *state)
{
    struct data_tree *old = n->tree;
    node_give_up_snapshot(n);
    n->tree = state->tree;
    state->tree = NULL;
    peer_replace_tree(n->peer, n->tree);
    data_tree_free(old);
    node_restore_sessions(w, n, state);
    n->seen_zxid = 0;
}

/* ---- what replication does to the disk ------------------------------------------------------------------------- */

int64_t node_job_us(struct world *w, const struct node *n)
{
    return n->log_latency_us * 2 + world_below(w, 4 * n->log_latency_us + w->plan.job_us);
}

void node_save_epoch(struct world *w, struct node *n, const struct zab_action *a)
{
    const struct fsops *fs = fake_fs_ops(n->fs);
    bool is_accepted = a->type == ZAB_DO_SAVE_ACCEPTED_EPOCH;
    int rc = is_accepted ? epochs_write_accepted(fs, n->snapshot_dir, a->epoch)
                         : epochs_write_current(fs, n->snapshot_dir, a->epoch);
    if (rc != 0) {
        disk_failed(w, n, "cannot save the epoch", rc);
    }
    world_note(w, n->index, is_accepted ? "accepted" : "current", a->epoch, 0);
}

/* The tree follows some time after the cut. */
static void truncated_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    struct recovery state;
    if ((uint64_t)ev->b != n->job_serial) {
        return; /* that role is over */
    }
    if (n->tree->last_zxid > ev->a) {
        int rc = node_recover(w, n, &state);
        if (rc == 0) {
            node_replace_tree(w, n, &state);
        }
        recovery_fini(&state);
        if (rc != 0) {
            disk_failed(w, n, "cannot read what was truncated", rc);
            node_finish_turn(w, n);
            return;
        }
    }
    node_zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_TRUNCATED });
}

static void not_truncated_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if ((uint64_t)ev->b == n->job_serial) {
        node_zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_NOT_TRUNCATED });
    }
}

static void die_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if (world_chance(w, 2)) {
        node_kill(w, n);
    } else {
        node_crash(w, n);
    }
    node_restart_later(w, n);
}

/* Sometimes it dies half-way: what it would do after the call that fails never happens. */
static int truncate_log(struct world *w, struct node *n, int64_t zxid)
{
    bool may_die = w->is_hostile && world_chance(w, w->plan.half_cut_one_in);
    if (may_die) {
        fake_fs_fail_change_at(n->fs, 1 + prng_below(&w->rng, 4), EIO);
    }
    int rc =
        rebuild_truncate(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, zxid, ENTRY_BYTES_MAX);
    if (may_die && rc == -EIO) {
        world_saw(w, SEEN_HALF_CUT);
        world_plan_event(w, 0, n->index, die_event);
    } else if (may_die) {
        fake_fs_fail_at(n->fs, 0, 0);
    }
    return rc;
}

void node_truncate_log(struct world *w, struct node *n, int64_t zxid)
{
    node_reopen_log(n, zxid);
    int rc = truncate_log(w, n, zxid);
    bool is_refused = rc == -ENOENT && !fake_fs_has_failed(n->fs);
    world_saw(w, is_refused ? SEEN_NOT_TRUNC : SEEN_TRUNC);
    world_note(w, n->index, "truncate", zxid, rc);
    if (rc != 0 && !is_refused) {
        disk_failed(w, n, "cannot truncate", rc);
        return;
    }
    if (!is_refused) {
        truth_durable(w, n, zxid);
    }
    struct event *ev = world_plan_event(w, node_job_us(w, n), n->index,
                                        is_refused ? not_truncated_event : truncated_event);
    ev->a = zxid;
    ev->b = (int64_t)++n->job_serial;
}

static void snap_saved_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if ((uint64_t)ev->b != n->job_serial) {
        return; /* that role is over */
    }
    int rc = node_write_snapshot(n);
    if (rc == 0 && w->is_hostile && world_chance(w, w->plan.half_saved_one_in)) {
        /* The old log stays behind, and ends before the tree. */
        world_saw(w, SEEN_HALF_SAVED);
        node_kill(w, n);
        node_restart_later(w, n);
        return;
    }
    if (rc == 0) {
        rc = rebuild_from_snapshot(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, ev->a);
    }
    world_note(w, n->index, "snap saved", ev->a, rc);
    if (rc != 0) {
        disk_failed(w, n, "cannot save the leader's snapshot", rc);
        node_finish_turn(w, n);
        return;
    }
    node_reopen_log(n, ev->a);
    truth_durable(w, n, ev->a);
    node_zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_SNAP_SAVED });
}

void node_save_tree_later(struct world *w, struct node *n, int64_t zxid)
{
    struct event *ev = world_plan_event(w, node_job_us(w, n), n->index, snap_saved_event);
    ev->a = zxid;
    ev->b = (int64_t)++n->job_serial;
}

/* Tree, log and epochs are what the disk has, and the core is told so. 0 or -errno, and nothing was changed. */
static int reload(struct world *w, struct node *n)
{
    struct recovery state;
    struct epochs epochs;
    int rc = node_recover(w, n, &state);
    if (rc == 0) {
        rc = node_read_epochs(w, n, n->snapshot_dir, state.last_zxid, &epochs);
    }
    world_note(w, n->index, "reload", state.last_zxid, rc);
    if (rc != 0) {
        recovery_fini(&state);
        return rc;
    }
    struct history_tail tail = { .entries = BUF_EMPTY };
    node_read_tail(w, n, state.last_zxid, &tail);
    node_replace_tree(w, n, &state);
    node_reopen_log(n, state.last_zxid);
    const struct zab_start disk = { state.last_zxid, epochs.accepted, epochs.current, &tail,
                                    state.snapshot_zxid };
    recovery_fini(&state);
    world_saw(w, SEEN_RELOAD);
    truth_durable(w, n, disk.last_zxid);
    n->is_disk_bad = false;
    node_zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_RELOADED, .disk = &disk });
    buf_fini(&tail.entries);
    return 0;
}

static void reload_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if ((uint64_t)ev->b != n->job_serial) {
        return;
    }
    int rc = reload(w, n);
    if (rc != 0) {
        disk_failed(w, n, "cannot reload", rc);
        node_finish_turn(w, n);
    }
}

void node_reload_later(struct world *w, struct node *n)
{
    struct event *ev = world_plan_event(w, node_job_us(w, n), n->index, reload_event);
    ev->b = (int64_t)++n->job_serial;
    n->is_snapping = false;
}

/* ---- a disk that has failed ------------------------------------------------------------------------------------ */

static const char probe_name[] = "probe";

static int probe(const struct node *n)
{
    const struct fsops *fs = fake_fs_ops(n->fs);
    int rc = fs_replace_file(fs, n->snapshot_dir, probe_name, probe_name, sizeof(probe_name));
    if (rc == 0) {
        char *path = fs_join(n->snapshot_dir, probe_name);
        rc = fs->unlink(fs->ctx, path);
        free(path);
    }
    return rc;
}

static void try_to_resume_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    int rc = probe(n);
    if (rc == 0) {
        rc = reload(w, n);
    }
    if (rc != 0) {
        world_plan_event(w, DISK_RETRY_US, n->index, try_to_resume_event);
        return;
    }
    world_note(w, n->index, "disk works", 0, 0);
    world_saw(w, SEEN_DISK_WORKS);
}

void node_suspend_disk(struct world *w, struct node *n)
{
    int64_t ignored;
    buf_reset(&n->log_queue);
    if (n->is_log_busy) { /* its thread is waited for */
        write_log(n, &ignored);
        n->is_log_busy = false;
        buf_reset(&n->log_busy);
    }
    n->log_serial++;
    txnlog_free(n->log);
    n->log = NULL;
    node_give_up_snapshot(n);
    n->is_snapping = false;
    n->job_serial++;
    world_plan_event(w, DISK_RETRY_US, n->index, try_to_resume_event);
}
