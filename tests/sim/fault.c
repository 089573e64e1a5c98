/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/fault.h"

#include <errno.h>
#include <string.h>

#include "tests/sim/world.h"

enum { LEFT_BEHIND_US = 6000000 };

static const char *const names[FAULT_KINDS] = {
    "kill",         "power",       "power-all",    "outage",    "pause",
    "isolate",      "split",       "one-way",      "clog",      "lag",
    "break-link",   "break-votes", "break-client", "cut-user",  "clog-user",
    "leave-behind", "disk-call",   "disk-sync",    "disk-full", "disk-slow",
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

static struct node *any_node(struct world *w)
{
    return &w->nodes[world_below(w, w->plan.server_count)];
}

static struct node *leader_or(struct world *w, struct node *other)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        if (w->nodes[i].is_up && w->nodes[i].peer->is_leader) {
            return &w->nodes[i];
        }
    }
    return other;
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
    for (int a = 0; a < ENDPOINTS; a++) {
        for (int b = 0; b < ENDPOINTS; b++) {
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

static void clog_pair(struct world *w, int64_t a, int64_t b)
{
    int64_t us = duration(w);
    w->net.clogged_until_us[a][b] = w->now_us + us;
    world_plan_event(w, us, NOBODY, unclog_event);
}

/* A user loses one server and must go on at another, with its session, its watches and its ephemerals. */
static void cut_user(struct world *w)
{
    int64_t user = ENDPOINT_USERS + world_below(w, w->plan.user_count);
    int64_t server = world_below(w, w->plan.server_count);
    int64_t directions = 1 + world_below(w, 3);
    w->net.blocked[user][server] |= directions & 1;
    w->net.blocked[server][user] |= directions >> 1;
    world_plan_event(w, duration(w), NOBODY, unblock_event);
}

static void clog_user(struct world *w)
{
    int64_t user = ENDPOINT_USERS + world_below(w, w->plan.user_count);
    int64_t server = world_below(w, w->plan.server_count);
    bool is_inward = world_chance(w, 2);
    clog_pair(w, is_inward ? user : server, is_inward ? server : user);
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

static void lag_more_event(struct world *w, const struct event *ev)
{
    int64_t *lag_us = &w->net.lag_us[ev->a][ev->b];
    *lag_us *= *lag_us < 1000000 ? 2 : 1;
}

static void mute_event(struct world *w, const struct event *ev)
{
    if (w->is_hostile) {
        split(w, 1u << ev->a, false, true);
    }
}

/* The others look for a new leader while this one still gets answers to what it sent long ago: it must not
 * take them for a confirmation of now. The lag grows in steps below syncLimit, to more than that. */
static void leave_behind(struct world *w, const struct node *n)
{
    w->faults.left_behind = (struct left_behind){ n->index, w->now_us + LEFT_BEHIND_US, false };
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        struct event *ev = world_plan_event(w, LEFT_BEHIND_US, NOBODY, unlag_event);
        ev->a = i;
        ev->b = n->index;
        w->net.lag_us[i][n->index] = 700000 + world_below(w, 100000);
        ev = world_plan_event(w, 1000000, NOBODY, lag_more_event);
        ev->a = i;
        ev->b = n->index;
    }
    world_plan_event(w, 2000000, NOBODY, mute_event)->a = n->index;
}

bool faults_want_quiet(const struct world *w, int32_t server)
{
    const struct left_behind *left = &w->faults.left_behind;
    return w->is_hostile && w->now_us < left->until_us &&
           (!left->has_successor || server == left->server);
}

int32_t faults_tempt(const struct world *w, int32_t server)
{
    const struct left_behind *left = &w->faults.left_behind;
    bool is_on = w->is_hostile && w->now_us < left->until_us && left->has_successor;
    return is_on && server != left->server ? left->server : NOBODY;
}

void faults_on_reign(struct world *w, int32_t server)
{
    w->faults.left_behind.has_successor |= server != w->faults.left_behind.server;
}

/* ---- disks ---------------------------------------------------------------------------------- */

static void room_event(struct world *w, const struct event *ev)
{
    fake_fs_set_full(w->nodes[ev->a].fs, false);
}

static void fill_up(struct world *w, const struct node *n)
{
    fake_fs_set_full(n->fs, true);
    world_plan_event(w, 2 * duration(w), NOBODY, room_event)->a = n->index;
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

static struct node *victim(struct world *w)
{
    struct node *any = any_node(w);
    return w->plan.story == STORY_OWN_TAIL || world_chance(w, 4) ? leader_or(w, any) : any;
}

static void happen(struct world *w, enum fault_kind kind)
{
    struct node *n = victim(w);
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
    case FAULT_OUTAGE:
        node_crash(w, n);
        world_plan_event(w, 2000000 + world_below(w, 6000000), NOBODY, start_event)->a = n->index;
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
        clog_pair(w, n->index, world_below(w, w->plan.server_count));
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
    case FAULT_CUT_USER:
        cut_user(w);
        break;
    case FAULT_CLOG_USER:
        clog_user(w);
        break;
    case FAULT_LEAVE_BEHIND:
        leave_behind(w, leader_or(w, n));
        break;
    case FAULT_DISK_SYNC:
        fake_fs_fail_sync(n->fs);
        break;
    case FAULT_DISK_FULL:
        fill_up(w, n);
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

static int32_t weight_of(struct world *w, enum fault_kind kind)
{
    static const int32_t old_logs[FAULT_KINDS] = {
        [FAULT_POWER_ALL] = 2, [FAULT_KILL] = 4,    [FAULT_POWER] = 2,
        [FAULT_OUTAGE] = 2,    [FAULT_ISOLATE] = 4, [FAULT_BREAK_LINK] = 4,
    };
    static const int32_t own_tail[FAULT_KINDS] = { [FAULT_ISOLATE] = 3, [FAULT_DISK_SLOW] = 1 };
    switch (w->plan.story) {
    case STORY_LEFT_BEHIND:
        return kind == FAULT_LEAVE_BEHIND;
    case STORY_OLD_LOGS:
        return old_logs[kind];
    case STORY_OWN_TAIL:
        return own_tail[kind];
    default:
        return world_chance(w, 2) ? (int32_t)world_below(w, 10) : 0;
    }
}

static int64_t interval_us(struct world *w)
{
    switch (w->plan.story) {
    case STORY_LEFT_BEHIND:
        return LEFT_BEHIND_US;
    case STORY_OLD_LOGS:
        return 300000;
    case STORY_OWN_TAIL:
        return 1000000;
    default:
        return 30000 + world_below(w, 800000);
    }
}

void faults_init(struct world *w)
{
    struct faults *f = &w->faults;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        f->weight[kind] = weight_of(w, (enum fault_kind)kind);
        f->weight_sum += f->weight[kind];
    }
    f->interval_us = interval_us(w);
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
        fake_fs_set_full(n->fs, false);
        n->log_latency_us = 200 + world_below(w, 5000);
        node_resume(w, n);
        if (!n->is_up) {
            node_start(w, n);
        }
    }
}
