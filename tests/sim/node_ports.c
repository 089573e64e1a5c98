/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node_parts.h"

#include <inttypes.h>

#include "server/core/zxid.h"
#include "server/store/snapshot_receiver.h"
#include "tests/sim/world.h"

void node_forget_client(struct world *w, struct node *n, struct client *c)
{
    struct peer_event ev = { .type = PEER_CLIENT_CLOSED, .client = c };
    node_step(w, n, &ev);
}

void node_flush_clients(struct world *w, struct node *n)
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
            node_forget_client(w, n, c);
        }
    }
}

/* ---- what the network says ---------------------------------------------------------------------------------------- */

void node_on_link(struct world *w, struct node *n, int64_t local_id, bool is_up)
{
    world_note(w, n->index, is_up ? "link up" : "link down", local_id, 0);
    node_zab_turn(
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
    if (packet.type == ZAB_COMMIT && n->peer->zab.learner.link == local_id) {
        n->told_zxid = packet.zxid;
    }
    if (packet.type == ZAB_DIFF) {
        world_saw(w, SEEN_DIFF);
    }
    node_zab_turn(w, n,
                  (struct zab_event){ .type = ZAB_ON_PACKET, .packet = { local_id, &packet } });
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
    node_replace_tree(w, n, &state);
    recovery_fini(&state);
    world_saw(w, SEEN_SNAP);
    world_note(w, n->index, "snap loaded", n->snap_zxid, 0);
    node_zab_turn(w, n, (struct zab_event){ .type = ZAB_ON_SNAP_LOADED });
}

void node_on_vote(struct world *w, struct node *n, int64_t from_sid, const struct buf *bytes)
{
    struct notification message;
    if (!notification_decode(buf_head(bytes), buf_readable(bytes), &message)) {
        sim_fail(w, "server %d got a notification that is none", n->index + 1);
    }
    world_note(w, n->index, "vote", from_sid * 16 + message.state, message.leader);
    node_zab_turn(
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
        node_turn(
            w, n,
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
        node_turn(w, n, (struct peer_event){ .type = PEER_CLIENT_CLOSED, .client = c });
    }
}
