/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node.h"

#include <stdlib.h>
#include <string.h>

#include "server/store/epoch_file.h"
#include "tests/sim/node_parts.h"
#include "tests/sim/world.h"

enum {
    INIT_LIMIT_TICKS = 10,
    SYNC_LIMIT_TICKS = 5,
    TICK_MS = 200,
    RESTART_US = 50000,
};

static const int64_t WALL_MS = 1700000000000;

int64_t node_now_ms(const struct world *w, const struct node *n)
{
    return n->clock_base_ms + w->now_us * (1000000 + n->clock_ppm) / 1000000 / 1000;
}

static int64_t to_world_us(const struct node *n, int64_t local_ms)
{
    return (local_ms - n->clock_base_ms) * 1000 * 1000000 / (1000000 + n->clock_ppm) + 1000;
}

static void start_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->a];
    if (!n->is_up) {
        node_start(w, n);
    }
}

void node_restart_later(struct world *w, const struct node *n)
{
    world_plan_event(w, RESTART_US + world_below(w, 1000000), NOBODY, start_event)->a = n->index;
}

/* ---- steps -------------------------------------------------------------------------------------------- */

static void tick_event(struct world *w, const struct event *ev);

static void plan_tick(struct world *w, struct node *n)
{
    int64_t now_ms = node_now_ms(w, n);
    int64_t at_ms = peer_deadline_ms(n->peer);
    if (at_ms > now_ms + TICK_MS / 2) {
        at_ms = now_ms + TICK_MS / 2;
    }
    int64_t at_us = to_world_us(n, at_ms);
    if (at_us <= w->now_us) {
        at_us = w->now_us + 1000;
    }
    if (at_us < n->tick_at_us) {
        n->tick_at_us = at_us;
        world_plan_event(w, at_us - w->now_us, n->index, tick_event)->a = (int64_t)++n->tick_serial;
    }
}

static void take_log_batch(struct world *w, struct node *n)
{
    struct buf *batch = &n->peer->actions.log_batch;
    const uint8_t *at = buf_head(batch);
    const uint8_t *end = at + buf_readable(batch);
    while (at < end) {
        struct log_entry_head head;
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        truth_proposed(w, n, head.zxid, at, (size_t)head.len);
        at += head.len;
    }
    buf_append(&n->log_queue, buf_head(batch), buf_readable(batch));
    buf_reset(batch);
}

void node_step(struct world *w, struct node *n, struct peer_event *ev)
{
    ev->now_ms = node_now_ms(w, n);
    ev->wall_ms = WALL_MS + ev->now_ms;
    peer_step(n->peer, ev);
}

static void step_zab(struct world *w, struct node *n, enum zab_event_type type)
{
    struct zab_event ev = { .type = type };
    node_step(w, n, &(struct peer_event){ .type = PEER_ZAB, .zab = &ev });
}

/* What an action of this step came to. */
static void tell_core(struct world *w, struct node *n)
{
    if (n->is_failure_untold) {
        n->is_failure_untold = false;
        take_log_batch(w, n);
        step_zab(w, n, ZAB_ON_DISK_FAILED);
        node_suspend_disk(w, n);
    }
}

void node_finish_turn(struct world *w, struct node *n)
{
    tell_core(w, n);
    take_log_batch(w, n);
    node_flush_clients(w, n);
    take_log_batch(w, n);
    truth_check_node(w, n);
    if (n->peer->actions.snapshot_due && n->peer->is_serving && !n->is_imaging) {
        node_begin_snapshot(w, n);
    }
    node_kick_log(w, n);
    plan_tick(w, n);
}

void node_turn(struct world *w, struct node *n, struct peer_event ev)
{
    node_step(w, n, &ev);
    node_finish_turn(w, n);
}

void node_zab_turn(struct world *w, struct node *n, struct zab_event ev)
{
    node_turn(w, n, (struct peer_event){ .type = PEER_ZAB, .zab = &ev });
}

static void tick_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if ((uint64_t)ev->a == n->tick_serial) {
        n->tick_at_us = INT64_MAX;
        node_turn(w, n, (struct peer_event){ .type = PEER_TICK });
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static const char config_text[] =
    "server.1=a:1:2:participant\nserver.2=b:1:2:participant\nversion=0";

void node_init(struct world *w, struct node *n, int32_t index)
{
    n->index = index;
    n->sid = index + 1;
    n->ensemble = (struct ensemble){ .self_sid = n->sid,
                                     .voter_count = w->plan.server_count,
                                     .config_text = config_text };
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        n->ensemble.voters[i] = i + 1;
    }
    n->fs = fake_fs_new();
    fake_fs_make_dir(n->fs, "/d");
    n->is_host_up = true;
    n->clock_base_ms = 1000 + world_below(w, 1000000);
    /* Usually 1 % off at most; a virtual machine can be much worse. */
    int64_t ppm_max = world_chance(w, 3) ? 200000 : 10000;
    n->clock_ppm = world_below(w, 2 * ppm_max + 1) - ppm_max;
    n->log_latency_us = 200 + world_below(w, 5000);
    n->commit_log_count = world_chance(w, 2) ? 2 + (int32_t)world_below(w, 40) : 500;
    list_init(&n->held);
}

static void start_peer(struct world *w, struct node *n, const struct recovery *state,
                       const struct epochs *epochs)
{
    const struct peer_config config = {
        .ensemble = &n->ensemble,
        .init_limit_ticks = INIT_LIMIT_TICKS,
        .sync_limit_ticks = SYNC_LIMIT_TICKS,
        .commit_log_count = n->commit_log_count,
        .snap_size_percent = w->plan.snap_size_percent,
        .on_zab_action = node_on_action,
        .on_zab_action_arg = n,
        .sid = n->sid,
        .start_ms = WALL_MS + node_now_ms(w, n),
        .seed = w->seed + n->life,
        .tick_time_ms = TICK_MS,
        .min_session_timeout_ms = 2 * TICK_MS,
        .max_session_timeout_ms = 40 * TICK_MS,
        .snap_count = w->plan.snap_count,
        .jute_maxbuffer = FRAME_BYTES_MAX,
        .with_digest = true,
    };
    struct history_tail tail = { .entries = BUF_EMPTY };
    node_read_tail(w, n, state->last_zxid, &tail);
    const struct zab_start start = { state->last_zxid, epochs->accepted, epochs->current, &tail,
                                     state->snapshot_zxid };
    n->peer = peer_new(&config, n->tree, node_now_ms(w, n));
    node_restore_sessions(w, n, state);
    peer_start(n->peer, &start);
    buf_fini(&tail.entries);
}

void node_start(struct world *w, struct node *n)
{
    struct recovery state;
    struct epochs epochs;
    n->life++;
    n->is_host_up = true;
    int rc = node_recover(w, n, &state);
    if (rc == 0) {
        rc = node_read_epochs(w, n, state.snapshot_dir, state.last_zxid, &epochs);
    }
    world_note(w, n->index, "start", rc == 0 ? state.last_zxid : rc, rc == 0 ? epochs.current : 0);
    fake_fs_fail_at(n->fs, 0, 0);
    if (rc != 0) {
        recovery_fini(&state);
        node_restart_later(w, n);
        return;
    }
    n->tree = state.tree;
    n->snapshot_dir = state.snapshot_dir;
    n->log_dir = state.log_dir;
    state.tree = NULL;
    state.snapshot_dir = NULL;
    state.log_dir = NULL;
    n->is_up = true;
    n->is_paused = false;
    n->is_listening = false;
    n->is_snapping = false;
    n->is_disk_bad = false;
    n->tick_at_us = INT64_MAX;
    n->seen_zxid = 0;
    n->was_serving = false;
    n->restarts++;
    node_reopen_log(n, state.last_zxid);
    truth_durable(w, n, state.last_zxid);
    start_peer(w, n, &state, &epochs);
    recovery_fini(&state);
    node_finish_turn(w, n);
}

/* The process is gone, and with it everything in memory. */
static void end_life(struct world *w, struct node *n, bool is_power_loss)
{
    n->is_up = false;
    n->is_paused = false;
    n->life++;
    world_release(w, n); /* to be dropped, as this life is over */
    list_for_each (it, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        struct client *c = l->end[1].owner;
        if (l->is_client && l->end[1].endpoint == n->index && c) {
            l->end[1].owner = NULL;
            node_forget_client(w, n, c);
        }
    }
    net_server_down(w, n->index, is_power_loss);
    node_give_up_snapshot(n);
    peer_free(n->peer);
    data_tree_free(n->tree);
    txnlog_free(n->log);
    free(n->snapshot_dir);
    free(n->log_dir);
    buf_reset(&n->log_queue);
    buf_reset(&n->log_busy);
    n->is_log_busy = false;
    n->peer = NULL;
    n->tree = NULL;
    n->log = NULL;
    n->snapshot_dir = NULL;
    n->log_dir = NULL;
}

void node_kill(struct world *w, struct node *n)
{
    if (!n->is_up) {
        return;
    }
    world_note(w, n->index, "kill", 0, 0);
    node_write_log_in_part(w, n);
    end_life(w, n, false);
    fake_fs_fail_at(n->fs, 0, 0);
}

void node_crash(struct world *w, struct node *n)
{
    if (!n->is_host_up) {
        return;
    }
    world_note(w, n->index, "power loss", 0, 0);
    if (n->is_up) {
        node_write_log_in_part(w, n);
        end_life(w, n, true);
    }
    n->is_host_up = false;
    fake_fs_fail_at(n->fs, 0, 0);
    fake_fs_crash(n->fs, world_chance(w, 3) ? 0 : prng_next(&w->rng));
}

void node_pause(struct world *w, struct node *n)
{
    if (n->is_up) {
        world_note(w, n->index, "pause", 0, 0);
        n->is_paused = true;
    }
}

void node_resume(struct world *w, struct node *n)
{
    if (n->is_paused) {
        world_note(w, n->index, "resume", 0, 0);
        n->is_paused = false;
        /* What came meanwhile may be read before anybody looks at the clock. */
        bool is_network_first = world_chance(w, 2);
        if (is_network_first) {
            net_pump_all(w);
        }
        world_release(w, n);
        net_pump_all(w);
    }
}

void node_fini(struct world *w, struct node *n)
{
    if (n->is_up) {
        end_life(w, n, false);
    }
    buf_fini(&n->log_queue);
    buf_fini(&n->log_busy);
    fake_fs_free(n->fs);
}
