/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of DIFF, TRUNC or SNAP: one test per case of the table (quorum-protocol 6, ZAB-5),
 * named after it. In memory is (4, 10) as what lies just before, then (5, 1) to (5, 5), of which
 * (5, 3) is the last one committed; the log on disk goes back to (4, 1).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/core/sync.h"
#include "server/core/zxid.h"

enum { E4 = 4, E5 = 5 };

static const struct log_place nowhere = { .is_known = true };

struct fixture {
    struct history h;
    struct sync_input in;
    struct sync_plan plan;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .in = { .max_zxid = zxid_make(E5, 3), .applied_zxid = zxid_make(E5, 3),
                                  .size_percent = 33 } };
    history_init(&f.h, zxid_make(E4, 10), 100);
    for (int64_t i = 1; i <= 5; i++) {
        history_append(&f.h, zxid_make(E5, i), "", 1);
    }
    history_synced(&f.h, zxid_make(E5, 5));
    history_commit(&f.h, zxid_make(E5, 3));
    while (history_next(&f.h)) {
    }
    history_settle(&f.h);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    history_fini(&f->h);
    return 0;
}

static void choose(struct fixture *f, int64_t epoch, int64_t counter)
{
    f->in.peer_zxid = zxid_make(epoch, counter);
    f->plan = sync_choose(&f->h, &f->in);
}

/* first: counter in epoch 5 of the first txn sent from memory; 0: none. */
static void expect(const struct fixture *f, int32_t type, int64_t epoch, int64_t counter,
                   int64_t first)
{
    assert_false(f->plan.asks_disk);
    assert_int_equal(f->plan.type, type);
    assert_int_equal(f->plan.zxid, zxid_make(epoch, counter));
    assert_int_equal(f->plan.first ? f->plan.first->zxid : 0, first ? zxid_make(E5, first) : 0);
}

static void expect_nothing_from_disk(const struct fixture *f)
{
    assert_true(f->plan.disk_until <= f->plan.disk_after);
}

static void disk_has(struct fixture *f, int64_t previous, int64_t first)
{
    f->in.disk = (struct log_place){ true, first, previous, 100, 1000 };
}

static void test_case_1_forced_snap(void **state)
{
    struct fixture *f = *state;
    f->in.force_snap = true;
    choose(f, E5, 3);
    expect(f, ZAB_SNAP, E5, 3, 4);
    expect_nothing_from_disk(f);
}

static void test_case_2_equal_gets_what_is_outstanding(void **state)
{
    struct fixture *f = *state;
    choose(f, E5, 3);
    expect(f, ZAB_DIFF, E5, 3, 4);
    expect_nothing_from_disk(f);
}

/* A new leader has applied the start of its epoch before its first txn. */
static void test_case_2_the_start_of_an_idle_leaders_epoch(void **state)
{
    struct fixture *f = *state;
    f->in.applied_zxid = zxid_make(6, 0);
    choose(f, 6, 0);
    expect(f, ZAB_DIFF, 6, 0, 4);
    choose(f, E5, 3);
    expect(f, ZAB_DIFF, E5, 3, 4);
}

/* It has what is only outstanding here: an Apache follower that kept it would get a COMMIT later
 * for which it was sent no PROPOSAL. */
static void test_case_3_outstanding_is_cut_off_and_proposed_again(void **state)
{
    struct fixture *f = *state;
    choose(f, E5, 4);
    expect(f, ZAB_TRUNC, E5, 3, 4);
    choose(f, E5, 5);
    expect(f, ZAB_TRUNC, E5, 3, 4);
}

static void test_case_3_beyond_everything_is_cut_off(void **state)
{
    struct fixture *f = *state;
    choose(f, E5, 9);
    expect(f, ZAB_TRUNC, E5, 3, 4);
    choose(f, 6, 2); /* of a later leader, whose epoch began where our history ends */
    expect(f, ZAB_TRUNC, E5, 3, 4);
}

static void test_case_4_in_memory(void **state)
{
    struct fixture *f = *state;
    choose(f, E5, 1);
    expect(f, ZAB_DIFF, E5, 3, 2);
    choose(f, E4, 10);
    expect(f, ZAB_DIFF, E5, 3, 1);
    expect_nothing_from_disk(f);
}

static void test_case_4_the_start_of_an_epoch(void **state)
{
    struct fixture *f = *state;
    choose(f, E5, 0);
    expect(f, ZAB_DIFF, E5, 3, 1);
}

/* Apache sends SNAP if a later epoch has begun behind it. */
static void test_case_4_never_committed_and_of_an_earlier_epoch(void **state)
{
    struct fixture *f = *state;
    choose(f, E4, 12);
    expect(f, ZAB_TRUNC, E4, 10, 1);
    history_reset(&f->h, zxid_make(3, 7));
    history_append(&f->h, zxid_make(E5, 1), "", 1);
    choose(f, E4, 2); /* of an epoch of which nothing is known */
    expect(f, ZAB_SNAP, 3, 7, 1);
}

static void test_case_4_never_committed_and_of_the_same_epoch(void **state)
{
    struct fixture *f = *state;
    history_fini(&f->h);
    history_init(&f->h, zxid_make(E5, 3), 100);
    history_append(&f->h, zxid_make(E5, 5), "", 1);
    f->in.max_zxid = zxid_make(E5, 5);
    choose(f, E5, 4);
    expect(f, ZAB_TRUNC, E5, 3, 5);
}

static void test_case_5_the_disk_is_asked(void **state)
{
    struct fixture *f = *state;
    choose(f, E4, 7);
    assert_true(f->plan.asks_disk);
}

static void test_case_5_from_the_log_on_disk(void **state)
{
    struct fixture *f = *state;
    disk_has(f, zxid_make(E4, 6), zxid_make(E4, 7));
    choose(f, E4, 7);
    expect(f, ZAB_DIFF, E5, 3, 1);
    assert_int_equal(f->plan.disk_after, zxid_make(E4, 7));
    assert_int_equal(f->plan.disk_until, zxid_make(E4, 10));
    disk_has(f, 0, zxid_make(E4, 7)); /* the first that it has */
    choose(f, E4, 7);
    expect(f, ZAB_DIFF, E5, 3, 1);
}

static void test_case_5_the_start_of_an_epoch(void **state)
{
    struct fixture *f = *state;
    disk_has(f, zxid_make(3, 9), zxid_make(E4, 1));
    choose(f, E4, 0);
    expect(f, ZAB_DIFF, E5, 3, 1);
    assert_int_equal(f->plan.disk_after, zxid_make(E4, 0));
}

static void test_case_5_never_committed(void **state)
{
    struct fixture *f = *state;
    disk_has(f, zxid_make(3, 9), zxid_make(E4, 1));
    choose(f, 3, 12);
    expect(f, ZAB_TRUNC, 3, 9, 1);
    assert_int_equal(f->plan.disk_after, zxid_make(3, 9));
    assert_int_equal(f->plan.disk_until, zxid_make(E4, 10));
    disk_has(f, zxid_make(2, 9), zxid_make(E4, 1));
    choose(f, 3, 12); /* of an epoch of which nothing is known */
    expect(f, ZAB_SNAP, E5, 3, 4);
    expect_nothing_from_disk(f);
}

static void test_S8_no_bridge_no_diff(void **state)
{
    struct fixture *f = *state;
    f->in.disk = nowhere; /* or a gap */
    choose(f, E4, 7);
    expect(f, ZAB_SNAP, E5, 3, 4);
    disk_has(f, 0, zxid_make(E4, 8)); /* it does not reach back to P */
    choose(f, E4, 7);
    expect(f, ZAB_SNAP, E5, 3, 4);
    disk_has(f, zxid_make(E4, 6), zxid_make(E5, 2)); /* it does not reach memory */
    choose(f, E4, 7);
    expect(f, ZAB_SNAP, E5, 3, 4);
}

static void test_case_5_a_log_that_is_large_beside_a_snapshot(void **state)
{
    struct fixture *f = *state;
    disk_has(f, zxid_make(E4, 6), zxid_make(E4, 7));
    f->in.disk.log_bytes = 330;
    choose(f, E4, 7);
    assert_int_equal(f->plan.type, ZAB_DIFF);
    f->in.disk.log_bytes = 331;
    choose(f, E4, 7);
    assert_int_equal(f->plan.type, ZAB_SNAP);
    f->in.size_percent = 0; /* no limit */
    choose(f, E4, 7);
    assert_int_equal(f->plan.type, ZAB_DIFF);
    f->in.size_percent = -1; /* never from disk */
    f->in.disk.is_known = false;
    choose(f, E4, 7);
    expect(f, ZAB_SNAP, E5, 3, 4);
}

static void test_case_6_nothing_to_go_on(void **state)
{
    struct fixture *f = *state;
    f->in.disk = nowhere;
    choose(f, 0, 0); /* it has nothing at all */
    expect(f, ZAB_SNAP, E5, 3, 4);
    choose(f, 7, 0); /* beyond, where nothing can be cut */
    expect(f, ZAB_SNAP, E5, 3, 4);
}

/* S9: a tree that came as SNAP at the start of an epoch, and nothing since. */
static void test_S9_no_cut_at_the_start_of_an_epoch(void **state)
{
    struct fixture *f = *state;
    history_reset(&f->h, zxid_make(E5, 0));
    f->in.max_zxid = zxid_make(E5, 0);
    f->in.applied_zxid = zxid_make(E5, 0);
    choose(f, E5, 2);
    expect(f, ZAB_SNAP, E5, 0, 0);
    choose(f, E5, 0);
    expect(f, ZAB_DIFF, E5, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_case_1_forced_snap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_2_equal_gets_what_is_outstanding,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_2_the_start_of_an_idle_leaders_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_case_3_outstanding_is_cut_off_and_proposed_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_3_beyond_everything_is_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_4_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_4_the_start_of_an_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_4_never_committed_and_of_an_earlier_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_case_4_never_committed_and_of_the_same_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_case_5_the_disk_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_5_from_the_log_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_5_the_start_of_an_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_5_never_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_S8_no_bridge_no_diff, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case_5_a_log_that_is_large_beside_a_snapshot, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_case_6_nothing_to_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_S9_no_cut_at_the_start_of_an_epoch, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
