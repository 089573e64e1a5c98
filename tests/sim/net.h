/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

/*
 * The network. Links (quorum port and client port) are ordered streams, as TCP's: what is sent is delayed
 * or held back, never lost or reordered, until an end closes or dies. A peer that is killed closes; one
 * that loses its power is silent, and answers with a reset once it is up again. Between two servers, and
 * between a user and a server, each direction can be blocked, clogged and slowed down on its own.
 *
 * The election port is one connection per pair, which keeps only the last message to each side: it is
 * lost when the connection breaks, and sent once more when there is a new one (net_votes.c).
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"

struct world;

/* Servers by their index, then users by theirs. */
enum {
    SERVERS_MAX = 5,
    USERS_MAX = 6,
    ENDPOINT_USERS = SERVERS_MAX,
    ENDPOINTS = SERVERS_MAX + USERS_MAX,
};

enum packet_kind {
    PACKET_DATA,
    PACKET_STREAM, /* the raw snapshot behind SNAP */
    PACKET_END,    /* closed or reset by the other side */
};

struct link_end {
    int32_t endpoint; /* index of a server, or ENDPOINT_USERS + index of a user */
    int64_t local_id; /* servers: the core's id of the link */
    bool is_open;
    void *owner;          /* client port: the server's struct client */
    struct list incoming; /* packets on their way to this end, in order */
    int64_t last_at_us;   /* when the last of them arrives */
};

struct link {
    struct list all;
    bool is_client;
    struct link_end end[2]; /* who connected, who accepted */
};

/* Election port, one direction of a pair. */
struct lane {
    struct buf last; /* the last message ever sent */
    bool has_last;
    bool is_unsent; /* there was no connection for it */
    int64_t last_at_us;
};

struct net {
    struct list links;                  /* struct link.all */
    struct list gone;                   /* closed at both ends; freed at the end of the run */
    bool blocked[ENDPOINTS][ENDPOINTS]; /* from, to: nothing arrives, and nobody hears of it */
    int64_t clogged_until_us[ENDPOINTS][ENDPOINTS]; /* connects, but nothing arrives */
    int64_t lag_us[SERVERS_MAX][SERVERS_MAX];       /* more latency */
    struct lane lanes[SERVERS_MAX][SERVERS_MAX];    /* from, to */
    bool is_connected[SERVERS_MAX][SERVERS_MAX];    /* election port; symmetric */
    uint64_t generation[SERVERS_MAX][SERVERS_MAX];  /* of that connection */
    int64_t latency_us;                             /* typical */
};

void net_init(struct world *w);
void net_fini(struct world *w);

/* ---- quorum and client port ---- */

/* The server dials the quorum port of another: link up at both, or link down. */
void net_connect(struct world *w, int32_t from, int32_t to, int64_t local_id);
/* A user dials a server. */
void net_connect_user(struct world *w, int32_t user, int32_t server);
/* Takes the content of bytes. */
void net_send(struct world *w, struct link *link, int side, enum packet_kind kind,
              struct buf *bytes);
void net_close(struct world *w, struct link *link, int side);
/* The open link with this id at this server, and which of its ends that is; or NULL. */
struct link *net_find(struct world *w, int32_t server, int64_t local_id, int *side);
/* Some open quorum link, client link: for faults. NULL if there is none. */
struct link *net_pick(struct world *w, bool is_client);
/* Both ends see it closed. */
void net_break(struct world *w, struct link *link);

/* Neither direction is blocked: a connection can be made. */
bool net_is_open(const struct world *w, int32_t a, int32_t b);
/* How long something takes, by chance. */
int64_t net_latency_us(struct world *w);

/* ---- election port ---- */

void net_vote(struct world *w, int32_t from, int32_t to, const void *data, size_t len);
void net_break_votes(struct world *w, int32_t a, int32_t b);

/* ---- what happens to servers ---- */

/* The process is gone; with its power the host is, too, and says nothing. */
void net_server_down(struct world *w, int32_t server, bool is_power_loss);
/* Something that was blocked, clogged or paused may move again. */
void net_pump_all(struct world *w);

#endif
