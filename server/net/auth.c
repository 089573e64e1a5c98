/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/auth.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

/* Java's names, and OpenSSL's. */
static const struct {
    const char *java;
    const char *openssl;
} digest_algs[] = {
    { "SHA1", "SHA1" },       { "SHA-1", "SHA1" },      { "SHA", "SHA1" },
    { "MD5", "MD5" },         { "SHA-224", "SHA224" },  { "SHA-256", "SHA256" },
    { "SHA-384", "SHA384" },  { "SHA-512", "SHA512" },  { "SHA-512/224", "SHA512-224" },
    { "SHA-512/256", "SHA512-256" }, { "SHA3-224", "SHA3-224" }, { "SHA3-256", "SHA3-256" },
    { "SHA3-384", "SHA3-384" }, { "SHA3-512", "SHA3-512" },
};

static const EVP_MD *digest_md(const char *digest_alg)
{
    for (size_t i = 0; i < sizeof(digest_algs) / sizeof(digest_algs[0]); i++) {
        if (strcasecmp(digest_algs[i].java, digest_alg) == 0) {
            return EVP_get_digestbyname(digest_algs[i].openssl);
        }
    }
    return NULL;
}

bool auth_has_digest_alg(const char *digest_alg)
{
    return digest_md(digest_alg) != NULL;
}

static void put_id(struct buf *out, const char *scheme, struct slice id)
{
    put_slice(out, slice_of_str(scheme));
    put_slice(out, id);
}

void auth_put_ip(const char *host, struct buf *out)
{
    put_id(out, "ip", slice_of_str(host));
}

/* user:base64(hash of all of the proof); the user is what stands before the first colon. False:
 * this machine's OpenSSL refuses the hash. */
static bool make_digest_id(const char *digest_alg, struct slice proof, struct buf *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    uint8_t text[4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1];
    const EVP_MD *md = digest_md(digest_alg);
    if (!md || EVP_Digest(proof.data, slice_size(proof), hash, &hash_len, md, NULL) != 1) {
        return false;
    }
    int len = EVP_EncodeBlock(text, hash, (int)hash_len);
    const uint8_t *colon = memchr(proof.data, ':', slice_size(proof));
    buf_append(out, proof.data, colon ? (size_t)(colon - proof.data) : slice_size(proof));
    buf_append_str(out, ":");
    buf_append(out, text, (size_t)len);
    return true;
}

static bool check_digest(const struct auth_options *options, struct slice proof, struct buf *out,
                         int32_t *count)
{
    struct buf text = BUF_EMPTY;
    bool ok = options->digest_enabled && !slice_is_null(proof) && 
              make_digest_id(options->digest_alg, proof, &text);
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
