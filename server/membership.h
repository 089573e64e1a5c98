/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_MEMBERSHIP_H
#define SERVER_MEMBERSHIP_H

/*
 * Who this server is and who else belongs to the ensemble, from zoo.cfg's server.N lines and the file
 * myid in dataDir: what the core needs (core/ensemble.h), what the ports need (net/members.h), and the
 * text that stands for both on the wire and in /zookeeper/config, byte for byte as Apache writes it
 * (quorum-protocol 1). Immutable once made.
 */
#include <stdbool.h>

#include "server/config.h"
#include "server/core/ensemble.h"
#include "server/net/members.h"

struct membership {
    bool is_alone; /* no ensemble: at most one server is configured */
    struct ensemble ensemble;
    struct members members;           /* empty when alone */
    struct member_address *addresses; /* owned; of all members */
    struct member *list;              /* owned */
    char *text;                       /* owned; "" when alone */
};

/* Reads myid if there is an ensemble. 0, or -errno after an ERROR line. Free with membership_fini. cfg
 * is borrowed until then. */
int membership_init(struct membership *m, const struct config *cfg);
void membership_fini(struct membership *m);

#endif
