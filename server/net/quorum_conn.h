/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_QUORUM_CONN_H
#define SERVER_NET_QUORUM_CONN_H

/*
 * One link of the quorum port, between a leader and a learner: packets in both directions, and in their
 * midst a raw stream, which is the snapshot behind a SNAP packet.
 *
 *      sent:      packet packet SNAP [stream .......] packet packet
 *                                     ^ quorum_conn_stream_begin .. _end; packets sent meanwhile wait
 *      received:  packet packet SNAP [raw ..........] packet
 *                                     ^ quorum_conn_receive_raw until on_raw says that it was all
 *
 * Memory grows with the bytes that arrive. Output is bounded: a learner that does not read is dropped.
 * Loop thread only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/list.h"
#include "server/jute/records.h"
#include "server/net/loop.h"

struct quorum_conn;

/* Called from the loop's events only, never from a function that the owner calls. Each may call any
 * function for any link. */
struct quorum_conn_ops {
    /* Slices point into the receive buffer and live for the call. */
    void (*on_packet)(void *arg, struct quorum_conn *conn, const struct quorum_packet *packet);
    /* While receiving raw: returns how many of the bytes it took, or -1 for bytes that cannot be. It may
     * end the raw mode (quorum_conn_receive_raw). */
    ssize_t (*on_raw)(void *arg, struct quorum_conn *conn, const uint8_t *bytes, size_t len);
    /* The other side, or an error, has ended it; why is static text. The owner closes it. */
    void (*on_lost)(void *arg, struct quorum_conn *conn, const char *why);
};

struct quorum_conn_limits {
    size_t packet_bytes_max; /* of a packet's data */
    size_t out_bytes_max;    /* waiting to be sent */
};

struct quorum_conn {
    struct list link;    /* the owner's */
    struct list pending; /* the owner's: has output to flush */
    int64_t id;          /* the owner's */
    struct loop *loop;
    struct loop_io io;
    const struct quorum_conn_limits *limits; /* borrowed */
    const struct quorum_conn_ops *ops;       /* borrowed */
    void *arg;
    struct buf in;
    struct buf out;
    struct buf behind; /* packets that wait for the end of the stream */
    bool is_streaming;
    bool is_receiving_raw;
    bool is_closed;
};

/* Takes fd, also on failure. NULL: out of epoll's resources. */
struct quorum_conn *quorum_conn_open(struct loop *loop, int fd, int64_t id,
                                     const struct quorum_conn_limits *limits,
                                     const struct quorum_conn_ops *ops, void *arg);
/* Sends what the kernel takes and closes the socket. No op is called any more; the struct stays until
 * quorum_conn_free. */
void quorum_conn_close(struct quorum_conn *conn);
void quorum_conn_free(struct quorum_conn *conn);

/* Queues; quorum_conn_flush sends. */
void quorum_conn_send(struct quorum_conn *conn, struct slice packet);
/* False: the connection has failed or the other side is too slow, why says which; close it. */
bool quorum_conn_flush(struct quorum_conn *conn, const char **why);

void quorum_conn_stream_begin(struct quorum_conn *conn);
/* Takes the content of piece and leaves it empty. */
void quorum_conn_stream(struct quorum_conn *conn, struct buf *piece);
void quorum_conn_stream_end(struct quorum_conn *conn);
/* Bytes of packets and stream that the kernel has not taken. */
static inline size_t quorum_conn_backlog(const struct quorum_conn *conn)
{
    return buf_readable(&conn->out);
}

static inline void quorum_conn_receive_raw(struct quorum_conn *conn, bool on)
{
    conn->is_receiving_raw = on;
}

#endif
