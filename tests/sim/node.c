/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/core/zxid.h"
#include "server/jute/records.h"
#include "server/store/epoch_file.h"
#include "server/store/purge.h"
#include "server/store/rebuild.h"
#include "server/store/snapshot_receiver.h"
#include "server/store/snapshot_writer.h"
#include "server/tree/image.h"
#include "tests/sim/world.h"

enum {
    TICK_MS = 200,
    INIT_LIMIT_TICKS = 10,
    SYNC_LIMIT_TICKS = 5,
    FRAME_BYTES_MAX = 1048575,
    ENTRY_BYTES_MAX = 2 * FRAME_BYTES_MAX,
    RESTART_US = 50000,
    LOG_LATENCY_US_MAX = 2000000,
};

static const int64_t WALL_MS = 1700000000000;

int64_t node_now_ms(const struct world *w, const struct node *n)
{
    return n->clock_base_ms + w->now_us * (1000000 + n->clock_ppm) / 1000000 / 1000;
}

static int64_t to_world_us(const struct node *n, int64_t local_ms)
{
    return (local_ms - n->clock_base_ms) * 1000 * 1000000 / (1000000 + n->clock_ppm) + 1000;
}

static void start_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->a];
    if (!n->is_up) {
        node_start(w, n);
    }
}

static void restart_later(struct world *w, const struct node *n)
{
    world_plan_event(w, RESTART_US + world_below(w, 1000000), NOBODY, start_event)->a = n->index;
}

/* A file call failed: the process ends, and is started again. Only a fault that was planned may do that. */
static void disk_failed(struct world *w, struct node *n, const char *what, int rc)
{
    if (!fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d: %s without a fault: %s", n->index + 1, what, strerror(-rc));
    }
    world_note(w, n->index, "disk failed", -rc, 0);
    n->is_failed = true;
}

/* ---- steps -------------------------------------------------------------------------------------------- */

static void kick_log(struct world *w, struct node *n);

static void tick_event(struct world *w, const struct event *ev);

static void plan_tick(struct world *w, struct node *n)
{
    int64_t now_ms = node_now_ms(w, n);
    int64_t at_ms = peer_deadline_ms(n->peer);
    if (at_ms > now_ms + TICK_MS / 2) {
        at_ms = now_ms + TICK_MS / 2;
    }
    int64_t at_us = to_world_us(n, at_ms);
    if (at_us <= w->now_us) {
        at_us = w->now_us + 1000;
    }
    if (at_us < n->tick_at_us) {
        n->tick_at_us = at_us;
        world_plan_event(w, at_us - w->now_us, n->index, tick_event)->a = (int64_t)++n->tick_serial;
    }
}

static void take_log_batch(struct world *w, struct node *n)
{
    struct buf *batch = &n->peer->actions.log_batch;
    const uint8_t *at = buf_head(batch);
    const uint8_t *end = at + buf_readable(batch);
    while (at < end) {
        struct log_entry_head head;
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        truth_proposed(w, n, head.zxid, at, (size_t)head.len);
        at += head.len;
    }
    buf_append(&n->log_queue, buf_head(batch), buf_readable(batch));
    buf_reset(batch);
}

static void step(struct world *w, struct node *n, struct peer_event *ev)
{
    ev->now_ms = node_now_ms(w, n);
    ev->wall_ms = WALL_MS + ev->now_ms;
    peer_step(n->peer, ev);
}

static void forget_client(struct world *w, struct node *n, struct client *c)
{
    struct peer_event ev = { .type = PEER_CLIENT_CLOSED, .client = c };
    step(w, n, &ev);
}

static void flush_clients(struct world *w, struct node *n)
{
    struct list *it;
    while ((it = list_pop_front(&n->peer->actions.dirty)) != NULL) {
        struct client *c = list_entry(it, struct client, dirty);
        struct link *l = c->conn;
        if (buf_readable(&c->out) > 0) {
            struct buf bytes = BUF_EMPTY;
            buf_append(&bytes, buf_head(&c->out), buf_readable(&c->out));
            buf_reset(&c->out);
            net_send(w, l, 1, PACKET_DATA, &bytes);
            buf_fini(&bytes);
        }
        if (c->state == CLIENT_CLOSING) {
            l->end[1].owner = NULL;
            net_close(w, l, 1);
            forget_client(w, n, c);
        }
    }
}

static void give_up_snapshot(struct node *n)
{
    if (n->is_imaging) {
        n->is_imaging = false;
        tree_image_end(&n->image);
        snapshot_writer_abort(n->writer);
    }
}

/* snapshot.<zxid> of the tree as it is now. */
static int write_snapshot(struct node *n)
{
    struct snapshot_writer *writer;
    struct tree_image image;
    struct buf sessions = BUF_EMPTY;
    give_up_snapshot(n);
    int rc = snapshot_writer_open(fake_fs_ops(n->fs), n->snapshot_dir, n->tree->last_zxid, &writer);
    if (rc != 0) {
        return rc;
    }
    peer_encode_sessions(n->peer, &sessions);
    rc = snapshot_writer_write(writer, buf_head(&sessions), buf_readable(&sessions));
    buf_fini(&sessions);
    tree_image_begin(&image, n->tree);
    uint64_t digest = image.digest;
    tree_image_step(&image, SIZE_MAX / 2);
    if (rc == 0) {
        rc = snapshot_writer_write(writer, buf_head(&image.out), buf_readable(&image.out));
    }
    tree_image_end(&image);
    if (rc != 0) {
        snapshot_writer_abort(writer);
        return rc;
    }
    return snapshot_writer_finish(writer, digest);
}

static void end_snapshot(struct world *w, struct node *n, int rc)
{
    struct purge_result purged;
    if (rc == 0) {
        rc = purge_run(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, 3, &purged);
    }
    /* One that fails is only a pity. */
    if (rc != 0 && !fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d: cannot write a snapshot: %s", n->index + 1, strerror(-rc));
    }
    world_note(w, n->index, "snapshot", n->tree->last_zxid, rc);
}

/* The tree changes between two slices. */
static void slice_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if (!n->is_imaging || ev->a != n->image.zxid) {
        return;
    }
    bool done = tree_image_step(&n->image, 100);
    int rc = snapshot_writer_write(n->writer, buf_head(&n->image.out), buf_readable(&n->image.out));
    buf_reset(&n->image.out);
    if (rc != 0) {
        give_up_snapshot(n);
        end_snapshot(w, n, rc);
    } else if (!done) {
        world_plan_event(w, world_below(w, 5000), n->index, slice_event)->a = ev->a;
    } else {
        uint64_t digest = n->image.digest;
        n->is_imaging = false;
        tree_image_end(&n->image);
        end_snapshot(w, n, snapshot_writer_finish(n->writer, digest));
    }
}

/* The log goes on in a new file behind the moment of the image. */
static void begin_snapshot(struct world *w, struct node *n)
{
    struct buf sessions = BUF_EMPTY;
    n->peer->actions.snapshot_due = false;
    n->wants_roll = true;
    int rc =
        snapshot_writer_open(fake_fs_ops(n->fs), n->snapshot_dir, n->tree->last_zxid, &n->writer);
    if (rc != 0) {
        end_snapshot(w, n, rc);
        return;
    }
    peer_encode_sessions(n->peer, &sessions);
    rc = snapshot_writer_write(n->writer, buf_head(&sessions), buf_readable(&sessions));
    buf_fini(&sessions);
    tree_image_begin(&n->image, n->tree);
    n->is_imaging = true;
    if (rc != 0) {
        give_up_snapshot(n);
        end_snapshot(w, n, rc);
        return;
    }
    world_plan_event(w, world_below(w, 5000), n->index, slice_event)->a = n->image.zxid;
}

/* What the shell does at the end of a turn. */
static void finish_turn(struct world *w, struct node *n)
{
    if (n->is_failed) {
        node_kill(w, n);
        restart_later(w, n);
        return;
    }
    take_log_batch(w, n);
    flush_clients(w, n);
    take_log_batch(w, n);
    truth_check_node(w, n);
    if (n->peer->actions.snapshot_due && n->peer->is_serving && !n->is_imaging) {
        begin_snapshot(w, n);
    }
    kick_log(w, n);
    if (n->is_failed) {
        node_kill(w, n);
        restart_later(w, n);
        return;
    }
    plan_tick(w, n);
}

static void turn(struct world *w, struct node *n, struct peer_event ev)
{
    struct zab_event not_truncated = { .type = ZAB_ON_NOT_TRUNCATED };
    step(w, n, &ev);
    if (n->is_not_truncated) {
        n->is_not_truncated = false;
        step(w, n, &(struct peer_event){ .type = PEER_ZAB, .zab = &not_truncated });
    }
    finish_turn(w, n);
}

static void zab_turn(struct world *w, struct node *n, struct zab_event ev)
{
    turn(w, n, (struct peer_event){ .type = PEER_ZAB, .zab = &ev });
}

static void tick_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if ((uint64_t)ev->a == n->tick_serial) {
        n->tick_at_us = INT64_MAX;
        turn(w, n, (struct peer_event){ .type = PEER_TICK });
    }
}

/* ---- the log thread -------------------------------------------------------------------------------------- */

/* Appends and commits what is in log_busy. 0 or -errno; *zxid: the last one. */
static int write_log(struct node *n, int64_t *zxid)
{
    const uint8_t *at = buf_head(&n->log_busy);
    const uint8_t *end = at + buf_readable(&n->log_busy);
    int rc = 0;
    if (n->wants_roll) {
        n->wants_roll = false;
        rc = txnlog_roll(n->log);
    }
    while (at < end && rc == 0) {
        struct log_entry_head head;
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        rc = txnlog_append(n->log, head.zxid, at, (size_t)head.len);
        at += head.len;
        *zxid = head.zxid;
    }
    return rc != 0 ? rc : txnlog_commit(n->log);
}

static void log_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    int64_t zxid = 0;
    int rc = write_log(n, &zxid);
    n->is_log_busy = false;
    buf_reset(&n->log_busy);
    if (rc != 0) {
        disk_failed(w, n, "cannot write the log", rc);
        finish_turn(w, n);
        return;
    }
    world_note(w, n->index, "synced", zxid, 0);
    turn(w, n, (struct peer_event){ .type = PEER_LOG_SYNCED, .zxid = zxid });
}

static void kick_log(struct world *w, struct node *n)
{
    if (n->is_log_busy || buf_readable(&n->log_queue) == 0) {
        return;
    }
    struct buf empty = n->log_busy;
    n->log_busy = n->log_queue;
    n->log_queue = empty;
    n->is_log_busy = true;
    int64_t us = n->log_latency_us / 2 + world_below(w, n->log_latency_us);
    if (world_chance(w, 30)) {
        us *= 1 + world_below(w, 30);
    }
    us = us > LOG_LATENCY_US_MAX ? LOG_LATENCY_US_MAX : us;
    world_plan_event(w, us, n->index, log_event);
}

static void reopen_log(struct node *n, int64_t last_zxid)
{
    struct txnlog_options opts = { .prealloc_bytes = n->index % 2 ? 4096 : 0, .force_sync = true };
    zk_assert(!n->is_log_busy); /* S11 */
    zk_assert(buf_readable(&n->log_queue) == 0);
    txnlog_free(n->log);
    n->log = txnlog_new(fake_fs_ops(n->fs), n->log_dir, &opts, last_zxid);
    n->wants_roll = false;
    n->appended_zxid = last_zxid;
}

/* ---- recovery ------------------------------------------------------------------------------------------------ */

static int recover(struct world *w, struct node *n, struct recovery *out)
{
    const struct recovery_options options = {
        .data_dir = "/d",
        .log_dir = "/d",
        .frame_bytes_max = FRAME_BYTES_MAX,
        .tree = { .hash_seed = w->seed, .extended_types = true },
    };
    int rc = recovery_run(fake_fs_ops(n->fs), &options, out);
    if (rc != 0 && !fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d does not start: %s", n->index + 1, out->error);
    }
    if (rc == 0 && out->digest_mismatches > 0) {
        sim_fail(w, "server %d: its log leads to another digest", n->index + 1);
    }
    return rc;
}

static void restore_sessions(struct world *w, struct node *n, const struct saved_session *s,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        peer_restore_session(n->peer, s[i].session_id, s[i].timeout_ms, node_now_ms(w, n));
    }
}

/* Takes the recovered tree in place of the one in memory. */
static void replace_tree(struct world *w, struct node *n, struct recovery *state)
{
    struct data_tree *old = n->tree;
    give_up_snapshot(n);
    n->tree = state->tree;
    state->tree = NULL;
    peer_replace_tree(n->peer, n->tree);
    data_tree_free(old);
    restore_sessions(w, n, state->sessions, state->session_count);
}

/* ---- what the core asks for ------------------------------------------------------------------------------------ */

static int64_t job_us(struct world *w, const struct node *n)
{
    return n->log_latency_us * 2 + world_below(w, 4 * n->log_latency_us);
}

static void snap_sent_event(struct world *w, const struct event *ev)
{
    zab_turn(w, &w->nodes[ev->node], (struct zab_event){ .type = ZAB_ON_SNAP_SENT, .link = ev->a });
}

static void send_votes_and_links(struct world *w, struct node *n, const struct zab *z,
                                 const struct zab_action *a)
{
    struct slice bytes = zab_action_bytes(z, a);
    struct buf copy = BUF_EMPTY;
    int side;
    struct link *l;
    if (a->type == ZAB_DO_SEND_VOTE) {
        net_vote(w, n->index, (int32_t)a->sid - 1, bytes.data, slice_size(bytes));
        return;
    }
    l = net_find(w, n->index, a->link, &side);
    if (!l) {
        return;
    }
    if (a->type == ZAB_DO_CLOSE) {
        net_close(w, l, side);
    } else if (a->type == ZAB_DO_SEND) {
        buf_append(&copy, bytes.data, slice_size(bytes));
        net_send(w, l, side, PACKET_DATA, &copy);
    } else {
        struct tree_image image;
        give_up_snapshot(n); /* the tree has one image at a time */
        peer_encode_sessions(n->peer, &copy);
        tree_image_begin(&image, n->tree);
        tree_image_step(&image, SIZE_MAX / 2);
        buf_append(&copy, buf_head(&image.out), buf_readable(&image.out));
        tree_image_end(&image);
        put_slice(&copy, slice_of_str(ZAB_SNAP_SIGNATURE));
        net_send(w, l, side, PACKET_STREAM, &copy);
        world_plan_event(w, job_us(w, n), n->index, snap_sent_event)->a = a->link;
    }
    buf_fini(&copy);
}

static void save_epoch(struct world *w, struct node *n, const struct zab_action *a)
{
    const struct fsops *fs = fake_fs_ops(n->fs);
    bool is_accepted = a->type == ZAB_DO_SAVE_ACCEPTED_EPOCH;
    int rc = is_accepted ? epochs_write_accepted(fs, n->snapshot_dir, a->epoch)
                         : epochs_write_current(fs, n->snapshot_dir, a->epoch);
    if (rc != 0) {
        disk_failed(w, n, "cannot save the epoch", rc);
    }
    world_note(w, n->index, is_accepted ? "accepted" : "current", a->epoch, 0);
}

static void truncate_log(struct world *w, struct node *n, int64_t zxid)
{
    struct recovery state;
    reopen_log(n, zxid);
    int rc =
        rebuild_truncate(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, zxid, ENTRY_BYTES_MAX);
    w->truncs++;
    world_note(w, n->index, "truncate", zxid, rc);
    if (rc == -ENOENT && !fake_fs_has_failed(n->fs)) {
        n->is_not_truncated = true;
        return;
    }
    if (rc == 0 && n->tree->last_zxid > zxid) {
        rc = recover(w, n, &state);
        if (rc == 0) {
            replace_tree(w, n, &state);
        }
        recovery_fini(&state);
    }
    if (rc != 0) {
        disk_failed(w, n, "cannot truncate", rc);
    }
}

static void snap_saved_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if (ev->b != n->save_serial) {
        return; /* that role is over */
    }
    int rc = write_snapshot(n);
    if (rc == 0) {
        rc = rebuild_from_snapshot(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, ev->a);
    }
    world_note(w, n->index, "snap saved", ev->a, rc);
    if (rc != 0) {
        disk_failed(w, n, "cannot save the leader's snapshot", rc);
        finish_turn(w, n);
        return;
    }
    reopen_log(n, ev->a);
    zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_SNAP_SAVED });
}

static void reload_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    struct recovery state;
    int rc = recover(w, n, &state);
    world_note(w, n->index, "reload", state.last_zxid, rc);
    if (rc != 0) {
        recovery_fini(&state);
        disk_failed(w, n, "cannot reload", rc);
        finish_turn(w, n);
        return;
    }
    replace_tree(w, n, &state);
    reopen_log(n, state.last_zxid);
    recovery_fini(&state);
    n->seen_zxid = 0;
    zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_RELOADED });
}

static void save_later(struct world *w, struct node *n, int64_t zxid)
{
    struct event *ev = world_plan_event(w, job_us(w, n), n->index, snap_saved_event);
    ev->a = zxid;
    ev->b = ++n->save_serial;
}

static void on_action(void *arg, const struct zab *z, const struct zab_action *a)
{
    struct node *n = arg;
    struct world *w = (struct world *)((char *)(n - n->index) - offsetof(struct world, nodes));
    if (n->is_failed || !n->is_up) {
        return;
    }
    switch (a->type) {
    case ZAB_DO_SEND_VOTE:
    case ZAB_DO_SEND:
    case ZAB_DO_CLOSE:
    case ZAB_DO_SNAP_SEND:
        send_votes_and_links(w, n, z, a);
        break;
    case ZAB_DO_CONNECT:
        net_connect(w, n->index, (int32_t)a->sid - 1, a->link);
        break;
    case ZAB_DO_LISTEN:
        n->is_listening = a->on;
        break;
    case ZAB_DO_SAVE_ACCEPTED_EPOCH:
    case ZAB_DO_SAVE_CURRENT_EPOCH:
        save_epoch(w, n, a);
        break;
    case ZAB_DO_LOG_TRUNCATE:
        truncate_log(w, n, a->zxid);
        break;
    case ZAB_DO_SNAP_LOAD:
        n->is_snapping = true;
        n->snap_link = a->link;
        n->snap_zxid = a->zxid;
        break;
    case ZAB_DO_SNAP_SAVE:
        save_later(w, n, a->zxid);
        break;
    case ZAB_DO_RELOAD:
        n->is_snapping = false;
        n->save_serial++;
        world_plan_event(w, job_us(w, n), n->index, reload_event);
        break;
    case ZAB_DO_ROLE:
        world_note(w, n->index, "role", z->role, z->current_epoch);
        break;
    default:
        break;
    }
}

/* ---- what the network says ---------------------------------------------------------------------------------------- */

void node_on_link(struct world *w, struct node *n, int64_t local_id, bool is_up)
{
    world_note(w, n->index, is_up ? "link up" : "link down", local_id, 0);
    zab_turn(
        w, n,
        (struct zab_event){ .type = is_up ? ZAB_ON_LINK_UP : ZAB_ON_LINK_DOWN, .link = local_id });
}

/* S2: an Apache leader takes the first packet behind NEWLEADER for the ack of it. */
static void check_first_ack(struct world *w, const struct node *n, int64_t local_id,
                            const struct quorum_packet *packet)
{
    if (n->peer->zab.role != STATE_LEADING) {
        return;
    }
    list_for_each (it, &n->peer->zab.leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        if (h->link == local_id && h->state == HANDLER_SYNCING &&
            (packet->type != ZAB_ACK || zxid_counter(packet->zxid) != 0)) {
            sim_fail(w, "server %" PRId64 " sends packet %d before it acks NEWLEADER", h->sid,
                     packet->type);
        }
    }
}

void node_on_packet(struct world *w, struct node *n, int64_t local_id, const struct buf *bytes)
{
    struct wire in;
    struct quorum_packet packet;
    wire_init(&in, buf_head(bytes), buf_readable(bytes));
    if (!quorum_packet_decode(&in, &packet) || wire_left(&in) != 0) {
        sim_fail(w, "server %d got a packet that is none", n->index + 1);
    }
    world_note(w, n->index, "packet", packet.type, packet.zxid);
    check_first_ack(w, n, local_id, &packet);
    zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_PACKET, .packet = { local_id, &packet } });
}

void node_on_stream(struct world *w, struct node *n, int64_t local_id, const struct buf *bytes)
{
    if (!n->is_snapping || n->snap_link != local_id) {
        return;
    }
    n->is_snapping = false;
    struct data_tree_config config = { .hash_seed = w->seed, .extended_types = true };
    struct snapshot_receiver *r = snapshot_receiver_new(&config, FRAME_BYTES_MAX);
    struct recovery state = { 0 };
    ssize_t taken = snapshot_receiver_feed(r, buf_head(bytes), buf_readable(bytes));
    if (taken != (ssize_t)buf_readable(bytes) || !snapshot_receiver_is_done(r) ||
        snapshot_receiver_take(r, n->snap_zxid, &state.tree, &state.sessions,
                               &state.session_count) != 0) {
        sim_fail(w, "server %d cannot read the leader's snapshot", n->index + 1);
    }
    snapshot_receiver_free(r);
    replace_tree(w, n, &state);
    recovery_fini(&state);
    n->seen_zxid = 0;
    w->snaps++;
    world_note(w, n->index, "snap loaded", n->snap_zxid, 0);
    zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_SNAP_LOADED });
}

void node_on_vote(struct world *w, struct node *n, int64_t from_sid, const struct buf *bytes)
{
    struct notification message;
    if (!notification_decode(buf_head(bytes), buf_readable(bytes), &message)) {
        sim_fail(w, "server %d got a notification that is none", n->index + 1);
    }
    world_note(w, n->index, "vote", from_sid * 16 + message.state, message.leader);
    zab_turn(
        w, n,
        (struct zab_event){ .type = ZAB_ON_NOTIFICATION, .notification = { from_sid, &message } });
}

void node_on_client(struct world *w, struct node *n, struct link *l)
{
    (void)w;
    l->end[1].owner = peer_client_open(n->peer, l, "127.0.0.1");
}

void node_on_client_bytes(struct world *w, struct node *n, struct link *l, const struct buf *bytes)
{
    if (l->end[1].owner) {
        turn(w, n,
             (struct peer_event){
                 .type = PEER_CLIENT_FRAME,
                 .frame = { l->end[1].owner, { buf_head(bytes), (int32_t)buf_readable(bytes) } } });
    }
}

void node_on_client_closed(struct world *w, struct node *n, struct link *l)
{
    struct client *c = l->end[1].owner;
    if (c) {
        l->end[1].owner = NULL;
        turn(w, n, (struct peer_event){ .type = PEER_CLIENT_CLOSED, .client = c });
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static const char config_text[] =
    "server.1=a:1:2:participant\nserver.2=b:1:2:participant\nversion=0";

void node_init(struct world *w, struct node *n, int32_t index)
{
    n->index = index;
    n->sid = index + 1;
    n->ensemble = (struct ensemble){ .self_sid = n->sid,
                                     .voter_count = w->plan.server_count,
                                     .config_text = config_text };
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        n->ensemble.voters[i] = i + 1;
    }
    n->fs = fake_fs_new();
    fake_fs_make_dir(n->fs, "/d");
    n->is_host_up = true;
    n->clock_base_ms = 1000 + world_below(w, 1000000);
    /* Usually 1 % off at most; a virtual machine can be much worse. */
    int64_t ppm_max = world_chance(w, 3) ? 200000 : 10000;
    n->clock_ppm = world_below(w, 2 * ppm_max + 1) - ppm_max;
    n->log_latency_us = 200 + world_below(w, 5000);
    list_init(&n->held);
}

static void start_peer(struct world *w, struct node *n, const struct recovery *state,
                       const struct epochs *epochs)
{
    const struct peer_config config = {
        .ensemble = &n->ensemble,
        .init_limit_ticks = INIT_LIMIT_TICKS,
        .sync_limit_ticks = SYNC_LIMIT_TICKS,
        .commit_log_count = w->plan.commit_log_count,
        .on_zab_action = on_action,
        .on_zab_action_arg = n,
        .sid = n->sid,
        .start_ms = WALL_MS + node_now_ms(w, n),
        .seed = w->seed + n->life,
        .tick_time_ms = TICK_MS,
        .min_session_timeout_ms = 2 * TICK_MS,
        .max_session_timeout_ms = 40 * TICK_MS,
        .snap_count = w->plan.snap_count,
        .jute_maxbuffer = FRAME_BYTES_MAX,
        .with_digest = true,
    };
    const struct zab_start start = { state->last_zxid, epochs->accepted, epochs->current, NULL };
    n->peer = peer_new(&config, n->tree, node_now_ms(w, n));
    restore_sessions(w, n, state->sessions, state->session_count);
    peer_start(n->peer, &start);
}

void node_start(struct world *w, struct node *n)
{
    struct recovery state;
    struct epochs epochs;
    n->life++;
    n->is_host_up = true;
    n->is_failed = false;
    int rc = recover(w, n, &state);
    if (rc == 0) {
        rc = epochs_read(fake_fs_ops(n->fs), state.snapshot_dir, state.last_zxid, &epochs);
        if (rc != 0 && !fake_fs_has_failed(n->fs)) {
            sim_fail(w, "server %d does not start: epochs", n->index + 1);
        }
    }
    world_note(w, n->index, "start", rc == 0 ? state.last_zxid : rc, rc == 0 ? epochs.current : 0);
    if (rc != 0) {
        recovery_fini(&state);
        fake_fs_fail_at(n->fs, 0, 0);
        restart_later(w, n);
        return;
    }
    n->tree = state.tree;
    n->snapshot_dir = state.snapshot_dir;
    n->log_dir = state.log_dir;
    state.tree = NULL;
    state.snapshot_dir = NULL;
    state.log_dir = NULL;
    n->is_up = true;
    n->is_paused = false;
    n->is_listening = false;
    n->is_snapping = false;
    n->tick_at_us = INT64_MAX;
    n->seen_zxid = 0;
    n->was_serving = false;
    n->restarts++;
    reopen_log(n, state.last_zxid);
    start_peer(w, n, &state, &epochs);
    recovery_fini(&state);
    finish_turn(w, n);
}

/* The process is gone, and with it everything in memory. */
static void end_life(struct world *w, struct node *n, bool is_power_loss)
{
    n->is_up = false;
    n->is_paused = false;
    n->life++;
    world_release(w, n); /* to be dropped, as this life is over */
    list_for_each (it, &w->net.links) {
        struct link *l = list_entry(it, struct link, all);
        struct client *c = l->end[1].owner;
        if (l->is_client && l->end[1].endpoint == n->index && c) {
            l->end[1].owner = NULL;
            forget_client(w, n, c);
        }
    }
    net_server_down(w, n->index, is_power_loss);
    give_up_snapshot(n);
    peer_free(n->peer);
    data_tree_free(n->tree);
    txnlog_free(n->log);
    free(n->snapshot_dir);
    free(n->log_dir);
    buf_reset(&n->log_queue);
    buf_reset(&n->log_busy);
    n->is_log_busy = false;
    n->peer = NULL;
    n->tree = NULL;
    n->log = NULL;
    n->snapshot_dir = NULL;
    n->log_dir = NULL;
}

/* The log thread may have been anywhere in its write. */
static void write_log_in_part(struct world *w, struct node *n)
{
    int64_t ignored;
    if (n->is_log_busy && world_chance(w, 2)) {
        fake_fs_fail_at(n->fs, 1 + prng_below(&w->rng, 5), EIO);
        write_log(n, &ignored);
    }
    fake_fs_fail_at(n->fs, 0, 0);
}

void node_kill(struct world *w, struct node *n)
{
    if (!n->is_up) {
        return;
    }
    world_note(w, n->index, "kill", 0, 0);
    if (!n->is_failed) {
        write_log_in_part(w, n);
    }
    end_life(w, n, false);
    fake_fs_fail_at(n->fs, 0, 0);
}

void node_crash(struct world *w, struct node *n)
{
    if (!n->is_host_up) {
        return;
    }
    world_note(w, n->index, "power loss", 0, 0);
    if (n->is_up) {
        write_log_in_part(w, n);
        end_life(w, n, true);
    }
    n->is_host_up = false;
    fake_fs_fail_at(n->fs, 0, 0);
    fake_fs_crash(n->fs, world_chance(w, 3) ? 0 : prng_next(&w->rng));
}

void node_pause(struct world *w, struct node *n)
{
    if (n->is_up) {
        world_note(w, n->index, "pause", 0, 0);
        n->is_paused = true;
    }
}

void node_resume(struct world *w, struct node *n)
{
    if (n->is_paused) {
        world_note(w, n->index, "resume", 0, 0);
        n->is_paused = false;
        /* What came meanwhile may be read before anybody looks at the clock. */
        bool is_network_first = world_chance(w, 2);
        if (is_network_first) {
            net_pump_all(w);
        }
        world_release(w, n);
        net_pump_all(w);
    }
}

void node_fini(struct world *w, struct node *n)
{
    if (n->is_up) {
        end_life(w, n, false);
    }
    buf_fini(&n->log_queue);
    buf_fini(&n->log_busy);
    fake_fs_free(n->fs);
}
