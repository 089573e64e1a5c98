/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_PEER_ADDRESS_H
#define SERVER_NET_PEER_ADDRESS_H

/*
 * Socket addresses as Java's getHostAddress writes them, since the text is the id of the ACL
 * scheme "ip" and clients and tools compare it: dotted IPv4, also for IPv4 in IPv6; IPv6 as eight
 * groups without leading zeros and without "::", with %interface for a link-local one. Pure, but
 * for the interface's name.
 */
#include <sys/socket.h>

struct peer_address {
    char host[64]; /* "unknown" for another family */
    int port;
};

void peer_address_of(const struct sockaddr_storage *address, struct peer_address *out);

/* host:port with IPv6 in brackets, as in log lines and in `cons`. Truncated to size. */
void peer_address_format(const struct peer_address *peer, char *out, size_t size);

#endif
