/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_LEARNER_PORT_H
#define SERVER_NET_LEARNER_PORT_H

/*
 * START HERE for the quorum port: the links between the leader and its learners, by the ids that the core
 * knows them by (core/zab.h). A leader listens and accepts, a learner dials; the port is the same.
 *
 *      accepted: id -1, -2, ...            UP --packets--> DOWN
 *      dialled:  id of ZAB_DO_CONNECT      UP --packets--> DOWN,  or DOWN at once
 *
 * A link that is closed, by either side, is reported down once, in learner_port_turn, and nothing of it
 * comes after that. An id that is not, or no longer, there is ignored. Loop thread only.
 */
#include "server/net/dialer.h"
#include "server/net/members.h"
#include "server/net/patient_listener.h"
#include "server/net/quorum_conn.h"

/* Called from the loop's events and from learner_port_turn. */
struct learner_port_ops {
    void (*on_up)(void *arg, int64_t id);
    void (*on_down)(void *arg, int64_t id);
    void (*on_packet)(void *arg, int64_t id, const struct quorum_packet *packet);
    /* See quorum_conn_ops.on_raw. */
    ssize_t (*on_raw)(void *arg, int64_t id, const uint8_t *bytes, size_t len);
};

struct learner_port {
    struct loop *loop;             /* borrowed */
    const struct members *members; /* borrowed */
    struct quorum_conn_limits limits;
    struct patient_listener *listeners; /* one for each address of ours */
    size_t listener_count;
    struct dialer dialer;
    int64_t dialled_id; /* that the dialer is busy with */
    int64_t dialled_sid;
    size_t next_address; /* of the leader's, to dial */
    int64_t last_accepted_id;
    struct list open;    /* struct quorum_conn.link */
    struct list pending; /* struct quorum_conn.pending: output was queued */
    struct list closed;  /* struct quorum_conn.link: to be reported down */
    struct list failed;  /* struct failed_dial.link: likewise */
    const struct learner_port_ops *ops;
    void *arg;
};

void learner_port_init(struct learner_port *port, struct loop *loop, struct resolver *resolver,
                       const struct members *members, const struct quorum_conn_limits *limits,
                       const struct learner_port_ops *ops, void *arg);
/* Closes everything; nothing is reported. */
void learner_port_fini(struct learner_port *port);

/* Off: closes the port; links stay. */
void learner_port_listen(struct learner_port *port, bool on);
/* A dial that is under way for another id is given up. */
void learner_port_connect(struct learner_port *port, int64_t sid, int64_t id);
void learner_port_drop(struct learner_port *port, int64_t id);
void learner_port_send(struct learner_port *port, int64_t id, struct slice packet);

/* NULL: it is gone. For streams and raw input (quorum_conn.h); valid until the loop goes on. */
struct quorum_conn *learner_port_find(struct learner_port *port, int64_t id);
/* After a piece of a stream. */
void learner_port_flush_later(struct learner_port *port, struct quorum_conn *conn);

/* Reports what went down; to be called once a turn, before learner_port_flush. */
void learner_port_turn(struct learner_port *port);
/* Sends what was queued, one call per link. */
void learner_port_flush(struct learner_port *port);
/* Whether learner_port_turn has work, so that the loop must not wait. */
bool learner_port_is_busy(const struct learner_port *port);

#endif
