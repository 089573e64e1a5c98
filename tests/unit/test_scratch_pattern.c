/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fusefs/scratch_pattern.h"

static void test_names_of_editors_and_tools(void **state)
{
    (void)state;
    static const char *const scratch[] = {
        ".app.conf.swp", ".app.conf.swo", ".app.conf.swpx", "4913",        "app.conf~",
        ".#app.conf",    "#app.conf#",    "app.conf.tmp",   "config.lock", ".goutputstream-4K2",
    };
    static const char *const plain[] = { "app.conf", ".app.conf", "app.conf.lock", "4914", "swp",
                                         "~x",       "#x",        ".profile",      "tmp",  "off" };
    for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++) {
        assert_true(scratch_pattern_match(SCRATCH_PATTERNS, scratch[i], false));
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        assert_false(scratch_pattern_match(SCRATCH_PATTERNS, plain[i], true));
    }
}

static void test_random_names_only_as_mkstemp_makes_them(void **state)
{
    (void)state;
    static const char *const names[] = { "sedary12", ".app.conf.Xy12ab", "XXab12CD" };
    assert_false(scratch_pattern_match(SCRATCH_PATTERNS, names[0], true));
    for (size_t i = 1; i < 3; i++) {
        assert_true(scratch_pattern_match(SCRATCH_PATTERNS, names[i], true));
        assert_false(scratch_pattern_match(SCRATCH_PATTERNS, names[i], false));
    }
    assert_false(scratch_pattern_match(SCRATCH_PATTERNS, "sedentary", false));
}

static void test_own_list_and_off(void **state)
{
    (void)state;
    assert_true(scratch_pattern_match("a*:*.new", "x.new", false));
    assert_true(scratch_pattern_match("a*:*.new", "ab", false));
    assert_false(scratch_pattern_match("a*:*.new", "x~", false));
    assert_false(scratch_pattern_match("off", "off", true));
    assert_false(scratch_pattern_match("off", "x~", true));
    assert_false(scratch_pattern_match("::", "x~", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_editors_and_tools),
        cmocka_unit_test(test_random_names_only_as_mkstemp_makes_them),
        cmocka_unit_test(test_own_list_and_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
