/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/log_fixture.h"

static struct txnlog *open_log(struct fake_fs *f, int64_t last_zxid)
{
    return txnlog_new(fake_fs_ops(f), "/d", &fixture_log_options, last_zxid);
}

static void test_batch_is_one_write_and_one_sync(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = open_log(f, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    uint64_t calls = fake_fs_calls(f);
    for (int64_t zxid = 2; zxid <= 50; zxid++) {
        assert_int_equal(fixture_append(log, zxid), 0);
    }
    assert_int_equal(fake_fs_calls(f), calls);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(fake_fs_calls(f), calls + 2);
    assert_int_equal(txnlog_commit(log), 0); /* nothing to do */
    assert_int_equal(fake_fs_calls(f), calls + 2);
    txnlog_free(log);
    struct fixture_read got = fixture_read_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 50);
}

/* L1: committed is durable; after one failed call nothing is accepted any more. */
static void test_L1_committed_survives_loss_of_power(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = open_log(f, 0);
    for (int64_t zxid = 1; zxid <= 3; zxid++) {
        assert_int_equal(fixture_append(log, zxid), 0);
        assert_int_equal(txnlog_commit(log), 0);
    }
    assert_int_equal(fixture_append(log, 4), 0);
    txnlog_free(log);
    fake_fs_crash(f, 0);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.last_zxid, 3);
}

static void test_L1_failed_sync_is_final(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = open_log(f, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(fixture_append(log, 2), 0);
    fake_fs_fail_at(f, 2, ENOSPC); /* the write, then the sync */
    assert_int_equal(txnlog_commit(log), -ENOSPC);
    assert_true(fake_fs_has_failed(f));
    uint64_t calls = fake_fs_calls(f);
    assert_int_equal(txnlog_commit(log), -ENOSPC);
    assert_int_equal(txnlog_roll(log), -ENOSPC);
    assert_int_equal(fixture_append(log, 3), -ENOSPC);
    assert_int_equal(fake_fs_calls(f), calls); /* the disk is not asked again */
    txnlog_free(log);
}

static void test_L1_force_sync_off_does_not_sync(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &(struct txnlog_options){ 0 }, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(fake_fs_syncs(f), 0);
    txnlog_free(log);
}

static void test_L2_zxid_must_ascend(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = open_log(f, 7);
    assert_int_equal(fixture_append(log, 7), -EINVAL);
    assert_int_equal(fixture_append(log, 8), 0);
    assert_int_equal(fixture_append(log, 8), -EINVAL);
    assert_int_equal(fixture_append(log, 3), -EINVAL);
    assert_int_equal(fixture_append(log, 9), 0);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(txnlog_last_zxid(log), 9);
    txnlog_free(log);
    assert_int_equal(fixture_read_log(f, "/d", 7).count, 2);
}

/* L11: what a peer would refuse to read is not written. */
static void test_L11_too_long_an_entry_is_refused(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog_options opts = { .entry_bytes_max = 200, .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
    struct buf entry = BUF_EMPTY;
    fixture_entry(&entry, 1, 200);
    assert_int_equal(txnlog_append(log, 1, buf_head(&entry), buf_readable(&entry)), -EMSGSIZE);
    buf_fini(&entry);
    assert_int_equal(txnlog_file_bytes(log), 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    txnlog_free(log);
    assert_int_equal(fixture_read_log(f, "/d", 0).count, 1);
}

/* L3: the first commit into a file syncs the file and its name. */
static void test_L3_new_file_is_durable_before_its_first_commit_returns(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = open_log(f, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(txnlog_roll(log), 0);
    assert_int_equal(fixture_append(log, 2), 0);
    assert_int_equal(txnlog_commit(log), 0);
    txnlog_free(log);
    fake_fs_crash(f, 0);
    assert_true(fake_fs_has(f, "/d/log.1"));
    assert_true(fake_fs_has(f, "/d/log.2"));
    assert_int_equal(fixture_recover_log(f, "/d", 0).last_zxid, 2);
}

static void test_L3_existing_file_is_never_overwritten(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    struct txnlog *log = open_log(f, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), -EEXIST);
    txnlog_free(log);
    assert_int_equal(fixture_read_log(f, "/d", 0).count, 3);
}

static void test_preallocation_follows_the_apache_rule(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog_options opts = { .prealloc_bytes = 16384, .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(fixture_size(f, "/d/log.1"), 16 + 16384);
    /* 4096 bytes short of the end the next step is due. */
    int64_t zxid = 1;
    while (fixture_size(f, "/d/log.1") == 16 + 16384) {
        assert_true(txnlog_file_bytes(log) + 4096 < 16 + 16384);
        assert_int_equal(fixture_append(log, ++zxid), 0);
        assert_int_equal(txnlog_commit(log), 0);
    }
    assert_true(txnlog_file_bytes(log) + 4096 >= 16 + 16384);
    assert_int_equal(fixture_size(f, "/d/log.1"), 16 + 2 * 16384);
    /* A batch beyond the end goes to the next multiple. */
    struct buf entry = BUF_EMPTY;
    fixture_entry(&entry, ++zxid, 40000);
    assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
    buf_fini(&entry);
    assert_int_equal(txnlog_commit(log), 0);
    assert_int_equal(fixture_size(f, "/d/log.1") % 16384, 0);
    assert_true(fixture_size(f, "/d/log.1") > (size_t)txnlog_file_bytes(log));
    txnlog_free(log);
    struct fixture_read got = fixture_read_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.last_zxid, zxid);
    assert_false(got.needs_repair);
}

static void test_roll_gives_the_tail_back(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog_options opts = { .prealloc_bytes = 65536, .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
    assert_int_equal(fixture_append(log, 1), 0);
    int64_t content = txnlog_file_bytes(log);
    assert_int_equal(txnlog_roll(log), 0);
    assert_int_equal(txnlog_file_bytes(log), 0);
    assert_int_equal(fixture_size(f, "/d/log.1"), content);
    assert_int_equal(txnlog_roll(log), 0); /* nothing open: nothing to do */
    txnlog_free(log);
}

static void test_size_limit_starts_a_new_file(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog_options opts = { .file_bytes_max = 300, .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
    for (int64_t zxid = 1; zxid <= 20; zxid++) {
        assert_int_equal(fixture_append(log, zxid), 0);
        assert_int_equal(txnlog_commit(log), 0);
    }
    txnlog_free(log);
    assert_true(fake_fs_count(f, "/d") > 3);
    assert_int_equal(fixture_read_log(f, "/d", 0).count, 20);
}

/* A record byte by byte: the layout of docs/on-disk.md. */
static void test_record_layout(void **state)
{
    struct fake_fs *f = *state;
    /* Taken from a log of Apache ZooKeeper 3.8.0: createSession with digest, zxid 0x4d. */
    static const uint8_t entry[] =
        "\x01\x00\x00\x13\xb5\xb8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x4d"
        "\x00\x00\x01\xa2\x06\x25\x35\x6b\xff\xff\xff\xf6\x00\x1b\x77\x40"
        "\x00\x00\x00\x02\x00\x00\x00\x14\x75\xfd\xaa\x0c";
    static const uint8_t record[] = "ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"
                                    "\x00\x00\x00\x00\xc6\xd6\x0a\x41\x00\x00\x00\x30";
    struct txnlog *log = open_log(f, 0x4c);
    assert_int_equal(txnlog_append(log, 0x4d, entry, sizeof(entry) - 1), 0);
    assert_int_equal(txnlog_commit(log), 0);
    txnlog_free(log);
    size_t len;
    const uint8_t *file = fake_fs_get(f, "/d/log.4d", &len);
    assert_non_null(file);
    assert_int_equal(len, 16 + 12 + 48 + 1);
    assert_memory_equal(file, record, 28);
    assert_memory_equal(file + 28, entry, 48);
    assert_int_equal(file[76], 'B');
}

/* Any call fails once; whatever was reported durable before is there after the next start. */
static void run_with_fault(uint64_t nth, bool *has_failed)
{
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    struct txnlog_options opts = { .prealloc_bytes = 16384,
                                   .file_bytes_max = 20000,
                                   .force_sync = true };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
    fake_fs_fail_at(f, nth, EIO);
    int64_t durable = 0;
    for (int64_t zxid = 1; zxid <= 300; zxid++) {
        if (fixture_append(log, zxid) != 0) {
            break;
        }
        if (zxid % 3 == 0 && txnlog_commit(log) == 0) {
            durable = zxid;
        }
        if (zxid % 100 == 0 && txnlog_roll(log) == 0) {
            durable = zxid;
        }
    }
    *has_failed = fake_fs_has_failed(f);
    assert_true(*has_failed || durable == 300);
    fake_fs_fail_at(f, 0, 0);
    txnlog_free(log);
    for (uint64_t seed = 0; seed < 4; seed++) {
        fake_fs_crash(f, seed);
        struct fixture_read got = fixture_recover_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_true(got.last_zxid >= durable);
        assert_int_equal(got.count, got.last_zxid);
    }
    fake_fs_free(f);
}

static void test_each_file_call_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    uint64_t nth = 1;
    for (; has_failed; nth++) {
        run_with_fault(nth, &has_failed);
    }
    assert_true(nth > 100);
}

/* Loss of power anywhere, with any part of the unsynced bytes on disk. */
static void test_L1_torn_batches_never_cost_a_committed_txn(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct fake_fs *f = fake_fs_new();
        fake_fs_make_dir(f, "/d");
        struct txnlog_options opts = { .prealloc_bytes = 16384, .force_sync = true };
        struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &opts, 0);
        for (int64_t zxid = 1; zxid <= 40; zxid++) {
            assert_int_equal(fixture_append(log, zxid), 0);
            assert_int_equal(zxid == 20 ? txnlog_commit(log) : 0, 0);
        }
        /* The write of the second batch arrives, its sync does not. */
        fake_fs_fail_at(f, 2, EIO);
        assert_int_equal(txnlog_commit(log), -EIO);
        fake_fs_fail_at(f, 0, 0);
        txnlog_free(log);
        fake_fs_crash(f, seed);
        struct fixture_read got = fixture_recover_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_in_range(got.last_zxid, 20, 40);
        fake_fs_free(f);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_batch_is_one_write_and_one_sync),
        T(test_L1_committed_survives_loss_of_power),
        T(test_L1_failed_sync_is_final),
        T(test_L1_force_sync_off_does_not_sync),
        T(test_L1_torn_batches_never_cost_a_committed_txn),
        T(test_L2_zxid_must_ascend),
        T(test_L11_too_long_an_entry_is_refused),
        T(test_L3_new_file_is_durable_before_its_first_commit_returns),
        T(test_L3_existing_file_is_never_overwritten),
        T(test_preallocation_follows_the_apache_rule),
        T(test_roll_gives_the_tail_back),
        T(test_size_limit_starts_a_new_file),
        T(test_record_layout),
        T(test_each_file_call_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
