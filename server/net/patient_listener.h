/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_PATIENT_LISTENER_H
#define SERVER_NET_PATIENT_LISTENER_H

/*
 * A listener on one of this server's own addresses in the ensemble. The name may not resolve yet, and
 * the port may still be taken by what ran here before: it tries again until it works. Loop thread only.
 */
#include "server/net/listener.h"
#include "server/net/resolver.h"

struct patient_listener {
    struct loop *loop;         /* borrowed */
    struct resolver *resolver; /* borrowed */
    const char *what;          /* for log lines; static */
    const char *host;          /* borrowed; NULL: all addresses */
    int port;
    struct resolver_query *query; /* NULL: not resolving */
    struct loop_timer retry;
    struct listener listener;
    bool is_listening;
    bool is_open;
    bool has_complained;
    bool is_ipv4_only; /* all addresses: IPv6 has failed */
    listener_accept_fn *on_accept;
    void *arg;
};

void patient_listener_init(struct patient_listener *p, struct loop *loop, struct resolver *resolver,
                           const char *what, const char *host, int port,
                           listener_accept_fn *on_accept, void *arg);
/* Listens soon. Fine if it is open. */
void patient_listener_open(struct patient_listener *p);
/* Fine if it is closed. */
void patient_listener_close(struct patient_listener *p);

#endif
