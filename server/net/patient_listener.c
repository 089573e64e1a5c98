/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/patient_listener.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"

enum { RETRY_MS = 500, BACKLOG = 64 };

static void retry_later(struct patient_listener *p, const char *reason)
{
    if (!p->has_complained && (p->host || p->is_ipv4_only)) {
        p->has_complained = true;
        log_warn("net", "cannot listen on the %s %s:%d, trying again: %s", p->what,
                 p->host ? p->host : "*", p->port, reason);
    }
    p->is_ipv4_only = !p->is_ipv4_only; /* a host without IPv6; has a meaning without a name only */
    loop_timer_set(p->loop, &p->retry, clock_now_ms() + RETRY_MS);
}

static void on_answer(void *arg, const struct resolver_answer *answer)
{
    struct patient_listener *p = arg;
    p->query = NULL;
    const char *reason = answer->error;
    for (int i = 0; i < answer->count && !p->is_listening; i++) {
        const struct sockaddr_storage *address = &answer->addresses[i];
        int err = listener_open_at(&p->listener, p->loop, (const struct sockaddr *)address,
                                   resolver_address_len(address), BACKLOG, p->on_accept, p->arg);
        p->is_listening = err == 0;
        reason = strerror(-err);
    }
    if (!p->is_listening) {
        retry_later(p, reason);
        return;
    }
    if (p->has_complained) {
        log_info("net", "listening on the %s %s:%d", p->what, p->host ? p->host : "*", p->port);
    }
    p->has_complained = false;
}

static void try_to_listen(void *arg)
{
    struct patient_listener *p = arg;
    const char *all = p->is_ipv4_only ? "0.0.0.0" : "::"; /* the latter takes IPv4 as well */
    p->query = resolver_ask(p->resolver, p->host ? p->host : all, p->port, on_answer, p);
}

void patient_listener_init(struct patient_listener *p, struct loop *loop, struct resolver *resolver,
                           const char *what, const char *host, int port,
                           listener_accept_fn *on_accept, void *arg)
{
    *p = (struct patient_listener){
        .loop = loop,
        .resolver = resolver,
        .what = what,
        .host = host,
        .port = port,
        .retry = { .fn = try_to_listen, .arg = p },
        .on_accept = on_accept,
        .arg = arg,
    };
}

void patient_listener_open(struct patient_listener *p)
{
    if (!p->is_open) {
        p->is_open = true;
        try_to_listen(p);
    }
}

void patient_listener_close(struct patient_listener *p)
{
    if (!p->is_open) {
        return;
    }
    if (p->query) {
        resolver_cancel(p->query);
        p->query = NULL;
    }
    loop_timer_cancel(p->loop, &p->retry);
    if (p->is_listening) {
        listener_close(&p->listener);
        p->is_listening = false;
    }
    p->is_open = false;
}
