/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/learner.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/core/zab.h"
#include "server/core/zxid.h"
#include "server/jute/opcode.h"
#include "server/tree/mutant.h"

/* The leader opens its port a moment after it was elected, so the first tries come quickly. */
enum { REDIAL_FIRST_MS = 4, REDIAL_MAX_MS = 100 };

static void send_simple(struct zab *z, int32_t type, int64_t zxid, struct slice data)
{
    struct quorum_packet p = { type, zxid, data, VEC_NULL };
    zab_send(z, z->learner.link, &p);
}

/* The next packet must come within so many ticks. */
static void expect_packet(struct zab *z)
{
    int32_t ticks = z->learner.state < LEARNER_SAVING ? z->config.init_limit_ticks
                                                      : z->config.sync_limit_ticks;
    z->learner.deadline_ms = z->now_ms + zab_ticks_ms(z, ticks);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void dial(struct zab *z)
{
    struct zab_action *a = zab_add(z, ZAB_DO_CONNECT);
    z->learner.link = ++z->last_link;
    a->sid = z->learner.leader_sid;
    a->link = z->learner.link;
}

void learner_begin(struct zab *z, int64_t leader_sid)
{
    struct learner *l = &z->learner;
    memset(l, 0, sizeof(*l));
    list_init(&l->requests);
    list_init(&l->syncs);
    l->state = LEARNER_CONNECTING;
    l->wants_snap = z->wants_snap;
    l->leader_sid = leader_sid;
    l->redial_after_ms = REDIAL_FIRST_MS;
    l->acked_zxid = z->history.logged_zxid;
    /* Its port is open as soon as it knows that it was elected. */
    l->deadline_ms = z->now_ms + zab_ticks_ms(z, z->config.sync_limit_ticks);
    dial(z);
}

static void free_forwarded(struct list *line)
{
    struct list *it;
    while ((it = list_pop_front(line)) != NULL) {
        free(list_entry(it, struct forwarded, line));
    }
}

void learner_end(struct zab *z)
{
    struct learner *l = &z->learner;
    if (l->link != 0) {
        zab_add(z, ZAB_DO_CLOSE)->link = l->link;
        l->link = 0;
    }
    free_forwarded(&l->requests);
    free_forwarded(&l->syncs);
}

void learner_on_link_up(struct zab *z, int64_t link)
{
    struct learner *l = &z->learner;
    if (link != l->link) {
        return;
    }
    struct buf data = BUF_EMPTY;
    struct learner_info info = { z->config.ensemble->self_sid, ZAB_PROTOCOL_VERSION,
                                 z->config.ensemble->config_version };
    learner_info_encode(&data, &info);
    send_simple(z, z->role == STATE_OBSERVING ? ZAB_OBSERVERINFO : ZAB_FOLLOWERINFO,
                zxid_make(z->accepted_epoch, 0), (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
    l->state = LEARNER_INFO;
    expect_packet(z);
}

void learner_on_link_down(struct zab *z, int64_t link)
{
    struct learner *l = &z->learner;
    if (link != l->link) {
        return;
    }
    l->link = 0;
    if (l->state == LEARNER_CONNECTING) {
        l->redial_at_ms = z->now_ms + l->redial_after_ms;
        l->redial_after_ms *= 2;
        if (l->redial_after_ms > REDIAL_MAX_MS) {
            l->redial_after_ms = REDIAL_MAX_MS;
        }
    } else {
        zab_look(z, "lost the leader");
    }
}

/* ---- discovery ------------------------------------------------------------------------------- */

/* What makes a leader send SNAP, ours and Apache's: a zxid behind all of its history at which
 * nothing can be cut, since no txn has it (S9). Sent with current -1, so it counts for nothing
 * else. */
static int64_t zxid_that_asks_for_snap(const struct learner *l)
{
    return zxid_make(l->epoch + 1, 0);
}

static void on_leaderinfo(struct zab *z, const struct quorum_packet *packet)
{
    struct learner *l = &z->learner;
    int64_t epoch = zxid_epoch(packet->zxid);
    int32_t current = (int32_t)z->current_epoch;
    /* Nobody counts on what an observer has promised. */
    bool may_follow = epoch >= z->accepted_epoch || z->role == STATE_OBSERVING;
    if (l->state != LEARNER_INFO || !may_follow) {
        zab_look(z, "the leader's epoch is older than one accepted before");
        return;
    }
    if (epoch <= z->accepted_epoch) {
        current = -1; /* counted in an earlier try of this leader */
    } else {
        z->accepted_epoch = epoch;
        if (!MUTANT(E1)) {
            zab_add(z, ZAB_DO_SAVE_ACCEPTED_EPOCH)->epoch = epoch; /* E1 */
        }
    }
    l->epoch = epoch;
    struct buf data = BUF_EMPTY;
    put_int(&data, l->wants_snap ? -1 : current);
    send_simple(z, ZAB_ACKEPOCH,
                l->wants_snap ? zxid_that_asks_for_snap(l) : z->history.logged_zxid,
                (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
    l->state = LEARNER_EPOCH;
}

/* ---- synchronisation ------------------------------------------------------------------------- */

static void on_trunc(struct zab *z, int64_t zxid)
{
    zab_add(z, ZAB_DO_LOG_TRUNCATE)->zxid = zxid;
    history_truncate(&z->history, zxid);
    z->learner.acked_zxid = zxid;
    z->learner.state = LEARNER_SYNC;
    z->learner.is_rebuilding = true;
    z->learner.must_reload = true;
}

/* A tree that came as SNAP may hold what was never committed, and only it is on disk. Nothing is
 * given up: until another SNAP is durable, a restart or an election finds the old state. */
void learner_on_not_truncated(struct zab *z)
{
    struct learner *l = &z->learner;
    zab_add(z, ZAB_DO_CLOSE)->link = l->link;
    l->wants_snap = true;
    l->is_rebuilding = false;
    l->state = LEARNER_CONNECTING;
    l->deadline_ms = z->now_ms + zab_ticks_ms(z, z->config.init_limit_ticks);
    dial(z);
}

static void on_snap(struct zab *z, int64_t zxid)
{
    z->learner.state = LEARNER_SNAP;
    z->learner.is_rebuilding = true;
    z->learner.must_reload = true;
    struct zab_action *a = zab_add(z, ZAB_DO_SNAP_LOAD);
    a->link = z->learner.link;
    a->zxid = zxid;
}

void learner_on_snap_loaded(struct zab *z)
{
    struct learner *l = &z->learner;
    if (l->state != LEARNER_SNAP) {
        return;
    }
    history_reset(&z->history, z->tree->last_zxid);
    l->acked_zxid = z->tree->last_zxid;
    l->state = LEARNER_SYNC;
    zab_add(z, ZAB_DO_SNAP_SAVE)->zxid = z->tree->last_zxid;
    if (MUTANT(S5)) {
        l->is_rebuilding = false;
        l->must_reload = false;
    }
    expect_packet(z);
}

/* The disk has what memory has, and the log may go on behind it. */
static void end_rebuilding(struct zab *z)
{
    struct learner *l = &z->learner;
    if (!l->is_rebuilding) {
        return;
    }
    l->is_rebuilding = false;
    l->must_reload = false;
    struct proposal *p = history_after(&z->history, z->history.synced_zxid);
    for (; p; p = history_following(&z->history, p)) {
        zab_add(z, ZAB_DO_LOG_APPEND)->proposal = p;
    }
    learner_on_log_synced(z);
}

/* S5 */
void learner_on_snap_saved(struct zab *z)
{
    z->wants_snap = false;
    end_rebuilding(z);
}

/* S10 */
void learner_on_truncated(struct zab *z)
{
    end_rebuilding(z);
}

/* E2: the history is durable, then the epoch, then the ack; S2: which is the first ack of all. */
static void try_ack_newleader(struct zab *z)
{
    struct learner *l = &z->learner;
    if (l->state != LEARNER_SAVING || l->is_rebuilding ||
        (z->history.synced_zxid < z->history.logged_zxid && !MUTANT(S1))) {
        return;
    }
    z->current_epoch = l->epoch;
    zab_add(z, ZAB_DO_SAVE_CURRENT_EPOCH)->epoch = l->epoch;
    send_simple(z, ZAB_ACK, zxid_make(l->epoch, 0), SLICE_NULL);
    l->state = LEARNER_ACKED;
}

/* One ack a proposal, once it is durable; not before the ack of NEWLEADER has left. */
static void ack_proposals(struct zab *z)
{
    struct learner *l = &z->learner;
    enum learner_state first = MUTANT(S2) ? LEARNER_SYNC : LEARNER_ACTIVE;
    if (l->state < first || z->role == STATE_OBSERVING) {
        return;
    }
    struct proposal *p = history_after(&z->history, l->acked_zxid);
    for (; p && p->zxid <= z->history.synced_zxid; p = history_following(&z->history, p)) {
        send_simple(z, ZAB_ACK, p->zxid, SLICE_NULL);
        l->acked_zxid = p->zxid;
    }
}

void learner_on_log_synced(struct zab *z)
{
    ack_proposals(z);
    try_ack_newleader(z);
    zab_deliver(z);
}

static void on_uptodate(struct zab *z)
{
    struct learner *l = &z->learner;
    if (l->state != LEARNER_ACKED) {
        zab_look(z, "UPTODATE before NEWLEADER was acked");
        return;
    }
    l->state = LEARNER_ACTIVE;
    send_simple(z, ZAB_ACK, zxid_make(l->epoch, 0), SLICE_NULL);
    /* What an earlier leader proposed and this one has committed gets no COMMIT of its own any
     * more. */
    history_commit(&z->history, l->committed_zxid < z->history.logged_zxid
                                    ? l->committed_zxid
                                    : z->history.logged_zxid);
    zab_serve(z, l->epoch);
    ack_proposals(z);
}

/* ---- broadcast ------------------------------------------------------------------------------- */

/* S4: within an epoch nothing may be missing, and an epoch begins with counter 1. */
static bool continues_history(const struct zab *z, int64_t zxid)
{
    int64_t last = z->history.logged_zxid;
    if (MUTANT(S4) || MUTANT(S6)) {
        return zxid > last;
    }
    if (zxid_epoch(zxid) == zxid_epoch(last)) {
        return zxid == last + 1;
    }
    return zxid_epoch(zxid) > zxid_epoch(last) && zxid_counter(zxid) == 1;
}

static bool take_proposal(struct zab *z, const struct quorum_packet *packet)
{
    if (packet->zxid <= z->history.logged_zxid) {
        return true; /* S7: a duplicate */
    }
    if (!continues_history(z, packet->zxid)) {
        zab_look(z, "a gap in the leader's proposals");
        return false;
    }
    zab_append(z, packet->zxid, packet->data);
    return true;
}

/* S3: what it refers to stands in the history, whatever phase it came in. */
static void take_commit(struct zab *z, int64_t zxid)
{
    if (zxid > z->history.logged_zxid) {
        zab_look(z, "a commit of something never proposed");
        return;
    }
    if (MUTANT(S3) && z->learner.state == LEARNER_ACKED) {
        return;
    }
    history_commit(&z->history, zxid);
    zab_deliver(z);
}

/* The leader counts the answers to what it sent behind UPTODATE, and Apache's learners, too, ignore
 * what comes in front of that. */
static void answer_ping(struct zab *z, int64_t zxid)
{
    if (z->learner.state < LEARNER_ACTIVE) {
        return;
    }
    struct buf touched = BUF_EMPTY;
    session_take_touched(z->sessions, &touched);
    send_simple(z, ZAB_PING, zxid,
                (struct slice){ touched.len ? touched.data : (const uint8_t *)"",
                                (int32_t)touched.len });
    buf_fini(&touched);
}

static void on_revalidate(struct zab *z, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    int64_t session_id = wire_long(&w);
    bool is_valid = wire_bool(&w);
    if (wire_ok(&w)) {
        struct zab_action *a = zab_add(z, ZAB_DO_REVALIDATED);
        a->session_id = session_id;
        a->is_valid = is_valid;
    }
}

/* SYNC stands behind the commits that the sync must show; our own log may lag behind them. */
static void on_sync_answer(struct zab *z)
{
    list_for_each (it, &z->learner.syncs) {
        struct forwarded *f = list_entry(it, struct forwarded, line);
        if (!f->is_answered) {
            f->is_answered = true;
            f->zxid = z->history.committed_zxid;
            break;
        }
    }
    learner_answer_syncs(z);
}

void learner_answer_syncs(struct zab *z)
{
    while (!list_is_empty(&z->learner.syncs)) {
        struct forwarded *f = list_entry(z->learner.syncs.next, struct forwarded, line);
        if (!f->is_answered || f->zxid > z->history.delivered_zxid) {
            return;
        }
        struct zab_action *a = zab_add(z, ZAB_DO_DELIVER_SYNC);
        a->origin = f->origin;
        a->cxid = f->cxid;
        list_remove(&f->line);
        free(f);
    }
}

static void on_sync_packet(struct zab *z, const struct quorum_packet *packet)
{
    if (z->learner.state != LEARNER_EPOCH) {
        zab_look(z, "the leader synchronises at the wrong time");
        return;
    }
    z->learner.committed_zxid = packet->zxid;
    if (packet->type == ZAB_TRUNC) {
        on_trunc(z, packet->zxid);
    } else if (packet->type == ZAB_SNAP) {
        on_snap(z, packet->zxid);
    } else {
        z->learner.state = LEARNER_SYNC;
    }
}

/* What comes once the learner has its history, or while it gets it. */
static void on_broadcast_packet(struct zab *z, const struct quorum_packet *packet)
{
    switch (packet->type) {
    case ZAB_PROPOSAL:
        take_proposal(z, packet);
        break;
    case ZAB_COMMIT:
        take_commit(z, packet->zxid);
        break;
    case ZAB_INFORM:
        if (take_proposal(z, packet)) {
            take_commit(z, packet->zxid);
        }
        break;
    case ZAB_NEWLEADER:
        z->learner.state = LEARNER_SAVING;
        if (MUTANT(E2)) {
            z->current_epoch = z->learner.epoch;
            zab_add(z, ZAB_DO_SAVE_CURRENT_EPOCH)->epoch = z->learner.epoch;
        }
        try_ack_newleader(z);
        break;
    case ZAB_UPTODATE:
        on_uptodate(z);
        break;
    case ZAB_PING:
        answer_ping(z, packet->zxid);
        break;
    case ZAB_REVALIDATE:
        on_revalidate(z, packet);
        break;
    case ZAB_SYNC:
        on_sync_answer(z);
        break;
    default:
        zab_look(z, "a packet that a leader does not send");
        break;
    }
}

void learner_on_packet(struct zab *z, const struct quorum_packet *packet)
{
    switch (packet->type) {
    case ZAB_LEADERINFO:
        on_leaderinfo(z, packet);
        break;
    case ZAB_DIFF:
    case ZAB_TRUNC:
    case ZAB_SNAP:
        on_sync_packet(z, packet);
        break;
    default:
        if (z->learner.state < LEARNER_SYNC) {
            zab_look(z, "the leader skips a phase");
            return;
        }
        on_broadcast_packet(z, packet);
        break;
    }
    if (z->role != STATE_LOOKING) {
        expect_packet(z);
    }
}

/* ---- what local clients want ----------------------------------------------------------------- */

static void remember(struct list *line, int64_t session_id, int32_t cxid, uint64_t origin)
{
    struct forwarded *f = xmalloc(sizeof(*f));
    *f = (struct forwarded){ .session_id = session_id, .cxid = cxid, .origin = origin };
    list_push_back(line, &f->line);
}

static void send_request(struct zab *z, const struct request *req)
{
    struct buf data = BUF_EMPTY;
    put_long(&data, req->session_id);
    put_int(&data, req->cxid);
    put_int(&data, req->type);
    buf_append(&data, req->body.data, slice_size(req->body));
    struct quorum_packet p = { ZAB_REQUEST, -1, { data.data, (int32_t)data.len }, req->ids };
    if (req->type == OP_CREATE_SESSION) {
        p.authinfo = VEC_NULL;
    }
    zab_send(z, z->learner.link, &p);
    buf_fini(&data);
}

void learner_submit(struct zab *z, const struct request *req)
{
    remember(&z->learner.requests, req->session_id, req->cxid, req->origin);
    send_request(z, req);
}

void learner_sync(struct zab *z, uint64_t origin, int32_t cxid)
{
    struct request req = { .cxid = cxid, .type = OP_SYNC, .body = SLICE_EMPTY, .ids = VEC_NULL };
    remember(&z->learner.syncs, 0, cxid, origin);
    send_request(z, &req);
}

void learner_revalidate(struct zab *z, int64_t session_id, int32_t timeout_ms)
{
    struct buf data = BUF_EMPTY;
    put_long(&data, session_id);
    put_int(&data, timeout_ms);
    send_simple(z, ZAB_REVALIDATE, -1, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

uint64_t learner_origin_of(struct zab *z, int64_t session_id, int32_t cxid)
{
    if (list_is_empty(&z->learner.requests)) {
        return 0;
    }
    struct forwarded *f = list_entry(z->learner.requests.next, struct forwarded, line);
    if (f->session_id != session_id || f->cxid != cxid) {
        return 0; /* somebody else's txn */
    }
    uint64_t origin = f->origin;
    list_remove(&f->line);
    free(f);
    return origin;
}

/* ---- time ------------------------------------------------------------------------------------ */

void learner_on_tick(struct zab *z)
{
    struct learner *l = &z->learner;
    if (z->now_ms >= l->deadline_ms && l->state == LEARNER_CONNECTING) {
        int32_t ticks = z->config.init_limit_ticks + z->config.sync_limit_ticks;
        election_avoid(&z->election, l->leader_sid, z->now_ms + zab_ticks_ms(z, ticks));
        zab_look(z, "the elected leader cannot be reached");
    } else if (z->now_ms >= l->deadline_ms) {
        zab_look(z, "the leader is silent");
    } else if (l->state == LEARNER_CONNECTING && l->link == 0 && z->now_ms >= l->redial_at_ms) {
        dial(z);
    }
}

int64_t learner_deadline_ms(const struct zab *z)
{
    const struct learner *l = &z->learner;
    if (l->state == LEARNER_CONNECTING && l->link == 0 && l->redial_at_ms < l->deadline_ms) {
        return l->redial_at_ms;
    }
    return l->deadline_ms;
}
