/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/leader_parts.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "server/core/zxid.h"
#include "server/jute/opcode.h"
#include "server/tree/mutant.h"

/* ---- broadcast ------------------------------------------------------------------------------- */

void leader_send_proposal(struct zab *z, const struct handler *h, const struct proposal *p)
{
    leader_send(z, h->link, ZAB_PROPOSAL, p->zxid,
                (struct slice){ buf_head(&p->entry), (int32_t)p->entry.len });
}

void leader_send_commit(struct zab *z, const struct handler *h, const struct proposal *p)
{
    if (h->is_observer) {
        leader_send(z, h->link, ZAB_INFORM, p->zxid,
                    (struct slice){ buf_head(&p->entry), (int32_t)p->entry.len });
    } else {
        leader_send(z, h->link, ZAB_COMMIT, p->zxid, SLICE_NULL);
    }
}

static void send_commit(struct zab *z, const struct proposal *p)
{
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        if (h->state >= HANDLER_SYNCING) {
            leader_send_commit(z, h, p);
        }
    }
}

/* Removes it from the line. */
static void answer_sync(struct zab *z, struct leader_sync *s)
{
    if (s->link != 0) {
        leader_send(z, s->link, ZAB_SYNC, 0, SLICE_NULL);
    } else {
        struct zab_action *a = zab_add(z, ZAB_DO_DELIVER_SYNC);
        a->origin = s->origin;
        a->cxid = s->cxid;
    }
    list_remove(&s->line);
    free(s);
}

/* A quorum has logged the proposal zxid, and thereby confirms the syncs that came before it was
 * proposed. Learners are answered ahead of its COMMIT: an Apache follower takes answers to what it has
 * sent on only in the order it did so, and after one out of turn never answers a client again. */
static void confirm_syncs_before(struct zab *z, int64_t zxid)
{
    list_for_each_safe (it, next, &z->leader.syncs) {
        struct leader_sync *s = list_entry(it, struct leader_sync, line);
        if (s->zxid >= zxid) {
            return;
        }
        s->is_confirmed = true;
        if (s->link != 0) {
            answer_sync(z, s);
        }
    }
}

/* Commits, in zxid order, what a quorum has logged. */
static void commit(struct zab *z)
{
    if (z->leader.phase != LEADER_BROADCAST) {
        return;
    }
    int64_t until = quorum_committed(&z->leader.quorum);
    if (until > z->history.logged_zxid) {
        until = z->history.logged_zxid;
    }
    if (until > z->history.committed_zxid && !list_is_empty(&z->leader.handlers)) {
        struct proposal *p = history_after(&z->history, z->history.committed_zxid);
        for (; p && p->zxid <= until; p = history_following(&z->history, p)) {
            confirm_syncs_before(z, p->zxid);
            send_commit(z, p);
        }
    }
    history_commit(&z->history, until);
    zab_deliver(z);
}

/* W2: prep's view of the sessions is ahead of the tree, as its view of the nodes is. */
static void propose_session(struct zab *z, const struct request *req)
{
    struct wire w;
    wire_init(&w, req->body.data, slice_size(req->body));
    int32_t timeout_ms = wire_int(&w);
    if (wire_ok(&w)) {
        session_propose(z->sessions, req->session_id, timeout_ms, z->now_ms);
    }
}

bool leader_propose(struct zab *z, const struct request *req)
{
    struct leader *l = &z->leader;
    if (l->phase != LEADER_BROADCAST) {
        return false;
    }
    if (zxid_counter(l->next_zxid) == ZXID_COUNTER_MAX && z->config.ensemble->voter_count > 1) {
        zab_look(z, "the zxids of this epoch are used up"); /* E8: a new one begins with 1 */
        return false;
    }
    if (!l->has_prep) { /* not before the history is in the tree */
        prep_init(&l->prep, &z->config.prep, z->tree, z->sessions);
        l->has_prep = true;
    }
    int64_t zxid = l->next_zxid++;
    struct proposal *p = history_append(&z->history, zxid, NULL, 0);
    prep_request(&l->prep, req, zxid, &p->entry);
    p->origin = req->origin;
    p->cxid = req->cxid;
    if (req->type == OP_CREATE_SESSION) {
        propose_session(z, req);
    }
    zab_add(z, ZAB_DO_LOG_APPEND)->proposal = p;
    list_for_each (it, &l->handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        enum handler_state first = MUTANT(S6) ? HANDLER_ACTIVE : HANDLER_SYNCING;
        if (h->state >= first && !h->is_observer) {
            leader_send_proposal(z, h, p);
        }
    }
    return true;
}

void leader_on_log_synced(struct zab *z)
{
    quorum_ack(&z->leader.quorum, z->config.ensemble->self_sid, z->history.synced_zxid);
    leader_try_activate(z);
    commit(z);
}

/* ---- pings and syncs ------------------------------------------------------------------------- */

void leader_ping(struct zab *z)
{
    struct leader *l = &z->leader;
    l->round++;
    l->next_ping_ms = z->now_ms + z->config.tick_time_ms / 2;
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state < HANDLER_SYNCING) {
            continue;
        }
        leader_send(z, h->link, ZAB_PING, z->history.logged_zxid, SLICE_NULL);
        if (h->state == HANDLER_ACTIVE && h->first_round == 0) {
            h->first_round = l->round;
        }
    }
}

/* Has a quorum, us included, answered this round of pings or a later one? */
static bool is_confirmed(const struct zab *z, int64_t round)
{
    int32_t count = 1;
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        count += !h->is_observer && h->first_round != 0 && h->first_round + h->answered > round;
    }
    return ensemble_is_majority(z->config.ensemble, count);
}

/* One round at a time serves all the syncs that came while the last one was under way. */
static void confirm_leadership(struct zab *z)
{
    struct leader *l = &z->leader;
    if (list_is_empty(&l->syncs) || (l->round > 0 && !is_confirmed(z, l->round))) {
        return;
    }
    const struct leader_sync *last = list_entry(l->syncs.prev, struct leader_sync, line);
    if (last->round > l->round) {
        leader_ping(z);
    }
}

void leader_sync(struct zab *z, int64_t link, uint64_t origin, int32_t cxid)
{
    struct leader_sync *s = xmalloc(sizeof(*s));
    *s = (struct leader_sync){ .zxid = z->history.logged_zxid,
                               .round = z->leader.round + 1,
                               .is_confirmed = MUTANT(SYNC) && cxid != 0,
                               .link = link,
                               .origin = origin,
                               .cxid = cxid };
    list_push_back(&z->leader.syncs, &s->line);
    confirm_leadership(z);
    leader_answer_syncs(z);
}

void leader_answer_syncs(struct zab *z)
{
    while (!list_is_empty(&z->leader.syncs)) {
        struct leader_sync *s = list_entry(z->leader.syncs.next, struct leader_sync, line);
        if (s->zxid > z->history.delivered_zxid ||
            !(s->is_confirmed || is_confirmed(z, s->round))) {
            return;
        }
        answer_sync(z, s);
    }
}

/* ---- what learners ask ----------------------------------------------------------------------- */

void leader_on_request(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    struct request req = { .from_sid = h->sid };
    req.session_id = wire_long(&w);
    req.cxid = wire_int(&w);
    req.type = wire_int(&w);
    if (!wire_ok(&w) || z->leader.phase != LEADER_BROADCAST) {
        leader_drop_handler(z, h);
        return;
    }
    if (req.type == OP_SYNC) {
        leader_sync(z, h->link, 0, req.cxid);
        return;
    }
    req.body = (struct slice){ w.at, (int32_t)wire_left(&w) };
    req.ids = packet->authinfo;
    req.time_ms = z->wall_ms;
    leader_propose(z, &req);
}

/* W4: a live session goes on at the learner that asks. */
void leader_on_revalidate(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    int64_t session_id = wire_long(&w);
    int32_t timeout_ms = wire_int(&w);
    if (!wire_ok(&w)) {
        leader_drop_handler(z, h);
        return;
    }
    struct session *s = session_find(z->sessions, session_id);
    bool is_valid = s != NULL;
    if (is_valid && s->closing) {
        return; /* the closeSession on its way will be the answer */
    }
    if (is_valid) {
        s->owner_sid = h->sid;
        session_add(z->sessions, session_id, timeout_ms, z->now_ms);
    }
    struct buf data = BUF_EMPTY;
    put_long(&data, session_id);
    put_bool(&data, is_valid);
    leader_send(z, h->link, ZAB_REVALIDATE, -1, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

/* W3: sessions that were active at the learner since its last answer. */
void leader_on_ping_reply(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    h->answered += h->first_round != 0;
    confirm_leadership(z);
    leader_answer_syncs(z);
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    while (wire_left(&w) >= 12) {
        int64_t session_id = wire_long(&w);
        int32_t timeout_ms = wire_int(&w);
        struct session *s = session_find(z->sessions, session_id);
        if (s && !MUTANT(W3)) {
            s->timeout_ms = timeout_ms;
            session_touch(z->sessions, s, z->now_ms);
        }
    }
}

void leader_on_ack(struct zab *z, struct handler *h, int64_t zxid)
{
    if (zxid_counter(zxid) == 0) {
        leader_on_newleader_ack(z, h);
    } else if (zxid > z->history.logged_zxid || h->is_observer) {
        return;
    } else if (h->state >= HANDLER_SYNCED) {
        quorum_ack(&z->leader.quorum, h->sid, zxid);
    } else if (zxid > h->known_zxid) {
        /* Apache 3.8.0 acks these before NEWLEADER. They count with that: until its currentEpoch is
         * ours, it would not vote for what it has logged of our epoch (E2). */
        h->known_zxid = zxid;
    }
    commit(z);
}
