/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "server/core/zxid.h"
#include "server/jute/records.h"
#include "server/store/log_bridge.h"
#include "tests/lib/log_fixture.h"

static struct log_dirs dirs_of(struct fake_fs *f)
{
    return (struct log_dirs){ fake_fs_ops(f), "/d", "/d", FIXTURE_ENTRY_MAX };
}

static void write_snapshot(struct fake_fs *f, const char *path, size_t bytes)
{
    const struct fsops *fs = fake_fs_ops(f);
    int fd = fs->open(fs->ctx, path, FS_CREATE);
    assert_int_equal(fs->truncate(fs->ctx, fd, (int64_t)bytes), 0);
    fs->close(fs->ctx, fd);
}

static int find(struct fake_fs *f, int64_t zxid, int64_t until, struct log_place *place)
{
    struct log_dirs dirs = dirs_of(f);
    *place = (struct log_place){ .is_known = true };
    return log_bridge_find(&dirs, zxid, until, -1, place);
}

static void test_finds_a_txn_and_the_one_in_front(void **state)
{
    struct fake_fs *f = *state;
    struct log_place place;
    fixture_write_log(f, "/d", 1, 50);
    fixture_write_log(f, "/d", 51, 90);
    write_snapshot(f, "/d/snapshot.5a", 777);
    assert_int_equal(find(f, 60, 90, &place), 0);
    assert_int_equal(place.first_zxid, 60);
    assert_int_equal(place.previous_zxid, 59);
    assert_int_equal(place.snapshot_bytes, 777);
    assert_int_equal(place.log_bytes, fixture_size(f, "/d/log.33"));
    assert_int_equal(find(f, 50, 90, &place), 0);
    assert_int_equal(place.log_bytes, fixture_size(f, "/d/log.1") + fixture_size(f, "/d/log.33"));
    assert_int_equal(find(f, 1, 90, &place), 0);
    assert_int_equal(place.previous_zxid, 0);
}

/* The file that is being written has been made longer in advance. */
static void test_the_newest_file_counts_with_its_content(void **state)
{
    struct fake_fs *f = *state;
    struct log_dirs dirs = dirs_of(f);
    struct log_place place;
    fixture_write_log(f, "/d", 1, 50);
    fixture_write_log(f, "/d", 51, 90);
    assert_int_equal(log_bridge_find(&dirs, 40, 0, 100, &place), 0);
    assert_int_equal(place.log_bytes, fixture_size(f, "/d/log.1") + 100);
}

static void test_what_is_not_there_is_not_found(void **state)
{
    struct fake_fs *f = *state;
    struct log_place place;
    assert_int_equal(find(f, 5, 0, &place), -ENODATA);
    fixture_write_log(f, "/d", 41, 90);
    assert_int_equal(find(f, 7, 0, &place), -ENODATA);
    assert_int_equal(place.first_zxid, 0);
    assert_int_equal(find(f, 91, 0, &place), -ENODATA);
}

static void test_S8_a_hole_in_the_row_is_a_gap(void **state)
{
    struct fake_fs *f = *state;
    struct log_place place;
    fixture_write_log(f, "/d", 1, 50);
    fixture_write_log(f, "/d", 53, 90);
    assert_int_equal(find(f, 30, 40, &place), 0);
    assert_int_equal(find(f, 30, 60, &place), -ENODATA);
    assert_int_equal(find(f, 53, 90, &place), 0);
}

/* The epoch (1) ended at 50 for all that the log says; the snapshot says that it went on to 80. */
static void test_S8_a_snapshot_between_two_neighbours_is_a_gap(void **state)
{
    struct fake_fs *f = *state;
    struct log_place place;
    int64_t epoch_1 = zxid_make(1, 0);
    int64_t epoch_2 = zxid_make(2, 0);
    fixture_write_log(f, "/d", epoch_1 + 1, epoch_1 + 50);
    fixture_write_log(f, "/d", epoch_2 + 1, epoch_2 + 20);
    write_snapshot(f, "/d/snapshot.100000030", 1);
    assert_int_equal(find(f, epoch_1 + 10, epoch_2 + 20, &place), 0);
    write_snapshot(f, "/d/snapshot.100000050", 1);
    assert_int_equal(find(f, epoch_1 + 10, epoch_2 + 20, &place), -ENODATA);
    assert_int_equal(find(f, epoch_1 + 10, epoch_1 + 50, &place), 0);
    assert_int_equal(find(f, epoch_2 + 1, epoch_2 + 20, &place), 0);
}

/* Reads everything up to until in slices; the zxids must be those from first to last, each with what
 * belongs to it. */
static void assert_stream(struct fake_fs *f, int64_t first, int64_t last, int64_t until,
                          bool is_observer)
{
    struct log_dirs dirs = dirs_of(f);
    struct log_bridge *b;
    struct buf out = BUF_EMPTY;
    struct wire in;
    struct quorum_packet p;
    int rc;
    int slices = 0;
    assert_int_equal(log_bridge_open(&dirs, first - 1, until, is_observer, &b), 0);
    do {
        size_t before = buf_readable(&out);
        rc = log_bridge_read(b, before + 1000, &out);
        slices++;
    } while (rc == 1);
    assert_int_equal(rc, 0);
    assert_true(slices > 1 || last < first);
    log_bridge_close(b);
    wire_init(&in, buf_head(&out), buf_readable(&out));
    for (int64_t zxid = first; zxid <= last; zxid++) {
        assert_true(quorum_packet_decode(&in, &p));
        assert_int_equal(p.type, is_observer ? ZAB_INFORM : ZAB_PROPOSAL);
        assert_int_equal(p.zxid, zxid);
        struct buf entry = BUF_EMPTY;
        fixture_entry(&entry, zxid, 10);
        assert_true(slice_eq(p.data, (struct slice){ entry.data, (int32_t)entry.len }));
        buf_fini(&entry);
        if (!is_observer) {
            assert_true(quorum_packet_decode(&in, &p));
            assert_int_equal(p.type, ZAB_COMMIT);
            assert_int_equal(p.zxid, zxid);
        }
    }
    assert_int_equal(wire_left(&in), 0);
    buf_fini(&out);
}

static void test_reads_across_files_in_slices(void **state)
{
    struct fake_fs *f = *state;
    fixture_write_log(f, "/d", 1, 50);
    fixture_write_log(f, "/d", 51, 90);
    assert_stream(f, 21, 80, 80, false);
    assert_stream(f, 51, 90, 90, true);
}

/* Across epochs the zxids would not show it. */
static void test_S8_a_purge_that_took_the_beginning_is_an_error(void **state)
{
    struct fake_fs *f = *state;
    struct log_dirs dirs = dirs_of(f);
    struct log_bridge *b;
    fixture_write_log(f, "/d", 0x100000001, 0x100000005);
    assert_int_equal(log_bridge_open(&dirs, 30, 0x100000003, false, &b), -ENODATA);
    assert_int_equal(log_bridge_open(&dirs, 0x100000000, 0x100000003, false, &b), -ENODATA);
}

static void test_a_log_that_ends_too_early_is_an_error(void **state)
{
    struct fake_fs *f = *state;
    struct log_dirs dirs = dirs_of(f);
    struct log_bridge *b;
    struct buf out = BUF_EMPTY;
    fixture_write_log(f, "/d", 1, 50);
    assert_int_equal(log_bridge_open(&dirs, 40, 60, false, &b), 0);
    assert_int_equal(log_bridge_read(b, SIZE_MAX, &out), -ENODATA);
    log_bridge_close(b);
    buf_fini(&out);
}

/* Memory may begin with the first txn of an epoch. */
static void test_a_bridge_to_the_start_of_an_epoch_ends_with_the_epoch_before(void **state)
{
    struct fake_fs *f = *state;
    struct log_place place;
    fixture_write_log(f, "/d", 1, 50);
    fixture_write_log(f, "/d", zxid_make(2, 1), zxid_make(2, 9));
    assert_int_equal(find(f, 20, zxid_make(2, 0), &place), 0);
    assert_stream(f, 21, 50, zxid_make(2, 0), false);
    assert_stream(f, 51, 50, zxid_make(2, 0), false);
    write_snapshot(f, "/d/snapshot.100000030", 1);
    assert_int_equal(find(f, 20, zxid_make(2, 0), &place), -ENODATA);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_finds_a_txn_and_the_one_in_front),
        T(test_the_newest_file_counts_with_its_content),
        T(test_what_is_not_there_is_not_found),
        T(test_S8_a_hole_in_the_row_is_a_gap),
        T(test_S8_a_snapshot_between_two_neighbours_is_a_gap),
        T(test_a_bridge_to_the_start_of_an_epoch_ends_with_the_epoch_before),
        T(test_S8_a_purge_that_took_the_beginning_is_an_error),
        T(test_reads_across_files_in_slices),
        T(test_a_log_that_ends_too_early_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
