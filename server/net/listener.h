/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_LISTENER_H
#define SERVER_NET_LISTENER_H

/*
 * A listening TCP socket in the loop. When the process or the machine has no descriptor left,
 * accepting rests for a moment instead of spinning; clients wait in the kernel's queue meanwhile.
 * Loop thread.
 */
#include <stdint.h>
#include <sys/socket.h>

#include "server/net/loop.h"

struct listener_options {
    const char *address; /* name or address; NULL: all addresses, IPv6 and IPv4 */
    int port;            /* 0: any free port */
    int backlog;         /* -1: the system's maximum */
};

/* fd is non-blocking and close-on-exec, and belongs to the callee. */
typedef void listener_accept_fn(void *arg, int fd, const struct sockaddr_storage *peer);

struct listener {
    struct loop *loop; /* borrowed */
    struct loop_io io;
    struct loop_timer rest; /* set while accepting rests */
    int64_t quiet_until_ms; /* no other line about accept errors before it */
    int port;               /* that is bound */
    listener_accept_fn *on_accept;
    void *arg;
};

/* 0, or -errno after an ERROR line that says what could not be bound. */
int listener_open(struct listener *l, struct loop *loop, const struct listener_options *options,
                  listener_accept_fn *on_accept, void *arg);
/* The same on one socket address, and without the line. */
int listener_open_at(struct listener *l, struct loop *loop, const struct sockaddr *address,
                     socklen_t len, int backlog, listener_accept_fn *on_accept, void *arg);
void listener_close(struct listener *l);

#endif
