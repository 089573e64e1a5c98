/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_IP_RANGE_H
#define SERVER_TREE_IP_RANGE_H

/* The ids of the "ip" scheme (client-protocol 8): an address, IPv4 or IPv6, and how many of its bits count.
 * Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "server/jute/wire.h"

struct ip_range {
    uint8_t address[16]; /* the first bytes of it */
    int bytes;           /* 4 or 16 */
    int bits;            /* that count, from the first on */
};

/* "a.b.c.d" or IPv6 text, each with or without "/bits". */
bool ip_range_parse(struct slice text, struct ip_range *out);
/* Is the caller's address in the range? Different families never match. */
bool ip_range_contains(struct slice range, struct slice caller);

#endif
