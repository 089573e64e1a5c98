/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CONFIG_SERVERS_H
#define SERVER_CONFIG_SERVERS_H

/*
 * The keys of zoo.cfg that describe the ensemble, and only these (config.h has the result):
 *
 *      server.N = ADDRESS[|ADDRESS]...[;[HOST:]CLIENT_PORT]
 *      ADDRESS  = HOST:QUORUM_PORT:ELECTION_PORT[:participant|:observer]
 *      weight.N = votes of server N, at least 0
 *      group.G  = N[:N]...
 *
 * HOST may be an IPv6 address in brackets. Pure: memory only.
 */
#include <stdbool.h>

#include "common/buf.h"
#include "server/config.h"

bool config_servers_is_key(const char *key);

/* Takes a `server.N` entry into cfg; the last of several for one N counts. Ignores the other
 * keys. False: malformed, and *error says in a constant string what was expected. */
bool config_servers_add(struct config *cfg, const char *key, const char *value, const char **error);

/* Takes a `weight.N` or `group.G` entry; all servers must be in cfg. Ignores `server.N`. Returns
 * as above. */
bool config_servers_annotate(struct config *cfg, const char *key, const char *value,
                             const char **error);

/* False: there are groups, and a voter that is in none. */
bool config_servers_check(const struct config *cfg, const char **error);

void config_servers_print(const struct config *cfg, struct buf *out);
void config_servers_fini(struct config *cfg);

#endif
