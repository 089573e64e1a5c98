/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/worker.h"
#include "common/xalloc.h"

_Static_assert(sizeof(struct sockaddr_in) == 16, "resolver_address_len");
_Static_assert(sizeof(struct sockaddr_in6) == 28, "resolver_address_len");

struct resolver_query {
    struct queue_item item; /* first */
    struct resolver *resolver;
    char *host;
    int port;
    resolver_answer_fn *fn; /* the loop's; NULL: cancelled */
    void *arg;
    struct resolver_answer answer;
};

struct resolver {
    struct loop *loop;
    struct worker worker;
    struct thread_queue answered;
    struct loop_io answered_io;
    atomic_bool is_stopping;
};

static void keep(struct resolver_answer *answer, const struct addrinfo *found)
{
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        bool is_ip = a->ai_family == AF_INET || a->ai_family == AF_INET6;
        if (is_ip && answer->count < RESOLVER_ADDRESSES_MAX) {
            memcpy(&answer->addresses[answer->count++], a->ai_addr, a->ai_addrlen);
        }
    }
}

/* flags: AI_NUMERICHOST never waits. Any thread. */
static void look_up(struct resolver_query *q, int flags)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%d", q->port);
    int error = getaddrinfo(q->host, port, &hints, &found);
    if (error == 0) {
        keep(&q->answer, found);
        freeaddrinfo(found);
    }
    q->answer.error = error != 0 ? gai_strerror(error) : "no IP address";
}

static void free_query(struct resolver_query *q)
{
    free(q->host);
    free(q);
}

/* In the thread. When the server stops, what still waits for it is not looked up. */
static void handle(void *arg, struct queue_item *chain)
{
    struct resolver *r = arg;
    while (chain) {
        struct resolver_query *q = (struct resolver_query *)chain;
        chain = chain->next;
        if (!atomic_load(&r->is_stopping)) {
            look_up(q, 0);
        }
        thread_queue_push(&r->answered, &q->item);
    }
}

static void on_answered(void *arg, uint32_t events)
{
    struct resolver *r = arg;
    (void)events;
    struct queue_item *item = thread_queue_pop_all(&r->answered);
    while (item) {
        struct resolver_query *q = (struct resolver_query *)item;
        item = item->next;
        if (q->fn) {
            q->fn(q->arg, &q->answer);
        }
        free_query(q);
    }
}

int resolver_start(struct loop *loop, struct resolver **out)
{
    struct resolver *r = xcalloc(1, sizeof(*r));
    r->loop = loop;
    atomic_init(&r->is_stopping, false);
    int err = thread_queue_init(&r->answered);
    if (err < 0) {
        goto err_free;
    }
    r->answered_io = (struct loop_io){ thread_queue_fd(&r->answered), EPOLLIN, on_answered, r };
    err = loop_io_add(loop, &r->answered_io);
    if (err < 0) {
        goto err_queue;
    }
    err = worker_start(&r->worker, "zk-resolve", handle, r);
    if (err < 0) {
        goto err_io;
    }
    *out = r;
    return 0;

err_io:
    loop_io_remove(loop, &r->answered_io);
err_queue:
    thread_queue_fini(&r->answered);
err_free:
    free(r);
    return err;
}

void resolver_stop(struct resolver *r)
{
    atomic_store(&r->is_stopping, true);
    worker_stop(&r->worker);
    struct queue_item *item = thread_queue_pop_all(&r->answered);
    while (item) {
        struct resolver_query *q = (struct resolver_query *)item;
        item = item->next;
        zk_assert(!q->fn);
        free_query(q);
    }
    loop_io_remove(r->loop, &r->answered_io);
    thread_queue_fini(&r->answered);
    free(r);
}

struct resolver_query *resolver_ask(struct resolver *r, const char *host, int port,
                                    resolver_answer_fn *fn, void *arg)
{
    struct resolver_query *q = xcalloc(1, sizeof(*q));
    q->resolver = r;
    q->host = xstrdup(host);
    q->port = port;
    q->fn = fn;
    q->arg = arg;
    look_up(q, AI_NUMERICHOST);
    if (q->answer.count > 0) {
        thread_queue_push(&r->answered, &q->item);
    } else {
        worker_push(&r->worker, &q->item);
    }
    return q;
}

void resolver_cancel(struct resolver_query *q)
{
    q->fn = NULL;
}
