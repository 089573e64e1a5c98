/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/auth.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/assert.h"

enum { SHA1_BYTES = 20, SHA1_BASE64_BYTES = 28 };

static void put_id(struct buf *out, const char *scheme, struct slice id)
{
    put_slice(out, slice_of_str(scheme));
    put_slice(out, id);
}

void auth_put_ip(const char *host, struct buf *out)
{
    put_id(out, "ip", slice_of_str(host));
}

/* user:base64(sha1(all of the proof)); the user is what stands before the first colon. False:
 * this machine's OpenSSL refuses SHA-1. */
static bool make_digest_id(struct slice proof, struct buf *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    char text[SHA1_BASE64_BYTES + 1];
    if (EVP_Digest(proof.data, slice_size(proof), hash, &hash_len, EVP_sha1(), NULL) != 1) {
        return false;
    }
    zk_assert(hash_len == SHA1_BYTES);
    int len = EVP_EncodeBlock((uint8_t *)text, hash, SHA1_BYTES);
    zk_assert(len == SHA1_BASE64_BYTES);
    const uint8_t *colon = memchr(proof.data, ':', slice_size(proof));
    buf_append(out, proof.data, colon ? (size_t)(colon - proof.data) : slice_size(proof));
    buf_append_str(out, ":");
    buf_append(out, text, SHA1_BASE64_BYTES);
    return true;
}

static bool check_digest(const struct auth_options *options, struct slice proof, struct buf *out,
                         int32_t *count)
{
    struct buf text = BUF_EMPTY;
    bool ok = options->digest_enabled && !slice_is_null(proof) && make_digest_id(proof, &text);
    if (ok) {
        struct slice id = { buf_head(&text), (int32_t)buf_readable(&text) };
        *count = 1;
        if (options->super_digest && slice_eq_str(id, options->super_digest)) {
            put_id(out, "super", SLICE_EMPTY);
            *count = 2;
        }
        put_id(out, "digest", id);
    }
    buf_fini(&text);
    return ok;
}

bool auth_check(const struct auth_options *options, struct slice scheme, struct slice proof,
                struct buf *out, int32_t *count)
{
    if (slice_eq_str(scheme, "digest")) {
        return check_digest(options, proof, out, count);
    }
    if (slice_eq_str(scheme, "ip")) {
        *count = 0;
        return true;
    }
    return false;
}
