/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_AUTH_H
#define SERVER_NET_AUTH_H

/*
 * Who a connection is (client-protocol 3 and 8): the auth packet's proof becomes ids, which the
 * ACL checks compare. Ids are appended in their encoding, string scheme and string id, as the
 * elements of a vec.
 *
 *      digest   any "user:password" is accepted and becomes user:base64(hash(user:password)), the hash being
 *               SHA-1 unless DigestAuthenticationProvider.digestAlg says otherwise; a connection
 *               whose result is the configured super digest is also ("super", "")
 *      ip       proves nothing new: each connection has the id of its address from the start
 *
 * Any thread; no state.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "server/jute/wire.h"

struct auth_options {
    bool digest_enabled;
    const char *digest_alg;   /* as Java names it */
    const char *super_digest; /* "super:..." or NULL */
};

/* Is there a hash of this name? */
bool auth_has_digest_alg(const char *digest_alg);

/* Appends ("ip", host). */
void auth_put_ip(const char *host, struct buf *out);

/* Appends what an auth packet proves and sets *count. False: unknown scheme, or no proof; nothing is
 * appended. */
bool auth_check(const struct auth_options *options, struct slice scheme, struct slice proof,
                struct buf *out, int32_t *count);

#endif
