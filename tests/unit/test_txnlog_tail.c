/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/store/txnlog_tail.h"
#include "tests/lib/log_fixture.h"

/* What a history makes of it: the zxid before the first, and how many follow. */
static void assert_tail(struct fake_fs *f, int64_t last_zxid, size_t wanted, int64_t before,
                        int64_t count)
{
    struct history_tail tail = { .entries = BUF_EMPTY };
    struct history h;
    assert_int_equal(txnlog_read_tail(fake_fs_ops(f), "/d", "/d", last_zxid, wanted, FIXTURE_ENTRY_MAX, &tail),
                     0);
    history_init(&h, last_zxid, (int32_t)wanted);
    history_recall(&h, &tail);
    int64_t zxid = before;
    int64_t found = 0;
    for (struct proposal *p = history_after(&h, 0); p; p = history_following(&h, p)) {
        assert_int_equal(p->zxid, ++zxid);
        found++;
    }
    assert_int_equal(found, count);
    assert_int_equal(h.before_recent, before);
    assert_int_equal(h.logged_zxid, last_zxid);
    history_fini(&h);
    buf_fini(&tail.entries);
}

static void test_the_last_ones_of_a_long_log(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 1000);
    assert_tail(f, 1000, 500, 500, 500);
}

static void test_several_short_files(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 40);
    fixture_write_log(f, "/d", 41, 60);
    fixture_write_log(f, "/d", 61, 62);
    assert_tail(f, 62, 500, 0, 62);
    assert_tail(f, 62, 10, 52, 10);
}

/* S8: behind a snapshot that came from a leader, a part of the history is not in the log. */
static void test_nothing_across_a_gap(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 40);
    assert_tail(f, 100, 500, 100, 0);
    fixture_write_log(f, "/d", 101, 120);
    assert_tail(f, 120, 500, 100, 20);
}

static void test_an_empty_log(void **state)
{
    assert_tail(*state, 7, 500, 7, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_last_ones_of_a_long_log),
        TEST(test_several_short_files),
        TEST(test_nothing_across_a_gap),
        TEST(test_an_empty_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
