/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "fusefs/listing.h"

/* Names in the order in which the difference was reported: "-a" removed, "+b" added. */
struct trace {
    char text[64];
};

static void on_removed(void *arg, const char *name)
{
    struct trace *t = arg;
    strcat(strcat(t->text, "-"), name);
}

static void on_added(void *arg, const char *name)
{
    struct trace *t = arg;
    strcat(strcat(t->text, "+"), name);
}

static void test_diff(void **state)
{
    (void)state;
    static const struct {
        const char *old[4];
        size_t old_count;
        const char *now[4];
        size_t now_count;
        const char *expected;
    } cases[] = {
        { { "b", "a", "c" }, 3, { "c", "a", "b" }, 3, "" },
        { { "a", "c" }, 2, { "c", "b" }, 2, "-a+b" },
        { { 0 }, 0, { "b", "a" }, 2, "+a+b" },
        { { "x", "y" }, 2, { 0 }, 0, "-x-y" },
        { { "a" }, 1, { "b" }, 1, "-a+b" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct listing *old = listing_new(cases[i].old, cases[i].old_count);
        struct listing *now = listing_new(cases[i].now, cases[i].now_count);
        struct trace t = { "" };
        listing_diff(old, now, on_removed, on_added, &t);
        assert_string_equal(t.text, cases[i].expected);
        listing_unref(old);
        listing_unref(now);
    }
}

static void test_lock_queues_are_left_out(void **state)
{
    (void)state;
    const char *names[] = { "b", ".zklock.b", "a0000000000000000000000000000001__lock__0000000001",
                            "a" };
    const char *visible[] = { "a", "b" };
    struct listing *l = listing_new(names, 4);
    struct listing *same = listing_new(visible, 2);
    assert_int_equal(l->count, 2);
    assert_int_equal(l->lock_entries, 1);
    assert_true(listing_is_equal(l, same));
    listing_add(&l, ".zklock.a");
    assert_true(listing_is_equal(l, same));
    listing_add(&l, "c");
    assert_false(listing_is_equal(l, same));
    listing_unref(l);
    listing_unref(same);
}

static void test_shared_listing_is_never_changed(void **state)
{
    (void)state;
    const char *names[] = { "b", "d" };
    struct listing *mine = listing_new(names, 2);
    struct listing *snapshot = listing_ref(mine);
    listing_add(&mine, "c");
    listing_remove(&mine, "d");
    assert_int_equal(snapshot->count, 2);
    assert_true(listing_has(snapshot, "d"));
    assert_false(listing_has(snapshot, "c"));
    assert_int_equal(mine->count, 2);
    assert_string_equal(mine->names[0], "b");
    assert_string_equal(mine->names[1], "c");
    listing_unref(snapshot);
    listing_unref(mine);
}

static void test_add_and_remove_twice(void **state)
{
    (void)state;
    struct listing *l = listing_new(NULL, 0);
    for (int round = 0; round < 2; round++) {
        listing_add(&l, "b");
        listing_add(&l, "a");
        listing_add(&l, "a");
        assert_int_equal(l->count, 2);
        listing_remove(&l, "a");
        listing_remove(&l, "a");
        assert_int_equal(l->count, 1);
    }
    listing_unref(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_lock_queues_are_left_out),
        cmocka_unit_test(test_shared_listing_is_never_changed),
        cmocka_unit_test(test_add_and_remove_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
