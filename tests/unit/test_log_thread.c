/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/peer.h"
#include "server/store/log_thread.h"
#include "server/store/store_event.h"
#include "tests/lib/log_fixture.h"

enum { TXN_BYTES_MAX = 100200 }; /* of those made here, with their record around them */

struct fixture {
    struct fake_fs *fs;
    struct thread_queue events;
    struct log_thread *thread;
};

static void start(struct fixture *x, const struct txnlog_options *opts, int64_t last_zxid)
{
    x->fs = fake_fs_new();
    fake_fs_make_dir(x->fs, "/d");
    assert_int_equal(thread_queue_init(&x->events), 0);
    struct log_thread_config config = {
        .fs = fake_fs_ops(x->fs),
        .dir = "/d",
        .log = *opts,
        .last_zxid = last_zxid,
        .backlog_bytes_max = 10000,
        .fsync_warning_us = 3600000000,
        .events = &x->events,
    };
    assert_int_equal(log_thread_start(&config, &x->thread), 0);
}

static void finish(struct fixture *x)
{
    struct queue_item *item = thread_queue_pop_all(&x->events);
    while (item != NULL) {
        struct queue_item *next = item->next;
        free(item);
        item = next;
    }
    thread_queue_fini(&x->events);
    fake_fs_free(x->fs);
}

static void put_txn(struct buf *batch, int64_t zxid, size_t data_len)
{
    struct buf entry = BUF_EMPTY;
    fixture_entry(&entry, zxid, data_len);
    struct log_entry_head head = { zxid, (int64_t)buf_readable(&entry) };
    buf_append(batch, &head, sizeof(head));
    buf_append(batch, buf_head(&entry), buf_readable(&entry));
    buf_fini(&entry);
}

static void append(struct fixture *x, int64_t first, int64_t last)
{
    struct buf batch = BUF_EMPTY;
    for (int64_t zxid = first; zxid <= last; zxid++) {
        put_txn(&batch, zxid, 10);
    }
    log_thread_append(x->thread, &batch);
    assert_int_equal(buf_readable(&batch), 0);
    buf_fini(&batch);
}

/* Waits for events until one says zxid is durable, or the log failed; the last event. */
static struct store_event wait_synced(struct fixture *x, int64_t zxid)
{
    struct store_event last = { .type = STORE_LOG_SYNCED };
    while (last.type == STORE_LOG_SYNCED && last.zxid < zxid) {
        struct queue_item *item = thread_queue_pop_wait(&x->events, -1);
        while (item != NULL) {
            struct queue_item *next = item->next;
            struct store_event *event = (struct store_event *)item;
            assert_true(event->zxid > last.zxid || event->type == STORE_LOG_FAILED);
            assert_true(event->byte_count <= TXNLOG_BATCH_BYTES_MAX + TXN_BYTES_MAX);
            last = *event;
            free(event);
            item = next;
        }
    }
    return last;
}

static void test_lone_writer_gets_one_sync_each(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 20; zxid++) {
        uint64_t syncs = fake_fs_syncs(x.fs);
        append(&x, zxid, zxid);
        struct store_event event = wait_synced(&x, zxid);
        assert_int_equal(event.type, STORE_LOG_SYNCED);
        assert_int_equal(event.zxid, zxid);
        assert_int_equal(event.txn_count, 1);
        assert_true(event.duration_us >= 0);
        assert_int_equal(fake_fs_syncs(x.fs), syncs + 1);
    }
    assert_int_equal(log_thread_backlog_bytes(x.thread), 0);
    assert_int_equal(log_thread_stop(x.thread), 0);
    assert_int_equal(fixture_read_log(x.fs, "/d", 0).count, 20);
    finish(&x);
}

/* L1: what is reported synced survives the loss of all unsynced bytes. */
static void test_L1_synced_event_means_durable(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    append(&x, 1, 50);
    append(&x, 51, 51);
    wait_synced(&x, 51);
    assert_int_equal(log_thread_stop(x.thread), 0);
    fake_fs_crash(x.fs, 0);
    assert_int_equal(fixture_recover_log(x.fs, "/d", 0).last_zxid, 51);
    finish(&x);
}

static void test_many_appends_share_syncs(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 5000; zxid++) {
        append(&x, zxid, zxid);
    }
    wait_synced(&x, 5000);
    assert_int_equal(log_thread_stop(x.thread), 0);
    assert_true(fake_fs_syncs(x.fs) <= 5000);
    assert_int_equal(fixture_read_log(x.fs, "/d", 0).count, 5000);
    finish(&x);
}

/* The reader's idea of what one crash can tear depends on it. */
static void test_L4_batches_are_bounded(void **state)
{
    (void)state;
    struct fixture x;
    struct buf batch = BUF_EMPTY;
    start(&x, &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 50; zxid++) {
        put_txn(&batch, zxid, 100000);
    }
    log_thread_append(x.thread, &batch);
    assert_int_equal(wait_synced(&x, 50).zxid, 50);
    assert_true(fake_fs_syncs(x.fs) >= 4);
    assert_int_equal(log_thread_stop(x.thread), 0);
    finish(&x);
}

static void test_backlog_is_a_metric_with_a_limit(void **state)
{
    (void)state;
    struct fixture x;
    struct buf batch = BUF_EMPTY;
    start(&x, &fixture_log_options, 0);
    assert_false(log_thread_is_full(x.thread));
    put_txn(&batch, 1, 20000);
    log_thread_append(x.thread, &batch);
    wait_synced(&x, 1);
    assert_int_equal(log_thread_backlog_bytes(x.thread), 0);
    assert_false(log_thread_is_full(x.thread));
    assert_true(log_thread_file_bytes(x.thread) > 20000);
    assert_int_equal(log_thread_stop(x.thread), 0);
    finish(&x);
}

/* A log that takes nothing any more keeps its backlog, and so does not invite more. */
static void test_backlog_stays_after_a_failure(void **state)
{
    (void)state;
    struct fixture x;
    struct buf batch = BUF_EMPTY;
    start(&x, &fixture_log_options, 0);
    fake_fs_fail_at(x.fs, 1, EROFS);
    put_txn(&batch, 1, 20000);
    log_thread_append(x.thread, &batch);
    assert_int_equal(wait_synced(&x, 1).error, -EROFS);
    assert_true(log_thread_backlog_bytes(x.thread) > 20000);
    assert_true(log_thread_is_full(x.thread));
    assert_int_equal(log_thread_stop(x.thread), -EROFS);
    finish(&x);
}

static void test_roll_travels_in_order(void **state)
{
    (void)state;
    struct fixture x;
    struct txnlog_options opts = { .prealloc_bytes = 65536, .force_sync = true };
    start(&x, &opts, 0);
    append(&x, 1, 3);
    log_thread_roll(x.thread);
    append(&x, 4, 5);
    log_thread_roll(x.thread);
    log_thread_roll(x.thread);
    append(&x, 6, 6);
    wait_synced(&x, 6);
    assert_int_equal(log_thread_stop(x.thread), 0);
    assert_true(fake_fs_has(x.fs, "/d/log.1"));
    assert_true(fake_fs_has(x.fs, "/d/log.4"));
    assert_true(fake_fs_has(x.fs, "/d/log.6"));
    assert_int_equal(fake_fs_count(x.fs, "/d"), 3);
    struct fixture_read got = fixture_read_log(x.fs, "/d", 0);
    assert_int_equal(got.count, 6);
    assert_false(got.needs_repair);
    assert_true(fixture_size(x.fs, "/d/log.6") < 1000); /* the tail was given back at the stop */
    finish(&x);
}

static void test_stop_drains(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    for (int64_t zxid = 1; zxid <= 300; zxid += 3) {
        append(&x, zxid, zxid + 2);
    }
    assert_int_equal(log_thread_stop(x.thread), 0);
    assert_int_equal(fixture_read_log(x.fs, "/d", 0).count, 300);
    assert_int_equal(wait_synced(&x, 300).zxid, 300);
    finish(&x);
}

static void test_stop_without_work_touches_nothing(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    assert_int_equal(log_thread_stop(x.thread), 0);
    assert_int_equal(fake_fs_calls(x.fs), 0);
    finish(&x);
}

static void test_L1_failure_is_reported_once_and_final(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 0);
    append(&x, 1, 1);
    wait_synced(&x, 1);
    fake_fs_fail_at(x.fs, 2, ENOSPC);
    append(&x, 2, 2);
    struct store_event event = wait_synced(&x, 2);
    assert_int_equal(event.type, STORE_LOG_FAILED);
    assert_int_equal(event.error, -ENOSPC);
    assert_int_equal(event.zxid, 1);
    append(&x, 3, 3);
    log_thread_roll(x.thread);
    append(&x, 4, 4);
    assert_int_equal(log_thread_stop(x.thread), -ENOSPC);
    assert_null(thread_queue_pop_all(&x.events));
    finish(&x);
}

static void test_L2_descending_zxid_ends_the_log(void **state)
{
    (void)state;
    struct fixture x;
    start(&x, &fixture_log_options, 5);
    append(&x, 5, 5);
    struct store_event event = wait_synced(&x, 5);
    assert_int_equal(event.type, STORE_LOG_FAILED);
    assert_int_equal(event.error, -EINVAL);
    assert_int_equal(log_thread_stop(x.thread), -EINVAL);
    finish(&x);
}

static void test_each_file_call_may_fail_once(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct fixture x;
        struct txnlog_options opts = { .prealloc_bytes = 4096, .force_sync = true };
        start(&x, &opts, 0);
        fake_fs_fail_at(x.fs, nth, EIO);
        int64_t durable = 0;
        for (int64_t zxid = 1; zxid <= 12; zxid++) {
            append(&x, zxid, zxid);
            struct store_event event = wait_synced(&x, zxid);
            if (event.type == STORE_LOG_FAILED) {
                break;
            }
            durable = event.zxid;
            if (zxid % 5 == 0) {
                log_thread_roll(x.thread);
            }
        }
        int rc = log_thread_stop(x.thread);
        has_failed = fake_fs_has_failed(x.fs);
        assert_int_equal(rc, has_failed ? -EIO : 0);
        assert_true(has_failed || durable == 12);
        fake_fs_fail_at(x.fs, 0, 0);
        fake_fs_crash(x.fs, 0);
        assert_true(fixture_recover_log(x.fs, "/d", 0).last_zxid >= durable);
        finish(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone_writer_gets_one_sync_each),
        cmocka_unit_test(test_L1_synced_event_means_durable),
        cmocka_unit_test(test_many_appends_share_syncs),
        cmocka_unit_test(test_L4_batches_are_bounded),
        cmocka_unit_test(test_backlog_is_a_metric_with_a_limit),
        cmocka_unit_test(test_backlog_stays_after_a_failure),
        cmocka_unit_test(test_roll_travels_in_order),
        cmocka_unit_test(test_stop_drains),
        cmocka_unit_test(test_stop_without_work_touches_nothing),
        cmocka_unit_test(test_L1_failure_is_reported_once_and_final),
        cmocka_unit_test(test_L2_descending_zxid_ends_the_log),
        cmocka_unit_test(test_each_file_call_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
