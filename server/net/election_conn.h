/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_ELECTION_CONN_H
#define SERVER_NET_ELECTION_CONN_H

/*
 * One socket of the election port (quorum-protocol 2): the handshake of an incoming one, then messages
 * in both directions, each with its length before it.
 *
 *      accepted: HANDSHAKE --initiator has said who it is--> OPEN --> CLOSED
 *      dialled:                                              OPEN --> CLOSED
 *
 * One message at a time is on its way out, so that a newer one can take the place of one that waits.
 * Memory grows with the bytes that arrive, not with the length that was announced. Loop thread only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "server/jute/wire.h"
#include "server/net/loop.h"
#include "server/net/members.h"

enum {
    ELECTION_MESSAGE_BYTES_MAX = 512 * 1024,
    ELECTION_ADDRESS_BYTES_MAX = 2048, /* of the address in a handshake */
};

enum election_conn_state { ELECTION_CONN_HANDSHAKE, ELECTION_CONN_OPEN, ELECTION_CONN_CLOSED };

struct election_conn {
    struct list link; /* the owner's */
    struct loop *loop;
    struct loop_io io;
    struct loop_timer timer; /* set during the handshake */
    enum election_conn_state state;
    int64_t sid; /* of the other side, once OPEN */
    struct buf in;
    struct buf out; /* at most one message */
    const struct election_conn_ops *ops;
    void *arg;
};

/* Called from the loop's events only. Each may close any connection, this one too. */
struct election_conn_ops {
    /* An incoming one has said who it is. */
    void (*on_handshake)(void *arg, struct election_conn *conn, int64_t sid);
    void (*on_message)(void *arg, struct election_conn *conn, const uint8_t *body, size_t len);
    /* Nothing is on its way out any more. */
    void (*on_drained)(void *arg, struct election_conn *conn);
    /* The other side, or an error, has ended it; why is static text. It is closed when this returns. */
    void (*on_lost)(void *arg, struct election_conn *conn, const char *why);
};

/* Both take fd, also on failure. NULL: out of epoll's resources. */
struct election_conn *election_conn_accept(struct loop *loop, int fd, int handshake_timeout_ms,
                                           const struct election_conn_ops *ops, void *arg);
/* Begins with our handshake. */
struct election_conn *election_conn_dialled(struct loop *loop, int fd, int64_t sid,
                                            struct slice handshake,
                                            const struct election_conn_ops *ops, void *arg);

static inline bool election_conn_is_drained(const struct election_conn *conn)
{
    return buf_readable(&conn->out) == 0;
}
/* It must be OPEN and drained. */
void election_conn_send(struct election_conn *conn, const void *body, size_t len);
/* Closes the socket; what was given to the kernel still arrives. No op is called any more; the struct stays until
 * election_conn_free. */
void election_conn_close(struct election_conn *conn);
void election_conn_free(struct election_conn *conn);

/* What the initiator self sends first. */
void election_handshake_encode(struct buf *out, const struct member *self);

#endif
