/* SPDX-License-Identifier: Apache-2.0 */
/* The "ip" scheme's ids: which texts are some, and which addresses they contain. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/prng.h"
#include "server/tree/ip_range.h"

static bool parses(const char *text)
{
    struct ip_range r;
    return ip_range_parse(slice_of_str(text), &r);
}

static bool contains(const char *range, const char *caller)
{
    return ip_range_contains(slice_of_str(range), slice_of_str(caller));
}

static void test_texts(void **state)
{
    (void)state;
    static const char *good[] = { "1.2.3.4",
                                  "0.0.0.0/0",
                                  "10.0.0.0/8",
                                  "1.2.3.4/32",
                                  "::",
                                  "::1",
                                  "1::",
                                  "::/0",
                                  "fe80::1/64",
                                  "1:2:3:4:5:6:7:8",
                                  "1:2:3:4:5:6:7::",
                                  "::2:3:4:5:6:7:8",
                                  "ABCD::ef01/128",
                                  "1:2:3:4:5:6:7:8/9" };
    static const char *bad[] = { "",
                                 "1.2.3",
                                 "1.2.3.4.5",
                                 "256.1.1.1",
                                 "1.2.3.4/33",
                                 "1.2.3.4/",
                                 "1.2.3.4 ",
                                 "a.b.c.d",
                                 ":",
                                 ":1",
                                 "1:",
                                 "1::2::3",
                                 "1:2:3:4:5:6:7",
                                 "1:2:3:4:5:6:7:8:9",
                                 "1:2:3:4:5:6:7:8:",
                                 "1:2:3:4:5:6:7:8::",
                                 "12345::",
                                 "g::",
                                 "::1/129",
                                 "::1/",
                                 "::1%lo",
                                 "1::2:3:4:5:6:7:8",
                                 ":::",
                                 "::1/-1" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!parses(good[i])) {
            fail_msg("%s was refused", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parses(bad[i])) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

static void test_only_the_counted_bits_matter(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.3.4"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("126.0.0.0/7", "127.0.0.1"));
    assert_false(contains("127.0.0.1", "127.0.0.2"));
    assert_true(contains("0.0.0.0/0", "1.2.3.4"));
    assert_true(contains("fe80::/10", "febf::1"));
    assert_false(contains("fe80::/10", "fec0::1"));
    assert_true(contains("::1", "0:0:0:0:0:0:0:1"));
    assert_false(contains("::/0", "1.2.3.4"));
    assert_false(contains("0.0.0.0/0", "::1"));
}

/* Whatever the C library writes, and however it shortens it, is read back. */
static void test_every_address_is_read_as_the_c_library_does(void **state)
{
    (void)state;
    struct prng rng;
    prng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        struct in6_addr a = { .s6_addr = { 0 } };
        char text[INET6_ADDRSTRLEN];
        for (int k = 0; k < 16; k += 2) {
            if (prng_below(&rng, 2)) {
                a.s6_addr[k] = (uint8_t)prng_below(&rng, 256);
                a.s6_addr[k + 1] = (uint8_t)prng_below(&rng, 256);
            }
        }
        inet_ntop(AF_INET6, &a, text, sizeof(text));
        struct ip_range r;
        if (strchr(text, '.')) {
            continue; /* the form with an IPv4 address at its end */
        }
        assert_true(ip_range_parse(slice_of_str(text), &r));
        assert_memory_equal(r.address, a.s6_addr, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_only_the_counted_bits_matter),
        cmocka_unit_test(test_every_address_is_read_as_the_c_library_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
