/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/net/token_bucket.h"

static int taken(struct token_bucket *b, int64_t now_ms, int tries)
{
    int count = 0;
    while (tries-- > 0) {
        count += token_bucket_take(b, now_ms);
    }
    return count;
}

static void test_bucket_fills_in_steps_and_no_further_than_full(void **state)
{
    (void)state;
    struct token_bucket b;
    token_bucket_init(&b, 10, 100, 3, 1000);
    assert_int_equal(taken(&b, 1000, 20), 10);
    assert_int_equal(taken(&b, 1099, 20), 0);
    assert_int_equal(taken(&b, 1100, 20), 3);
    assert_int_equal(taken(&b, 1350, 20), 6);
    assert_int_equal(taken(&b, 1399, 20), 0);
    assert_int_equal(taken(&b, 1400, 20), 3);
    assert_int_equal(taken(&b, INT64_MAX / 2, 20), 10);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct token_bucket b;
    token_bucket_init(&b, 0, 1, 1, 0);
    assert_int_equal(taken(&b, 0, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_fills_in_steps_and_no_further_than_full),
        cmocka_unit_test(test_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
