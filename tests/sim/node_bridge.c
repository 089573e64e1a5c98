/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node_parts.h"

#include <string.h>

#include "common/assert.h"
#include "server/core/zxid.h"
#include "server/store/log_bridge.h"
#include "tests/sim/world.h"

static struct log_dirs dirs_of(const struct node *n)
{
    return (struct log_dirs){ fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir,
                              2 * FRAME_BYTES_MAX };
}

static void found_event(struct world *w, const struct event *ev)
{
    struct log_place place;
    memcpy(&place, buf_head(&ev->bytes), sizeof(place));
    node_zab_turn(w, &w->nodes[ev->node],
                  (struct zab_event){ .type = ZAB_ON_LOG_FOUND, .log_found = { ev->a, &place } });
}

void node_find_in_log(struct world *w, struct node *n, const struct zab_action *a)
{
    struct log_place place = { .is_known = true };
    struct log_dirs dirs = dirs_of(n);
    int rc = log_bridge_find(&dirs, a->zxid, a->until_zxid, -1, &place);
    world_note(w, n->index, "log find", a->zxid, rc);
    struct event *ev = world_plan_event(w, node_job_us(w, n), n->index, found_event);
    ev->a = a->link;
    buf_append(&ev->bytes, &place, sizeof(place));
}

/* Each packet as a message of its own. */
static void send_packets(struct world *w, const struct node *n, struct link *l, int side,
                         int64_t last_zxid, const struct buf *stream)
{
    struct wire in;
    struct quorum_packet packet;
    wire_init(&in, buf_head(stream), buf_readable(stream));
    while (wire_left(&in) > 0) {
        const uint8_t *start = in.at;
        struct buf copy = BUF_EMPTY;
        bool is_whole = quorum_packet_decode(&in, &packet);
        zk_assert(is_whole);
        if (packet.type == ZAB_PROPOSAL) {
            if (zxid_counter(last_zxid) != 0) {
                truth_neighbours(w, n, last_zxid, packet.zxid);
            }
            last_zxid = packet.zxid;
        }
        buf_append(&copy, start, (size_t)(in.at - start));
        net_send(w, l, side, PACKET_DATA, &copy);
        buf_fini(&copy);
    }
}

static void unreadable_event(struct world *w, const struct event *ev)
{
    node_zab_turn(w, &w->nodes[ev->node],
                  (struct zab_event){ .type = ZAB_ON_LOG_UNREADABLE, .link = ev->a });
}

/* The whole stream at once. If it cannot be read to the end, nothing that stands behind may leave. */
void node_send_log(struct world *w, struct node *n, const struct zab_action *a)
{
    struct log_dirs dirs = dirs_of(n);
    struct log_bridge *bridge;
    struct buf stream = BUF_EMPTY;
    int side;
    struct link *l = net_find(w, n->index, a->link, &side);
    if (!l) {
        return;
    }
    int rc = log_bridge_open(&dirs, a->zxid, a->until_zxid, a->on, &bridge);
    if (rc == 0) {
        rc = log_bridge_read(bridge, SIZE_MAX, &stream);
        log_bridge_close(bridge);
    }
    world_note(w, n->index, "log sent", a->until_zxid, rc);
    if (rc == 0) {
        world_saw(w, SEEN_LOG_SENT);
        send_packets(w, n, l, side, a->zxid, &stream);
    } else {
        net_close(w, l, side);
        world_plan_event(w, node_job_us(w, n), n->index, unreadable_event)->a = a->link;
    }
    buf_fini(&stream);
}
