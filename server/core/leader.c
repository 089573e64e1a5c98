/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/leader_parts.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "server/core/zxid.h"

/* ---- handlers -------------------------------------------------------------------------------- */

struct handler *leader_find_handler(const struct leader *l, int64_t link)
{
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->link == link) {
            return h;
        }
    }
    return NULL;
}

static void forget_handler(struct zab *z, struct handler *h)
{
    int64_t link = h->link;
    list_remove(&h->all);
    free(h);
    leader_free_snap_turn(z, link);
}

void leader_drop_handler(struct zab *z, struct handler *h)
{
    zab_add(z, ZAB_DO_CLOSE)->link = h->link;
    forget_handler(z, h);
}

void leader_on_link_up(struct zab *z, int64_t link)
{
    struct handler *h = xcalloc(1, sizeof(*h));
    h->link = link;
    h->sid = -1;
    h->heard_ms = z->now_ms;
    h->silence_max_ms = zab_ticks_ms(z, z->config.init_limit_ticks);
    list_push_back(&z->leader.handlers, &h->all);
}

void leader_on_link_down(struct zab *z, int64_t link)
{
    struct handler *h = leader_find_handler(&z->leader, link);
    if (h) {
        forget_handler(z, h);
    }
}

void leader_send(struct zab *z, int64_t link, int32_t type, int64_t zxid, struct slice data)
{
    struct quorum_packet p = { type, zxid, data, VEC_NULL };
    zab_send(z, link, &p);
}

/* Voters, us included, of whom is_in says yes. */
bool leader_has_quorum(const struct zab *z, bool (*is_in)(const struct handler *h))
{
    int32_t count = 1;
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        count += !h->is_observer && is_in(h);
    }
    return ensemble_is_majority(z->config.ensemble, count);
}

void leader_on_packet(struct zab *z, int64_t link, const struct quorum_packet *packet)
{
    struct handler *h = leader_find_handler(&z->leader, link);
    if (!h) {
        return; /* sent before it knew that we closed it */
    }
    h->heard_ms = z->now_ms;
    switch (packet->type) {
    case ZAB_FOLLOWERINFO:
    case ZAB_OBSERVERINFO:
        leader_on_info(z, h, packet);
        break;
    case ZAB_ACKEPOCH:
        leader_on_ackepoch(z, h, packet);
        break;
    case ZAB_ACK:
        leader_on_ack(z, h, packet->zxid);
        break;
    case ZAB_PING:
        leader_on_ping_reply(z, h, packet);
        break;
    case ZAB_REQUEST:
        leader_on_request(z, h, packet);
        break;
    case ZAB_REVALIDATE:
        leader_on_revalidate(z, h, packet);
        break;
    default:
        leader_drop_handler(z, h);
        break;
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static void drop_silent(struct zab *z)
{
    list_for_each_safe (it, next, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (z->now_ms - h->heard_ms > h->silence_max_ms) {
            leader_drop_handler(z, h);
        }
    }
}

void leader_on_tick(struct zab *z)
{
    struct leader *l = &z->leader;
    drop_silent(z);
    if (l->phase != LEADER_BROADCAST) {
        if (z->now_ms >= l->deadline_ms) {
            zab_look(z, "no quorum of followers within initLimit");
        }
        return;
    }
    /* Links of the silent are gone: who is left has been heard within syncLimit. */
    if (!leader_has_quorum(z, leader_has_history)) {
        zab_look(z, "lost the quorum of followers");
        return;
    }
    if (z->now_ms >= l->next_ping_ms) {
        leader_ping(z);
    }
}

int64_t leader_deadline_ms(const struct zab *z)
{
    return z->leader.phase == LEADER_BROADCAST ? z->leader.next_ping_ms
                                               : z->leader.deadline_ms;
}

/* ---- life ------------------------------------------------------------------------------------ */

void leader_begin(struct zab *z)
{
    struct leader *l = &z->leader;
    const struct ensemble *e = z->config.ensemble;
    memset(l, 0, sizeof(*l));
    list_init(&l->handlers);
    list_init(&l->syncs);
    quorum_init(&l->quorum, e->voters, e->voter_count, 0);
    quorum_ack(&l->quorum, e->self_sid, z->history.synced_zxid);
    if (e->voter_count == 1) {
        /* Alone there is nobody to agree with, and zxids just go on, as Apache's do. */
        l->epoch = zxid_epoch(z->history.logged_zxid);
        l->next_zxid = z->history.logged_zxid + 1;
        leader_activate(z);
        return;
    }
    l->phase = LEADER_DISCOVERY;
    l->deadline_ms = z->now_ms + zab_ticks_ms(z, z->config.init_limit_ticks);
    zab_add(z, ZAB_DO_LISTEN)->on = true;
}

void leader_end(struct zab *z)
{
    struct leader *l = &z->leader;
    struct list *it;
    l->snap_link = 0;
    while (!list_is_empty(&l->handlers)) {
        leader_drop_handler(z, list_entry(l->handlers.next, struct handler, all));
    }
    while ((it = list_pop_front(&l->syncs)) != NULL) {
        free(list_entry(it, struct leader_sync, line));
    }
    if (l->has_prep) {
        prep_fini(&l->prep);
        l->has_prep = false;
    }
    session_table_drop_proposed(z->sessions);
    if (z->config.ensemble->voter_count > 1) {
        zab_add(z, ZAB_DO_LISTEN)->on = false;
    }
}
