/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/client_port.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* Replies that wait for a slow client: from the first on it is not read from, at the second it
 * goes. The second leaves room for several listings of the largest directories. */
enum { OUT_PAUSE_BYTES = 1024 * 1024, OUT_BYTES_MAX = 128 * 1024 * 1024 };

enum { QUIET_MS = 10000 };

/* One line in a while: a client that tries again and again must not fill the disk with its name.
 * */
static void log_rejected(struct client_port *port, const struct peer_address *peer,
                         const char *limit, int max)
{
    int64_t now_ms = port->conns.loop->now_ms;
    if (now_ms >= port->quiet_until_ms) {
        port->quiet_until_ms = now_ms + QUIET_MS;
        log_warn("net", "too many connections from %s, %s is %d; rejected so far: %lld", peer->host,
                 limit, max, (long long)port->rejected);
    }
}

/* Counts the connection in; false: it is over a limit and does not count. */
static bool admit(struct client_port *port, const struct peer_address *peer)
{
    if (port->cnxns_max > 0 && port->count >= port->cnxns_max) {
        port->rejected++;
        log_rejected(port, peer, "maxCnxns", port->cnxns_max);
        return false;
    }
    int from_here = address_table_add(&port->addresses, peer->host);
    if (port->cnxns_per_address_max > 0 && from_here > port->cnxns_per_address_max) {
        address_table_drop(&port->addresses, peer->host);
        port->rejected++;
        log_rejected(port, peer, "maxClientCnxns", port->cnxns_per_address_max);
        return false;
    }
    port->count++;
    return true;
}

static void dismiss(struct client_port *port, const struct peer_address *peer)
{
    address_table_drop(&port->addresses, peer->host);
    port->count--;
}

/* Neither option is worth refusing a client for. */
static void tune(const struct client_port *port, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (port->keepalive) {
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *address)
{
    struct client_port *port = arg;
    struct peer_address peer;
    peer_address_of(address, &peer);
    if (!admit(port, &peer)) {
        close(fd);
        return;
    }
    tune(port, fd);
    int status = client_conn_open(&port->conns, fd, &peer);
    if (status < 0) {
        log_warn("net", "cannot serve a connection from %s: %s", peer.host, strerror(-status));
        dismiss(port, &peer);
    }
}

int client_port_open(struct client_port *port, struct loop *loop,
                     const struct client_port_options *options, const struct client_conn_ops *ops,
                     void *arg)
{
    const struct client_conn_limits limits = {
        .frame_bytes_max = options->frame_bytes_max,
        .sessionless_timeout_ms = options->sessionless_timeout_ms,
        .out_pause_bytes = OUT_PAUSE_BYTES,
        .out_bytes_max = OUT_BYTES_MAX,
    };
    memset(port, 0, sizeof(*port));
    port->cnxns_per_address_max = options->cnxns_per_address_max;
    port->cnxns_max = options->cnxns_max;
    port->keepalive = options->keepalive;
    int status = listener_open(&port->listener, loop, &options->listen, on_accept, port);
    if (status < 0) {
        return status;
    }
    client_conn_env_init(&port->conns, loop, &limits, ops, arg);
    address_table_init(&port->addresses, options->seed);
    return 0;
}

static void report_closed(struct client_port *port)
{
    struct client_conn *conn;
    while ((conn = client_conn_take_closed(&port->conns)) != NULL) {
        port->conns.ops->on_close(port->conns.arg, conn);
        dismiss(port, &conn->peer);
        client_conn_free(conn);
    }
}

void client_port_turn(struct client_port *port)
{
    client_conn_serve_ready(&port->conns);
    report_closed(port);
}

bool client_port_is_busy(const struct client_port *port)
{
    return client_conn_has_ready(&port->conns) || !list_is_empty(&port->conns.closed);
}

void client_port_close(struct client_port *port)
{
    listener_close(&port->listener);
    list_for_each_safe(link, next, &port->conns.open)
    {
        struct client_conn *conn = list_entry(link, struct client_conn, link);
        client_conn_flush(conn);
        client_conn_close(conn);
    }
    report_closed(port);
    client_conn_env_fini(&port->conns);
    address_table_fini(&port->addresses);
}
