/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_CLIENT_PORT_H
#define SERVER_NET_CLIENT_PORT_H

/*
 * START HERE for the client side of the network: the client port, that is, the listener, all
 * connections that came through it, and the limits on their number. What the connections say goes
 * to the ops of client_conn.h. Loop thread only.
 *
 *      listener --accept--> limits --> client_conn --frames--> ops        (server.c, which feeds the core)
 *                                        ^   |
 *            core's output, flushed -----+   +--closed--> client_port_turn --> ops.on_close
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/net/address_table.h"
#include "server/net/client_conn.h"
#include "server/net/listener.h"

struct client_port_options {
    struct listener_options listen;
    int cnxns_per_address_max; /* 0: no limit */
    int cnxns_max;             /* 0: no limit */
    bool keepalive;
    int32_t frame_bytes_max; /* jute.maxbuffer */
    int sessionless_timeout_ms;
    uint64_t seed; /* of hash tables */
};

struct client_port {
    struct listener listener;
    struct client_conn_env conns;
    struct address_table addresses;
    int cnxns_per_address_max;
    int cnxns_max;
    bool keepalive;
    int count;              /* connections, until on_close was called */
    int64_t rejected;       /* over a limit, since the start */
    int64_t quiet_until_ms; /* no other line about rejected ones before it */
};

/* Listens and accepts from now on. 0, or -errno after an ERROR line. */
int client_port_open(struct client_port *port, struct loop *loop,
                     const struct client_port_options *options, const struct client_conn_ops *ops,
                     void *arg);

/* To be called once a turn from the loop's prepare hook, before the core's output is flushed:
 * delivers what resumed connections have buffered and reports those that are closed. */
void client_port_turn(struct client_port *port);
/* After the flush: whether the loop must not wait. */
bool client_port_is_busy(const struct client_port *port);

/* Stops listening, sends what the kernel takes at once of every output, closes all connections
 * and reports them. */
void client_port_close(struct client_port *port);

#endif
