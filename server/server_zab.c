/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

static const char module[] = "zab";

/* A packet is a txn with a header around it. */
enum { PACKET_EXTRA_BYTES = 1024 };

/* What may wait for a learner that is slow to read: the time it takes to write a snapshot of a
 * large tree, or a burst. */
enum { OUT_BYTES_MAX = 256 * 1024 * 1024 };

static void step_zab(struct server *s, struct zab_event *event)
{
    struct peer_event ev = { .type = PEER_ZAB, .zab = event };
    server_step(s, &ev);
}

/* ---- events: what the other servers say ------------------------------------------------------ */

static void on_vote(void *arg, int64_t sid, const uint8_t *body, size_t len)
{
    struct notification message;
    if (notification_decode(body, len, &message)) {
        struct zab_event ev = { .type = ZAB_ON_NOTIFICATION, .notification = { sid, &message } };
        step_zab(arg, &ev);
    } else {
        log_warn(module, "server.%" PRId64 " sent a notification that cannot be read", sid);
    }
}

static void on_up(void *arg, int64_t id)
{
    struct zab_event ev = { .type = ZAB_ON_LINK_UP, .link = id };
    step_zab(arg, &ev);
}

static void on_down(void *arg, int64_t id)
{
    struct zab_event ev = { .type = ZAB_ON_LINK_DOWN, .link = id };
    step_zab(arg, &ev);
}

static void on_packet(void *arg, int64_t id, const struct quorum_packet *packet)
{
    struct zab_event ev = { .type = ZAB_ON_PACKET, .packet = { id, packet } };
    step_zab(arg, &ev);
}

static void stop_receiving(struct replication *r)
{
    snapshot_receiver_free(r->receiver);
    r->receiver = NULL;
}

/* The snapshot has come whole: it becomes the tree. False: it has no root. */
static bool install_received(struct server *s)
{
    struct replication *r = &s->replication;
    struct data_tree *tree;
    struct saved_session *sessions;
    size_t count;
    int err = snapshot_receiver_take(r->receiver, r->receiving_zxid, &tree, &sessions, &count);
    stop_receiving(r);
    if (err < 0) {
        return false;
    }
    log_info(module, "received a snapshot zxid=0x%" PRIx64 " nodes=%" PRId64 " sessions=%zu",
             (uint64_t)r->receiving_zxid, data_tree_count(tree), count);
    server_disk_install(s, tree, sessions, count);
    struct zab_event ev = { .type = ZAB_ON_SNAP_LOADED };
    step_zab(s, &ev);
    return true;
}

static ssize_t on_raw(void *arg, int64_t id, const uint8_t *bytes, size_t len)
{
    struct server *s = arg;
    struct replication *r = &s->replication;
    if (!r->receiver || r->receiving_link != id) {
        return -1; /* the core does not want it any more, and closes the link */
    }
    ssize_t taken = snapshot_receiver_feed(r->receiver, bytes, len);
    if (taken < 0) {
        log_warn(module, "the leader's snapshot cannot be read");
        return -1;
    }
    if (snapshot_receiver_is_done(r->receiver)) {
        quorum_conn_receive_raw(learner_port_find(&r->learners, id), false);
        if (!install_received(s)) {
            log_warn(module, "the leader's snapshot has no root");
            return -1;
        }
    }
    return taken;
}

static const struct learner_port_ops learner_ops = { on_up, on_down, on_packet, on_raw };

void server_zab_after_step(struct server *s)
{
    struct replication *r = &s->replication;
    if (r->is_failure_untold) {
        r->is_failure_untold = false;
        struct zab_event ev = { .type = ZAB_ON_DISK_FAILED };
        step_zab(s, &ev);
        stop_receiving(r);
        server_disk_suspend(s);
    }
}

void server_zab_snap_saved(struct server *s)
{
    s->replication.is_saving = false;
    server_disk_begin_anew(s, s->replication.receiving_zxid);
}

static void on_log_found(void *arg, int64_t link, const struct log_place *place)
{
    struct zab_event ev = { .type = ZAB_ON_LOG_FOUND, .log_found = { link, place } };
    step_zab(arg, &ev);
}

static void on_log_unreadable(void *arg, int64_t link)
{
    struct zab_event ev = { .type = ZAB_ON_LOG_UNREADABLE, .link = link };
    step_zab(arg, &ev);
}

static const struct log_sender_ops log_sender_ops = { on_log_found, on_log_unreadable };

/* ---- actions: what the core wants of them ---------------------------------------------------- */

/* The tree has one image: a snapshot for our own disk can wait. */
static void send_snapshot(struct server *s, int64_t link)
{
    struct image_sender *sender = &s->replication.sender;
    image_sender_abandon(sender);
    if (s->snapshotter.is_walking) {
        server_disk_abandon_snapshot(s);
        s->peer->actions.snapshot_due = true;
    }
    image_sender_begin(sender, s->peer, link);
}

static void find_in_log(struct server *s, const struct zab_action *a)
{
    int64_t newest_bytes = s->log ? log_thread_file_bytes(s->log) : -1;
    log_sender_find(&s->replication.log_sender, a->link, a->zxid, a->until_zxid, newest_bytes);
}

static void receive_snapshot(struct server *s, const struct zab_action *a)
{
    struct replication *r = &s->replication;
    stop_receiving(r);
    struct quorum_conn *conn = learner_port_find(&r->learners, a->link);
    if (!conn) {
        return;
    }
    const struct data_tree_config config = { .hash_seed = s->seed,
                                             .extended_types = s->cfg->extended_types };
    r->receiver = snapshot_receiver_new(&config, 2 * (size_t)s->cfg->jute_maxbuffer);
    r->receiving_link = a->link;
    r->receiving_zxid = a->zxid;
    quorum_conn_receive_raw(conn, true);
}

static void report_role(struct server *s, const struct zab *z)
{
    s->replication.role_since_ms = z->now_ms;
    switch (z->role) {
    case STATE_LOOKING:
        s->counters.looked++;
        log_warn(module, "looking for a leader: %s", z->reason);
        break;
    case STATE_LEADING:
        log_info(module, "elected to lead");
        break;
    case STATE_FOLLOWING:
    case STATE_OBSERVING:
        log_info(module, "server.%" PRId64 " is elected, following it", z->election.current.leader);
        break;
    }
}

static void report_serving(struct server *s, const struct zab *z, const struct zab_action *a)
{
    if (!a->on) {
        log_info(module, "not serving clients");
        return;
    }
    log_info(module,
             "serving clients as %s in epoch %" PRId64 ", %" PRId64 " ms after the election",
             z->role == STATE_LEADING ? "the leader" : "a learner", a->epoch,
             z->now_ms - s->replication.role_since_ms);
}

void server_zab_on_action(void *arg, const struct zab *z, const struct zab_action *a)
{
    struct server *s = arg;
    struct replication *r = &s->replication;
    if (s->failure || s->is_stopping || r->is_failure_untold) {
        return; /* the disk has not done what this action takes for done */
    }
    switch (a->type) {
    case ZAB_DO_SEND_VOTE:
        election_port_send(&r->election, a->sid, zab_action_bytes(z, a));
        break;
    case ZAB_DO_CONNECT:
        learner_port_connect(&r->learners, a->sid, a->link);
        break;
    case ZAB_DO_LISTEN:
        learner_port_listen(&r->learners, a->on);
        break;
    case ZAB_DO_SEND:
        learner_port_send(&r->learners, a->link, zab_action_bytes(z, a));
        break;
    case ZAB_DO_CLOSE:
        learner_port_drop(&r->learners, a->link);
        break;
    case ZAB_DO_SAVE_ACCEPTED_EPOCH:
        server_disk_save_accepted_epoch(s, a->epoch);
        break;
    case ZAB_DO_SAVE_CURRENT_EPOCH:
        server_disk_save_current_epoch(s, a->epoch);
        break;
    case ZAB_DO_LOG_TRUNCATE:
        server_disk_truncate(s, a->zxid);
        break;
    case ZAB_DO_SNAP_SEND:
        send_snapshot(s, a->link);
        break;
    case ZAB_DO_LOG_FIND:
        find_in_log(s, a);
        break;
    case ZAB_DO_LOG_SEND:
        log_sender_begin(&r->log_sender, a->link, a->zxid, a->until_zxid, a->on);
        break;
    case ZAB_DO_SNAP_LOAD:
        receive_snapshot(s, a);
        break;
    case ZAB_DO_SNAP_SAVE:
        r->is_saving = true;
        snapshotter_begin(&s->snapshotter);
        break;
    case ZAB_DO_RELOAD:
        stop_receiving(r);
        server_disk_reload(s);
        break;
    case ZAB_DO_ROLE:
        report_role(s, z);
        break;
    case ZAB_DO_SERVE:
        report_serving(s, z, a);
        break;
    default:
        break; /* the peer's own */
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

bool server_zab_turn(struct server *s)
{
    if (server_is_alone(s)) {
        return false;
    }
    struct replication *r = &s->replication;
    election_port_turn(&r->election);
    learner_port_turn(&r->learners);
    log_sender_turn(&r->log_sender);
    int64_t sent;
    bool busy = image_sender_turn(&r->sender, &sent);
    if (sent != 0) {
        struct zab_event ev = { .type = ZAB_ON_SNAP_SENT, .link = sent };
        step_zab(s, &ev);
        busy = r->sender.is_walking; /* the next learner's turn */
    }
    return busy;
}

void server_zab_flush(struct server *s)
{
    if (!server_is_alone(s)) {
        learner_port_flush(&s->replication.learners);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

int server_zab_start(struct server *s)
{
    if (server_is_alone(s)) {
        return 0;
    }
    struct replication *r = &s->replication;
    int err = resolver_start(&s->loop, &r->resolver);
    if (err < 0) {
        log_error(module, "cannot start the resolver thread");
        return err;
    }
    const struct quorum_conn_limits limits = {
        2 * (size_t)s->cfg->jute_maxbuffer + PACKET_EXTRA_BYTES, OUT_BYTES_MAX
    };
    const struct members *members = &s->membership.members;
    election_port_open(&r->election, &s->loop, r->resolver, members, on_vote, s);
    learner_port_init(&r->learners, &s->loop, r->resolver, members, &limits, &learner_ops, s);
    image_sender_init(&r->sender, &r->learners);
    const struct log_dirs dirs = { &fsops_posix, s->recovered.snapshot_dir, s->recovered.log_dir,
                                   server_entry_bytes_max(s) };
    log_sender_init(&r->log_sender, &r->learners, s->jobs, &dirs, &log_sender_ops, s);
    return 0;
}

void server_zab_stop(struct server *s)
{
    if (server_is_alone(s)) {
        return;
    }
    struct replication *r = &s->replication;
    image_sender_abandon(&r->sender);
    log_sender_fini(&r->log_sender);
    stop_receiving(r);
    learner_port_fini(&r->learners);
    election_port_close(&r->election);
    resolver_stop(r->resolver);
}
