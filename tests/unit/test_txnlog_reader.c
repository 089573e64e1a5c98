/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "server/store/txnlog_truncate.h"
#include "tests/lib/log_fixture.h"

/*
 * All txns of the fixture have records of the same length, so that offsets can be computed: record
 * i (from 0) of a file begins at 16 + i * RECORD_BYTES.
 */
enum { ENTRY_BYTES = 85, RECORD_BYTES = ENTRY_BYTES + 13 };

static size_t record_at(size_t i)
{
    return 16 + i * RECORD_BYTES;
}

/* Offsets within a record. */
enum { AT_CHECKSUM = 4, AT_LENGTH = 8, AT_ENTRY = 12, AT_END_MARK = RECORD_BYTES - 1 };

/* Appends bytes to the file. */
static void extend(struct fake_fs *f, const char *path, const void *bytes, size_t len)
{
    size_t old;
    const uint8_t *data = fake_fs_get(f, path, &old);
    uint8_t *copy = xmalloc(old + len);
    memcpy(copy, data, old);
    memcpy(copy + old, bytes, len);
    fake_fs_put(f, path, copy, old + len);
    free(copy);
}

static void assert_refused(struct fake_fs *f, int rc, const char *text)
{
    struct fixture_read got = fixture_read_log(f, "/d", 0);
    assert_int_equal(got.rc, rc);
    assert_non_null(strstr(got.text, text));
}

/* The log ends after `last`; the rest is cut with a reason that names the place. */
static void assert_cut_after(struct fake_fs *f, int64_t last, const char *reason)
{
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.last_zxid, last);
    assert_int_equal(got.count, last);
    assert_true(got.needs_repair);
    assert_non_null(strstr(got.text, reason));
}

static void test_fixture_has_the_record_length_assumed_here(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 15);
    assert_int_equal(fixture_size(f, "/d/log.1"), record_at(15));
}

static void test_reads_across_files_from_any_zxid(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 4);
    fixture_write_log(f, "/d", 5, 5);
    fixture_write_log(f, "/d", 6, 9);
    for (int64_t after = 0; after <= 9; after++) {
        struct fixture_read got = fixture_read_log(f, "/d", after);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.count, 9 - after);
        assert_int_equal(got.first_zxid, after < 9 ? after + 1 : 0);
        assert_false(got.needs_repair);
    }
}

static void test_missing_directory_is_an_error(void **state)
{
    assert_int_equal(fixture_read_log(*state, "/none", 0).rc, -ENOENT);
}

static void test_empty_directory_is_an_empty_log(void **state)
{
    struct fixture_read got = fixture_read_log(*state, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 0);
    assert_false(got.needs_repair);
}

static void test_other_names_are_left_alone(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 2);
    const char *const names[] = { "/d/log.3.bak",
                                  "/d/log.",
                                  "/d/log.xyz",
                                  "/d/log.03",
                                  "/d/logs.3",
                                  "/d/log.8000000000000000",
                                  "/d/log.00000000000000003" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fake_fs_put(f, names[i], "junk", 4);
    }
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(fake_fs_count(f, "/d"), 8);
}

static void test_padding_ends_a_file(void **state)
{
    struct fake_fs *f = *state;
    uint8_t zeros[5000] = { 0 };
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 4, 6);
    extend(f, "/d/log.1", zeros, sizeof(zeros));
    for (size_t tail = 1; tail <= sizeof(zeros); tail *= 3) {
        fixture_cut(f, "/d/log.4", record_at(3));
        extend(f, "/d/log.4", zeros, tail);
        struct fixture_read got = fixture_read_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.count, 6);
        assert_false(got.needs_repair);
    }
}

/* ---- L3: files without txns ------------------------------------------------------------------ */

static void test_L3_empty_or_header_torn_last_file_is_removed(void **state)
{
    struct fake_fs *f = *state;
    const uint8_t zeros[700] = { 0 };
    const struct {
        const void *bytes;
        size_t len;
    } remains[] = {
        { "", 0 },
        { "ZKLG", 4 },
        { "ZKLG\0\0\0\2\0\0\0\0\0\0\0", 15 },
        { "ZKLG\0\0\0\2\0\0\0\0\0\0\0\0", 16 },
        { zeros, 16 },
        { zeros, sizeof(zeros) },
    };
    fixture_write_log(f, "/d", 1, 3);
    for (size_t i = 0; i < sizeof(remains) / sizeof(remains[0]); i++) {
        fake_fs_put(f, "/d/log.4", remains[i].bytes, remains[i].len);
        struct fixture_read got = fixture_recover_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.last_zxid, 3);
        assert_int_equal(got.keep_files, 1);
        assert_false(fake_fs_has(f, "/d/log.4"));
    }
}

static void test_L3_only_remains_gives_an_empty_log(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_put(f, "/d/log.1", "", 0);
    fake_fs_put(f, "/d/log.2", "ZK", 2);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 0);
    assert_int_equal(fake_fs_count(f, "/d"), 0);
}

static void test_L3_last_file_with_only_a_torn_record_is_removed(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 4, 4);
    fixture_cut(f, "/d/log.4", record_at(0) + 40);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.last_zxid, 3);
    assert_false(fake_fs_has(f, "/d/log.4"));
    assert_non_null(strstr(got.text, "log.4: cut off inside the record at offset 16"));
}

static void test_L3_missing_header_in_the_middle_is_a_stop(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 4, 5);
    fake_fs_put(f, "/d/log.1", "", 0);
    assert_refused(f, -EBADMSG, "/d/log.1: not a transaction log: its header is missing");
    fake_fs_put(f, "/d/log.1", "PK\3\4 this is not a log", 22);
    assert_refused(f, -EBADMSG, "/d/log.1: not a transaction log: its header is wrong");
}

static void test_L3_foreign_last_file_is_not_removed(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fake_fs_put(f, "/d/log.4", "PK\3\4 this is not a log", 22);
    assert_refused(f, -EBADMSG, "/d/log.4: not a transaction log");
}

static void test_header_only_file_in_the_middle_is_fine(void **state)
{
    struct fake_fs *f = *state;
    fake_fs_put(f, "/d/log.0", "ZKLG\0\0\0\2\0\0\0\0\0\0\0\0", 16);
    fixture_write_log(f, "/d", 1, 5);
    struct fixture_read got = fixture_read_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 5);
}

/* ---- L4: damage at the end of the last file -------------------------------------------------- */

static void test_L4_bad_crc_in_last_record_is_cut(void **state)
{
    struct fake_fs *f = *state;
    for (size_t at = AT_CHECKSUM; at < AT_END_MARK; at++) {
        if (at >= AT_LENGTH && at < AT_ENTRY) {
            continue;
        }
        fixture_write_log(f, "/d", 1, 5);
        fixture_flip(f, "/d/log.1", record_at(4) + at);
        assert_cut_after(f, 4, "log.1: bad checksum at offset 408, after zxid 0x4");
        assert_int_equal(fixture_size(f, "/d/log.1"), record_at(4));
        fake_fs_remove(f, "/d/log.1");
    }
}

static void test_L4_record_cut_at_any_byte_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 2);
    fixture_write_log(f, "/d", 3, 4);
    size_t len;
    const uint8_t *data = fake_fs_get(f, "/d/log.3", &len);
    uint8_t *whole = xmemdup(data, len);
    for (size_t keep = record_at(1) + 5; keep < len; keep++) {
        fake_fs_put(f, "/d/log.3", whole, keep);
        struct fixture_read got = fixture_recover_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.last_zxid, 3);
        assert_int_equal(got.cut_bytes, record_at(1));
        assert_int_equal(fixture_size(f, "/d/log.3"), record_at(1));
    }
    free(whole);
}

static void test_L4_missing_end_mark_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 5);
    fixture_poke(f, "/d/log.1", record_at(4) + AT_END_MARK, 0);
    assert_cut_after(f, 4, "missing end mark");
}

static void test_L4_impossible_length_is_cut(void **state)
{
    struct fake_fs *f = *state;
    const uint8_t first_byte[] = { 0xff, 0x80 };
    for (size_t i = 0; i < sizeof(first_byte); i++) {
        fixture_write_log(f, "/d", 1, 5);
        fixture_poke(f, "/d/log.1", record_at(4) + AT_LENGTH, first_byte[i]);
        assert_cut_after(f, 4, "impossible length");
        fake_fs_remove(f, "/d/log.1");
    }
}

static void test_L4_zero_length_with_checksum_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 5);
    fixture_poke(f, "/d/log.1", record_at(4) + AT_LENGTH + 3, 0);
    assert_cut_after(f, 4, "empty record");
}

static void test_L4_garbage_behind_the_last_record_is_cut(void **state)
{
    struct fake_fs *f = *state;
    uint8_t garbage[3000];
    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t len = 1; len <= sizeof(garbage); len += 331) {
        fixture_write_log(f, "/d", 1, 5);
        extend(f, "/d/log.1", garbage, len);
        assert_cut_after(f, 5, "after zxid 0x5");
        assert_int_equal(fixture_size(f, "/d/log.1"), record_at(5));
        fake_fs_remove(f, "/d/log.1");
    }
}

static void test_L4_valid_checksum_of_too_short_an_entry_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 5);
    extend(f, "/d/log.1", "\0\0\0\0\x00\x62\x00\x62\0\0\0\1aB", 14); /* adler32("a") */
    assert_cut_after(f, 5, "entry shorter than its header");
}

/* jute.maxbuffer was lowered: what was logged under the old limit is no damage. */
static void test_L4_entry_over_the_present_limit_is_read(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 3; zxid++) {
        struct buf entry = BUF_EMPTY;
        fixture_entry(&entry, zxid, 2 * FIXTURE_ENTRY_MAX);
        assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
        buf_fini(&entry);
    }
    assert_int_equal(txnlog_roll(log), 0);
    txnlog_free(log);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 3);
    assert_false(got.needs_repair);
}

/* A batch of which one sector did not arrive: nothing of it was acknowledged. */
static void test_L4_lost_sector_of_the_last_batch_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 40);
    for (size_t at = 512; at < 1024; at++) {
        fixture_poke(f, "/d/log.1", at, 0);
    }
    assert_cut_after(f, 5, "after zxid 0x5"); /* the sixth lies across the sector's edge */
}

/* Bytes that were on disk once have changed: what follows may have been acknowledged. */
static void test_L4_flipped_bit_before_valid_txns_is_a_stop(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 5);
    fixture_flip(f, "/d/log.1", record_at(2) + AT_ENTRY + 50);
    assert_refused(f, -EBADMSG, "bad checksum at offset 212, after zxid 0x2");
}

/* Also where the four zeros that every record begins with fill a sector to its end. */
static void test_L4_zeros_of_a_records_head_are_no_lost_sector(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog_reader *reader;
    struct txnlog_entry entry;
    int64_t offsets[64];
    size_t count = 0;
    fixture_write_log(f, "/d", 1, 2000);
    assert_int_equal(txnlog_reader_open(fake_fs_ops(f), "/d", 0, FIXTURE_ENTRY_MAX, &reader), 0);
    while (txnlog_reader_next(reader, &entry) == 1) {
        if (512 - entry.offset % 512 <= 4 && count < 64) {
            offsets[count++] = entry.offset;
        }
    }
    txnlog_reader_close(reader);
    assert_true(count > 3);
    for (size_t i = 0; i < count; i++) {
        fixture_flip(f, "/d/log.1", (size_t)offsets[i] + AT_ENTRY + 50);
        assert_refused(f, -EBADMSG, "bad checksum");
        fixture_flip(f, "/d/log.1", (size_t)offsets[i] + AT_ENTRY + 50);
    }
}

/* The same damage, but with more behind it than one batch can hold. */
static void test_L4_damage_before_synced_txns_is_a_stop(void **state)
{
    struct fake_fs *f = *state;
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 40; zxid++) {
        struct buf entry = BUF_EMPTY;
        fixture_entry(&entry, zxid, zxid < 4 ? 10 : 100000);
        assert_int_equal(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)), 0);
        buf_fini(&entry);
        assert_int_equal(txnlog_commit(log), 0);
    }
    txnlog_free(log);
    const size_t places[] = { AT_ENTRY + 50, AT_LENGTH, AT_LENGTH + 2, AT_END_MARK, AT_CHECKSUM };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        size_t at = record_at(2) + places[i];
        fixture_flip(f, "/d/log.1", at);
        assert_refused(f, -EBADMSG, "at offset 212, after zxid 0x2, and valid txns follow");
        assert_refused(f, -EBADMSG, "truncate -s 212 /d/log.1");
        fixture_flip(f, "/d/log.1", at);
    }
    /* A page of zeros looks like padding, a lost header like an empty file. */
    for (size_t at = record_at(2); at < record_at(3); at++) {
        fixture_poke(f, "/d/log.1", at, 0);
    }
    assert_refused(f, -EBADMSG, "missing record at offset 212");
    for (size_t at = 0; at < record_at(2); at++) {
        fixture_poke(f, "/d/log.1", at, 0);
    }
    assert_refused(f, -EBADMSG, "missing header at offset 0");
}

/* ---- damage in a file that others follow ----------------------------------------------------- */

static void test_L4_bad_crc_in_an_earlier_file_is_a_stop(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 4, 5);
    for (size_t i = 0; i < 3; i++) {
        fixture_flip(f, "/d/log.1", record_at(i) + AT_ENTRY + 40);
        assert_refused(f, -EBADMSG, "/d/log.1: bad checksum at offset");
        assert_refused(f, -EBADMSG, "truncate -s");
        fixture_flip(f, "/d/log.1", record_at(i) + AT_ENTRY + 40);
    }
}

static void test_L4_torn_record_in_an_earlier_file_is_a_stop_if_it_is_missing(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 4, 5);
    fixture_cut(f, "/d/log.1", record_at(2) + 20);
    assert_refused(f, -EBADMSG, "/d/log.1: cut off inside the record at offset 212");
    fixture_cut(f, "/d/log.1", record_at(0) + 20);
    assert_refused(f, -EBADMSG, "/d/log.1: cut off inside the record at offset 16");
}

/* Apache leaves this behind when it is killed in the middle of a write: the txn comes again. */
static void test_L4_torn_record_that_comes_again_is_skipped(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 4);
    fixture_write_log(f, "/d", 4, 5);
    fixture_cut(f, "/d/log.1", record_at(3) + 50);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.count, 5);
    assert_false(got.needs_repair);
}

static void test_L4_torn_record_before_remains_only_is_cut(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 4);
    fake_fs_put(f, "/d/log.4", "", 0);
    fixture_cut(f, "/d/log.1", record_at(3) + 50);
    struct fixture_read got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.last_zxid, 3);
    assert_int_equal(fixture_size(f, "/d/log.1"), record_at(3));
    assert_false(fake_fs_has(f, "/d/log.4"));
    /* The same with a torn record in the last file. */
    fake_fs_remove(f, "/d/log.1");
    fixture_write_log(f, "/d", 1, 4);
    fixture_cut(f, "/d/log.1", record_at(3) + 50);
    fixture_write_log(f, "/d", 4, 4);
    fixture_cut(f, "/d/log.4", record_at(0) + 50);
    got = fixture_recover_log(f, "/d", 0);
    assert_int_equal(got.last_zxid, 3);
    assert_int_equal(fixture_size(f, "/d/log.1"), record_at(3));
    assert_false(fake_fs_has(f, "/d/log.4"));
}

static void test_torn_record_older_than_the_snapshot_does_not_matter(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 4);
    fixture_write_log(f, "/d", 6, 7);
    fixture_cut(f, "/d/log.1", record_at(3) + 50);
    assert_int_equal(fixture_read_log(f, "/d", 3).rc, -EBADMSG);
    assert_int_equal(fixture_read_log(f, "/d", 5).count, 2);
}

/* ---- L2, L9 ---------------------------------------------------------------------------------- */

static void test_L2_descending_zxid_is_a_stop(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 5);
    fixture_write_log(f, "/d", 4, 6);
    assert_refused(f, -EBADMSG, "/d/log.4: zxid 0x4 at offset 16 comes after zxid 0x5");
}

static void test_L9_missing_range_is_refused(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 3);
    fixture_write_log(f, "/d", 5, 6);
    assert_refused(f, -ENODATA, "goes on with zxid 0x5, but the txns after 0x3 are missing");
    assert_int_equal(fixture_read_log(f, "/d", 4).count, 2);
    fake_fs_remove(f, "/d/log.1");
    assert_refused(f, -ENODATA, "goes on with zxid 0x5, but the txns after 0x0 are missing");
}

static void test_L9_a_later_epoch_begins_with_counter_1(void **state)
{
    struct fake_fs *f = *state;
    int64_t epoch1 = (int64_t)1 << 32;
    int64_t epoch4 = (int64_t)4 << 32;
    fixture_write_log(f, "/d", epoch1 + 1, epoch1 + 3);
    fixture_write_log(f, "/d", epoch4 + 1, epoch4 + 2);
    assert_int_equal(fixture_read_log(f, "/d", 0).count, 5);
    assert_int_equal(fixture_read_log(f, "/d", epoch1).count, 5);
    fake_fs_remove(f, "/d/log.400000001");
    fixture_write_log(f, "/d", epoch4 + 2, epoch4 + 3);
    assert_refused(f, -ENODATA, "goes on with zxid 0x400000002, but the txns after 0x100000003");
}

/* ---- reading under faults -------------------------------------------------------------------- */

static void test_each_file_call_of_a_recovery_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct fake_fs *f = fake_fs_new();
        fake_fs_make_dir(f, "/d");
        fixture_write_log(f, "/d", 1, 4);
        fixture_write_log(f, "/d", 5, 6);
        fixture_cut(f, "/d/log.5", record_at(1) + 50);
        fake_fs_put(f, "/d/log.7", "", 0);
        fake_fs_fail_at(f, nth, EIO);
        struct txnlog_reader *reader;
        int rc = txnlog_reader_open(fake_fs_ops(f), "/d", 0, FIXTURE_ENTRY_MAX, &reader);
        if (rc == 0) {
            struct txnlog_entry entry;
            while ((rc = txnlog_reader_next(reader, &entry)) == 1) {
            }
            if (rc == 0) {
                assert_int_equal(txnlog_reader_seen_zxid(reader), 5);
                rc = txnlog_repair(fake_fs_ops(f), "/d", txnlog_reader_files(reader),
                                   txnlog_reader_tail(reader));
            }
            txnlog_reader_close(reader);
        }
        has_failed = fake_fs_has_failed(f);
        fake_fs_fail_at(f, 0, 0);
        assert_true(rc == 0 || (has_failed && rc == -EIO));
        struct fixture_read got = fixture_recover_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.count, 5);
        fake_fs_free(f);
    }
}

/* ---- S10: truncation ------------------------------------------------------------------------- */

static void write_three_files(struct fake_fs *f)
{
    fixture_write_log(f, "/d", 1, 4);
    fixture_write_log(f, "/d", 5, 7);
    fixture_write_log(f, "/d", 8, 9);
}

static void test_S10_truncate_to_each_zxid(void **state)
{
    (void)state;
    for (int64_t zxid = 0; zxid <= 9; zxid++) {
        struct fake_fs *f = fake_fs_new();
        fake_fs_make_dir(f, "/d");
        write_three_files(f);
        assert_int_equal(txnlog_truncate(fake_fs_ops(f), "/d", zxid, FIXTURE_ENTRY_MAX), 0);
        fake_fs_crash(f, 0); /* it is durable */
        struct fixture_read got = fixture_read_log(f, "/d", 0);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.count, zxid);
        assert_int_equal(got.last_zxid, zxid);
        fake_fs_free(f);
    }
}

static void test_S10_unknown_zxid_changes_nothing(void **state)
{
    struct fake_fs *f = *state;
    int64_t epoch1 = (int64_t)1 << 32;
    fixture_write_log(f, "/d", epoch1 + 3, epoch1 + 5);
    fixture_write_log(f, "/d", 2 * epoch1 + 1, 2 * epoch1 + 2);
    const int64_t unknown[] = { 0, epoch1, epoch1 + 1, epoch1 + 6, 2 * epoch1 + 3 };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(txnlog_truncate(fake_fs_ops(f), "/d", unknown[i], FIXTURE_ENTRY_MAX),
                         -ENOENT);
        assert_int_equal(fixture_read_log(f, "/d", epoch1 + 2).count, 5);
    }
    /* The last of an epoch is a point of the log; so is the one just before its first txn. */
    assert_int_equal(txnlog_truncate(fake_fs_ops(f), "/d", epoch1 + 5, FIXTURE_ENTRY_MAX), 0);
    assert_int_equal(fixture_read_log(f, "/d", epoch1 + 2).count, 3);
    assert_int_equal(txnlog_truncate(fake_fs_ops(f), "/d", epoch1 + 2, FIXTURE_ENTRY_MAX), 0);
    assert_int_equal(fake_fs_count(f, "/d"), 0);
}

/* Stopped at any call, with any part of it on disk: the log is readable and not shorter than asked.
 */
static void test_S10_each_file_call_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        for (uint64_t seed = 0; seed < 6; seed++) {
            struct fake_fs *f = fake_fs_new();
            fake_fs_make_dir(f, "/d");
            write_three_files(f);
            fake_fs_fail_at(f, nth, EIO);
            int rc = txnlog_truncate(fake_fs_ops(f), "/d", 2, FIXTURE_ENTRY_MAX);
            has_failed = fake_fs_has_failed(f);
            assert_true(rc == 0 || (has_failed && rc == -EIO));
            fake_fs_fail_at(f, 0, 0);
            fake_fs_crash(f, seed);
            struct fixture_read got = fixture_read_log(f, "/d", 0);
            assert_int_equal(got.rc, 0);
            assert_true(got.last_zxid == 2 || (rc != 0 && got.last_zxid > 2));
            assert_int_equal(txnlog_truncate(fake_fs_ops(f), "/d", 2, FIXTURE_ENTRY_MAX), 0);
            assert_int_equal(fixture_read_log(f, "/d", 0).count, 2);
            fake_fs_free(f);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_fixture_has_the_record_length_assumed_here),
        T(test_reads_across_files_from_any_zxid),
        T(test_missing_directory_is_an_error),
        T(test_empty_directory_is_an_empty_log),
        T(test_other_names_are_left_alone),
        T(test_padding_ends_a_file),
        T(test_L3_empty_or_header_torn_last_file_is_removed),
        T(test_L3_only_remains_gives_an_empty_log),
        T(test_L3_last_file_with_only_a_torn_record_is_removed),
        T(test_L3_missing_header_in_the_middle_is_a_stop),
        T(test_L3_foreign_last_file_is_not_removed),
        T(test_header_only_file_in_the_middle_is_fine),
        T(test_L4_bad_crc_in_last_record_is_cut),
        T(test_L4_record_cut_at_any_byte_is_cut),
        T(test_L4_missing_end_mark_is_cut),
        T(test_L4_impossible_length_is_cut),
        T(test_L4_zero_length_with_checksum_is_cut),
        T(test_L4_garbage_behind_the_last_record_is_cut),
        T(test_L4_valid_checksum_of_too_short_an_entry_is_cut),
        T(test_L4_entry_over_the_present_limit_is_read),
        T(test_L4_lost_sector_of_the_last_batch_is_cut),
        T(test_L4_flipped_bit_before_valid_txns_is_a_stop),
        T(test_L4_zeros_of_a_records_head_are_no_lost_sector),
        T(test_L4_damage_before_synced_txns_is_a_stop),
        T(test_L4_bad_crc_in_an_earlier_file_is_a_stop),
        T(test_L4_torn_record_in_an_earlier_file_is_a_stop_if_it_is_missing),
        T(test_L4_torn_record_that_comes_again_is_skipped),
        T(test_L4_torn_record_before_remains_only_is_cut),
        T(test_torn_record_older_than_the_snapshot_does_not_matter),
        T(test_L2_descending_zxid_is_a_stop),
        T(test_L9_missing_range_is_refused),
        T(test_L9_a_later_epoch_begins_with_counter_1),
        T(test_each_file_call_of_a_recovery_may_fail_once),
        T(test_S10_truncate_to_each_zxid),
        T(test_S10_unknown_zxid_changes_nothing),
        T(test_S10_each_file_call_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
