/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node_parts.h"

#include "tests/sim/world.h"

static void snap_sent_event(struct world *w, const struct event *ev)
{
    node_zab_turn(w, &w->nodes[ev->node],
                  (struct zab_event){ .type = ZAB_ON_SNAP_SENT, .link = ev->a });
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
        node_give_up_snapshot(n); /* the tree has one image at a time */
        peer_encode_sessions(n->peer, &copy);
        tree_image_begin(&image, n->tree);
        tree_image_step(&image, SIZE_MAX / 2);
        buf_append(&copy, buf_head(&image.out), buf_readable(&image.out));
        tree_image_end(&image);
        put_slice(&copy, slice_of_str(ZAB_SNAP_SIGNATURE));
        net_send(w, l, side, PACKET_STREAM, &copy);
        world_plan_event(w, node_job_us(w, n), n->index, snap_sent_event)->a = a->link;
    }
    buf_fini(&copy);
}

void node_on_action(void *arg, const struct zab *z, const struct zab_action *a)
{
    struct node *n = arg;
    struct world *w = (struct world *)((char *)(n - n->index) - offsetof(struct world, nodes));
    if (n->is_failure_untold || !n->is_up) {
        return; /* the disk has not done what this action takes for done */
    }
    switch (a->type) {
    case ZAB_DO_SEND_VOTE:
    case ZAB_DO_SEND:
    case ZAB_DO_CLOSE:
    case ZAB_DO_SNAP_SEND:
        send_votes_and_links(w, n, z, a);
        break;
    case ZAB_DO_LOG_FIND:
        node_find_in_log(w, n, a);
        break;
    case ZAB_DO_LOG_SEND:
        node_send_log(w, n, a);
        break;
    case ZAB_DO_CONNECT:
        net_connect(w, n->index, (int32_t)a->sid - 1, a->link);
        break;
    case ZAB_DO_LISTEN:
        n->is_listening = a->on;
        break;
    case ZAB_DO_SAVE_ACCEPTED_EPOCH:
    case ZAB_DO_SAVE_CURRENT_EPOCH:
        node_save_epoch(w, n, a);
        break;
    case ZAB_DO_LOG_TRUNCATE:
        node_truncate_log(w, n, a->zxid);
        break;
    case ZAB_DO_SNAP_LOAD:
        n->is_snapping = true;
        n->snap_link = a->link;
        n->snap_zxid = a->zxid;
        break;
    case ZAB_DO_SNAP_SAVE:
        node_save_tree_later(w, n, a->zxid);
        break;
    case ZAB_DO_RELOAD:
        node_reload_later(w, n);
        break;
    case ZAB_DO_ROLE:
        n->told_zxid = 0;
        world_note(w, n->index, "role", z->role, z->current_epoch);
        break;
    default:
        break;
    }
}
