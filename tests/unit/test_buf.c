/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static void test_consumed_front_is_reused(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    uint8_t chunk[100];
    memset(chunk, 'x', sizeof(chunk));
    for (int i = 0; i < 1000; i++) {
        buf_append(&b, chunk, sizeof(chunk));
        buf_consume(&b, sizeof(chunk) - (i == 0 ? 1 : 0));
    }
    assert_int_equal(buf_readable(&b), 1);
    assert_true(b.cap <= 512);
    buf_fini(&b);
}

static void test_printf_grows(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    for (int i = 0; i < 200; i++) {
        buf_printf(&b, "%d,", i);
    }
    char *s = buf_take_str(&b);
    assert_memory_equal(s, "0,1,2,3,", 8);
    assert_int_equal(strlen(s), 10 * 2 + 90 * 3 + 100 * 4);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consumed_front_is_reused),
        cmocka_unit_test(test_printf_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
