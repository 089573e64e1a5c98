/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "fusefs/acl_text.h"

static void test_text_comes_back(void **state)
{
    (void)state;
    const struct {
        const char *given;
        const char *want; /* NULL: refused */
    } cases[] = {
        { "world:anyone:cdrwa", "world:anyone:cdrwa\n" },
        { "world:anyone:r\n", "world:anyone:r\n" },
        { "world:anyone:awrdc\nauth::r", "world:anyone:cdrwa\nauth::r\n" },
        { "\n\nip:10.0.0.0/8:rw\n\n", "ip:10.0.0.0/8:rw\n" },
        { "digest:bob:uFbV+/==:cd", "digest:bob:uFbV+/==:cd\n" },
        { "ip:::1:r", "ip:::1:r\n" },
        { "x509:CN=a,O=b:r", "x509:CN=a,O=b:r\n" },
        { "world:anyone:", "world:anyone:\n" },
        { "", NULL },
        { "\n", NULL },
        { "world:anyone", NULL },
        { "world", NULL },
        { ":anyone:r", NULL },
        { "world:anyone:rx", NULL },
        { "world:anyone:r\nworld", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ACL_vector acl;
        int err = acl_parse(cases[i].given, strlen(cases[i].given), &acl);
        if (!cases[i].want) {
            assert_int_not_equal(err, 0);
            continue;
        }
        assert_int_equal(err, 0);
        struct buf text = BUF_EMPTY;
        acl_print(&acl, &text);
        char *shown = buf_take_str(&text);
        assert_string_equal(shown, cases[i].want);
        free(shown);
        acl_free(&acl);
    }
}

static void test_null_byte_is_refused(void **state)
{
    (void)state;
    struct ACL_vector acl;
    assert_int_not_equal(acl_parse("world:anyone:r\0", 15, &acl), 0);
}

static void test_copies_are_equal(void **state)
{
    (void)state;
    struct ACL_vector a;
    struct ACL_vector other;
    const char two[] = "digest:bob:hash:r\nworld:anyone:w";
    assert_int_equal(acl_parse(two, strlen(two), &a), 0);
    struct ACL_vector copy = acl_copy(&a);
    assert_true(acl_is_equal(&a, &copy));
    copy.data[1].perms = 1;
    assert_false(acl_is_equal(&a, &copy));
    assert_int_equal(acl_parse(two, strlen("digest:bob:hash:r"), &other), 0);
    assert_false(acl_is_equal(&a, &other));
    acl_free(&a);
    acl_free(&copy);
    acl_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_comes_back),
        cmocka_unit_test(test_null_byte_is_refused),
        cmocka_unit_test(test_copies_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
