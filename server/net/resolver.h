/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_RESOLVER_H
#define SERVER_NET_RESOLVER_H

/*
 * Names to addresses without stopping the loop: getaddrinfo(3) may wait for a name server, so it runs
 * in a thread of its own. Nothing is remembered: a server that has moved is found at the next try.
 *
 *      loop: resolver_ask --> [queue] --> thread: getaddrinfo --> [queue] --> loop: answer
 *
 * An address in digits does not go through the thread. Loop thread only.
 */
#include <sys/socket.h>

#include "server/net/loop.h"

enum { RESOLVER_ADDRESSES_MAX = 8 };

struct resolver_answer {
    int count;         /* 0: the name could not be resolved */
    const char *error; /* static text, when count is 0 */
    struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX]; /* with the port */
};

struct resolver;
struct resolver_query;

/* Called once, from the loop, never from resolver_ask. The query is over. */
typedef void resolver_answer_fn(void *arg, const struct resolver_answer *answer);

/* 0 or -errno. */
int resolver_start(struct loop *loop, struct resolver **out);
/* All queries must have been answered or cancelled. Waits for a getaddrinfo that is under way. */
void resolver_stop(struct resolver *r);

/* host: a name, or an address without brackets; copied. */
struct resolver_query *resolver_ask(struct resolver *r, const char *host, int port,
                                    resolver_answer_fn *fn, void *arg);
/* No answer comes any more. */
void resolver_cancel(struct resolver_query *q);

static inline socklen_t resolver_address_len(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? 16 : 28; /* sockaddr_in, sockaddr_in6 */
}

#endif
