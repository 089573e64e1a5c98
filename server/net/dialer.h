/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_DIALER_H
#define SERVER_NET_DIALER_H

/*
 * One outgoing connection to another server: resolves the name, tries its addresses one after the other,
 * reports the socket or why there is none. The struct belongs to the caller and may dial again and
 * again. Loop thread only.
 */
#include "server/net/resolver.h"

/* Once for each dialer_start, from the loop. fd: connected, non-blocking, tuned (member_socket.h), the callee's; or
 * -1, and error is static text. The dialer is free again. */
typedef void dialer_done_fn(void *arg, int fd, const char *error);

struct dialer {
    struct loop *loop;         /* borrowed */
    struct resolver *resolver; /* borrowed */
    struct loop_timer timer;   /* set while busy */
    struct resolver_query *query;
    struct resolver_answer answer;
    int next;          /* address to try */
    struct loop_io io; /* fd -1: no connect is under way */
    const char *error; /* of the last address */
    bool is_busy;
    dialer_done_fn *done;
    void *arg;
};

void dialer_init(struct dialer *d, struct loop *loop, struct resolver *resolver,
                 dialer_done_fn *done, void *arg);
/* Must not be busy. timeout_ms is for all of it. */
void dialer_start(struct dialer *d, const char *host, int port, int timeout_ms);
/* Nothing is reported any more. Fine when it is not busy. */
void dialer_cancel(struct dialer *d);

#endif
