/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/fault.h"

#include <errno.h>
#include <string.h>

#include "tests/sim/world.h"

static const char *const names[FAULT_KINDS] = {
    "kill", "power", "power-all",  "pause",       "isolate",      "split",     "one-way",
    "clog", "lag",   "break-link", "break-votes", "break-client", "disk-call", "disk-slow",
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

static struct node *any_node(struct world *w)
{
    return &w->nodes[world_below(w, w->plan.server_count)];
}

/* Most faults are over soon, some last longer than any time-out. */
static int64_t duration(struct world *w)
{
    return world_chance(w, 4) ? 1000000 + world_below(w, 4000000) : 20000 + world_below(w, 800000);
}

static void start_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->a];
    if (!n->is_up) {
        node_start(w, n);
    }
}

static void start_later(struct world *w, const struct node *n)
{
    world_plan_event(w, duration(w), NOBODY, start_event)->a = n->index;
}

static void resume_event(struct world *w, const struct event *ev)
{
    node_resume(w, &w->nodes[ev->a]);
}

/* ---- partitions ------------------------------------------------------------------------------------------ */

static void unblock_all(struct world *w)
{
    for (int a = 0; a < SERVERS_MAX; a++) {
        for (int b = 0; b < SERVERS_MAX; b++) {
            w->net.blocked[a][b] = false;
            w->net.clogged_until_us[a][b] = 0;
        }
    }
    net_pump_all(w);
}

static void unblock_event(struct world *w, const struct event *ev)
{
    (void)ev;
    unblock_all(w);
}

static void unclog_event(struct world *w, const struct event *ev)
{
    (void)ev;
    net_pump_all(w);
}

/* Servers with their bit in mask on one side, the others on the other. */
static void split(struct world *w, uint64_t mask, bool inward, bool outward)
{
    for (int a = 0; a < w->plan.server_count; a++) {
        for (int b = 0; b < w->plan.server_count; b++) {
            bool a_in = mask >> a & 1;
            bool b_in = mask >> b & 1;
            w->net.blocked[a][b] |= (a_in && !b_in && outward) || (!a_in && b_in && inward);
        }
    }
    world_plan_event(w, duration(w), NOBODY, unblock_event);
}

static void clog_direction(struct world *w)
{
    int64_t a = world_below(w, w->plan.server_count);
    int64_t b = world_below(w, w->plan.server_count);
    int64_t us = duration(w);
    w->net.clogged_until_us[a][b] = w->now_us + us;
    world_plan_event(w, us, NOBODY, unclog_event);
}

static void unlag_event(struct world *w, const struct event *ev)
{
    w->net.lag_us[ev->a][ev->b] = 0;
}

/* What arrives is old news. */
static void lag_direction(struct world *w)
{
    struct event *ev = world_plan_event(w, duration(w), NOBODY, unlag_event);
    ev->a = world_below(w, w->plan.server_count);
    ev->b = world_below(w, w->plan.server_count);
    w->net.lag_us[ev->a][ev->b] = world_below(w, 900000);
}

/* ---- one fault --------------------------------------------------------------------------------------------- */

static void power_all(struct world *w)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        node_crash(w, &w->nodes[i]);
        start_later(w, &w->nodes[i]);
    }
}

static void break_link(struct world *w, bool is_client)
{
    struct link *l = net_pick(w, is_client);
    if (l) {
        net_break(w, l);
    }
}

static void happen(struct world *w, enum fault_kind kind)
{
    struct node *n = any_node(w);
    w->faults.counts[kind]++;
    world_note(w, n->index, names[kind], 0, 0);
    switch (kind) {
    case FAULT_KILL:
        node_kill(w, n);
        start_later(w, n);
        break;
    case FAULT_POWER:
        node_crash(w, n);
        start_later(w, n);
        break;
    case FAULT_POWER_ALL:
        power_all(w);
        break;
    case FAULT_PAUSE:
        node_pause(w, n);
        world_plan_event(w, duration(w), NOBODY, resume_event)->a = n->index;
        break;
    case FAULT_ISOLATE:
        split(w, 1u << n->index, true, true);
        break;
    case FAULT_SPLIT:
        split(w, prng_next(&w->rng), true, true);
        break;
    case FAULT_ONE_WAY:
        split(w, 1u << n->index, world_chance(w, 2), world_chance(w, 2));
        break;
    case FAULT_CLOG:
        clog_direction(w);
        break;
    case FAULT_LAG:
        lag_direction(w);
        break;
    case FAULT_BREAK_LINK:
        break_link(w, false);
        break;
    case FAULT_BREAK_VOTES:
        net_break_votes(w, n->index, (int32_t)world_below(w, w->plan.server_count));
        break;
    case FAULT_BREAK_CLIENT:
        break_link(w, true);
        break;
    case FAULT_DISK_CALL:
        fake_fs_fail_at(n->fs, 1 + prng_below(&w->rng, 30), world_chance(w, 2) ? ENOSPC : EIO);
        break;
    case FAULT_DISK_SLOW:
        n->log_latency_us = 200 + world_below(w, world_chance(w, 3) ? 500000 : 20000);
        break;
    case FAULT_KINDS:
        break;
    }
}

static enum fault_kind pick_kind(struct world *w)
{
    int64_t at = world_below(w, w->faults.weight_sum);
    int kind = 0;
    while (at >= w->faults.weight[kind]) {
        at -= w->faults.weight[kind++];
    }
    return (enum fault_kind)kind;
}

static void fault_event(struct world *w, const struct event *ev)
{
    (void)ev;
    if (!w->is_hostile) {
        return;
    }
    happen(w, pick_kind(w));
    world_plan_event(w, world_below(w, 2 * w->faults.interval_us), NOBODY, fault_event);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

void faults_init(struct world *w)
{
    struct faults *f = &w->faults;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        f->weight[kind] = world_chance(w, 2) ? (int32_t)world_below(w, 10) : 0;
        f->weight_sum += f->weight[kind];
    }
    f->interval_us = 30000 + world_below(w, 800000);
    if (f->weight_sum > 0) { /* else a run without faults, which must work as well */
        world_plan_event(w, world_below(w, 2000000), NOBODY, fault_event);
    }
}

void faults_heal(struct world *w)
{
    unblock_all(w);
    memset(w->net.lag_us, 0, sizeof(w->net.lag_us));
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        struct node *n = &w->nodes[i];
        fake_fs_fail_at(n->fs, 0, 0);
        n->log_latency_us = 200 + world_below(w, 5000);
        node_resume(w, n);
        if (!n->is_up) {
            node_start(w, n);
        }
    }
}
