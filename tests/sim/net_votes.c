/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include "tests/sim/world.h"

enum { VOTE_REDIAL_US = 300000 };

static bool can_talk(const struct world *w, int32_t a, int32_t b)
{
    return w->nodes[a].is_up && w->nodes[b].is_up && net_is_open(w, a, b);
}

void net_break_votes(struct world *w, int32_t a, int32_t b)
{
    w->net.is_connected[a][b] = w->net.is_connected[b][a] = false;
    w->net.generation[a][b]++;
    w->net.generation[b][a]++;
    w->net.lanes[a][b].last_at_us = w->net.lanes[b][a].last_at_us = 0;
}

static void vote_event(struct world *w, const struct event *ev)
{
    int32_t from = (int32_t)ev->a;
    if ((uint64_t)ev->b != w->net.generation[from][ev->node]) {
        return; /* lost with its connection */
    }
    if (w->net.blocked[from][ev->node]) {
        net_break_votes(w, from, ev->node);
        return;
    }
    int64_t clogged_us = w->net.clogged_until_us[from][ev->node] - w->now_us;
    if (clogged_us > 0) {
        struct event *later = world_plan_event(w, clogged_us, ev->node, vote_event);
        later->a = ev->a;
        later->b = ev->b;
        buf_append(&later->bytes, buf_head(&ev->bytes), buf_readable(&ev->bytes));
        return;
    }
    node_on_vote(w, &w->nodes[ev->node], w->nodes[from].sid, &ev->bytes);
}

static void send_lane(struct world *w, int32_t from, int32_t to)
{
    struct lane *lane = &w->net.lanes[from][to];
    int64_t at_us = w->now_us + net_latency_us(w) + w->net.lag_us[from][to];
    lane->last_at_us = at_us > lane->last_at_us ? at_us : lane->last_at_us;
    lane->is_unsent = false;
    struct event *ev = world_plan_event(w, lane->last_at_us - w->now_us, to, vote_event);
    ev->a = from;
    ev->b = (int64_t)w->net.generation[from][to];
    buf_append(&ev->bytes, buf_head(&lane->last), buf_readable(&lane->last));
}

static void dial_votes_event(struct world *w, const struct event *ev)
{
    int32_t from = ev->node;
    int32_t to = (int32_t)ev->a;
    struct net *net = &w->net;
    if (net->is_connected[from][to]) {
        return;
    }
    if (!can_talk(w, from, to)) {
        if (net->lanes[from][to].is_unsent) {
            world_plan_event(w, VOTE_REDIAL_US, from, dial_votes_event)->a = to;
        }
        return;
    }
    net_break_votes(w, from, to);
    net->is_connected[from][to] = net->is_connected[to][from] = true;
    /* Also what was sent before, which may be out of date. */
    if (net->lanes[from][to].has_last) {
        send_lane(w, from, to);
    }
    if (net->lanes[to][from].has_last) {
        send_lane(w, to, from);
    }
}

void net_vote(struct world *w, int32_t from, int32_t to, const void *data, size_t len)
{
    struct lane *lane = &w->net.lanes[from][to];
    buf_reset(&lane->last);
    buf_append(&lane->last, data, len);
    lane->has_last = true;
    if (w->net.is_connected[from][to]) {
        send_lane(w, from, to);
    } else {
        lane->is_unsent = true;
        world_plan_event(w, net_latency_us(w), from, dial_votes_event)->a = to;
    }
}
