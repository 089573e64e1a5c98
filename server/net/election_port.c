/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/election_port.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/net/member_socket.h"

enum {
    HANDSHAKE_TIMEOUT_MS = 5000,
    DIAL_BACK_MS = 300, /* how long a higher one has for it before we dial again */
    STRANGERS_MAX = 64,
    QUIET_MS = 10000,
};

struct election_peer {
    struct election_port *port;
    const struct member *member;
    struct election_conn *conn; /* NULL: none */
    struct dialer dialer;
    size_t next_address;        /* to dial */
    int64_t dial_back_until_ms; /* it knows that we want it to dial */
    struct buf waiting;         /* a message that was not sent yet; empty: none */
    struct buf last;            /* that was sent, or given to a connection */
};

static struct election_peer *find_peer(struct election_port *port, int64_t sid)
{
    const struct member *m = members_find(port->members, sid);
    return m && sid != port->members->self_sid ? &port->peers[m - port->members->list] : NULL;
}

static void retire(struct election_port *port, struct election_conn *conn)
{
    election_conn_close(conn);
    list_remove(&conn->link);
    list_push_back(&port->closed, &conn->link);
}

static void drop_conn(struct election_peer *peer)
{
    if (peer->conn) {
        retire(peer->port, peer->conn);
        peer->conn = NULL;
    }
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static void set_message(struct buf *b, const void *bytes, size_t len)
{
    buf_reset(b);
    buf_append(b, bytes, len);
}

static void dial(struct election_peer *peer)
{
    if (peer->dialer.is_busy || clock_now_ms() < peer->dial_back_until_ms) {
        return;
    }
    const struct member *m = peer->member;
    const struct member_address *a = &m->addresses[peer->next_address++ % m->address_count];
    dialer_start(&peer->dialer, a->host, a->election_port, peer->port->members->connect_timeout_ms);
}

static void send_waiting(struct election_peer *peer)
{
    struct buf *waiting = &peer->waiting;
    if (!peer->conn) {
        dial(peer);
    } else if (buf_readable(waiting) > 0 && election_conn_is_drained(peer->conn)) {
        election_conn_send(peer->conn, buf_head(waiting), buf_readable(waiting));
        set_message(&peer->last, buf_head(waiting), buf_readable(waiting));
        buf_reset(waiting);
    }
}

void election_port_send(struct election_port *port, int64_t sid, struct slice message)
{
    struct election_peer *peer = find_peer(port, sid);
    if (peer) {
        set_message(&peer->waiting, message.data, slice_size(message));
        send_waiting(peer);
    }
}

/* A new connection that has nothing to say repeats what was said last: the other side may have missed
 * it when the old connection broke. */
static void take_conn(struct election_peer *peer, struct election_conn *conn)
{
    drop_conn(peer);
    dialer_cancel(&peer->dialer);
    peer->conn = conn;
    peer->dial_back_until_ms = 0;
    if (buf_readable(&peer->waiting) == 0) {
        set_message(&peer->waiting, buf_head(&peer->last), buf_readable(&peer->last));
    }
    send_waiting(peer);
}

/* ---- what the connections say --------------------------------------------------------------------------- */

static void refuse(struct election_port *port, struct election_conn *conn, int64_t sid)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms >= port->quiet_until_ms) {
        port->quiet_until_ms = now_ms + QUIET_MS;
        log_warn("net", "refusing an election connection: server.%" PRId64 " is %s", sid,
                 sid == port->members->self_sid ? "this server itself, two have the same myid"
                                                : "not in the configuration");
    }
    retire(port, conn);
}

static void on_handshake(void *arg, struct election_conn *conn, int64_t sid)
{
    struct election_port *port = arg;
    port->stranger_count--;
    list_remove(&conn->link);
    struct election_peer *peer = find_peer(port, sid);
    if (!peer) {
        refuse(port, conn, sid);
    } else if (sid > port->members->self_sid) {
        take_conn(peer, conn);
    } else {
        /* It has no connection to us, or it would not have dialled. */
        retire(port, conn);
        drop_conn(peer);
        dial(peer);
    }
}

static void on_message(void *arg, struct election_conn *conn, const uint8_t *body, size_t len)
{
    struct election_port *port = arg;
    port->on_message(port->arg, conn->sid, body, len);
}

static void on_drained(void *arg, struct election_conn *conn)
{
    struct election_peer *peer = find_peer(arg, conn->sid);
    if (peer && peer->conn == conn) {
        send_waiting(peer);
    }
}

static void on_lost(void *arg, struct election_conn *conn, const char *why)
{
    struct election_port *port = arg;
    if (conn->state == ELECTION_CONN_HANDSHAKE) {
        port->stranger_count--;
        log_debug("net", "election connection before its handshake: %s", why);
    } else {
        struct election_peer *peer = find_peer(port, conn->sid);
        if (peer && peer->conn == conn) {
            log_debug("net", "election connection to server.%" PRId64 ": %s", conn->sid, why);
            peer->conn = NULL;
        }
    }
    retire(port, conn);
}

static const struct election_conn_ops conn_ops = { on_handshake, on_message, on_drained, on_lost };

/* ---- connections that come up --------------------------------------------------------------------------- */

static void on_accept(void *arg, int fd, const struct sockaddr_storage *address)
{
    struct election_port *port = arg;
    (void)address;
    if (port->stranger_count >= STRANGERS_MAX) {
        close(fd);
        return;
    }
    member_socket_tune(fd);
    struct election_conn *conn =
        election_conn_accept(port->loop, fd, HANDSHAKE_TIMEOUT_MS, &conn_ops, port);
    if (conn) {
        port->stranger_count++;
        list_push_back(&port->strangers, &conn->link);
    }
}

static void on_dialled(void *arg, int fd, const char *error)
{
    struct election_peer *peer = arg;
    struct election_port *port = peer->port;
    int64_t sid = peer->member->sid;
    if (fd < 0) {
        log_debug("net", "cannot reach the election port of server.%" PRId64 ": %s", sid, error);
        return;
    }
    struct slice handshake = { port->handshake.data, (int32_t)port->handshake.len };
    struct election_conn *conn =
        election_conn_dialled(port->loop, fd, sid, handshake, &conn_ops, port);
    if (!conn) {
        return;
    }
    if (sid > port->members->self_sid) {
        peer->dial_back_until_ms = clock_now_ms() + DIAL_BACK_MS;
        retire(port, conn);
    } else {
        take_conn(peer, conn);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

static void open_listeners(struct election_port *port, struct resolver *resolver,
                           const struct member *self)
{
    port->listener_count = members_listener_count(port->members, self);
    port->listeners = xcalloc(port->listener_count, sizeof(*port->listeners));
    for (size_t i = 0; i < port->listener_count; i++) {
        const struct member_address *a = &self->addresses[i];
        patient_listener_init(&port->listeners[i], port->loop, resolver, "election port",
                              port->members->listen_on_all ? NULL : a->host, a->election_port,
                              on_accept, port);
        patient_listener_open(&port->listeners[i]);
    }
}

void election_port_open(struct election_port *port, struct loop *loop, struct resolver *resolver,
                        const struct members *members, election_message_fn *heard, void *arg)
{
    *port = (struct election_port){
        .loop = loop, .members = members, .on_message = heard, .arg = arg
    };
    list_init(&port->strangers);
    list_init(&port->closed);
    const struct member *self = members_find(members, members->self_sid);
    election_handshake_encode(&port->handshake, self);
    port->peers = xcalloc(members->count, sizeof(*port->peers));
    for (size_t i = 0; i < members->count; i++) {
        struct election_peer *peer = &port->peers[i];
        peer->port = port;
        peer->member = &members->list[i];
        dialer_init(&peer->dialer, loop, resolver, on_dialled, peer);
    }
    open_listeners(port, resolver, self);
}

void election_port_turn(struct election_port *port)
{
    struct list *it;
    while ((it = list_pop_front(&port->closed)) != NULL) {
        election_conn_free(list_entry(it, struct election_conn, link));
    }
}

void election_port_close(struct election_port *port)
{
    for (size_t i = 0; i < port->listener_count; i++) {
        patient_listener_close(&port->listeners[i]);
    }
    while (!list_is_empty(&port->strangers)) {
        retire(port, list_entry(port->strangers.next, struct election_conn, link));
    }
    for (size_t i = 0; i < port->members->count; i++) {
        struct election_peer *peer = &port->peers[i];
        drop_conn(peer);
        dialer_cancel(&peer->dialer);
        buf_fini(&peer->waiting);
        buf_fini(&peer->last);
    }
    election_port_turn(port);
    buf_fini(&port->handshake);
    free(port->listeners);
    free(port->peers);
}
