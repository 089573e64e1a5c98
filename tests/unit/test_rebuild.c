/* SPDX-License-Identifier: Apache-2.0 */
/* TRUNC and SNAP on a learner's disk, with a crash after every single file call. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/store/epoch_file.h"
#include "server/store/number_file.h"
#include "server/store/rebuild.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_tree.h"
#include "server/store/txnlog.h"
#include "tests/lib/fake_fs.h"
#include "tests/lib/log_fixture.h"

static const struct recovery_options options = {
    .data_dir = "/d",
    .log_dir = "/d",
    .frame_bytes_max = 1048575,
    .tree = { .hash_seed = 5 },
};
static const char dir[] = "/d/version-2";
enum { FRAME_MAX = 2 * 1048575 };

static int recover(struct fake_fs *f, int64_t *last_zxid)
{
    struct recovery state;
    int rc = recovery_run(fake_fs_ops(f), &options, &state);
    *last_zxid = rc == 0 ? state.last_zxid : -1;
    recovery_fini(&state);
    return rc;
}

/* Txns first to last in a log file of their own. */
static void write_log(struct fake_fs *f, int64_t first, int64_t last)
{
    struct txnlog_options opts = { .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), dir, &opts, first - 1);
    for (int64_t zxid = first; zxid <= last; zxid++) {
        struct buf entry = BUF_EMPTY;
        fixture_entry(&entry, zxid, 20);
        assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
        buf_fini(&entry);
    }
    assert_int_equal(txnlog_roll(log), 0);
    txnlog_free(log);
}

/* The state that recovery finds now, as a snapshot. */
static void write_snapshot(struct fake_fs *f)
{
    struct recovery state;
    assert_int_equal(recovery_run(fake_fs_ops(f), &options, &state), 0);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), dir, state.tree, NULL, 0), 0);
    recovery_fini(&state);
}

/* snapshot.0, snapshot.1e, snapshot.28; log 1 to 20, 21 to 30, 31 to 50. */
static struct fake_fs *history(void)
{
    struct fake_fs *f = fake_fs_new();
    int64_t last;
    fake_fs_make_dir(f, "/d");
    assert_int_equal(recover(f, &last), 0);
    write_log(f, 1, 20);
    write_log(f, 21, 30);
    write_snapshot(f);
    write_log(f, 31, 40);
    write_snapshot(f);
    write_log(f, 41, 50);
    return f;
}

static void test_S10_truncate_to_each_zxid(void **state)
{
    (void)state;
    for (int64_t zxid = 0; zxid <= 50; zxid++) {
        struct fake_fs *f = history();
        int64_t last;
        assert_int_equal(rebuild_truncate(fake_fs_ops(f), dir, dir, zxid, FRAME_MAX), 0);
        assert_int_equal(recover(f, &last), 0);
        assert_int_equal(last, zxid);
        write_log(f, zxid + 1, zxid + 3);
        assert_int_equal(recover(f, &last), 0);
        assert_int_equal(last, zxid + 3);
        fake_fs_free(f);
    }
}

static void test_S10_truncate_refuses_what_it_cannot_reach(void **state)
{
    (void)state;
    struct fake_fs *f = history();
    int64_t last;
    fake_fs_remove(f, "/d/version-2/snapshot.0");
    assert_int_equal(rebuild_truncate(fake_fs_ops(f), dir, dir, 7, FRAME_MAX), -ENOENT);
    assert_int_equal(rebuild_truncate(fake_fs_ops(f), dir, dir, 51, FRAME_MAX), -ENOENT);
    assert_int_equal(recover(f, &last), 0);
    assert_int_equal(last, 50);
    assert_int_equal(rebuild_truncate(fake_fs_ops(f), dir, dir, 30, FRAME_MAX), 0);
    assert_int_equal(recover(f, &last), 0);
    assert_int_equal(last, 30);
    fake_fs_free(f);
}

/* Wherever it stops, nothing up to the cut is lost, and doing it again finishes it. */
static void test_S10_truncate_survives_a_crash_at_any_call(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t call = 1; has_failed; call++) {
        struct fake_fs *f = history();
        int64_t last;
        fake_fs_fail_at(f, call, EIO);
        int rc = rebuild_truncate(fake_fs_ops(f), dir, dir, 25, FRAME_MAX);
        has_failed = fake_fs_has_failed(f);
        assert_true(rc == 0 || has_failed);
        fake_fs_fail_at(f, 0, 0);
        fake_fs_crash(f, call % 3 * 77);
        assert_int_equal(recover(f, &last), 0);
        assert_true(last >= 25);
        assert_int_equal(rebuild_truncate(fake_fs_ops(f), dir, dir, 25, FRAME_MAX), 0);
        assert_int_equal(recover(f, &last), 0);
        assert_int_equal(last, 25);
        fake_fs_free(f);
    }
}

/* A snapshot that came from a leader, at zxid. */
static void put_foreign_snapshot(struct fake_fs *f, int64_t zxid)
{
    struct data_tree *tree = data_tree_new(&options.tree);
    tree->last_zxid = zxid;
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), dir, tree, NULL, 0), 0);
    data_tree_free(tree);
}

static void test_S5_snapshot_replaces_the_history_at_any_call(void **state)
{
    (void)state;
    static const int64_t zxids[] = { 27, 45, 1000 };
    for (size_t i = 0; i < sizeof(zxids) / sizeof(zxids[0]); i++) {
        bool has_failed = true;
        for (uint64_t call = 1; has_failed; call++) {
            struct fake_fs *f = history();
            int64_t last;
            put_foreign_snapshot(f, zxids[i]);
            fake_fs_fail_at(f, call, EIO);
            int rc = rebuild_from_snapshot(fake_fs_ops(f), dir, dir, zxids[i]);
            has_failed = fake_fs_has_failed(f);
            assert_true(rc == 0 || has_failed);
            fake_fs_fail_at(f, 0, 0);
            fake_fs_crash(f, call % 3 * 77);
            assert_int_equal(recover(f, &last), 0);
            assert_true(last >= zxids[i] || last >= 25);
            assert_int_equal(rebuild_from_snapshot(fake_fs_ops(f), dir, dir, zxids[i]), 0);
            assert_int_equal(recover(f, &last), 0);
            assert_int_equal(last, zxids[i]);
            fake_fs_free(f);
        }
    }
}

static void test_E3_E4_epochs(void **state)
{
    (void)state;
    struct fake_fs *f = fake_fs_new();
    struct epochs e;
    fake_fs_make_dir(f, "/d");
    assert_int_equal(epochs_read(fake_fs_ops(f), "/d", 0x500000007, &e), 0);
    assert_int_equal(e.current, 5);
    assert_int_equal(e.accepted, 5);
    assert_int_equal(epochs_write_accepted(fake_fs_ops(f), "/d", 8), 0);
    assert_int_equal(epochs_write_current(fake_fs_ops(f), "/d", 7), 0);
    fake_fs_crash(f, 0);
    assert_int_equal(epochs_read(fake_fs_ops(f), "/d", 0, &e), 0);
    assert_int_equal(e.current, 7);
    assert_int_equal(e.accepted, 8);
    /* E4: the txns of epoch 8 were on their way to the disk, which is no reason to refuse; one of epoch 9
     * cannot be. */
    assert_int_equal(epochs_read(fake_fs_ops(f), "/d", 0x800000001, &e), 0);
    assert_int_equal(e.current, 7);
    assert_int_equal(epochs_read(fake_fs_ops(f), "/d", 0x900000001, &e), -EBADMSG);
    assert_int_equal(epochs_write_current(fake_fs_ops(f), "/d", 9), 0);
    assert_int_equal(epochs_read(fake_fs_ops(f), "/d", 0, &e), -EBADMSG);
    fake_fs_free(f);
}

int main(void)
{
    log_set_level(LOG_WARN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S10_truncate_to_each_zxid),
        cmocka_unit_test(test_S10_truncate_refuses_what_it_cannot_reach),
        cmocka_unit_test(test_S10_truncate_survives_a_crash_at_any_call),
        cmocka_unit_test(test_S5_snapshot_replaces_the_history_at_any_call),
        cmocka_unit_test(test_E3_E4_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
