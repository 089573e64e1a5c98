/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/quorum_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/net/quorum_frame.h"

/* A buffer that a large packet has made larger than the second is not kept. */
enum { READ_BYTES = 128 * 1024, KEPT_BYTES_MAX = 1024 * 1024 };

/* ---- life --------------------------------------------------------------------------------------------- */

static void on_event(void *arg, uint32_t events);

struct quorum_conn *quorum_conn_open(struct loop *loop, int fd, int64_t id,
                                     const struct quorum_conn_limits *limits,
                                     const struct quorum_conn_ops *ops, void *arg)
{
    struct quorum_conn *conn = xcalloc(1, sizeof(*conn));
    conn->id = id;
    conn->loop = loop;
    conn->io = (struct loop_io){ fd, EPOLLIN, on_event, conn };
    conn->limits = limits;
    conn->ops = ops;
    conn->arg = arg;
    list_init(&conn->link);
    list_init(&conn->pending);
    if (loop_io_add(loop, &conn->io) < 0) {
        close(fd);
        free(conn);
        return NULL;
    }
    return conn;
}

/* False after an error. */
static bool send_some(struct quorum_conn *conn)
{
    while (buf_readable(&conn->out) > 0) {
        ssize_t sent =
            send(conn->io.fd, buf_head(&conn->out), buf_readable(&conn->out), MSG_NOSIGNAL);
        if (sent >= 0) {
            buf_consume(&conn->out, (size_t)sent);
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

void quorum_conn_close(struct quorum_conn *conn)
{
    if (conn->is_closed) {
        return;
    }
    send_some(conn);
    conn->is_closed = true;
    loop_io_remove(conn->loop, &conn->io);
    close(conn->io.fd);
    conn->io.fd = -1;
}

void quorum_conn_free(struct quorum_conn *conn)
{
    quorum_conn_close(conn);
    list_remove(&conn->link);
    list_remove(&conn->pending);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    buf_fini(&conn->behind);
    free(conn);
}

/* ---- output ---------------------------------------------------------------------------------------------- */

void quorum_conn_send(struct quorum_conn *conn, struct slice packet)
{
    struct buf *to = conn->is_streaming ? &conn->behind : &conn->out;
    buf_append(to, packet.data, slice_size(packet));
}

bool quorum_conn_flush(struct quorum_conn *conn, const char **why)
{
    if (!send_some(conn)) {
        *why = "connection error";
        return false;
    }
    if (buf_readable(&conn->out) + buf_readable(&conn->behind) > conn->limits->out_bytes_max) {
        *why = "it does not read what it is sent";
        return false;
    }
    loop_io_change(conn->loop, &conn->io,
                   buf_readable(&conn->out) > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

void quorum_conn_stream_begin(struct quorum_conn *conn)
{
    zk_assert(!conn->is_streaming);
    conn->is_streaming = true;
}

void quorum_conn_stream(struct quorum_conn *conn, struct buf *piece)
{
    zk_assert(conn->is_streaming);
    buf_append(&conn->out, buf_head(piece), buf_readable(piece));
    buf_reset(piece);
}

void quorum_conn_stream_end(struct quorum_conn *conn)
{
    conn->is_streaming = false;
    buf_append(&conn->out, buf_head(&conn->behind), buf_readable(&conn->behind));
    buf_fini(&conn->behind);
}

/* ---- input ------------------------------------------------------------------------------------------------- */

/* Bytes taken, 0 if more must come first, -1 if the link is no use any more. */
static ssize_t take_packet(struct quorum_conn *conn)
{
    size_t len = 0;
    enum frame_status status = quorum_frame_next(buf_head(&conn->in), buf_readable(&conn->in),
                                                 conn->limits->packet_bytes_max, &len);
    if (status == FRAME_PARTIAL) {
        return 0;
    }
    struct wire w;
    struct quorum_packet packet;
    wire_init(&w, buf_head(&conn->in), len);
    if (status == FRAME_BAD || !quorum_packet_decode(&w, &packet)) {
        return -1;
    }
    conn->ops->on_packet(conn->arg, conn, &packet);
    return (ssize_t)len;
}

static void take_input(struct quorum_conn *conn)
{
    while (!conn->is_closed && buf_readable(&conn->in) > 0) {
        ssize_t taken =
            conn->is_receiving_raw
                ? conn->ops->on_raw(conn->arg, conn, buf_head(&conn->in), buf_readable(&conn->in))
                : take_packet(conn);
        if (taken < 0 && !conn->is_closed) {
            conn->ops->on_lost(conn->arg, conn, "bytes that are no packet");
        }
        if (taken <= 0) {
            return;
        }
        buf_consume(&conn->in, (size_t)taken);
    }
}

static void on_readable(struct quorum_conn *conn)
{
    ssize_t got = recv(conn->io.fd, buf_reserve(&conn->in, READ_BYTES), READ_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        conn->ops->on_lost(conn->arg, conn,
                           got == 0 ? "it has closed the connection" : "connection error");
        return;
    }
    conn->in.len += (size_t)got;
    take_input(conn);
    if (buf_readable(&conn->in) == 0 && conn->in.cap > KEPT_BYTES_MAX) {
        buf_fini(&conn->in);
    }
}

static void on_event(void *arg, uint32_t events)
{
    struct quorum_conn *conn = arg;
    const char *why;
    if ((events & EPOLLOUT) && !quorum_conn_flush(conn, &why)) {
        conn->ops->on_lost(conn->arg, conn, why);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        on_readable(conn);
    }
}
