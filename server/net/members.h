/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_MEMBERS_H
#define SERVER_NET_MEMBERS_H

/*
 * Where the servers of the ensemble listen for one another: the addresses of zoo.cfg's server.N lines,
 * as text. A name is resolved at each connect, never kept (E7). Immutable; borrowed by both ports.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct member_address {
    const char *host; /* name or address, without brackets */
    int quorum_port;
    int election_port;
};

struct member {
    int64_t sid;
    const struct member_address *addresses;
    size_t address_count; /* at least 1 */
};

struct members {
    int64_t self_sid;
    const struct member *list; /* this server too */
    size_t count;
    bool listen_on_all;     /* not only on our own address */
    int connect_timeout_ms; /* to another server */
};

/* How many listeners we need for a port. */
static inline size_t members_listener_count(const struct members *m, const struct member *self)
{
    return m->listen_on_all ? 1 : self->address_count;
}

/* NULL if there is none. */
static inline const struct member *members_find(const struct members *m, int64_t sid)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->list[i].sid == sid) {
            return &m->list[i];
        }
    }
    return NULL;
}

#endif
