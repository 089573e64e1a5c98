/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "tests/sim/world.h"

/* How long a sender takes to give up a peer that does not answer. */
enum { CONNECT_TIMEOUT_US = 500000 };

struct packet {
    struct list line;
    int64_t at_us;
    enum packet_kind kind;
    struct buf bytes;
};

static bool is_server(int32_t endpoint)
{
    return endpoint < ENDPOINT_USERS;
}

static struct node *node_of(struct world *w, int32_t endpoint)
{
    return &w->nodes[endpoint];
}

int64_t net_latency_us(struct world *w)
{
    int64_t us = w->net.latency_us / 2 + world_below(w, w->net.latency_us);
    return world_chance(w, 50) ? us * (2 + world_below(w, 30)) : us;
}

static int64_t lag(const struct world *w, int32_t from, int32_t to)
{
    return is_server(from) && is_server(to) ? w->net.lag_us[from][to] : 0;
}

/* ---- links -------------------------------------------------------------------------------------------- */

static bool may_pass(const struct world *w, int32_t from, int32_t to)
{
    return !w->net.blocked[from][to] && w->net.clogged_until_us[from][to] <= w->now_us;
}

/* A clogged direction still accepts: that nothing comes is only found out by waiting. */
bool net_is_open(const struct world *w, int32_t a, int32_t b)
{
    return !w->net.blocked[a][b] && !w->net.blocked[b][a];
}

static struct link *link_new(struct world *w, int32_t from, int32_t to, bool is_client)
{
    struct link *l = xcalloc(1, sizeof(*l));
    l->is_client = is_client;
    for (int side = 0; side < 2; side++) {
        l->end[side].endpoint = side == 0 ? from : to;
        l->end[side].is_open = true;
        list_init(&l->end[side].incoming);
    }
    list_push_back(&w->net.links, &l->all);
    return l;
}

static void packet_free(struct packet *p)
{
    buf_fini(&p->bytes);
    free(p);
}

static void drop_incoming(struct link_end *end)
{
    struct list *it;
    while ((it = list_pop_front(&end->incoming)) != NULL) {
        packet_free(list_entry(it, struct packet, line));
    }
}

static void retire(struct world *w, struct link *l)
{
    if (!l->end[0].is_open && !l->end[1].is_open) {
        list_remove(&l->all);
        list_push_back(&w->net.gone, &l->all);
    }
}

static void pump_event(struct world *w, const struct event *ev);

static void plan_pump(struct world *w, struct link *l, int side, int64_t at_us)
{
    struct event *ev = world_plan_event(w, at_us - w->now_us, NOBODY, pump_event);
    ev->p = l;
    ev->a = side;
}

static void push(struct world *w, struct link *l, int side, enum packet_kind kind,
                 struct buf *bytes)
{
    struct link_end *to = &l->end[side];
    struct packet *p = xcalloc(1, sizeof(*p));
    p->kind = kind;
    if (bytes) {
        p->bytes = *bytes;
        buf_init(bytes);
    }
    p->at_us = w->now_us + net_latency_us(w) + lag(w, l->end[1 - side].endpoint, to->endpoint);
    if (p->at_us < to->last_at_us) {
        p->at_us = to->last_at_us;
    }
    to->last_at_us = p->at_us;
    list_push_back(&to->incoming, &p->line);
    plan_pump(w, l, side, p->at_us);
}

void net_send(struct world *w, struct link *l, int side, enum packet_kind kind, struct buf *bytes)
{
    if (l->end[side].is_open) {
        push(w, l, 1 - side, kind, bytes);
    }
}

void net_close(struct world *w, struct link *l, int side)
{
    if (!l->end[side].is_open) {
        return;
    }
    l->end[side].is_open = false;
    drop_incoming(&l->end[side]);
    if (l->end[1 - side].is_open) {
        push(w, l, 1 - side, PACKET_END, NULL);
    }
    retire(w, l);
}

static void deliver_to_server(struct world *w, struct link *l, int side, struct packet *p)
{
    struct link_end *to = &l->end[side];
    struct node *n = node_of(w, to->endpoint);
    if (p->kind == PACKET_END) {
        to->is_open = false;
        drop_incoming(to);
        retire(w, l);
        if (l->is_client) {
            node_on_client_closed(w, n, l);
        } else {
            node_on_link(w, n, to->local_id, false);
        }
    } else if (l->is_client) {
        node_on_client_bytes(w, n, l, &p->bytes);
    } else if (p->kind == PACKET_STREAM) {
        node_on_stream(w, n, to->local_id, &p->bytes);
    } else {
        node_on_packet(w, n, to->local_id, &p->bytes);
    }
}

static void deliver_to_user(struct world *w, struct link *l, int side, struct packet *p)
{
    struct user *u = &w->users[l->end[side].endpoint - ENDPOINT_USERS];
    if (p->kind == PACKET_END) {
        l->end[side].is_open = false;
        drop_incoming(&l->end[side]);
        retire(w, l);
        user_on_closed(w, u, l);
    } else {
        user_on_bytes(w, u, l, &p->bytes);
    }
}

/* May the next packet to this end be delivered now? One to a dead end is answered with a reset, if there
 * is still a host to do so. */
static bool may_deliver(struct world *w, struct link *l, int side, const struct packet *p)
{
    const struct link_end *to = &l->end[side];
    if (p->at_us > w->now_us || !may_pass(w, l->end[1 - side].endpoint, to->endpoint)) {
        return false;
    }
    return !is_server(to->endpoint) ||
           (node_of(w, to->endpoint)->is_up && !node_of(w, to->endpoint)->is_paused);
}

static void pump(struct world *w, struct link *l, int side)
{
    struct link_end *to = &l->end[side];
    while (to->is_open && !list_is_empty(&to->incoming)) {
        struct packet *p = list_entry(to->incoming.next, struct packet, line);
        if (!may_deliver(w, l, side, p)) {
            return;
        }
        list_remove(&p->line);
        if (is_server(to->endpoint)) {
            deliver_to_server(w, l, side, p);
        } else {
            deliver_to_user(w, l, side, p);
        }
        packet_free(p);
    }
    struct link_end *from = &l->end[1 - side];
    bool host_is_up = !is_server(to->endpoint) || node_of(w, to->endpoint)->is_host_up;
    if (!to->is_open && !list_is_empty(&to->incoming) && from->is_open && host_is_up) {
        drop_incoming(to);
        push(w, l, 1 - side, PACKET_END, NULL);
    }
}

static void pump_event(struct world *w, const struct event *ev)
{
    pump(w, ev->p, (int)ev->a);
}

void net_pump_all(struct world *w)
{
    list_for_each (it, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        plan_pump(w, l, 0, w->now_us);
        plan_pump(w, l, 1, w->now_us);
    }
}

/* ---- connecting ------------------------------------------------------------------------------------------ */

static void refuse_event(struct world *w, const struct event *ev)
{
    node_on_link(w, &w->nodes[ev->node], ev->a, false);
}

static void connected_event(struct world *w, const struct event *ev)
{
    int side;
    if (net_find(w, ev->node, ev->a, &side)) {
        node_on_link(w, &w->nodes[ev->node], ev->a, true);
    }
}

static void dial_event(struct world *w, const struct event *ev)
{
    int32_t from = ev->node;
    int32_t to = (int32_t)ev->b;
    struct node *target = &w->nodes[to];
    if (!net_is_open(w, from, to) || !target->is_host_up || target->is_paused) {
        world_plan_event(w, CONNECT_TIMEOUT_US, from, refuse_event)->a = ev->a;
        return;
    }
    if (!target->is_up || !target->is_listening) {
        world_plan_event(w, net_latency_us(w), from, refuse_event)->a = ev->a;
        return;
    }
    struct link *l = link_new(w, from, to, false);
    l->end[0].local_id = ev->a;
    l->end[1].local_id = --target->last_accepted;
    int64_t back_us = net_latency_us(w);
    l->end[0].last_at_us = w->now_us + back_us; /* nothing arrives before it knows */
    world_plan_event(w, back_us, from, connected_event)->a = ev->a;
    node_on_link(w, target, l->end[1].local_id, true);
}

void net_connect(struct world *w, int32_t from, int32_t to, int64_t local_id)
{
    struct event *ev = world_plan_event(w, net_latency_us(w), from, dial_event);
    ev->a = local_id;
    ev->b = to;
}

static void refuse_user_event(struct world *w, const struct event *ev)
{
    user_on_refused(w, &w->users[ev->a]);
}

static void dial_user_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->b];
    struct user *u = &w->users[ev->a];
    int32_t from = ENDPOINT_USERS + u->index;
    if (!net_is_open(w, from, n->index) || !n->is_host_up || n->is_paused) {
        world_plan_event(w, CONNECT_TIMEOUT_US, NOBODY, refuse_user_event)->a = ev->a;
        return;
    }
    if (!n->is_up) {
        user_on_refused(w, u);
        return;
    }
    struct link *l = link_new(w, from, n->index, true);
    node_on_client(w, n, l);
    user_on_connected(w, u, l);
}

void net_connect_user(struct world *w, int32_t user, int32_t server)
{
    struct event *ev = world_plan_event(w, net_latency_us(w), NOBODY, dial_user_event);
    ev->a = user;
    ev->b = server;
}

struct link *net_find(struct world *w, int32_t server, int64_t local_id, int *side)
{
    list_for_each (it, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        for (int s = 0; s < 2 && !l->is_client; s++) {
            struct link_end *end = &l->end[s];
            if (end->is_open && end->endpoint == server && end->local_id == local_id) {
                *side = s;
                return l;
            }
        }
    }
    return NULL;
}

struct link *net_pick(struct world *w, bool is_client)
{
    struct link *picked = NULL;
    int64_t seen = 0;
    list_for_each (it, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        if (l->is_client == is_client && world_chance(w, ++seen)) {
            picked = l;
        }
    }
    return picked;
}

void net_break(struct world *w, struct link *l)
{
    for (int side = 0; side < 2; side++) {
        if (l->end[side].is_open) {
            drop_incoming(&l->end[side]);
            push(w, l, side, PACKET_END, NULL);
        }
    }
}

/* ---- servers go and come ------------------------------------------------------------------------------------ */

void net_server_down(struct world *w, int32_t server, bool is_power_loss)
{
    list_for_each_safe (it, next, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        for (int side = 0; side < 2; side++) {
            struct link_end *end = &l->end[side];
            if (end->endpoint != server || !end->is_open) {
                continue;
            }
            if (is_power_loss) {
                end->is_open = false;
                drop_incoming(end);
                retire(w, l);
            } else {
                net_close(w, l, side);
            }
            break;
        }
    }
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        net_break_votes(w, server, i);
        w->net.lanes[server][i].has_last = false;
        w->net.lanes[server][i].is_unsent = false;
    }
}

void net_init(struct world *w)
{
    list_init(&w->net.links);
    list_init(&w->net.gone);
    w->net.latency_us = 200 + world_below(w, 4000);
}

void net_fini(struct world *w)
{
    struct list *lists[] = { &w->net.links, &w->net.gone };
    for (int i = 0; i < 2; i++) {
        struct list *it;
        while ((it = list_pop_front(lists[i])) != NULL) {
            struct link *l = list_entry(it, struct link, all);
            drop_incoming(&l->end[0]);
            drop_incoming(&l->end[1]);
            free(l);
        }
    }
    for (int a = 0; a < SERVERS_MAX; a++) {
        for (int b = 0; b < SERVERS_MAX; b++) {
            buf_fini(&w->net.lanes[a][b].last);
        }
    }
}
