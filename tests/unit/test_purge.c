/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/store/purge.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_tree.h"
#include "tests/lib/log_fixture.h"

#define DIR "/d/version-2"

static const struct recovery_options options = {
    .data_dir = "/d",
    .log_dir = "/d",
    .frame_bytes_max = 1048575,
};

/*
 * Snapshots at 0, 10, 20 ... 60; log files of ten txns each that begin at 5, 15 ... 55, so that
 * each snapshot falls into the middle of a file; and log.1 with the first four.
 */
static struct fake_fs *make_history(void)
{
    struct fake_fs *f = fake_fs_new();
    struct recovery out;
    fake_fs_make_dir(f, "/d");
    fake_fs_make_dir(f, DIR);
    struct data_tree *tree = data_tree_new(&options.tree);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), DIR, tree, NULL, 0), 0);
    data_tree_free(tree);
    fixture_write_log(f, DIR, 1, 4);
    for (int64_t first = 5; first <= 55; first += 10) {
        fixture_write_log(f, DIR, first, first + 9);
    }
    /* The snapshot of each moment, from a log that ends there. */
    for (int64_t zxid = 10; zxid <= 60; zxid += 10) {
        struct fake_fs *past = fake_fs_new();
        fake_fs_make_dir(past, "/d");
        assert_int_equal(recovery_run(fake_fs_ops(past), &options, &out), 0);
        recovery_fini(&out);
        fixture_write_log(past, DIR, 1, zxid);
        assert_int_equal(recovery_run(fake_fs_ops(past), &options, &out), 0);
        assert_int_equal(snapshot_write_tree(fake_fs_ops(f), DIR, out.tree, NULL, 0), 0);
        recovery_fini(&out);
        fake_fs_free(past);
    }
    return f;
}

static void assert_recovers_all(struct fake_fs *f)
{
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &options, &out), 0);
    assert_int_equal(out.last_zxid, 64);
    assert_int_equal(data_tree_count(out.tree), 68);
    recovery_fini(&out);
}

static struct purge_result purge(struct fake_fs *f, size_t retain)
{
    struct purge_result result;
    assert_int_equal(purge_run(fake_fs_ops(f), DIR, DIR, retain, &result), 0);
    return result;
}

static void test_L8_keeps_the_newest_snapshots_and_the_straddling_log(void **state)
{
    (void)state;
    struct fake_fs *f = make_history();
    struct purge_result result = purge(f, 3);
    assert_int_equal(result.snapshots, 4); /* 0, 10, 20, 30 */
    assert_int_equal(result.logs, 4);      /* 1, 5, 15, 25 */
    assert_true(fake_fs_has(f, DIR "/snapshot.28"));
    assert_true(fake_fs_has(f, DIR "/log.23")); /* 35 to 44 straddles 40 */
    assert_recovers_all(f);
    result = purge(f, 3);
    assert_int_equal(result.snapshots + result.logs, 0);
    fake_fs_free(f);
}

/* Whatever newer snapshot is lost, the next older one leads to the same state. */
static void test_L8_every_kept_snapshot_leads_to_the_end(void **state)
{
    (void)state;
    struct fake_fs *f = make_history();
    purge(f, 4);
    const char *const newest_first[] = { DIR "/snapshot.3c", DIR "/snapshot.32",
                                         DIR "/snapshot.28" };
    for (size_t i = 0; i < 3; i++) {
        assert_recovers_all(f);
        fake_fs_remove(f, newest_first[i]);
    }
    assert_recovers_all(f);
    fake_fs_free(f);
}

static void test_L8_only_whole_snapshots_count(void **state)
{
    (void)state;
    struct fake_fs *f = make_history();
    fixture_flip(f, DIR "/snapshot.32", 200);
    fake_fs_put(f, DIR "/snapshot.3d", "ZKSN", 4);
    fixture_flip(f, DIR "/snapshot.a", 200);
    struct purge_result result = purge(f, 3);
    assert_true(fake_fs_has(f, DIR "/snapshot.1e")); /* 60, 40, 30 are kept */
    assert_int_equal(result.snapshots, 3);           /* 0, the damaged 10, 20 */
    assert_true(fake_fs_has(f, DIR "/log.19"));      /* 25 to 34 straddles 30 */
    assert_recovers_all(f);
    fake_fs_free(f);
}

static void test_L8_too_few_snapshots_delete_nothing(void **state)
{
    (void)state;
    struct fake_fs *f = make_history();
    struct purge_result result = purge(f, 8);
    assert_int_equal(result.snapshots + result.logs, 0);
    for (int i = 0; i < 5; i++) {
        const char *const names[] = { "/snapshot.3c", "/snapshot.32", "/snapshot.28",
                                      "/snapshot.1e", "/snapshot.14" };
        char *path = fs_join(DIR, names[i] + 1);
        fixture_flip(f, path, 200);
        free(path);
    }
    result = purge(f, 3);
    assert_int_equal(result.snapshots + result.logs, 0);
    assert_recovers_all(f);
    fake_fs_free(f);
}

static void test_L8_fewer_than_three_are_never_kept(void **state)
{
    (void)state;
    struct fake_fs *f = make_history();
    assert_int_equal(purge(f, 0).snapshots, 4);
    assert_int_equal(purge(f, 1).snapshots, 0);
    fake_fs_free(f);
}

static void test_L8_a_snapshot_that_is_there_twice_counts_once(void **state)
{
    (void)state;
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    fake_fs_make_dir(f, DIR);
    fake_fs_import(f, "tests/data/apache/standalone/version-2", DIR);
    fake_fs_import(f, "tests/data/apache/standalone/packed", DIR);
    /* 0x4d twice, 0x36, 0: all three are needed. */
    struct purge_result result = purge(f, 3);
    assert_int_equal(result.snapshots + result.logs, 0);
    fake_fs_free(f);
}

static void test_L8_each_file_call_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    uint64_t nth = 1;
    for (; has_failed; nth++) {
        struct fake_fs *f = make_history();
        struct purge_result result;
        fake_fs_fail_at(f, nth, EIO);
        int rc = purge_run(fake_fs_ops(f), DIR, DIR, 3, &result);
        has_failed = fake_fs_has_failed(f);
        assert_true(rc == 0 || (has_failed && rc == -EIO));
        fake_fs_fail_at(f, 0, 0);
        assert_recovers_all(f);
        fake_fs_remove(f, DIR "/snapshot.3c");
        fake_fs_remove(f, DIR "/snapshot.32");
        assert_recovers_all(f);
        fake_fs_free(f);
    }
    assert_true(nth > 15);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_L8_keeps_the_newest_snapshots_and_the_straddling_log),
        cmocka_unit_test(test_L8_every_kept_snapshot_leads_to_the_end),
        cmocka_unit_test(test_L8_only_whole_snapshots_count),
        cmocka_unit_test(test_L8_too_few_snapshots_delete_nothing),
        cmocka_unit_test(test_L8_fewer_than_three_are_never_kept),
        cmocka_unit_test(test_L8_a_snapshot_that_is_there_twice_counts_once),
        cmocka_unit_test(test_L8_each_file_call_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
