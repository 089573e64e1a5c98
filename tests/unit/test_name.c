/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/name.h"

static void test_names_that_zookeeper_takes_or_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int err;
    } cases[] = {
        { "app", 0 },
        { "...", 0 },
        { " ", 0 },
        { "100%:a", 0 },
        { "gr\xc3\xbc\xc3\x9f", 0 }, /* U+00FC U+00DF */
        { "e\xcc\x81", 0 },          /* combining mark */
        { "\xef\xbf\xaf", 0 },       /* U+FFEF, the last before the refused block */
        { "\xed\x9f\xbf", 0 },       /* U+D7FF, the last before the surrogates */
        { "\xef\xa4\x80", 0 },       /* U+F900, the first after the private block */
        { "", EINVAL },
        { ".", EINVAL },
        { "..", EINVAL },
        { "a\nb", EINVAL },
        { "a\tb", EINVAL },
        { "\x7f", EINVAL },
        { "\xc2\x9f", EINVAL },         /* U+009F */
        { "\xee\x80\x80", EINVAL },     /* U+E000 */
        { "\xef\xbf\xb0", EINVAL },     /* U+FFF0 */
        { "\xf0\x9f\x99\x82", EINVAL }, /* beyond the basic plane */
        { "\xed\xa0\x80", EILSEQ },     /* a surrogate is no character */
        { "\xff", EILSEQ },
        { "\xc3", EILSEQ },     /* cut short */
        { "\xc0\x80", EILSEQ }, /* longer than needed */
        { "\xe0\x80\xaf", EILSEQ },
        { "\xf4\x90\x80\x80", EILSEQ }, /* beyond Unicode */
        { "a\x80", EILSEQ },
        { "\n\xff", EILSEQ }, /* not UTF-8 counts first */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(name_check(cases[i].name), cases[i].err);
    }
}

static void test_name_length(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    assert_int_equal(name_check(name), 0);
    name[255] = 'a';
    name[256] = '\0';
    assert_int_equal(name_check(name), ENAMETOOLONG);
}

static void test_join_and_base(void **state)
{
    (void)state;
    char *path = name_join("/", "a");
    assert_string_equal(path, "/a");
    free(path);
    path = name_join("/a/b", "c");
    assert_string_equal(path, "/a/b/c");
    assert_string_equal(name_base(path), "c");
    free(path);
    assert_string_equal(name_base("/"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_that_zookeeper_takes_or_refuses),
        cmocka_unit_test(test_name_length),
        cmocka_unit_test(test_join_and_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
