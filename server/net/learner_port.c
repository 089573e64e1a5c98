/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/learner_port.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "server/net/member_socket.h"
#include "server/net/peer_address.h"

/* A dial that never became a link, until it is reported. */
struct failed_dial {
    struct list link;
    int64_t id;
};

/* ---- links ---------------------------------------------------------------------------------------------- */

struct quorum_conn *learner_port_find(struct learner_port *port, int64_t id)
{
    list_for_each (it, &port->open) {
        struct quorum_conn *conn = list_entry(it, struct quorum_conn, link);
        if (conn->id == id) {
            return conn;
        }
    }
    return NULL;
}

static void retire(struct learner_port *port, struct quorum_conn *conn)
{
    quorum_conn_close(conn);
    list_remove(&conn->pending);
    list_remove(&conn->link);
    list_push_back(&port->closed, &conn->link);
}

static void on_packet(void *arg, struct quorum_conn *conn, const struct quorum_packet *packet)
{
    struct learner_port *port = arg;
    port->ops->on_packet(port->arg, conn->id, packet);
}

static ssize_t on_raw(void *arg, struct quorum_conn *conn, const uint8_t *bytes, size_t len)
{
    struct learner_port *port = arg;
    return port->ops->on_raw(port->arg, conn->id, bytes, len);
}

static void on_lost(void *arg, struct quorum_conn *conn, const char *why)
{
    log_debug("net", "quorum link %" PRId64 ": %s", conn->id, why);
    retire(arg, conn);
}

static const struct quorum_conn_ops conn_ops = { on_packet, on_raw, on_lost };

/* False: there is no link; fd is closed. */
static bool add_link(struct learner_port *port, int fd, int64_t id)
{
    struct quorum_conn *conn = quorum_conn_open(port->loop, fd, id, &port->limits, &conn_ops, port);
    if (!conn) {
        return false;
    }
    list_push_back(&port->open, &conn->link);
    port->ops->on_up(port->arg, id);
    return true;
}

static void report_failed(struct learner_port *port, int64_t id)
{
    struct failed_dial *f = xmalloc(sizeof(*f));
    f->id = id;
    list_push_back(&port->failed, &f->link);
}

static void give_up_dial(struct learner_port *port)
{
    dialer_cancel(&port->dialer);
    report_failed(port, port->dialled_id);
}

void learner_port_drop(struct learner_port *port, int64_t id)
{
    struct quorum_conn *conn = learner_port_find(port, id);
    if (conn) {
        retire(port, conn);
    } else if (port->dialer.is_busy && port->dialled_id == id) {
        give_up_dial(port);
    }
}

void learner_port_flush_later(struct learner_port *port, struct quorum_conn *conn)
{
    if (list_is_empty(&conn->pending)) {
        list_push_back(&port->pending, &conn->pending);
    }
}

void learner_port_send(struct learner_port *port, int64_t id, struct slice packet)
{
    struct quorum_conn *conn = learner_port_find(port, id);
    if (conn) {
        quorum_conn_send(conn, packet);
        learner_port_flush_later(port, conn);
    }
}

void learner_port_flush(struct learner_port *port)
{
    struct list *it;
    while ((it = list_pop_front(&port->pending)) != NULL) {
        struct quorum_conn *conn = list_entry(it, struct quorum_conn, pending);
        const char *why;
        if (!quorum_conn_flush(conn, &why)) {
            log_warn("net", "dropping quorum link %" PRId64 ": %s", conn->id, why);
            retire(port, conn);
        }
    }
}

/* ---- how links come to be ---------------------------------------------------------------------------------- */

static void on_accept(void *arg, int fd, const struct sockaddr_storage *address)
{
    struct learner_port *port = arg;
    struct peer_address peer;
    peer_address_of(address, &peer);
    member_socket_tune(fd);
    if (add_link(port, fd, --port->last_accepted_id)) {
        log_debug("net", "quorum link %" PRId64 " from %s", port->last_accepted_id, peer.host);
    }
}

static void on_dialled(void *arg, int fd, const char *error)
{
    struct learner_port *port = arg;
    if (fd < 0) {
        log_debug("net", "cannot reach the quorum port of server.%" PRId64 ": %s",
                  port->dialled_sid, error);
    }
    if (fd < 0 || !add_link(port, fd, port->dialled_id)) {
        report_failed(port, port->dialled_id);
    }
}

void learner_port_connect(struct learner_port *port, int64_t sid, int64_t id)
{
    const struct member *m = members_find(port->members, sid);
    if (port->dialer.is_busy) {
        give_up_dial(port);
    }
    if (!m) {
        report_failed(port, id);
        return;
    }
    port->dialled_id = id;
    port->dialled_sid = sid;
    const struct member_address *a = &m->addresses[port->next_address++ % m->address_count];
    dialer_start(&port->dialer, a->host, a->quorum_port, port->members->connect_timeout_ms);
}

void learner_port_listen(struct learner_port *port, bool on)
{
    for (size_t i = 0; i < port->listener_count; i++) {
        (on ? patient_listener_open : patient_listener_close)(&port->listeners[i]);
    }
}

/* ---- turns ---------------------------------------------------------------------------------------------------- */

void learner_port_turn(struct learner_port *port)
{
    struct list *it;
    while ((it = list_pop_front(&port->failed)) != NULL) {
        struct failed_dial *f = list_entry(it, struct failed_dial, link);
        port->ops->on_down(port->arg, f->id);
        free(f);
    }
    while ((it = list_pop_front(&port->closed)) != NULL) {
        struct quorum_conn *conn = list_entry(it, struct quorum_conn, link);
        port->ops->on_down(port->arg, conn->id);
        quorum_conn_free(conn);
    }
}

bool learner_port_is_busy(const struct learner_port *port)
{
    return !list_is_empty(&port->closed) || !list_is_empty(&port->failed);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

void learner_port_init(struct learner_port *port, struct loop *loop, struct resolver *resolver,
                       const struct members *members, const struct quorum_conn_limits *limits,
                       const struct learner_port_ops *ops, void *arg)
{
    *port = (struct learner_port){
        .loop = loop, .members = members, .limits = *limits, .ops = ops, .arg = arg
    };
    list_init(&port->open);
    list_init(&port->pending);
    list_init(&port->closed);
    list_init(&port->failed);
    dialer_init(&port->dialer, loop, resolver, on_dialled, port);
    const struct member *self = members_find(members, members->self_sid);
    port->listener_count = members_listener_count(members, self);
    port->listeners = xcalloc(port->listener_count, sizeof(*port->listeners));
    for (size_t i = 0; i < port->listener_count; i++) {
        const struct member_address *a = &self->addresses[i];
        patient_listener_init(&port->listeners[i], loop, resolver, "quorum port",
                              members->listen_on_all ? NULL : a->host, a->quorum_port, on_accept,
                              port);
    }
}

static void free_all(struct list *conns)
{
    while (!list_is_empty(conns)) {
        quorum_conn_free(list_entry(conns->next, struct quorum_conn, link));
    }
}

void learner_port_fini(struct learner_port *port)
{
    learner_port_listen(port, false);
    dialer_cancel(&port->dialer);
    free_all(&port->open);
    free_all(&port->closed);
    struct list *it;
    while ((it = list_pop_front(&port->failed)) != NULL) {
        free(list_entry(it, struct failed_dial, link));
    }
    free(port->listeners);
}
