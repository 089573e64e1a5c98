/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/leader.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/core/sync.h"
#include "server/core/zab.h"
#include "server/core/zxid.h"
#include "server/jute/opcode.h"
#include "server/tree/mutant.h"

/* ---- handlers ------------------------------------------------------------------------------------------ */

static int64_t self_sid(const struct zab *z)
{
    return z->config.ensemble->self_sid;
}

static struct handler *find_handler(const struct leader *l, int64_t link)
{
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->link == link) {
            return h;
        }
    }
    return NULL;
}

static void free_snap_turn(struct zab *z, int64_t link);

static void forget_handler(struct zab *z, struct handler *h)
{
    int64_t link = h->link;
    list_remove(&h->all);
    free(h);
    free_snap_turn(z, link);
}

static void drop_handler(struct zab *z, struct handler *h)
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
    struct handler *h = find_handler(&z->leader, link);
    if (h) {
        forget_handler(z, h);
    }
}

/* A server that connects again has given its older link up. */
static void drop_older_links(struct zab *z, const struct handler *newer)
{
    list_for_each_safe (it, next, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h != newer && h->sid == newer->sid) {
            drop_handler(z, h);
        }
    }
}

static void send_simple(struct zab *z, int64_t link, int32_t type, int64_t zxid, struct slice data)
{
    struct quorum_packet p = { type, zxid, data, VEC_NULL };
    zab_send(z, link, &p);
}

/* Voters, us included, of whom is_in says yes. */
static bool is_quorum(const struct zab *z, bool (*is_in)(const struct handler *h))
{
    int32_t count = 1;
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        count += !h->is_observer && is_in(h);
    }
    return ensemble_is_majority(z->config.ensemble, count);
}

/* ---- discovery --------------------------------------------------------------------------------------------- */

static bool has_said_epoch(const struct handler *h)
{
    return h->state >= HANDLER_INFO;
}

static bool has_acked_epoch(const struct handler *h)
{
    return h->state >= HANDLER_ACKED && h->current_epoch != -1 && h->last_zxid != -1;
}

static void send_leaderinfo(struct zab *z, struct handler *h)
{
    struct buf data = BUF_EMPTY;
    put_int(&data, ZAB_PROTOCOL_VERSION);
    send_simple(z, h->link, ZAB_LEADERINFO, zxid_make(z->leader.epoch, 0),
                (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
    h->state = HANDLER_EPOCH;
}

/* A quorum is here: the new epoch is larger than any that one of them has accepted. Ours is durable
 * before anybody hears of it (E1). */
static void fix_epoch(struct zab *z)
{
    struct leader *l = &z->leader;
    int64_t highest = z->accepted_epoch;
    list_for_each (it, &l->handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        if (h->state >= HANDLER_INFO && h->accepted_epoch > highest) {
            highest = h->accepted_epoch;
        }
    }
    l->epoch = highest + 1;
    l->phase = LEADER_EPOCH;
    z->accepted_epoch = l->epoch;
    zab_add(z, ZAB_DO_SAVE_ACCEPTED_EPOCH)->epoch = l->epoch;
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state == HANDLER_INFO) {
            send_leaderinfo(z, h);
        }
    }
}

static void on_info(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    struct learner_info info;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    if (h->state != HANDLER_NEW || !learner_info_decode(&w, &info) ||
        info.config_version > z->config.ensemble->config_version) {
        drop_handler(z, h);
        return;
    }
    h->sid = info.sid;
    h->is_observer = packet->type == ZAB_OBSERVERINFO ||
                     !ensemble_is_voter(z->config.ensemble, info.sid);
    h->accepted_epoch = zxid_epoch(packet->zxid);
    h->state = HANDLER_INFO;
    drop_older_links(z, h);
    if (z->leader.phase == LEADER_DISCOVERY) {
        if (is_quorum(z, has_said_epoch)) {
            fix_epoch(z);
        }
        return;
    }
    if (h->accepted_epoch > z->leader.epoch) {
        /* It has promised itself to a later leader that came to nothing, and may follow no earlier one, ever.
         * Only a new epoch takes it in. Apache leaves it outside until its leader fails. */
        zab_look(z, "a learner has accepted a later epoch");
        return;
    }
    if (h->accepted_epoch > z->leader.epoch && !h->is_observer) {
        /* It has promised a leader that came to nothing not to follow an older one. It would stay outside for as
         * long as we lead, as it does in Apache's ensembles; an epoch above its own takes it in. */
        zab_look(z, "a follower has accepted a later epoch");
        return;
    }
    send_leaderinfo(z, h);
}

/* ---- synchronisation ----------------------------------------------------------------------------------------- */

static void send_proposal(struct zab *z, const struct handler *h, const struct proposal *p)
{
    send_simple(z, h->link, ZAB_PROPOSAL, p->zxid,
                (struct slice){ buf_head(&p->entry), (int32_t)p->entry.len });
}

/* What a learner gets of one proposal of the history. Before BROADCAST all of it counts as committed:
 * it is what the new leader brings along. */
static void send_history(struct zab *z, const struct handler *h, struct proposal *p)
{
    bool all_committed = z->leader.phase == LEADER_SYNC;
    for (; p; p = history_following(&z->history, p)) {
        bool committed = all_committed || p->zxid <= z->history.committed_zxid;
        if (h->is_observer) {
            if (committed) {
                send_simple(z, h->link, ZAB_INFORM, p->zxid,
                            (struct slice){ buf_head(&p->entry), (int32_t)p->entry.len });
            }
            continue;
        }
        send_proposal(z, h, p);
        if (committed) {
            send_simple(z, h->link, ZAB_COMMIT, p->zxid, SLICE_NULL);
        }
    }
}

/* S6: the missing history, the proposals under way and NEWLEADER, in one step, and from here on the
 * learner gets every new proposal. */
static void synchronise(struct zab *z, struct handler *h)
{
    struct sync_plan plan = sync_choose(&z->history, h->last_zxid, z->leader.epoch);
    if (plan.type == ZAB_SNAP && z->leader.snap_link != 0) {
        return; /* the tree has one image at a time (tree/image.h) */
    }
    if (plan.type == ZAB_DIFF && z->leader.phase == LEADER_BROADCAST) {
        /* It takes what it has up to here as committed. */
        plan.zxid = z->history.committed_zxid;
    }
    send_simple(z, h->link, plan.type, plan.zxid, SLICE_NULL);
    if (plan.type == ZAB_SNAP) {
        zab_add(z, ZAB_DO_SNAP_SEND)->link = h->link;
        z->leader.snap_link = h->link;
        plan.first = history_after(&z->history, z->history.delivered_zxid);
        quorum_forget(&z->leader.quorum, h->sid);
    }
    send_history(z, h, plan.first);
    send_simple(z, h->link, ZAB_NEWLEADER, zxid_make(z->leader.epoch, 0),
                slice_of_str(z->config.ensemble->config_text));
    h->known_zxid = plan.type == ZAB_DIFF ? h->last_zxid : plan.type == ZAB_TRUNC ? plan.zxid : 0;
    h->state = HANDLER_SYNCING;
    h->silence_max_ms =
        zab_ticks_ms(z, z->config.init_limit_ticks) + zab_ticks_ms(z, z->config.sync_limit_ticks);
}

/* Those that have accepted our epoch and were not served yet. */
static void synchronise_waiting(struct zab *z)
{
    list_for_each (it, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state == HANDLER_ACKED) {
            synchronise(z, h);
        }
    }
}

static void free_snap_turn(struct zab *z, int64_t link)
{
    if (link == z->leader.snap_link) {
        z->leader.snap_link = 0;
        synchronise_waiting(z);
    }
}

void leader_on_snap_sent(struct zab *z, int64_t link)
{
    free_snap_turn(z, link);
}

static void begin_sync(struct zab *z)
{
    struct leader *l = &z->leader;
    z->current_epoch = l->epoch;
    zab_add(z, ZAB_DO_SAVE_CURRENT_EPOCH)->epoch = l->epoch;
    l->phase = LEADER_SYNC;
    synchronise_waiting(z);
}

static void on_ackepoch(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    int32_t current = wire_int(&w);
    if (h->state != HANDLER_EPOCH || !wire_ok(&w)) {
        drop_handler(z, h);
        return;
    }
    h->current_epoch = current;
    h->last_zxid = packet->zxid;
    bool is_ahead =
        current != -1 && (current > z->current_epoch ||
                          (current == z->current_epoch && h->last_zxid > z->history.logged_zxid));
    h->state = HANDLER_ACKED;
    if (z->leader.phase == LEADER_EPOCH) {
        if (is_ahead && !h->is_observer && !MUTANT(E5)) {
            zab_look(z, "a follower is ahead of the leader"); /* E5: never overwrite it */
            return;
        }
        if (is_quorum(z, has_acked_epoch)) {
            begin_sync(z);
        }
        return;
    }
    synchronise(z, h);
}

/* ---- activation ---------------------------------------------------------------------------------------------- */

static bool has_history(const struct handler *h)
{
    return h->state >= HANDLER_SYNCED;
}

static void send_uptodate(struct zab *z, struct handler *h)
{
    send_simple(z, h->link, ZAB_UPTODATE, -1, SLICE_NULL);
    h->state = HANDLER_ACTIVE;
    h->heard_ms = z->now_ms;
    h->silence_max_ms = zab_ticks_ms(z, z->config.sync_limit_ticks);
}

/* A quorum has everything that we have: it is committed, and we lead (E6). */
static void activate(struct zab *z)
{
    struct leader *l = &z->leader;
    l->phase = LEADER_BROADCAST;
    l->next_ping_ms = z->now_ms;
    if (z->config.ensemble->voter_count > 1) {
        l->next_zxid = zxid_make(l->epoch, 1);
    }
    history_commit(&z->history, z->history.logged_zxid);
    zab_deliver(z);
    z->is_serving = true;
    election_set_epoch(&z->election, l->epoch);
    struct zab_action *serve = zab_add(z, ZAB_DO_SERVE);
    serve->on = true;
    serve->epoch = l->epoch;
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state == HANDLER_SYNCED) {
            send_uptodate(z, h);
        }
    }
}

/* Our own copy of the history must be durable before we count ourselves. */
static void try_activate(struct zab *z)
{
    if (z->leader.phase == LEADER_SYNC && z->history.synced_zxid == z->history.logged_zxid &&
        (is_quorum(z, has_history) || MUTANT(E6))) {
        activate(z);
    }
}

static void on_newleader_ack(struct zab *z, struct handler *h)
{
    if (h->state != HANDLER_SYNCING) {
        return; /* the second one, in answer to UPTODATE */
    }
    h->state = HANDLER_SYNCED;
    if (!h->is_observer) {
        /* What it had logged before it came still stands in its log. */
        quorum_ack(&z->leader.quorum, h->sid, h->known_zxid);
    }
    if (z->leader.phase == LEADER_BROADCAST) {
        send_uptodate(z, h);
    } else {
        try_activate(z);
    }
}

/* ---- broadcast ------------------------------------------------------------------------------------------------ */

static void send_commit(struct zab *z, const struct proposal *p)
{
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        if (h->state < HANDLER_SYNCING) {
            continue;
        }
        if (h->is_observer) {
            send_simple(z, h->link, ZAB_INFORM, p->zxid,
                        (struct slice){ buf_head(&p->entry), (int32_t)p->entry.len });
        } else {
            send_simple(z, h->link, ZAB_COMMIT, p->zxid, SLICE_NULL);
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
        zab_look(z, "the zxids of this epoch are used up"); /* E8: a new epoch begins with 1 again */
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
            send_proposal(z, h, p);
        }
    }
    return true;
}

void leader_on_log_synced(struct zab *z)
{
    quorum_ack(&z->leader.quorum, self_sid(z), z->history.synced_zxid);
    try_activate(z);
    commit(z);
}

/* ---- pings and syncs -------------------------------------------------------------------------------------------- */

static void ping(struct zab *z)
{
    struct leader *l = &z->leader;
    l->round++;
    l->next_ping_ms = z->now_ms + z->config.tick_time_ms / 2;
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state < HANDLER_SYNCING) {
            continue;
        }
        send_simple(z, h->link, ZAB_PING, z->history.logged_zxid, SLICE_NULL);
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
    return ensemble_is_majority(z->config.ensemble, count) || MUTANT(SYNC);
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
        ping(z);
    }
}

void leader_sync(struct zab *z, int64_t link, uint64_t origin, int32_t cxid)
{
    struct leader_sync *s = xmalloc(sizeof(*s));
    *s = (struct leader_sync){ .zxid = z->history.logged_zxid, .round = z->leader.round + 1,
                               .link = link, .origin = origin, .cxid = cxid };
    list_push_back(&z->leader.syncs, &s->line);
    confirm_leadership(z);
    leader_answer_syncs(z);
}

void leader_answer_syncs(struct zab *z)
{
    while (!list_is_empty(&z->leader.syncs)) {
        struct leader_sync *s = list_entry(z->leader.syncs.next, struct leader_sync, line);
        if (s->zxid > z->history.delivered_zxid || !is_confirmed(z, s->round)) {
            return;
        }
        if (s->link != 0) {
            send_simple(z, s->link, ZAB_SYNC, 0, SLICE_NULL);
        } else {
            struct zab_action *a = zab_add(z, ZAB_DO_DELIVER_SYNC);
            a->origin = s->origin;
            a->cxid = s->cxid;
        }
        list_remove(&s->line);
        free(s);
    }
}

/* ---- what learners ask ------------------------------------------------------------------------------------------- */

static void on_request(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    struct request req = { .from_sid = h->sid };
    req.session_id = wire_long(&w);
    req.cxid = wire_int(&w);
    req.type = wire_int(&w);
    if (!wire_ok(&w) || z->leader.phase != LEADER_BROADCAST) {
        drop_handler(z, h);
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
static void on_revalidate(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    int64_t session_id = wire_long(&w);
    int32_t timeout_ms = wire_int(&w);
    if (!wire_ok(&w)) {
        drop_handler(z, h);
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
    send_simple(z, h->link, ZAB_REVALIDATE, -1, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

/* W3: sessions that were active at the learner since its last answer. */
static void on_ping_reply(struct zab *z, struct handler *h, const struct quorum_packet *packet)
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
        if (s) {
            s->timeout_ms = timeout_ms;
            session_touch(z->sessions, s, z->now_ms);
        }
    }
}

static void on_ack(struct zab *z, struct handler *h, int64_t zxid)
{
    if (zxid_counter(zxid) == 0) {
        on_newleader_ack(z, h);
    } else if (zxid > z->history.logged_zxid || h->is_observer) {
        return;
    } else if (h->state >= HANDLER_SYNCED) {
        quorum_ack(&z->leader.quorum, h->sid, zxid);
    } else if (zxid > h->known_zxid) {
        /* Apache 3.8.0 acks these before NEWLEADER. They count with that: until its currentEpoch is ours, it
         * would not vote for what it has logged of our epoch (E2). */
        h->known_zxid = zxid;
    }
    commit(z);
}

void leader_on_packet(struct zab *z, int64_t link, const struct quorum_packet *packet)
{
    struct handler *h = find_handler(&z->leader, link);
    if (!h) {
        return; /* sent before it knew that we closed it */
    }
    h->heard_ms = z->now_ms;
    switch (packet->type) {
    case ZAB_FOLLOWERINFO:
    case ZAB_OBSERVERINFO:
        on_info(z, h, packet);
        break;
    case ZAB_ACKEPOCH:
        on_ackepoch(z, h, packet);
        break;
    case ZAB_ACK:
        on_ack(z, h, packet->zxid);
        break;
    case ZAB_PING:
        on_ping_reply(z, h, packet);
        break;
    case ZAB_REQUEST:
        on_request(z, h, packet);
        break;
    case ZAB_REVALIDATE:
        on_revalidate(z, h, packet);
        break;
    default:
        drop_handler(z, h);
        break;
    }
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

static void drop_silent(struct zab *z)
{
    list_for_each_safe (it, next, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (z->now_ms - h->heard_ms > h->silence_max_ms) {
            drop_handler(z, h);
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
    if (!is_quorum(z, has_history)) {
        zab_look(z, "lost the quorum of followers");
        return;
    }
    if (z->now_ms >= l->next_ping_ms) {
        ping(z);
    }
}

int64_t leader_deadline_ms(const struct zab *z)
{
    return z->leader.phase == LEADER_BROADCAST ? z->leader.next_ping_ms
                                               : z->leader.deadline_ms;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

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
        activate(z);
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
        drop_handler(z, list_entry(l->handlers.next, struct handler, all));
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
