/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/election_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"
#include "server/net/frame.h"

/* The first long of a handshake: one address follows, or several with '|' between them. A server older
 * than 3.5 sends its sid there, and nothing more. */
enum { PROTOCOL_ONE_ADDRESS = -65536, PROTOCOL_ADDRESSES = -65535 };

enum { READ_BYTES = 64 * 1024 };

/* ---- life --------------------------------------------------------------------------------------------- */

static void on_event(void *arg, uint32_t events);

static void lose(struct election_conn *conn, const char *why)
{
    conn->ops->on_lost(conn->arg, conn, why);
    election_conn_close(conn);
}

static void on_timeout(void *arg)
{
    lose(arg, "no handshake in time");
}

static struct election_conn *conn_new(struct loop *loop, int fd,
                                      const struct election_conn_ops *ops, void *arg)
{
    struct election_conn *conn = xcalloc(1, sizeof(*conn));
    conn->loop = loop;
    conn->io = (struct loop_io){ fd, EPOLLIN, on_event, conn };
    conn->timer = (struct loop_timer){ .fn = on_timeout, .arg = conn };
    conn->ops = ops;
    conn->arg = arg;
    list_init(&conn->link);
    if (loop_io_add(loop, &conn->io) < 0) {
        close(fd);
        free(conn);
        return NULL;
    }
    return conn;
}

struct election_conn *election_conn_accept(struct loop *loop, int fd, int handshake_timeout_ms,
                                           const struct election_conn_ops *ops, void *arg)
{
    struct election_conn *conn = conn_new(loop, fd, ops, arg);
    if (conn) {
        loop_timer_set(loop, &conn->timer, clock_now_ms() + handshake_timeout_ms);
    }
    return conn;
}

void election_conn_close(struct election_conn *conn)
{
    if (conn->state == ELECTION_CONN_CLOSED) {
        return;
    }
    conn->state = ELECTION_CONN_CLOSED;
    loop_timer_cancel(conn->loop, &conn->timer);
    loop_io_remove(conn->loop, &conn->io);
    close(conn->io.fd);
    conn->io.fd = -1;
}

void election_conn_free(struct election_conn *conn)
{
    election_conn_close(conn);
    list_remove(&conn->link);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    free(conn);
}

/* ---- output ---------------------------------------------------------------------------------------------- */

/* False: the connection is gone. */
static bool flush(struct election_conn *conn)
{
    while (buf_readable(&conn->out) > 0) {
        ssize_t sent =
            send(conn->io.fd, buf_head(&conn->out), buf_readable(&conn->out), MSG_NOSIGNAL);
        if (sent >= 0) {
            buf_consume(&conn->out, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            return false;
        }
    }
    loop_io_change(conn->loop, &conn->io,
                   buf_readable(&conn->out) > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

void election_conn_send(struct election_conn *conn, const void *body, size_t len)
{
    zk_assert(conn->state == ELECTION_CONN_OPEN);
    zk_assert(election_conn_is_drained(conn));
    put_int(&conn->out, (int32_t)len);
    buf_append(&conn->out, body, len);
    flush(conn); /* an error shows again when the loop looks at the socket */
}

struct election_conn *election_conn_dialled(struct loop *loop, int fd, int64_t sid,
                                            struct slice handshake,
                                            const struct election_conn_ops *ops, void *arg)
{
    struct election_conn *conn = conn_new(loop, fd, ops, arg);
    if (conn) {
        conn->state = ELECTION_CONN_OPEN;
        conn->sid = sid;
        buf_append(&conn->out, handshake.data, slice_size(handshake));
        flush(conn); /* in one segment: Apache reads the address with one call */
    }
    return conn;
}

void election_handshake_encode(struct buf *out, const struct member *self)
{
    struct buf text = BUF_EMPTY;
    for (size_t i = 0; i < self->address_count; i++) {
        const struct member_address *a = &self->addresses[i];
        buf_printf(&text, strchr(a->host, ':') ? "%s[%s]:%d" : "%s%s:%d", i > 0 ? "|" : "", a->host,
                   a->election_port);
    }
    put_long(out, self->address_count > 1 ? PROTOCOL_ADDRESSES : PROTOCOL_ONE_ADDRESS);
    put_long(out, self->sid);
    put_slice(out, (struct slice){ text.data, (int32_t)text.len });
    buf_fini(&text);
}

/* ---- input ------------------------------------------------------------------------------------------------- */

/* The address in it is not used: ours for that sid is the one the operator wrote (E7). Bytes taken; 0:
 * more must come; -1: not a handshake. */
static ssize_t parse_handshake(const uint8_t *bytes, size_t len, int64_t *sid)
{
    struct wire w;
    wire_init(&w, bytes, len);
    int64_t version = wire_long(&w);
    if (!wire_ok(&w)) {
        return 0;
    }
    *sid = version;
    if (version >= 0) {
        return 8;
    }
    if (version != PROTOCOL_ONE_ADDRESS && version != PROTOCOL_ADDRESSES) {
        return -1;
    }
    *sid = wire_long(&w);
    int32_t address_len = wire_int(&w);
    if (!wire_ok(&w)) {
        return 0;
    }
    if (address_len <= 0 || address_len > ELECTION_ADDRESS_BYTES_MAX) {
        return -1;
    }
    return wire_left(&w) < (size_t)address_len ? 0 : 20 + (ssize_t)address_len;
}

static void take_handshake(struct election_conn *conn)
{
    int64_t sid;
    ssize_t taken = parse_handshake(buf_head(&conn->in), buf_readable(&conn->in), &sid);
    if (taken < 0) {
        lose(conn, "not a handshake of an election port");
    } else if (taken > 0) {
        buf_consume(&conn->in, (size_t)taken);
        loop_timer_cancel(conn->loop, &conn->timer);
        conn->sid = sid;
        conn->state = ELECTION_CONN_OPEN;
        conn->ops->on_handshake(conn->arg, conn, sid);
    }
}

static void take_messages(struct election_conn *conn)
{
    while (conn->state == ELECTION_CONN_OPEN) {
        int32_t len = 0;
        enum frame_status status = frame_next(buf_head(&conn->in), buf_readable(&conn->in),
                                              ELECTION_MESSAGE_BYTES_MAX, &len);
        if (status == FRAME_PARTIAL) {
            return;
        }
        if (status == FRAME_BAD || len == 0) {
            lose(conn, "a message of impossible length");
            return;
        }
        conn->ops->on_message(conn->arg, conn, buf_head(&conn->in) + FRAME_HEADER_BYTES,
                              (size_t)len);
        buf_consume(&conn->in, FRAME_HEADER_BYTES + (size_t)len);
    }
}

static void on_readable(struct election_conn *conn)
{
    ssize_t got = recv(conn->io.fd, buf_reserve(&conn->in, READ_BYTES), READ_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        lose(conn, got == 0 ? "it has closed the connection" : "connection error");
        return;
    }
    conn->in.len += (size_t)got;
    if (conn->state == ELECTION_CONN_HANDSHAKE) {
        take_handshake(conn);
    }
    take_messages(conn);
}

static void on_event(void *arg, uint32_t events)
{
    struct election_conn *conn = arg;
    if (events & EPOLLOUT) {
        if (!flush(conn)) {
            lose(conn, "connection error");
        } else if (election_conn_is_drained(conn)) {
            conn->ops->on_drained(conn->arg, conn);
        }
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && conn->state != ELECTION_CONN_CLOSED) {
        on_readable(conn);
    }
}
