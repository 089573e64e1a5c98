/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/peer_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void format_ipv4(const uint8_t *b, char *out, size_t size)
{
    snprintf(out, size, "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
}

static void format_ipv6(const struct sockaddr_in6 *in6, char *out, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < 16; i += 2) {
        unsigned group = (unsigned)in6->sin6_addr.s6_addr[i] << 8 | in6->sin6_addr.s6_addr[i + 1];
        used += (size_t)snprintf(out + used, size - used, "%s%x", i > 0 ? ":" : "", group);
    }
    char interface[IF_NAMESIZE];
    if (in6->sin6_scope_id != 0 && if_indextoname(in6->sin6_scope_id, interface)) {
        snprintf(out + used, size - used, "%%%s", interface);
    }
}

void peer_address_of(const struct sockaddr_storage *address, struct peer_address *out)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET) {
        format_ipv4((const uint8_t *)&in4->sin_addr, out->host, sizeof(out->host));
        out->port = ntohs(in4->sin_port);
    } else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        format_ipv4(in6->sin6_addr.s6_addr + 12, out->host, sizeof(out->host));
        out->port = ntohs(in6->sin6_port);
    } else if (address->ss_family == AF_INET6) {
        format_ipv6(in6, out->host, sizeof(out->host));
        out->port = ntohs(in6->sin6_port);
    } else {
        snprintf(out->host, sizeof(out->host), "unknown");
        out->port = 0;
    }
}

void peer_address_format(const struct peer_address *peer, char *out, size_t size)
{
    snprintf(out, size, strchr(peer->host, ':') ? "[%s]:%d" : "%s:%d", peer->host, peer->port);
}
