/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image_sender.h"

#include "common/assert.h"
#include "server/jute/quorum_packet.h"

/* A slice takes well under a millisecond; the backlog is what a fast network wants to have at hand.
 */
enum { SLICE_BYTES = 128 * 1024, BACKLOG_BYTES_MAX = 4 * 1024 * 1024 };

void image_sender_init(struct image_sender *s, struct learner_port *port)
{
    *s = (struct image_sender){ .port = port };
}

static void stop_walking(struct image_sender *s)
{
    tree_image_end(&s->image);
    s->is_walking = false;
}

void image_sender_begin(struct image_sender *s, struct peer *peer, int64_t link)
{
    zk_assert(!s->is_walking);
    struct quorum_conn *conn = learner_port_find(s->port, link);
    if (!conn) {
        return;
    }
    struct buf sessions = BUF_EMPTY;
    peer_encode_sessions(peer, &sessions);
    tree_image_begin(&s->image, peer->tree);
    s->is_walking = true;
    s->link = link;
    quorum_conn_stream_begin(conn);
    quorum_conn_stream(conn, &sessions);
    buf_fini(&sessions);
}

bool image_sender_turn(struct image_sender *s, int64_t *sent)
{
    *sent = 0;
    if (!s->is_walking) {
        return false;
    }
    struct quorum_conn *conn = learner_port_find(s->port, s->link);
    if (!conn) {
        stop_walking(s);
        return false;
    }
    if (quorum_conn_backlog(conn) > BACKLOG_BYTES_MAX) {
        return false; /* the socket starts the next turn when it has room */
    }
    bool done = tree_image_step(&s->image, SLICE_BYTES);
    if (done) {
        put_slice(&s->image.out, slice_of_str(ZAB_SNAP_SIGNATURE));
    }
    quorum_conn_stream(conn, &s->image.out);
    learner_port_flush_later(s->port, conn);
    if (done) {
        quorum_conn_stream_end(conn);
        stop_walking(s);
        *sent = s->link;
    }
    return !done;
}

void image_sender_abandon(struct image_sender *s)
{
    if (s->is_walking) {
        stop_walking(s);
        learner_port_drop(s->port, s->link);
    }
}
