/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "server/net/auth.h"
#include "server/net/peer_address.h"

/* What the proof gives, as "scheme=id;" in order; NULL stands for a refusal. */
static void expect(const struct auth_options *options, const char *scheme, struct slice proof,
                   const char *expected)
{
    struct buf out = BUF_EMPTY;
    int32_t count = -1;
    bool ok = auth_check(options, slice_of_str(scheme), proof, &out, &count);
    assert_int_equal(ok, expected != NULL);
    struct buf text = BUF_EMPTY;
    struct wire w;
    wire_init(&w, out.data, out.len);
    for (int32_t i = 0; ok && i < count; i++) {
        struct slice name = wire_slice(&w);
        struct slice id = wire_slice(&w);
        buf_append(&text, name.data, slice_size(name));
        buf_append_str(&text, "=");
        buf_append(&text, id.data, slice_size(id));
        buf_append_str(&text, ";");
    }
    assert_true(wire_ok(&w));
    assert_int_equal(wire_left(&w), 0);
    assert_int_equal(text.len, expected ? strlen(expected) : 0);
    if (expected) {
        assert_memory_equal(text.data, expected, text.len);
    }
    buf_fini(&text);
    buf_fini(&out);
}

static void test_digest(void **state)
{
    (void)state;
    const struct auth_options options = { true, "SHA1", "super:lK75jTNcA+U9vtVEw5vB51mj/w4=" };
    /* Both taken from an Apache server. */
    expect(&options, "digest", slice_of_str("bob:pw"), "digest=bob:ikIaKsbtGweaHnb/jKn7OHqbunM=;");
    expect(&options, "digest", slice_of_str("super:secret"),
           "super=;digest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=;");
    /* The password may contain colons, the user may lack one. */
    expect(&options, "digest", slice_of_str("a:b:c"), "digest=a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0=;");
    expect(&options, "digest", slice_of_str("nobody"),
           "digest=nobody:Nl7BemdfMnO8FsdHYa2D8s8HxZo=;");
    expect(&options, "digest", SLICE_NULL, NULL);
}

static void test_digest_switched_off(void **state)
{
    (void)state;
    const struct auth_options options = { false, "SHA1", NULL };
    expect(&options, "digest", slice_of_str("bob:pw"), NULL);
}

/* Against sha256sum and the like. */
static void test_other_digests(void **state)
{
    (void)state;
    const struct auth_options sha256 = { true, "SHA-256", NULL };
    const struct auth_options sha3 = { true, "sha3-256", NULL };
    expect(&sha256, "digest", slice_of_str("bob:pw"),
           "digest=bob:lXdkgIa9O1CDDWAryQ0pe9wUYi2LkG6M7Uocn/Vyn2g=;");
    expect(&sha3, "digest", slice_of_str("bob:pw"),
           "digest=bob:W/mjsw4pvF0wVTGZI9EiUQDRnUt7BAezTWEy2LgNGUU=;");
    assert_true(auth_has_digest_alg("SHA-512/256"));
    assert_false(auth_has_digest_alg("SHA256"));
    assert_false(auth_has_digest_alg(""));
}

static void test_without_super_digest_nobody_is_super(void **state)
{
    (void)state;
    const struct auth_options options = { true, "SHA1", NULL };
    expect(&options, "digest", slice_of_str("super:secret"),
           "digest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=;");
}

static void test_other_schemes(void **state)
{
    (void)state;
    const struct auth_options options = { true, "SHA1", NULL };
    expect(&options, "ip", slice_of_str(""), "");
    expect(&options, "world", slice_of_str("anyone"), NULL);
    expect(&options, "super", slice_of_str("x"), NULL);
    expect(&options, "auth", slice_of_str("x"), NULL);
    expect(&options, "sasl", slice_of_str("x"), NULL);
    expect(&options, "", slice_of_str("x"), NULL);
}

static void test_ip_id(void **state)
{
    (void)state;
    struct buf out = BUF_EMPTY;
    auth_put_ip("10.0.0.1", &out);
    assert_int_equal(out.len, 4 + 2 + 4 + 8);
    assert_memory_equal(out.data,
                        "\0\0\0\2ip\0\0\0\10"
                        "10.0.0.1",
                        out.len);
    buf_fini(&out);
}

/* Expected texts are those of java.net.InetAddress.getHostAddress. */
static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        int family;
        const char *address;
        const char *host;
        const char *with_port;
    } cases[] = {
        { AF_INET, "127.0.0.1", "127.0.0.1", "127.0.0.1:2181" },
        { AF_INET6, "::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3:2181" },
        { AF_INET6, "::1", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:2181" },
        { AF_INET6, "2001:db8::a0b:c", "2001:db8:0:0:0:0:a0b:c", "[2001:db8:0:0:0:0:a0b:c]:2181" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_storage storage = { .ss_family = (sa_family_t)cases[i].family };
        struct sockaddr_in *in4 = (struct sockaddr_in *)&storage;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;
        void *bytes = cases[i].family == AF_INET ? (void *)&in4->sin_addr : (void *)&in6->sin6_addr;
        assert_int_equal(inet_pton(cases[i].family, cases[i].address, bytes), 1);
        if (cases[i].family == AF_INET) {
            in4->sin_port = htons(2181);
        } else {
            in6->sin6_port = htons(2181);
        }
        struct peer_address peer;
        char text[80];
        peer_address_of(&storage, &peer);
        peer_address_format(&peer, text, sizeof(text));
        assert_string_equal(peer.host, cases[i].host);
        assert_string_equal(text, cases[i].with_port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_switched_off),
        cmocka_unit_test(test_other_digests),
        cmocka_unit_test(test_without_super_digest_nobody_is_super),
        cmocka_unit_test(test_other_schemes),
        cmocka_unit_test(test_ip_id),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
