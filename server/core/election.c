/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/election.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"

/* Apache goes up to a minute, which is what a server may then stay out after its network is back.
 */
enum { RESEND_FIRST_MS = 200, RESEND_MAX_MS = 4000, FINALIZE_WAIT_MS = 200 };

/* Notifications carry zxid -1 for a server whose data is unknown: nobody counts it. */
enum { ZXID_UNINITIALISED = -1 };

enum { NOBODY = -1 };

void election_init(struct election *e, const struct ensemble *ensemble)
{
    memset(e, 0, sizeof(*e));
    e->ensemble = ensemble;
    e->state = STATE_LOOKING;
    e->absent_sid = NOBODY;
    e->avoided_sid = NOBODY;
}

void election_fini(struct election *e)
{
    free(e->out);
    e->out = NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_vote(struct election *e, int64_t sid, const struct vote *v, int64_t round)
{
    if (e->out_count == e->out_cap) {
        e->out_cap = e->out_cap ? 2 * e->out_cap : 8;
        e->out = xrealloc(e->out, (size_t)e->out_cap * sizeof(*e->out));
    }
    e->out[e->out_count++] = (struct election_send){
        .sid = sid,
        .message = {
            .state = e->state,
            .leader = v->leader,
            .zxid = v->zxid,
            .election_epoch = round,
            .peer_epoch = v->peer_epoch,
            .version = NOTIFICATION_VERSION,
            .config = slice_of_str(e->ensemble->config_text),
        },
    };
}

static void send_proposal(struct election *e)
{
    for (int32_t i = 0; i < e->ensemble->voter_count; i++) {
        if (e->ensemble->voters[i] != e->ensemble->self_sid) {
            send_vote(e, e->ensemble->voters[i], &e->proposal, e->logical_clock);
        }
    }
}

/* ---- votes ----------------------------------------------------------------------------------- */

static int32_t voter_index(const struct election *e, int64_t sid)
{
    for (int32_t i = 0; i < e->ensemble->voter_count; i++) {
        if (e->ensemble->voters[i] == sid) {
            return i;
        }
    }
    return -1;
}

/* E5: larger peerEpoch, then larger zxid, then larger sid. */
static bool beats(const struct vote *a, const struct vote *b)
{
    if (a->peer_epoch != b->peer_epoch) {
        return a->peer_epoch > b->peer_epoch;
    }
    if (a->zxid != b->zxid) {
        return a->zxid > b->zxid;
    }
    return a->leader > b->leader;
}

static bool same_proposal(const struct vote *a, const struct vote *b)
{
    return a->leader == b->leader && a->zxid == b->zxid && a->peer_epoch == b->peer_epoch &&
           a->election_epoch == b->election_epoch;
}

/* Settled servers need not agree on round and zxid, which differ by when each joined. */
static bool same_settled(const struct ballot *a, const struct ballot *b)
{
    if (a->state == STATE_LOOKING || b->state == STATE_LOOKING) {
        return same_proposal(&a->vote, &b->vote);
    }
    if ((a->version == 0) != (b->version == 0)) {
        return a->vote.leader == b->vote.leader;
    }
    return a->vote.leader == b->vote.leader && a->vote.peer_epoch == b->vote.peer_epoch;
}

static bool has_quorum_for_proposal(const struct election *e)
{
    int32_t count = 0;
    for (int32_t i = 0; i < e->ensemble->voter_count; i++) {
        count += e->received[i].is_set && same_proposal(&e->received[i].vote, &e->proposal);
    }
    return ensemble_is_majority(e->ensemble, count);
}

/* Have all voters but the one that is gone said the same in this round? */
static bool is_unanimous(const struct election *e)
{
    for (int32_t i = 0; i < e->ensemble->voter_count; i++) {
        const struct ballot *b = &e->received[i];
        if (e->ensemble->voters[i] != e->absent_sid &&
            (!b->is_set || !same_proposal(&b->vote, &e->proposal))) {
            return false;
        }
    }
    return true;
}

static bool has_quorum_like(const struct election *e, const struct ballot *table,
                            const struct ballot *b)
{
    int32_t count = 0;
    for (int32_t i = 0; i < e->ensemble->voter_count; i++) {
        count += table[i].is_set && same_settled(&table[i], b);
    }
    return ensemble_is_majority(e->ensemble, count);
}

/* Nobody is followed on hearsay: the leader itself must have said that it leads. */
static bool leader_confirms(const struct election *e, const struct ballot *table, int64_t leader,
                            int64_t round)
{
    if (leader == e->ensemble->self_sid) {
        return e->logical_clock == round;
    }
    int32_t i = voter_index(e, leader);
    return i >= 0 && table[i].is_set && table[i].state == STATE_LEADING;
}

/* Our own vote is a voter's like any other. */
static void count_own_vote(struct election *e)
{
    int32_t self = voter_index(e, e->ensemble->self_sid);
    if (self >= 0) {
        e->received[self] =
            (struct ballot){ true, STATE_LOOKING, NOTIFICATION_VERSION, e->proposal };
    }
}

static struct vote own_vote(const struct election *e)
{
    if (e->ensemble->is_observer) {
        return (struct vote){ INT64_MIN, INT64_MIN, e->logical_clock, INT64_MIN };
    }
    return (struct vote){ e->ensemble->self_sid, e->own_zxid, e->logical_clock, e->own_peer_epoch };
}

static void set_proposal(struct election *e, struct vote v)
{
    v.election_epoch = e->logical_clock;
    e->proposal = v;
    e->settle_at_ms = 0;
    count_own_vote(e);
    send_proposal(e);
}

static void decide(struct election *e, const struct vote *v)
{
    bool leads = v->leader == e->ensemble->self_sid;
    e->current = *v;
    e->settle_at_ms = 0;
    e->is_decided = true;
    e->absent_sid = NOBODY;
    e->avoided_sid = NOBODY;
    if (leads) {
        e->state = STATE_LEADING;
    } else {
        e->state = e->ensemble->is_observer ? STATE_OBSERVING : STATE_FOLLOWING;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void begin_call(struct election *e)
{
    e->out_count = 0;
    e->is_decided = false;
}

void election_lose_leader(struct election *e, int64_t sid)
{
    e->absent_sid = sid;
}

void election_start(struct election *e, int64_t zxid, int64_t peer_epoch, int64_t now_ms)
{
    begin_call(e);
    e->state = STATE_LOOKING;
    /* Who has lost its leader goes one round further than that leader itself: a vote of it counts
     * once it is of our round, which it knows only if it hears us. Else a leader that still sends
     * but no longer receives would be elected again, and be waited for until initLimit. */
    e->logical_clock += e->absent_sid == NOBODY ? 1 : 2;
    e->own_zxid = zxid;
    e->own_peer_epoch = peer_epoch;
    memset(e->received, 0, sizeof(e->received));
    memset(e->outside, 0, sizeof(e->outside));
    e->resend_after_ms = RESEND_FIRST_MS;
    e->resend_at_ms = now_ms + RESEND_FIRST_MS;
    set_proposal(e, own_vote(e));
    if (has_quorum_for_proposal(e)) { /* an ensemble of one */
        e->settle_at_ms = now_ms;
    }
}

/* What we answer to somebody who looks or may not vote. */
static void answer(struct election *e, int64_t to)
{
    if (e->state == STATE_LOOKING) {
        send_vote(e, to, &e->proposal, e->logical_clock);
    } else {
        send_vote(e, to, &e->current, e->current.election_epoch);
    }
}

static bool is_avoided(const struct election *e, int64_t leader, int64_t now_ms)
{
    return leader == e->avoided_sid && now_ms < e->avoided_until_ms;
}

static void on_looking(struct election *e, int32_t from, const struct notification *n,
                       const struct vote *v, int64_t now_ms)
{
    if (e->own_zxid == ZXID_UNINITIALISED || n->zxid == ZXID_UNINITIALISED) {
        return;
    }
    if (n->election_epoch < e->logical_clock) {
        return; /* it was told our proposal already */
    }
    bool is_welcome = !is_avoided(e, v->leader, now_ms);
    if (n->election_epoch > e->logical_clock) {
        e->logical_clock = n->election_epoch;
        memset(e->received, 0, sizeof(e->received));
        struct vote own = own_vote(e);
        set_proposal(e, is_welcome && beats(v, &own) ? *v : own);
    } else if (is_welcome && beats(v, &e->proposal)) {
        set_proposal(e, *v);
    } else if (beats(&e->proposal, v)) {
        /* It may have been settled still when ours came, and dropped it. */
        answer(e, e->ensemble->voters[from]);
    }
    e->received[from] = (struct ballot){ true, STATE_LOOKING, n->version, *v };
    if (e->ensemble->voters[from] == e->absent_sid) {
        e->absent_sid = NOBODY;
        e->avoided_sid = NOBODY; /* it is back, or was never gone */
    }
    bool agreed = has_quorum_for_proposal(e);
    if (!agreed) {
        e->settle_at_ms = 0;
    } else if (e->absent_sid != NOBODY && is_unanimous(e)) {
        decide(e, &e->proposal);
    } else if (e->settle_at_ms == 0) {
        e->settle_at_ms = now_ms + FINALIZE_WAIT_MS;
    }
}

static void on_settled(struct election *e, int32_t from, const struct notification *n,
                       const struct vote *v)
{
    struct ballot b = { true, n->state, n->version, *v };
    if (n->election_epoch == e->logical_clock) {
        e->received[from] = b;
        if (has_quorum_like(e, e->received, &b) &&
            leader_confirms(e, e->received, v->leader, n->election_epoch)) {
            decide(e, v);
            return;
        }
    }
    e->outside[from] = b;
    if (has_quorum_like(e, e->outside, &b) &&
        leader_confirms(e, e->outside, v->leader, n->election_epoch)) {
        e->logical_clock = n->election_epoch;
        decide(e, v);
    }
}

void election_on_notification(struct election *e, int64_t from, const struct notification *n,
                              int64_t now_ms)
{
    begin_call(e);
    int32_t index = voter_index(e, from);
    if (index < 0) {
        answer(e, from);
        return;
    }
    if (e->state != STATE_LOOKING) {
        if (n->state == STATE_LOOKING) {
            answer(e, from);
        }
        return;
    }
    if (n->state == STATE_LOOKING && n->election_epoch < e->logical_clock) {
        answer(e, from);
    }
    if (n->state == STATE_OBSERVING || !ensemble_is_voter(e->ensemble, n->leader)) {
        return;
    }
    struct vote v = { n->leader, n->zxid, n->election_epoch, n->peer_epoch };
    if (n->state == STATE_LOOKING) {
        on_looking(e, index, n, &v, now_ms);
    } else {
        on_settled(e, index, n, &v);
    }
}

void election_on_tick(struct election *e, int64_t now_ms)
{
    begin_call(e);
    if (e->state != STATE_LOOKING) {
        return;
    }
    if (e->settle_at_ms != 0 && now_ms >= e->settle_at_ms) {
        decide(e, &e->proposal);
        return;
    }
    if (now_ms >= e->resend_at_ms) {
        send_proposal(e);
        e->resend_after_ms *= 2;
        if (e->resend_after_ms > RESEND_MAX_MS) {
            e->resend_after_ms = RESEND_MAX_MS;
        }
        e->resend_at_ms = now_ms + e->resend_after_ms;
    }
}

int64_t election_deadline_ms(const struct election *e)
{
    if (e->state != STATE_LOOKING) {
        return INT64_MAX;
    }
    return e->settle_at_ms != 0 && e->settle_at_ms < e->resend_at_ms ? e->settle_at_ms
                                                                     : e->resend_at_ms;
}

void election_avoid(struct election *e, int64_t sid, int64_t until_ms)
{
    e->avoided_sid = sid;
    e->avoided_until_ms = until_ms;
}

void election_set_epoch(struct election *e, int64_t peer_epoch)
{
    e->current.peer_epoch = peer_epoch;
}
