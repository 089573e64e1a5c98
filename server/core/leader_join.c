/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/leader_parts.h"

#include "server/core/sync.h"
#include "server/core/zxid.h"
#include "server/tree/mutant.h"

/* ---- discovery ------------------------------------------------------------------------------- */

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
    leader_send(z, h->link, ZAB_LEADERINFO, zxid_make(z->leader.epoch, 0),
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

/* A server that connects again has given its older link up. */
static void drop_older_links(struct zab *z, const struct handler *newer)
{
    list_for_each_safe (it, next, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h != newer && h->sid == newer->sid) {
            leader_drop_handler(z, h);
        }
    }
}

void leader_on_info(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    struct learner_info info;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    if (h->state != HANDLER_NEW || !learner_info_decode(&w, &info) ||
        info.config_version > z->config.ensemble->config_version) {
        leader_drop_handler(z, h);
        return;
    }
    h->sid = info.sid;
    h->is_observer = packet->type == ZAB_OBSERVERINFO ||
                     !ensemble_is_voter(z->config.ensemble, info.sid);
    h->accepted_epoch = zxid_epoch(packet->zxid);
    h->state = HANDLER_INFO;
    drop_older_links(z, h);
    if (z->leader.phase == LEADER_DISCOVERY) {
        if (leader_has_quorum(z, has_said_epoch)) {
            fix_epoch(z);
        }
        return;
    }
    if (h->accepted_epoch > z->leader.epoch && !h->is_observer) {
        /* It has promised a leader that came to nothing not to follow an older one. It would stay
         * outside for as long as we lead, as it does in Apache's ensembles; an epoch above its own
         * takes it in. What an observer has promised nobody counts on. */
        zab_look(z, "a follower has accepted a later epoch");
        return;
    }
    send_leaderinfo(z, h);
}

/* ---- synchronisation ------------------------------------------------------------------------- */

/* Before BROADCAST all of the history counts as committed: it is what the new leader brings along.
 */
static int64_t committed_zxid(const struct zab *z)
{
    return z->leader.phase == LEADER_SYNC ? z->history.logged_zxid : z->history.committed_zxid;
}

/* Observers hear of what is committed only. */
static void send_history(struct zab *z, const struct handler *h, struct proposal *p)
{
    int64_t committed = committed_zxid(z);
    for (; p; p = history_following(&z->history, p)) {
        if (!h->is_observer) {
            leader_send_proposal(z, h, p);
        }
        if (p->zxid <= committed) {
            leader_send_commit(z, h, p);
        }
    }
}

static struct sync_plan choose(const struct zab *z, const struct handler *h)
{
    int64_t epoch_start = zxid_make(z->leader.epoch, 0);
    int64_t max = committed_zxid(z);
    bool serves = z->leader.phase == LEADER_BROADCAST;
    const struct sync_input in = {
        .peer_zxid = h->last_zxid,
        .applied_zxid = serves && max < epoch_start ? epoch_start : max,
        .max_zxid = max,
        .force_snap = z->config.force_snap,
        .size_percent = z->config.snap_size_percent,
        .disk = h->disk,
    };
    return sync_choose(&z->history, &in);
}

/* S8: only the disk knows what it has below the window in memory, and whether that is without a
 * gap. */
static void ask_disk(struct zab *z, struct handler *h)
{
    struct zab_action *a = zab_add(z, ZAB_DO_LOG_FIND);
    h->is_asking_disk = true;
    a->link = h->link;
    a->zxid = h->last_zxid;
    a->until_zxid = z->history.log_from_zxid;
}

/* What leads to the learner's first packet from memory. Packets that are sent meanwhile wait on its
 * link. */
static void send_from_disk(struct zab *z, const struct handler *h, const struct sync_plan *plan)
{
    if (plan->disk_until > plan->disk_after) {
        struct zab_action *a = zab_add(z, ZAB_DO_LOG_SEND);
        a->link = h->link;
        a->zxid = plan->disk_after;
        a->until_zxid = plan->disk_until;
        a->on = h->is_observer;
        z->sync_stats.from_disk++;
    }
}

static void count_plan(struct sync_stats *stats, enum quorum_packet_type type)
{
    stats->diffs += type == ZAB_DIFF;
    stats->truncs += type == ZAB_TRUNC;
    stats->snaps += type == ZAB_SNAP;
}

/* S6: the missing history, the proposals under way and NEWLEADER, in one step, and from here on the
 * learner gets every new proposal. */
static void synchronise(struct zab *z, struct handler *h)
{
    struct sync_plan plan = choose(z, h);
    if (plan.asks_disk) {
        ask_disk(z, h);
        return;
    }
    if (plan.type == ZAB_SNAP && z->leader.snap_link != 0) {
        return; /* the tree has one image at a time (tree/image.h) */
    }
    count_plan(&z->sync_stats, plan.type);
    leader_send(z, h->link, plan.type, plan.zxid, SLICE_NULL);
    if (plan.type == ZAB_SNAP) {
        zab_add(z, ZAB_DO_SNAP_SEND)->link = h->link;
        z->leader.snap_link = h->link;
    }
    send_from_disk(z, h, &plan);
    send_history(z, h, plan.first);
    leader_send(z, h->link, ZAB_NEWLEADER, zxid_make(z->leader.epoch, 0),
                slice_of_str(z->config.ensemble->config_text));
    /* What it acked before it came may be cut off, and what of it is left counts with NEWLEADER. */
    quorum_forget(&z->leader.quorum, h->sid);
    h->known_zxid = plan.type == ZAB_DIFF ? h->last_zxid : plan.type == ZAB_TRUNC ? plan.zxid : 0;
    h->state = HANDLER_SYNCING;
    h->silence_max_ms =
        zab_ticks_ms(z, z->config.init_limit_ticks) + zab_ticks_ms(z, z->config.sync_limit_ticks);
}

void leader_on_log_found(struct zab *z, int64_t link, const struct log_place *place)
{
    struct handler *h = leader_find_handler(&z->leader, link);
    if (!h || !h->is_asking_disk) {
        return;
    }
    h->is_asking_disk = false;
    h->disk = *place;
    h->disk.is_known = true;
    if (place->first_zxid != 0 && h->last_zxid < z->history.log_from_zxid) {
        z->history.log_from_zxid = h->last_zxid; /* looked through, and without a gap */
    }
    synchronise(z, h);
}

/* It cannot be read to the end. What was sent stands; the learner comes again, and gets a snapshot.
 */
void leader_on_log_unreadable(struct zab *z, int64_t link)
{
    struct handler *h = leader_find_handler(&z->leader, link);
    z->history.log_from_zxid = z->history.before_recent;
    if (h) {
        leader_drop_handler(z, h);
    }
}

/* Those that have accepted our epoch and were not served yet. */
static void synchronise_waiting(struct zab *z)
{
    list_for_each (it, &z->leader.handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state == HANDLER_ACKED && !h->is_asking_disk) {
            synchronise(z, h);
        }
    }
}

void leader_free_snap_turn(struct zab *z, int64_t link)
{
    if (link == z->leader.snap_link) {
        z->leader.snap_link = 0;
        synchronise_waiting(z);
    }
}

void leader_on_snap_sent(struct zab *z, int64_t link)
{
    leader_free_snap_turn(z, link);
}

static void begin_sync(struct zab *z)
{
    struct leader *l = &z->leader;
    z->current_epoch = l->epoch;
    zab_add(z, ZAB_DO_SAVE_CURRENT_EPOCH)->epoch = l->epoch;
    l->phase = LEADER_SYNC;
    synchronise_waiting(z);
}

void leader_on_ackepoch(struct zab *z, struct handler *h, const struct quorum_packet *packet)
{
    struct wire w;
    wire_init(&w, packet->data.data, slice_size(packet->data));
    int32_t current = wire_int(&w);
    if (h->state != HANDLER_EPOCH || !wire_ok(&w)) {
        leader_drop_handler(z, h);
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
        if (leader_has_quorum(z, has_acked_epoch)) {
            begin_sync(z);
        }
        return;
    }
    synchronise(z, h);
}

/* ---- activation ------------------------------------------------------------------------------ */

bool leader_has_history(const struct handler *h)
{
    return h->state >= HANDLER_SYNCED;
}

static void send_uptodate(struct zab *z, struct handler *h)
{
    leader_send(z, h->link, ZAB_UPTODATE, -1, SLICE_NULL);
    h->state = HANDLER_ACTIVE;
    h->heard_ms = z->now_ms;
    h->silence_max_ms = zab_ticks_ms(z, z->config.sync_limit_ticks);
}

/* A quorum has everything that we have: it is committed, and we lead (E6). */
void leader_activate(struct zab *z)
{
    struct leader *l = &z->leader;
    l->phase = LEADER_BROADCAST;
    l->next_ping_ms = z->now_ms;
    if (z->config.ensemble->voter_count > 1) {
        l->next_zxid = zxid_make(l->epoch, 1);
    }
    history_commit(&z->history, z->history.logged_zxid);
    zab_serve(z, l->epoch);
    list_for_each (it, &l->handlers) {
        struct handler *h = list_entry(it, struct handler, all);
        if (h->state == HANDLER_SYNCED) {
            send_uptodate(z, h);
        }
    }
}

/* Our own copy of the history must be durable before we count ourselves. */
void leader_try_activate(struct zab *z)
{
    if (z->leader.phase == LEADER_SYNC && z->history.synced_zxid == z->history.logged_zxid &&
        (leader_has_quorum(z, leader_has_history) || MUTANT(E6))) {
        leader_activate(z);
    }
}

void leader_on_newleader_ack(struct zab *z, struct handler *h)
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
        leader_try_activate(z);
    }
}
