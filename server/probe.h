/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_PROBE_H
#define SERVER_PROBE_H

/* Asks a running server, ours or Apache's, over the network. Blocks for a few seconds at most. */
#include <stddef.h>

/* Its mode as `srvr` says it ("standalone", "leader" ...) into mode. 0 or -errno: -ENOMSG if it
 * answers something else. */
int probe_mode(const char *host, int port, char *mode, size_t size);

#endif
