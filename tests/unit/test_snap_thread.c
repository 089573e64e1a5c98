/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/purge.h"
#include "server/store/snap_thread.h"
#include "server/store/snapshot_reader.h"
#include "server/store/store_event.h"
#include "server/tree/data_tree.h"
#include "server/tree/image.h"
#include "tests/lib/log_fixture.h"

struct fixture {
    struct fake_fs *fs;
    struct thread_queue events;
    struct snap_thread *thread;
    struct data_tree *tree; /* of 300 nodes */
};

static void start(struct fixture *x, size_t retain_count)
{
    x->fs = fake_fs_new();
    fake_fs_make_dir(x->fs, "/d");
    assert_int_equal(thread_queue_init(&x->events), 0);
    struct snap_thread_config config = {
        .fs = fake_fs_ops(x->fs),
        .snapshot_dir = "/d",
        .log_dir = "/d",
        .retain_count = retain_count,
        .events = &x->events,
    };
    assert_int_equal(snap_thread_start(&config, &x->thread), 0);
    x->tree = data_tree_new(&(struct data_tree_config){ .hash_seed = 3 });
    for (int64_t zxid = 1; zxid <= 300; zxid++) {
        struct buf entry = BUF_EMPTY;
        struct txn txn;
        fixture_entry(&entry, zxid, 2000);
        assert_true(txn_decode(buf_head(&entry), buf_readable(&entry), &txn));
        data_tree_apply(x->tree, &txn, NULL);
        buf_fini(&entry);
    }
}

static void finish(struct fixture *x)
{
    assert_null(thread_queue_pop_all(&x->events));
    thread_queue_fini(&x->events);
    data_tree_free(x->tree);
    fake_fs_free(x->fs);
}

static struct store_event wait_event(struct fixture *x)
{
    struct queue_item *item = thread_queue_pop_wait(&x->events, -1);
    assert_non_null(item);
    assert_null(item->next);
    struct store_event event = *(struct store_event *)item;
    free(item);
    return event;
}

/* Feeds a snapshot of the tree under the given zxid, but not its end. */
static void feed(struct fixture *x, int64_t zxid)
{
    struct tree_image image;
    struct buf sessions = BUF_EMPTY;
    tree_image_begin(&image, x->tree);
    snap_thread_begin(x->thread, zxid, image.digest);
    put_int(&sessions, 0);
    snap_thread_write(x->thread, &sessions);
    bool done = false;
    while (!done) {
        done = tree_image_step(&image, 10000);
        snap_thread_write(x->thread, &image.out);
    }
    tree_image_end(&image);
    buf_fini(&sessions);
}

static void assert_whole(struct fixture *x, const char *name)
{
    struct version_file file = { .name = (char *)(uintptr_t)name };
    struct snapshot_info info;
    assert_true(version_name_parse(name, VERSION_SNAPSHOT, &file));
    assert_int_equal(snapshot_read(fake_fs_ops(x->fs), "/d", &file, &snapshot_sink_none, &info), 0);
    assert_int_equal(info.node_count, 304);
    assert_true(info.digest == x->tree->digest);
}

static void test_snapshot_is_written_and_reported(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, 0);
    feed(&x, 300);
    snap_thread_finish(x.thread);
    struct store_event event = wait_event(&x);
    assert_int_equal(event.type, STORE_SNAP_WRITTEN);
    assert_int_equal(event.zxid, 300);
    assert_true(event.byte_count > 300 * 2000);
    assert_int_equal(snap_thread_backlog_bytes(x.thread), 0);
    snap_thread_stop(x.thread);
    fake_fs_crash(x.fs, 0);
    assert_whole(&x, "snapshot.12c");
    finish(&x);
}

static void test_L8_purge_follows_the_snapshot(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, PURGE_RETAIN_MIN);
    for (int64_t zxid = 1; zxid <= 5; zxid++) {
        feed(&x, zxid);
        snap_thread_finish(x.thread);
        assert_int_equal(wait_event(&x).type, STORE_SNAP_WRITTEN);
    }
    snap_thread_stop(x.thread);
    assert_int_equal(fake_fs_count(x.fs, "/d"), 3);
    assert_whole(&x, "snapshot.3");
    finish(&x);
}

static void test_purge_on_request(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, 0);
    for (int64_t zxid = 1; zxid <= 5; zxid++) {
        feed(&x, zxid);
        snap_thread_finish(x.thread);
        assert_int_equal(wait_event(&x).type, STORE_SNAP_WRITTEN);
    }
    snap_thread_purge(x.thread, 4);
    snap_thread_stop(x.thread);
    assert_int_equal(fake_fs_count(x.fs, "/d"), 4);
    finish(&x);
}

static void test_L5_abort_and_stop_leave_no_half_snapshot(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, 0);
    feed(&x, 1);
    snap_thread_abort(x.thread);
    snap_thread_abort(x.thread); /* nothing begun: nothing to do */
    feed(&x, 2);
    snap_thread_finish(x.thread);
    assert_int_equal(wait_event(&x).zxid, 2);
    feed(&x, 3);
    snap_thread_stop(x.thread);
    assert_int_equal(fake_fs_count(x.fs, "/d"), 1);
    assert_whole(&x, "snapshot.2");
    finish(&x);
}

/* One failure event, and the next snapshot works. */
static void test_each_file_call_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    uint64_t nth = 1;
    for (; has_failed; nth++) {
        struct fixture x;
        start(&x, 0);
        fake_fs_fail_at(x.fs, nth, ENOSPC);
        feed(&x, 7);
        snap_thread_finish(x.thread);
        struct store_event event = wait_event(&x);
        has_failed = fake_fs_has_failed(x.fs);
        if (has_failed) {
            assert_int_equal(event.type, STORE_SNAP_FAILED);
            assert_int_equal(event.error, -ENOSPC);
        } else {
            assert_int_equal(event.type, STORE_SNAP_WRITTEN);
        }
        assert_int_equal(event.zxid, 7);
        fake_fs_fail_at(x.fs, 0, 0);
        feed(&x, 8);
        snap_thread_finish(x.thread);
        event = wait_event(&x);
        assert_int_equal(event.type, STORE_SNAP_WRITTEN);
        assert_int_equal(event.zxid, 8);
        assert_int_equal(snap_thread_backlog_bytes(x.thread), 0);
        snap_thread_stop(x.thread);
        assert_whole(&x, "snapshot.8");
        finish(&x);
    }
    assert_true(nth > 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_is_written_and_reported),
        cmocka_unit_test(test_L8_purge_follows_the_snapshot),
        cmocka_unit_test(test_purge_on_request),
        cmocka_unit_test(test_L5_abort_and_stop_leave_no_half_snapshot),
        cmocka_unit_test(test_each_file_call_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
