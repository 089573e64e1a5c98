/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/tree/path.h"

static void test_valid_paths(void **state)
{
    (void)state;
    static const char *const good[] = {
        "/", "/a", "/a/b", "/...", "/a.b", "/..data", "/ ", "/a b", "/\xc3\xa9", "/\xe6\x97\xa5",
        "/\xef\xbf\xaf", /* U+FFEF, the last one before the refused block */
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(path_is_valid(slice_of_str(good[i])));
    }
}

static void test_refused_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/\x01", "/\x1f",
        "/a\nb", "/\x7f", "/\xc2\x85", "/\xed\xa0\x80", "/\xee\x80\x80", "/\xef\xa3\xbf", "/\xef\xbf\xb0",
        "/\xef\xbf\xbf", "/\xf0\x9f\x98\x80", "/\xff", "/\xc3", "/\xe6\x97", "/\xc0\xaf", "/\xe0\x80\xaf",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(path_is_valid(slice_of_str(bad[i])));
    }
    assert_false(path_is_valid(SLICE_NULL));
    assert_false(path_is_valid((struct slice){ (const uint8_t *)"/a\0b", 4 }));
}

static void test_split_keeps_the_literal_parent(void **state)
{
    (void)state;
    struct slice parent;
    struct slice name;
    assert_true(path_split(slice_of_str("/a/../b"), &parent, &name));
    assert_true(slice_eq_str(parent, "/a/.."));
    assert_true(slice_eq_str(name, "b"));
    assert_true(path_split(slice_of_str("/a"), &parent, &name));
    assert_int_equal(parent.len, 0);
    assert_false(path_split(slice_of_str("a"), &parent, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_paths),
        cmocka_unit_test(test_refused_paths),
        cmocka_unit_test(test_split_keeps_the_literal_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
