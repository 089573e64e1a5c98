/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/zab.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/jute/txn.h"
#include "server/tree/mutant.h"

/* ---- the list of actions --------------------------------------------------------------------- */

struct zab_action *zab_add(struct zab *z, enum zab_action_type type)
{
    if (z->action_count == z->action_cap) {
        z->action_cap = z->action_cap ? 2 * z->action_cap : 64;
        z->actions = xrealloc(z->actions, (size_t)z->action_cap * sizeof(*z->actions));
    }
    struct zab_action *a = &z->actions[z->action_count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    return a;
}

void zab_send(struct zab *z, int64_t link, const struct quorum_packet *packet)
{
    struct zab_action *a = zab_add(z, ZAB_DO_SEND);
    a->link = link;
    a->at = z->bytes.len;
    quorum_packet_encode(&z->bytes, packet);
    a->len = z->bytes.len - a->at;
}

static void add_votes(struct zab *z)
{
    for (int32_t i = 0; i < z->election.out_count; i++) {
        const struct election_send *s = &z->election.out[i];
        struct zab_action *a = zab_add(z, ZAB_DO_SEND_VOTE);
        a->sid = s->sid;
        a->at = z->bytes.len;
        notification_encode(&z->bytes, &s->message);
        a->len = z->bytes.len - a->at;
    }
    z->election.out_count = 0;
}

/* ---- history --------------------------------------------------------------------------------- */

struct proposal *zab_append(struct zab *z, int64_t zxid, struct slice entry)
{
    struct proposal *p = history_append(&z->history, zxid, entry.data, slice_size(entry));
    if (!z->learner.is_rebuilding) {
        zab_add(z, ZAB_DO_LOG_APPEND)->proposal = p;
    }
    return p;
}

/* A follower's own requests come back without a mark of whose they are. */
static void find_origin(struct zab *z, struct proposal *p)
{
    struct wire w;
    struct txn_header hdr;
    wire_init(&w, p->entry.data, p->entry.len);
    if (z->role != STATE_LEADING && txn_header_decode(&w, &hdr)) {
        p->origin = learner_origin_of(z, hdr.session_id, hdr.cxid);
        p->cxid = hdr.cxid;
    }
}

void zab_deliver(struct zab *z)
{
    struct proposal *p;
    while ((p = history_next(&z->history)) != NULL) {
        find_origin(z, p);
        zab_add(z, ZAB_DO_DELIVER)->proposal = p;
    }
    if (z->role == STATE_LEADING) {
        leader_answer_syncs(z);
    } else if (z->role != STATE_LOOKING) {
        learner_answer_syncs(z);
    }
}

void zab_serve(struct zab *z, int64_t epoch)
{
    zab_deliver(z);
    z->is_serving = true;
    election_set_epoch(&z->election, epoch);
    struct zab_action *serve = zab_add(z, ZAB_DO_SERVE);
    serve->on = true;
    serve->epoch = epoch;
}

static bool is_learner(const struct zab *z)
{
    return z->role == STATE_FOLLOWING || z->role == STATE_OBSERVING;
}

/* ---- roles ----------------------------------------------------------------------------------- */

static void add_role(struct zab *z)
{
    zab_add(z, ZAB_DO_ROLE);
}

static void take_role(struct zab *z)
{
    z->role = z->election.state;
    add_role(z);
    if (z->role == STATE_LEADING) {
        leader_begin(z);
    } else {
        learner_begin(z, z->election.current.leader);
    }
}

/* The vote is for what the log holds, so the log must have settled (S11). */
static void start_election(struct zab *z)
{
    z->is_draining = false;
    election_start(&z->election, z->history.logged_zxid, z->current_epoch, z->now_ms);
    add_votes(z);
}

/* ZAB-12 */
void zab_look(struct zab *z, const char *reason)
{
    if (z->role == STATE_LOOKING) {
        return;
    }
    enum server_state old = z->role;
    z->reason = reason;
    z->role = STATE_LOOKING;
    z->election.state = STATE_LOOKING;
    if (old == STATE_LEADING) {
        leader_end(z);
    } else {
        election_lose_leader(&z->election, z->learner.leader_sid);
        learner_end(z);
    }
    if (z->is_serving) {
        z->is_serving = false;
        zab_add(z, ZAB_DO_SERVE)->on = false;
    }
    add_role(z);
    history_forget_origins(&z->history);
    if (z->is_disabled) {
        z->is_draining = true; /* until RELOADED */
        return;
    }
    if (old != STATE_LEADING && z->learner.must_reload && !MUTANT(S12)) {
        /* S5: memory holds a tree that the disk does not. */
        zab_add(z, ZAB_DO_RELOAD);
        z->is_draining = true;
        return;
    }
    z->is_draining = z->history.synced_zxid < z->history.logged_zxid && !MUTANT(S11);
    if (!z->is_draining) {
        start_election(z);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void after_election(struct zab *z)
{
    bool decided = z->election.is_decided;
    add_votes(z);
    if (decided) {
        z->election.is_decided = false;
        take_role(z);
    }
}

static void on_notification(struct zab *z, const struct zab_event *ev)
{
    if (z->is_draining) {
        return; /* what we would answer is not settled yet; the sender asks again */
    }
    election_on_notification(&z->election, ev->notification.sid, ev->notification.message,
                             z->now_ms);
    after_election(z);
}

static void on_tick(struct zab *z)
{
    if (z->role == STATE_LEADING) {
        leader_on_tick(z);
    } else if (z->role != STATE_LOOKING) {
        learner_on_tick(z);
    } else if (!z->is_draining) {
        election_on_tick(&z->election, z->now_ms);
        after_election(z);
    }
}

static void on_log_synced(struct zab *z, int64_t zxid)
{
    history_synced(&z->history, zxid);
    if (z->role == STATE_LEADING) {
        leader_on_log_synced(z);
    } else if (z->role != STATE_LOOKING) {
        learner_on_log_synced(z);
    } else if (z->is_draining && !z->is_disabled &&
               z->history.synced_zxid == z->history.logged_zxid) {
        start_election(z);
    }
}

/* What the log on disk is good for (S8). */
static void recall_log(struct zab *z, const struct zab_start *disk)
{
    struct history *h = &z->history;
    if (disk->tail) {
        history_recall(h, disk->tail);
    }
    int64_t from = disk->log_from_zxid;
    h->log_from_zxid = from < h->before_recent ? from : h->before_recent;
}

static void on_reloaded(struct zab *z, const struct zab_start *disk)
{
    history_reset(&z->history, z->tree->last_zxid);
    if (disk) {
        z->accepted_epoch = disk->accepted_epoch;
        z->current_epoch = disk->current_epoch;
    }
    if (disk) {
        recall_log(z, disk);
    }
    z->is_disabled = false;
    z->learner.must_reload = false;
    z->learner.is_rebuilding = false;
    start_election(z);
}

/* S14, ZAB-14: the log is as good as before, the tree is not. */
static void on_diverged(struct zab *z)
{
    if (is_learner(z)) {
        z->wants_snap = true;
        zab_look(z, "the tree is not the leader's, by its digest; asking for a snapshot");
    }
}

/* S13, ZAB-13: what memory holds may not be on the disk, so nothing is voted for, acked or served any more.
 */
static void on_disk_failed(struct zab *z)
{
    z->is_disabled = true;
    z->is_draining = true;
    zab_look(z, "the disk has failed");
}

static void on_link(struct zab *z, int64_t link, bool is_up)
{
    if (z->role == STATE_LEADING) {
        (is_up ? leader_on_link_up : leader_on_link_down)(z, link);
    } else if (z->role != STATE_LOOKING) {
        (is_up ? learner_on_link_up : learner_on_link_down)(z, link);
    }
}

static void on_packet(struct zab *z, int64_t link, const struct quorum_packet *packet)
{
    if (z->role == STATE_LEADING) {
        leader_on_packet(z, link, packet);
    } else if (z->role != STATE_LOOKING && link == z->learner.link) {
        learner_on_packet(z, packet);
    }
}

/* Clients are served only in broadcast; whatever else comes late is dropped with its client. */
static void on_client_event(struct zab *z, const struct zab_event *ev)
{
    bool leads = z->role == STATE_LEADING;
    if (!z->is_serving) {
        return;
    }
    if (ev->type == ZAB_ON_SUBMIT) {
        if (leads) {
            leader_propose(z, ev->request);
        } else {
            learner_submit(z, ev->request);
        }
    } else if (ev->type == ZAB_ON_SYNC) {
        if (leads) {
            leader_sync(z, 0, ev->sync.origin, ev->sync.cxid);
        } else {
            learner_sync(z, ev->sync.origin, ev->sync.cxid);
        }
    } else if (!leads) {
        learner_revalidate(z, ev->revalidate.session_id, ev->revalidate.timeout_ms);
    }
}

void zab_step(struct zab *z, const struct zab_event *ev)
{
    history_settle(&z->history);
    z->action_count = 0;
    buf_reset(&z->bytes);
    z->now_ms = ev->now_ms;
    z->wall_ms = ev->wall_ms;
    if (z->role == STATE_LEADING && z->leader.has_prep) {
        prep_applied(&z->leader.prep, z->history.delivered_zxid);
    }
    switch (ev->type) {
    case ZAB_ON_TICK:
        on_tick(z);
        break;
    case ZAB_ON_NOTIFICATION:
        on_notification(z, ev);
        break;
    case ZAB_ON_LINK_UP:
    case ZAB_ON_LINK_DOWN:
        on_link(z, ev->link, ev->type == ZAB_ON_LINK_UP);
        break;
    case ZAB_ON_PACKET:
        on_packet(z, ev->packet.link, ev->packet.packet);
        break;
    case ZAB_ON_SUBMIT:
    case ZAB_ON_SYNC:
    case ZAB_ON_REVALIDATE:
        on_client_event(z, ev);
        break;
    case ZAB_ON_LOG_SYNCED:
        on_log_synced(z, ev->zxid);
        break;
    case ZAB_ON_SNAP_SENT:
        if (z->role == STATE_LEADING) {
            leader_on_snap_sent(z, ev->link);
        }
        break;
    case ZAB_ON_LOG_FOUND:
        if (z->role == STATE_LEADING) {
            leader_on_log_found(z, ev->log_found.link, ev->log_found.place);
        }
        break;
    case ZAB_ON_LOG_UNREADABLE:
        if (z->role == STATE_LEADING) {
            leader_on_log_unreadable(z, ev->link);
        }
        break;
    case ZAB_ON_SNAP_LOADED:
        if (is_learner(z)) {
            learner_on_snap_loaded(z);
        }
        break;
    case ZAB_ON_SNAP_SAVED:
        if (is_learner(z)) {
            learner_on_snap_saved(z);
        }
        break;
    case ZAB_ON_TRUNCATED:
        if (is_learner(z)) {
            learner_on_truncated(z);
        }
        break;
    case ZAB_ON_NOT_TRUNCATED:
        if (is_learner(z)) {
            learner_on_not_truncated(z);
        }
        break;
    case ZAB_ON_DIVERGED:
        on_diverged(z);
        break;
    case ZAB_ON_DISK_FAILED:
        on_disk_failed(z);
        break;
    case ZAB_ON_RELOADED:
        on_reloaded(z, ev->disk);
        break;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void zab_init(struct zab *z, const struct zab_config *config, const struct zab_start *start,
              const struct data_tree *tree, struct session_table *sessions, int64_t now_ms)
{
    memset(z, 0, sizeof(*z));
    z->config = *config;
    z->tree = tree;
    z->sessions = sessions;
    z->now_ms = now_ms;
    z->role = STATE_LOOKING;
    z->accepted_epoch = start->accepted_epoch;
    z->current_epoch = start->current_epoch;
    history_init(&z->history, start->last_zxid, config->commit_log_count);
    recall_log(z, start);
    election_init(&z->election, config->ensemble);
}

void zab_begin(struct zab *z, int64_t now_ms)
{
    z->now_ms = now_ms;
    z->action_count = 0;
    if (z->config.ensemble->voter_count == 1 && !z->config.ensemble->is_observer) {
        z->election.state = STATE_LEADING;
        take_role(z);
    } else {
        start_election(z);
    }
}

void zab_fini(struct zab *z)
{
    if (z->role == STATE_LEADING) {
        leader_end(z);
    } else if (z->role != STATE_LOOKING) {
        learner_end(z);
    }
    history_fini(&z->history);
    election_fini(&z->election);
    free(z->actions);
    buf_fini(&z->bytes);
}

int64_t zab_deadline_ms(const struct zab *z)
{
    switch (z->role) {
    case STATE_LEADING:
        return leader_deadline_ms(z);
    case STATE_LOOKING:
        return z->is_draining ? INT64_MAX : election_deadline_ms(&z->election);
    default:
        return learner_deadline_ms(z);
    }
}
