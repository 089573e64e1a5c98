/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_CLIENT_CONN_H
#define SERVER_NET_CLIENT_CONN_H

/*
 * One connection of a client: a socket, frames in, bytes out. It knows frames and four-letter
 * words by their first bytes, and nothing of what is in them.
 *
 *      OPEN --- client_conn_finish, or a word was answered ---> DRAINING   rest of the output leaves
 *        |                                                         |
 *        |                                       write side shut   v
 *        |                                                     LINGERING   input is read and dropped, so
 *        |                                                         |       that no reset eats the answer
 *        +--- client_conn_close, end of input, error ---+          |
 *        |                                              |          | end of input, or time is up
 *        v                                              v          v
 *      CLOSED   socket gone; on_close is called at the end of the turn, then the struct is freed
 *
 * Memory: an idle connection has no buffer. Bytes are received into a buffer that all share; only
 * the beginning of a frame that has not come whole is kept, and it grows as bytes arrive, never
 * because of the length that a client announced. Output belongs to the user (client_conn_attach);
 * a client that does not read it is not read from while more than out_pause_bytes wait, and is
 * closed above out_bytes_max.
 *
 * Loop thread only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "server/net/loop.h"
#include "server/net/peer_address.h"

enum client_conn_state {
    CLIENT_CONN_OPEN,
    CLIENT_CONN_DRAINING,
    CLIENT_CONN_LINGERING,
    CLIENT_CONN_CLOSED,
};

/* Why a connection is not read from; several may hold at once. */
enum client_conn_pause {
    CLIENT_CONN_PAUSE_SESSION = 1,     /* the connect request is being decided */
    CLIENT_CONN_PAUSE_OUTSTANDING = 2, /* the server has too many requests in process */
    CLIENT_CONN_PAUSE_OUTPUT = 4,      /* the client is slow to read; set and cleared here */
};

struct client_conn {
    struct list link;       /* in env's open or closed */
    struct list ready_link; /* in env's ready, or alone */
    struct client_conn_env *env;
    struct loop_io io;
    struct loop_timer timer; /* by state: connect request, idle, or end of draining and lingering */
    struct peer_address peer;
    enum client_conn_state state;
    unsigned paused;     /* bits of enum client_conn_pause */
    bool has_first;      /* the first four bytes have been looked at */
    bool has_frame;      /* a whole frame has come */
    bool is_at_end;      /* the client has ended its side */
    size_t skip_bytes;   /* of an oversized frame, to come and to be dropped */
    struct buf in;       /* bytes not yet cut: part of a frame, or more while paused */
    int idle_timeout_ms; /* 0: none */
    int64_t last_read_ms;
    int64_t accepted_wall_ms;
    void *user;      /* by client_conn_attach */
    struct buf *out; /* by client_conn_attach; borrowed until on_close */
};

/* What a connection tells its user. Called from the loop's events, client_conn_open and
 * client_conn_serve_ready, never from a function that the user calls; each may call any function
 * for any connection. */
struct client_conn_ops {
    /* Must attach. */
    void (*on_open)(void *arg, struct client_conn *conn);
    /* The first four bytes. True: they are a word, its answer is in the output now and ends it
     * all. */
    bool (*on_word)(void *arg, struct client_conn *conn, const uint8_t word[4]);
    /* A frame's body; the bytes are valid for the call. */
    void (*on_frame)(void *arg, struct client_conn *conn, const uint8_t *body, size_t len);
    /* The beginning of a frame that is larger than frame_bytes_max. True: it has been dealt with, and
     * the rest of it is skipped; else the connection is closed. */
    bool (*on_oversized)(void *arg, struct client_conn *conn, const uint8_t *body);
    /* Once, whoever closed it. User and output are not touched afterwards. */
    void (*on_close)(void *arg, struct client_conn *conn);
};

struct client_conn_limits {
    int32_t frame_bytes_max;    /* of a body */
    int sessionless_timeout_ms; /* from accept to the first whole frame */
    size_t out_pause_bytes;
    size_t out_bytes_max;
};

/* Since the start. */
struct client_conn_stats {
    int64_t bytes_received;
    int64_t bytes_sent;
    int64_t sessionless_expired;
    int64_t dropped; /* closed by us for something that the client did or did not do */
};

enum { CLIENT_CONN_READ_BYTES = 65536 };

/* What on_oversized sees of a frame; one that is larger still than so many times the limit is no request. */
enum { CLIENT_CONN_OVERSIZED_BYTES = 8, CLIENT_CONN_OVERSIZED_TIMES = 16 };

/* What connections share. */
struct client_conn_env {
    struct loop *loop;                 /* borrowed */
    const struct client_conn_ops *ops; /* borrowed */
    void *arg;                         /* for ops */
    struct client_conn_limits limits;
    struct client_conn_stats stats;
    struct list open;   /* all but the closed ones */
    struct list ready;  /* have buffered bytes that may be cut now */
    struct list closed; /* wait for client_conn_take_closed */
    uint8_t *scratch;   /* owned; CLIENT_CONN_READ_BYTES */
};

void client_conn_env_init(struct client_conn_env *env, struct loop *loop,
                          const struct client_conn_limits *limits,
                          const struct client_conn_ops *ops, void *arg);
/* No connection is left. */
void client_conn_env_fini(struct client_conn_env *env);

/* Takes fd, also on failure. Calls on_open. 0 or -errno. */
int client_conn_open(struct client_conn_env *env, int fd, const struct peer_address *peer);

/* Cuts what resumed connections have buffered. To be called once a turn. */
void client_conn_serve_ready(struct client_conn_env *env);
/* Whether client_conn_serve_ready has work, so that the loop must not wait. */
bool client_conn_has_ready(const struct client_conn_env *env);
/* The next closed connection; NULL: none. The caller calls on_close and frees it. */
struct client_conn *client_conn_take_closed(struct client_conn_env *env);
void client_conn_free(struct client_conn *conn);

/* Both pointers are borrowed until on_close. */
void client_conn_attach(struct client_conn *conn, void *user, struct buf *out);
/* Sends what is in the output, as far as the socket takes it; the rest follows by itself. Fine in
 * any state. */
void client_conn_flush(struct client_conn *conn);
/* No frame is delivered while a reason holds. */
void client_conn_pause(struct client_conn *conn, enum client_conn_pause reason);
void client_conn_resume(struct client_conn *conn, enum client_conn_pause reason);
/* Closes a connection of which nothing was read for so long; 0: never. */
void client_conn_set_idle_timeout(struct client_conn *conn, int timeout_ms);
/* Ends it in order: no more frames; the output leaves, then the socket closes. */
void client_conn_finish(struct client_conn *conn);
/* Ends it at once; output that has not left is lost. */
void client_conn_close(struct client_conn *conn);
/* As client_conn_close, with one WARN line that names the client. */
void client_conn_drop(struct client_conn *conn, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool client_conn_is_reading(const struct client_conn *conn)
{
    return conn->state == CLIENT_CONN_OPEN && conn->paused == 0;
}

#endif
