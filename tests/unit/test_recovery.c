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
#include "common/xalloc.h"
#include "server/store/number_file.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_tree.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/tree_text.h"

#define APACHE "tests/data/apache/"

static const struct recovery_options default_options = {
    .data_dir = "/d",
    .log_dir = "/d",
    .frame_bytes_max = 1048575,
    .tree = { .hash_seed = 42, .extended_types = true },
};

static void import_standalone(struct fake_fs *f)
{
    if (!fake_fs_has(f, "/d/version-2")) {
        fake_fs_make_dir(f, "/d/version-2");
    }
    fake_fs_import(f, APACHE "standalone/version-2", "/d/version-2");
}

static char *read_golden(void)
{
    struct buf b = BUF_EMPTY;
    assert_int_equal(fs_read_file(&fsops_posix, APACHE "standalone/golden.txt", 1 << 20, &b), 0);
    return buf_take_str(&b);
}

static char *recover_text(struct fake_fs *f, const struct recovery_options *opts)
{
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), opts, &out), 0);
    assert_int_equal(out.last_zxid, out.tree->last_zxid);
    assert_int_equal(out.digest_mismatches, 0);
    char *text = tree_text(out.tree, out.sessions, out.session_count);
    recovery_fini(&out);
    return text;
}

static void assert_is_golden(struct fake_fs *f)
{
    char *golden = read_golden();
    char *text = recover_text(f, &default_options);
    assert_string_equal(text, golden);
    free(text);
    free(golden);
}

static void assert_refused_with(struct fake_fs *f, const struct recovery_options *opts, int rc,
                                const char *text)
{
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), opts, &out), rc);
    assert_non_null(out.error);
    assert_non_null(strstr(out.error, text));
    assert_null(out.tree);
    recovery_fini(&out);
}

static void assert_refused(struct fake_fs *f, int rc, const char *text)
{
    assert_refused_with(f, &default_options, rc, text);
}

/* ---- Apache's directories -------------------------------------------------------------------- */

static void test_apache_directory_newest_snapshot_and_log(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.snapshot_zxid, 0x36);
    assert_int_equal(out.last_zxid, 0x4d);
    assert_int_equal(out.txn_count, 0x4d - 0x36);
    assert_int_equal(out.digest_mismatches, 0);
    assert_true(out.tree->digest == 87878904332u);
    assert_false(out.is_fresh);
    recovery_fini(&out);
    assert_is_golden(f);
}

static void test_apache_directory_from_the_first_snapshot(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    assert_is_golden(f);
}

static void test_apache_directory_from_the_log_alone(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    fake_fs_remove(f, "/d/version-2/snapshot.0");
    struct recovery_options opts = default_options;
    opts.trust_empty_snapshot = true;
    char *golden = read_golden();
    char *text = recover_text(f, &opts);
    assert_string_equal(text, golden);
    free(text);
    free(golden);
}

static void test_apache_packed_snapshots(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_make_dir(f, "/d/version-2");
    fake_fs_import(f, APACHE "standalone/packed", "/d/version-2");
    fake_fs_remove(f, "/d/version-2/snapshot.4d.snappy");
    assert_is_golden(f);
    fake_fs_import(f, APACHE "standalone/packed", "/d/version-2");
    fake_fs_remove(f, "/d/version-2/snapshot.4d.gz");
    assert_is_golden(f);
}

static void test_apache_damaged_snapshot_falls_back_to_the_older(void **state)
{
    struct fake_fs *f = *state;
    size_t len = 0;
    import_standalone(f);
    fake_fs_get(f, "/d/version-2/snapshot.36", &len);
    for (size_t at = 0; at < len; at += 97) {
        fixture_flip(f, "/d/version-2/snapshot.36", at);
        assert_is_golden(f);
        fixture_flip(f, "/d/version-2/snapshot.36", at);
    }
    for (size_t keep = 0; keep < len; keep += 101) {
        fixture_cut(f, "/d/version-2/snapshot.36", keep);
        assert_is_golden(f);
        import_standalone(f);
    }
}

/* Each server of an ensemble writes /zookeeper/config for itself, at its own time. */
static void drop_config_line(char *text)
{
    char *line = strstr(text, "\n/zookeeper/config ");
    assert_non_null(line);
    char *end = strchr(line + 1, '\n');
    memmove(line, end, strlen(end) + 1);
}

static char *recover_server(int number)
{
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    fake_fs_make_dir(f, "/d/version-2");
    char *dir = xasprintf(APACHE "quorum/server%d", number);
    char *files = xasprintf("%s/version-2", dir);
    fake_fs_import(f, dir, "/d");
    fake_fs_import(f, files, "/d/version-2");
    int64_t value;
    assert_int_equal(number_file_read(fake_fs_ops(f), "/d", "myid", &value), 0);
    assert_int_equal(value, number);
    assert_int_equal(number_file_read(fake_fs_ops(f), "/d/version-2", "currentEpoch", &value), 0);
    assert_int_equal(value, 2);
    assert_int_equal(number_file_read(fake_fs_ops(f), "/d/version-2", "acceptedEpoch", &value), 0);
    assert_int_equal(value, 2);
    char *text = recover_text(f, &default_options);
    drop_config_line(text);
    free(files);
    free(dir);
    fake_fs_free(f);
    return text;
}

static void test_apache_ensemble_directories_give_equal_trees(void **state)
{
    (void)state;
    char *first = recover_server(1);
    assert_non_null(strstr(first, "\nzxid 200000"));
    for (int number = 2; number <= 4; number++) {
        char *text = recover_server(number);
        assert_string_equal(text, first);
        free(text);
    }
    free(first);
}

/* ---- round trip ------------------------------------------------------------------------------ */

static void test_own_snapshot_of_an_apache_tree_gives_the_same_tree(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), "/d/version-2", out.tree, out.sessions,
                                         out.session_count),
                     0);
    recovery_fini(&out);
    fake_fs_remove(f, "/d/version-2/snapshot.0");
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    fake_fs_remove(f, "/d/version-2/log.1");
    fake_fs_remove(f, "/d/version-2/log.37");
    fake_fs_crash(f, 0);
    assert_is_golden(f);
    /* Equal trees give equal files. */
    size_t len;
    const uint8_t *file = fake_fs_get(f, "/d/version-2/snapshot.4d", &len);
    uint8_t *copy = xmemdup(file, len);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), "/d/version-2", out.tree, out.sessions,
                                         out.session_count),
                     0);
    recovery_fini(&out);
    size_t again_len;
    const uint8_t *again = fake_fs_get(f, "/d/version-2/snapshot.4d", &again_len);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, copy, len);
    free(copy);
}

/* ---- empty directories ----------------------------------------------------------------------- */

static void test_fresh_directory_gets_a_first_snapshot(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_put(f, "/d/initialize", "", 0);
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_true(out.is_fresh);
    assert_int_equal(out.last_zxid, 0);
    assert_true(out.tree->digest == 1371985504u);
    assert_int_equal(data_tree_count(out.tree), 4);
    recovery_fini(&out);
    assert_false(fake_fs_has(f, "/d/initialize"));
    fake_fs_crash(f, 0);
    assert_true(fake_fs_has(f, "/d/version-2/snapshot.0"));
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_false(out.is_fresh);
    assert_int_equal(data_tree_count(out.tree), 4);
    recovery_fini(&out);
}

static void test_fresh_directories_are_made_with_their_parents(void **state)
{
    struct fake_fs *f = *state;
    struct recovery_options opts = default_options;
    opts.data_dir = "/d/var/lib/zk";
    opts.log_dir = "/d/log//zk/";
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &opts, &out), 0);
    assert_string_equal(out.snapshot_dir, "/d/var/lib/zk/version-2");
    assert_string_equal(out.log_dir, "/d/log/zk/version-2");
    recovery_fini(&out);
    fake_fs_crash(f, 0);
    assert_true(fake_fs_has(f, "/d/var/lib/zk/version-2/snapshot.0"));
}

static void test_one_directory_spelt_in_two_ways_is_one(void **state)
{
    struct fake_fs *f = *state;
    struct recovery_options opts = default_options;
    opts.log_dir = "//d/";
    import_standalone(f);
    char *golden = read_golden();
    char *text = recover_text(f, &opts);
    assert_string_equal(text, golden);
    free(text);
    free(golden);
}

static void test_second_server_on_a_directory_is_refused(void **state)
{
    struct fake_fs *f = *state;
    struct recovery out;
    import_standalone(f);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    fake_fs_put(f, "/d/version-2/log.4e", "", 0); /* the first server's, just made */
    assert_refused(f, -EBUSY, "/d/version-2 is in use by another server");
    assert_true(fake_fs_has(f, "/d/version-2/log.4e"));
    struct recovery_options opts = default_options;
    opts.data_dir = "/d/other";
    assert_refused_with(f, &opts, -EBUSY, "/d/version-2 is in use by another server");
    recovery_fini(&out);
    assert_is_golden(f);
}

static void test_mixed_up_directories_are_refused(void **state)
{
    struct fake_fs *f = *state;
    struct recovery_options opts = default_options;
    opts.log_dir = "/d/logs";
    import_standalone(f);
    assert_refused_with(f, &opts, -ENOTSUP, "/d/version-2/log.1: a transaction log in the wrong");
    fake_fs_remove(f, "/d/version-2/log.1");
    fake_fs_remove(f, "/d/version-2/log.37");
    fake_fs_put(f, "/d/logs/version-2/snapshot.5", "x", 1);
    assert_refused_with(f, &opts, -ENOTSUP,
                        "/d/logs/version-2/snapshot.5: a snapshot in the wrong");
}

static void test_separate_directories(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_make_dir(f, "/d/version-2");
    fake_fs_make_dir(f, "/d/logs");
    fake_fs_make_dir(f, "/d/logs/version-2");
    fake_fs_import(f, APACHE "standalone/version-2", "/d/version-2");
    fake_fs_import(f, APACHE "standalone/version-2", "/d/logs/version-2");
    fake_fs_remove(f, "/d/version-2/log.1");
    fake_fs_remove(f, "/d/version-2/log.37");
    fake_fs_remove(f, "/d/logs/version-2/snapshot.0");
    fake_fs_remove(f, "/d/logs/version-2/snapshot.36");
    struct recovery_options opts = default_options;
    opts.log_dir = "/d/logs";
    char *golden = read_golden();
    char *text = recover_text(f, &opts);
    assert_string_equal(text, golden);
    free(text);
    free(golden);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static void test_L3_header_torn_last_log_is_removed(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_put(f, "/d/version-2/log.4e", "ZKLG\0\0", 6);
    assert_is_golden(f);
    assert_false(fake_fs_has(f, "/d/version-2/log.4e"));
}

static void test_L4_torn_tail_is_cut_and_the_log_goes_on(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    /* createSession 0x4d is the last record; its checksum no longer fits. */
    size_t len;
    const uint8_t *data = fake_fs_get(f, "/d/version-2/log.37", &len);
    const uint8_t *last = NULL;
    for (size_t i = 0; i + 8 < len; i++) {
        if (memcmp(data + i, "\0\0\0\0\xc6\xd6\x0a\x41", 8) == 0) {
            last = data + i;
        }
    }
    assert_non_null(last);
    fixture_flip(f, "/d/version-2/log.37", (size_t)(last - data) + 30);
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, 0x4c);
    assert_int_equal(out.session_count, 2);
    recovery_fini(&out);
    fixture_write_log(f, "/d/version-2", 0x4d, 0x4f);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, 0x4f);
    assert_non_null(data_tree_find(out.tree, slice_of_str("/n4f")));
    recovery_fini(&out);
}

/* The kernel takes pages whose write has failed for written: the next fdatasync succeeds and does nothing. */
static void test_L1_what_a_failed_sync_left_is_written_again(void **state)
{
    struct fake_fs *f = *state;
    struct recovery out;
    import_standalone(f);
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d/version-2", &fixture_log_options, 0x4d);
    fake_fs_fail_sync(f);
    assert_int_equal(fixture_append(log, 0x4e), 0);
    assert_int_equal(txnlog_commit(log), -EIO);
    txnlog_free(log);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, 0x4e);
    recovery_fini(&out);
    fake_fs_crash(f, 0);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, 0x4e);
    recovery_fini(&out);
}

/* As many txns of data_len bytes as a batch takes. Returns the last one's zxid. */
static int64_t fill_batch(struct txnlog *log, int64_t zxid, size_t data_len)
{
    struct buf entry = BUF_EMPTY;
    while (!txnlog_batch_is_full(log)) {
        buf_reset(&entry);
        fixture_entry(&entry, ++zxid, data_len);
        assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
    }
    buf_fini(&entry);
    return zxid;
}

/* A batch is longest when the last txn of it is, and the file when room was made ahead. */
static void test_L1_the_whole_last_batch_of_a_long_log_is_written_again(void **state)
{
    struct fake_fs *f = *state;
    struct recovery out;
    struct txnlog_options options = fixture_log_options;
    int64_t zxid = 0x4d;
    options.prealloc_bytes = 4 << 20;
    import_standalone(f);
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d/version-2", &options, zxid);
    for (int i = 0; i < 3; i++) {
        zxid = fill_batch(log, zxid, 100000);
        assert_int_equal(txnlog_commit(log), 0);
    }
    struct buf entry = BUF_EMPTY;
    for (size_t bytes = 0; bytes < 1000000; bytes += entry.len) {
        buf_reset(&entry);
        fixture_entry(&entry, ++zxid, 100000);
        assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
    }
    buf_fini(&entry);
    zxid = fill_batch(log, zxid, 1900000);
    fake_fs_fail_sync(f);
    assert_int_equal(txnlog_commit(log), -EIO);
    txnlog_free(log);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, zxid);
    recovery_fini(&out);
    fake_fs_crash(f, 0);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.last_zxid, zxid);
    recovery_fini(&out);
}

static void test_L5_unfinished_snapshot_is_removed(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_put(f, "/d/version-2/tmp.snapshot.40", "ZKSN", 4);
    fake_fs_put(f, "/d/version-2/tmp.other", "keep", 4);
    assert_is_golden(f);
    assert_false(fake_fs_has(f, "/d/version-2/tmp.snapshot.40"));
    assert_true(fake_fs_has(f, "/d/version-2/tmp.other"));
}

/* The state and its zxid move together: cut after any txn, both are that txn's. */
static void test_L10_zxid_is_that_of_the_state(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_make_dir(f, "/d/version-2");
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    recovery_fini(&out);
    fixture_write_log(f, "/d/version-2", 1, 5);
    size_t len;
    const uint8_t *file = fake_fs_get(f, "/d/version-2/log.1", &len);
    uint8_t *whole = xmemdup(file, len);
    for (size_t keep = 0; keep <= len; keep += 7) {
        fake_fs_put(f, "/d/version-2/log.1", whole, keep);
        assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
        assert_int_equal(out.last_zxid, keep < 16 ? 0 : (keep - 16) / ((len - 16) / 5));
        assert_int_equal(out.tree->last_zxid, out.last_zxid);
        assert_int_equal(data_tree_count(out.tree), 4 + out.last_zxid);
        recovery_fini(&out);
    }
    free(whole);
}

/*
 * A fuzzy snapshot, at its worst: named after zxid n, but with the effects of all 0x4d txns in it.
 * The replay of those after n must lead to the same tree.
 */
static void test_L6_replay_over_a_fuzzy_snapshot_converges(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), "/d/version-2", out.tree, out.sessions,
                                         out.session_count),
                     0);
    recovery_fini(&out);
    size_t len;
    const uint8_t *file = fake_fs_get(f, "/d/version-2/snapshot.4d", &len);
    uint8_t *copy = xmemdup(file, len);
    fake_fs_remove(f, "/d/version-2/snapshot.4d");
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    fake_fs_remove(f, "/d/version-2/snapshot.0");
    for (int64_t zxid = 0; zxid <= 0x4d; zxid++) {
        char *name = version_name_make(VERSION_SNAPSHOT, zxid);
        char *path = fs_join("/d/version-2", name);
        fake_fs_put(f, path, copy, len);
        assert_is_golden(f);
        fake_fs_remove(f, path);
        free(path);
        free(name);
    }
    free(copy);
}

static void test_L9_log_without_a_snapshot_is_refused(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    fake_fs_remove(f, "/d/version-2/snapshot.0");
    assert_refused(f, -ENODATA, "snapshot.trust.empty=true");
    assert_int_equal(fake_fs_count(f, "/d/version-2"), 2);
}

static void test_L9_no_valid_snapshot_is_refused(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fixture_flip(f, "/d/version-2/snapshot.36", 100);
    fixture_flip(f, "/d/version-2/snapshot.0", 100);
    struct recovery_options opts = default_options;
    opts.trust_empty_snapshot = true;
    assert_refused_with(f, &opts, -EBADMSG, "none of the 2 snapshots is whole");
}

static void test_L9_missing_log_after_the_snapshot_is_refused(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_remove(f, "/d/version-2/snapshot.36");
    fake_fs_remove(f, "/d/version-2/log.1");
    assert_refused(f, -ENODATA,
                   "log.37: the log goes on with zxid 0x37, but the txns after 0x0 are missing");
}

static void test_L9_damaged_snapshot_beyond_the_log_is_refused(void **state)
{
    struct fake_fs *f = *state;
    import_standalone(f);
    fake_fs_put(f, "/d/version-2/snapshot.50", "ZKSN", 4);
    assert_refused(f, -ENODATA, "snapshot.50 is damaged, and the log ends before it, at zxid 0x4d");
}

static void test_unknown_txn_is_refused(void **state)
{
    struct fake_fs *f = *state;
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    recovery_fini(&out);
    struct buf entry = BUF_EMPTY;
    struct txn_header header = { 1, 1, 1, 1, 77 };
    txn_header_encode(&entry, &header);
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d/version-2", &fixture_log_options, 0);
    assert_int_equal(txnlog_append(log, 1, buf_head(&entry), buf_readable(&entry)), 0);
    assert_int_equal(txnlog_commit(log), 0);
    txnlog_free(log);
    buf_fini(&entry);
    assert_refused(f, -EBADMSG, "log.1: the txn at offset 16, zxid 0x1, is of an unknown type");
}

static void test_wrong_digest_is_counted_not_refused(void **state)
{
    struct fake_fs *f = *state;
    struct recovery out;
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    recovery_fini(&out);
    struct buf entry = BUF_EMPTY;
    fixture_entry(&entry, 1, 3);
    put_int(&entry, 2);
    put_long(&entry, 4711);
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d/version-2", &fixture_log_options, 0);
    assert_int_equal(txnlog_append(log, 1, buf_head(&entry), buf_readable(&entry)), 0);
    assert_int_equal(txnlog_commit(log), 0);
    txnlog_free(log);
    buf_fini(&entry);
    assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
    assert_int_equal(out.digest_mismatches, 1);
    assert_int_equal(out.last_zxid, 1);
    recovery_fini(&out);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void prepare_for_faults(struct fake_fs *f, bool is_fresh)
{
    if (is_fresh) {
        fake_fs_put(f, "/d/initialize", "", 0);
        return;
    }
    import_standalone(f);
    fake_fs_put(f, "/d/version-2/log.4e", "ZKLG\0\0", 6);
    fake_fs_put(f, "/d/version-2/tmp.snapshot.40", "ZKSN", 4);
    fixture_flip(f, "/d/version-2/snapshot.36", 100);
}

static void run_with_fault(uint64_t nth, bool is_fresh, uint64_t seed, bool *has_failed)
{
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    prepare_for_faults(f, is_fresh);
    fake_fs_fail_at(f, nth, EIO);
    struct recovery out;
    int rc = recovery_run(fake_fs_ops(f), &default_options, &out);
    *has_failed = fake_fs_has_failed(f);
    assert_true(rc == 0 || (*has_failed && out.error != NULL));
    recovery_fini(&out);
    fake_fs_fail_at(f, 0, 0);
    fake_fs_crash(f, seed);
    if (is_fresh) {
        assert_int_equal(recovery_run(fake_fs_ops(f), &default_options, &out), 0);
        assert_int_equal(out.last_zxid, 0);
        assert_int_equal(data_tree_count(out.tree), 4);
        recovery_fini(&out);
    } else {
        assert_is_golden(f);
    }
    fake_fs_free(f);
}

static void test_each_file_call_may_fail_once(void **state)
{
    (void)state;
    for (int is_fresh = 0; is_fresh <= 1; is_fresh++) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            bool has_failed = true;
            uint64_t nth = 1;
            for (; has_failed; nth++) {
                run_with_fault(nth, is_fresh != 0, seed, &has_failed);
            }
            assert_true(nth > 10);
        }
    }
}

/* ---- number files ---------------------------------------------------------------------------- */

static void test_number_files(void **state)
{
    struct fake_fs *f = *state;
    const struct {
        const char *text;
        int rc;
        int64_t value;
    } cases[] = {
        { "3", 0, 3 },
        { "3\n", 0, 3 },
        { " 12 \r\nmore", 0, 12 },
        { "9223372036854775807", 0, INT64_MAX },
        { "9223372036854775808", -EBADMSG, 0 },
        { "", -EBADMSG, 0 },
        { "\n3", -EBADMSG, 0 },
        { "-1", -EBADMSG, 0 },
        { "3x", -EBADMSG, 0 },
        { "3 4", -EBADMSG, 0 },
    };
    int64_t value;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_fs_put(f, "/d/myid", cases[i].text, strlen(cases[i].text));
        value = 0;
        assert_int_equal(number_file_read(fake_fs_ops(f), "/d", "myid", &value), cases[i].rc);
        assert_int_equal(value, cases[i].value);
    }
    assert_int_equal(number_file_read(fake_fs_ops(f), "/d", "none", &value), -ENOENT);
    char *huge = xcalloc(1, 10000);
    memset(huge, '1', 9999);
    fake_fs_put(f, "/d/myid", huge, 9999);
    free(huge);
    assert_int_equal(number_file_read(fake_fs_ops(f), "/d", "myid", &value), -EBADMSG);
}

/* E3: after a fault anywhere and a crash, the old number or the new one. */
static void test_E3_number_file_is_old_or_new(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct fake_fs *f = fake_fs_new();
            fake_fs_make_dir(f, "/d");
            fake_fs_put(f, "/d/currentEpoch", "7", 1);
            fake_fs_put(f, "/d/currentEpoch.tmp", "junk",
                        4); /* a leftover must not be in the way */
            fake_fs_fail_at(f, nth, ENOSPC);
            int rc = number_file_write(fake_fs_ops(f), "/d", "currentEpoch", 8000);
            has_failed = fake_fs_has_failed(f);
            assert_int_equal(rc, has_failed ? -ENOSPC : 0);
            fake_fs_fail_at(f, 0, 0);
            fake_fs_crash(f, seed);
            int64_t value;
            assert_int_equal(number_file_read(fake_fs_ops(f), "/d", "currentEpoch", &value), 0);
            assert_true(value == 8000 || (rc != 0 && value == 7));
            fake_fs_free(f);
        }
    }
}

int main(void)
{
    log_set_level(LOG_ERROR);
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_apache_directory_newest_snapshot_and_log),
        T(test_apache_directory_from_the_first_snapshot),
        T(test_apache_directory_from_the_log_alone),
        T(test_apache_packed_snapshots),
        T(test_apache_damaged_snapshot_falls_back_to_the_older),
        T(test_apache_ensemble_directories_give_equal_trees),
        T(test_own_snapshot_of_an_apache_tree_gives_the_same_tree),
        T(test_fresh_directory_gets_a_first_snapshot),
        T(test_fresh_directories_are_made_with_their_parents),
        T(test_one_directory_spelt_in_two_ways_is_one),
        T(test_second_server_on_a_directory_is_refused),
        T(test_mixed_up_directories_are_refused),
        T(test_separate_directories),
        T(test_L3_header_torn_last_log_is_removed),
        T(test_L4_torn_tail_is_cut_and_the_log_goes_on),
        T(test_L1_what_a_failed_sync_left_is_written_again),
        T(test_L1_the_whole_last_batch_of_a_long_log_is_written_again),
        T(test_L5_unfinished_snapshot_is_removed),
        T(test_L10_zxid_is_that_of_the_state),
        T(test_L6_replay_over_a_fuzzy_snapshot_converges),
        T(test_L9_log_without_a_snapshot_is_refused),
        T(test_L9_no_valid_snapshot_is_refused),
        T(test_L9_missing_log_after_the_snapshot_is_refused),
        T(test_L9_damaged_snapshot_beyond_the_log_is_refused),
        T(test_unknown_txn_is_refused),
        T(test_wrong_digest_is_counted_not_refused),
        T(test_each_file_call_may_fail_once),
        T(test_number_files),
        T(test_E3_number_file_is_old_or_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
