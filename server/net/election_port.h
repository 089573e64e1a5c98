/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_ELECTION_PORT_H
#define SERVER_NET_ELECTION_PORT_H

/*
 * START HERE for the election port: one connection to each other server, and votes over it
 * (quorum-protocol 2). Both sides dial; the connection that stays is the one that the server with the
 * higher sid has dialled:
 *
 *      a lower one dials us    its socket is closed, and we dial back
 *      a higher one dials us   its connection takes the place of an older one
 *      we dial a higher one    handshake, close, and wait until it dials back
 *      we dial a lower one     handshake, and the connection stays
 *
 * To each server one message waits at most; a newer one takes its place. A connection that comes up with
 * nothing to send repeats the last message. Nothing is dialled unless there is something to say. Loop
 * thread only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "server/net/dialer.h"
#include "server/net/election_conn.h"
#include "server/net/members.h"
#include "server/net/patient_listener.h"

struct election_peer;

/* One message; bytes are valid for the call. */
typedef void election_message_fn(void *arg, int64_t sid, const uint8_t *body, size_t len);

struct election_port {
    struct loop *loop;                  /* borrowed */
    const struct members *members;      /* borrowed */
    struct patient_listener *listeners; /* one for each address of ours */
    size_t listener_count;
    struct election_peer *peers; /* by index in members; our own is not used */
    struct list strangers;       /* struct election_conn.link: before their handshake */
    int stranger_count;
    struct list closed; /* struct election_conn.link: to be freed at the end of the turn */
    struct buf handshake;
    int64_t quiet_until_ms; /* no other line about refused ones before it */
    election_message_fn *on_message;
    void *arg;
};

/* Listens soon, and from then on. */
void election_port_open(struct election_port *port, struct loop *loop, struct resolver *resolver,
                        const struct members *members, election_message_fn *heard, void *arg);
void election_port_close(struct election_port *port);

/* An unknown sid is ignored. */
void election_port_send(struct election_port *port, int64_t sid, struct slice message);
/* To be called once a turn from the loop's prepare hook. */
void election_port_turn(struct election_port *port);

#endif
