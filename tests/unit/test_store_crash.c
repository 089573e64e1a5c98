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
#include "common/prng.h"
#include "server/core/peer.h"
#include "server/store/log_thread.h"
#include "server/store/recovery.h"
#include "server/store/snap_thread.h"
#include "server/store/store_event.h"
#include "server/tree/image.h"
#include "tests/lib/log_fixture.h"

/*
 * The life of a data directory: start, write, take snapshots, purge, lose the disk at any file call
 * and then the power, start again ... Txn number n is always the same, so the tree after it has a
 * known digest, and each start can be held against what had been reported durable.
 */
enum { TXNS_MAX = 30000, STARTS = 20, SEEDS = 3 };

struct life {
    struct fake_fs *fs;
    struct prng rng;
    struct thread_queue events;
    struct log_thread *log;
    struct snap_thread *snap;
    struct recovery state; /* the running server's tree */
    int64_t durable_zxid;  /* the newest that was reported */
    bool is_broken;        /* a FAILED event has come */
    int64_t snapshots;     /* SNAP_WRITTEN events */
};

static const struct recovery_options options = {
    .data_dir = "/d",
    .log_dir = "/d",
    .frame_bytes_max = 1048575,
    .tree = { .hash_seed = 5 },
};

/* Digest of the tree after each zxid. */
static uint64_t digests[TXNS_MAX + 1];
static int64_t digests_known;
static struct data_tree *model;

static void apply_to(struct data_tree *tree, int64_t zxid)
{
    struct buf entry = BUF_EMPTY;
    struct txn txn;
    fixture_entry(&entry, zxid, (size_t)(zxid * 7919 % 300));
    assert_true(txn_decode(buf_head(&entry), buf_readable(&entry), &txn));
    data_tree_apply(tree, &txn, NULL);
    buf_fini(&entry);
}

static uint64_t digest_after(int64_t zxid)
{
    assert_in_range(zxid, 0, TXNS_MAX);
    if (model == NULL) {
        model = data_tree_new(&options.tree);
        digests[0] = model->digest;
    }
    while (digests_known < zxid) {
        apply_to(model, ++digests_known);
        digests[digests_known] = model->digest;
    }
    return digests[zxid];
}

static void take_events(struct life *l, struct queue_item *item)
{
    while (item != NULL) {
        struct queue_item *next = item->next;
        struct store_event *event = (struct store_event *)item;
        if (event->type == STORE_LOG_SYNCED) {
            assert_true(event->zxid > l->durable_zxid);
            l->durable_zxid = event->zxid;
        } else if (event->type == STORE_SNAP_WRITTEN) {
            l->snapshots++;
        } else {
            l->is_broken = true;
        }
        free(event);
        item = next;
    }
}

static void start(struct life *l)
{
    assert_int_equal(recovery_run(fake_fs_ops(l->fs), &options, &l->state), 0);
    assert_true(l->state.last_zxid >= l->durable_zxid);
    assert_true(l->state.tree->digest == digest_after(l->state.last_zxid));
    assert_int_equal(l->state.digest_mismatches, 0);
    l->durable_zxid = l->state.last_zxid;
    l->is_broken = false;
    struct log_thread_config log_config = {
        .fs = fake_fs_ops(l->fs),
        .dir = l->state.log_dir,
        .log = { .prealloc_bytes = prng_below(&l->rng, 2) ? 65536 : 0, .force_sync = true },
        .last_zxid = l->state.last_zxid,
        .backlog_bytes_max = 1 << 20,
        .fsync_warning_us = INT64_MAX,
        .events = &l->events,
    };
    assert_int_equal(log_thread_start(&log_config, &l->log), 0);
    struct snap_thread_config snap_config = {
        .fs = fake_fs_ops(l->fs),
        .snapshot_dir = l->state.snapshot_dir,
        .log_dir = l->state.log_dir,
        .retain_count = 3,
        .events = &l->events,
    };
    assert_int_equal(snap_thread_start(&snap_config, &l->snap), 0);
}

static void write_some(struct life *l)
{
    struct buf batch = BUF_EMPTY;
    int64_t count = (int64_t)prng_below(&l->rng, 20);
    for (int64_t i = 0; i < count; i++) {
        int64_t zxid = l->state.tree->last_zxid + 1;
        struct buf entry = BUF_EMPTY;
        fixture_entry(&entry, zxid, (size_t)(zxid * 7919 % 300));
        struct log_entry_head head = { zxid, (int64_t)buf_readable(&entry) };
        buf_append(&batch, &head, sizeof(head));
        buf_append(&batch, buf_head(&entry), buf_readable(&entry));
        buf_fini(&entry);
        apply_to(l->state.tree, zxid);
    }
    log_thread_append(l->log, &batch);
    buf_fini(&batch);
}

/* A snapshot holds only what is durable: wait for that first. The log goes on in a new file. */
static void snapshot(struct life *l)
{
    while (!l->is_broken && l->durable_zxid < l->state.tree->last_zxid) {
        take_events(l, thread_queue_pop_wait(&l->events, -1));
    }
    if (l->is_broken) {
        return;
    }
    struct tree_image image;
    struct buf sessions = BUF_EMPTY;
    tree_image_begin(&image, l->state.tree);
    log_thread_roll(l->log);
    snap_thread_begin(l->snap, image.zxid, image.digest);
    put_int(&sessions, 0);
    snap_thread_write(l->snap, &sessions);
    bool done = false;
    while (!done) {
        done = tree_image_step(&image, 5000);
        snap_thread_write(l->snap, &image.out);
        if (prng_below(&l->rng, 20) == 0) {
            write_some(l); /* the tree changes while its image is written */
        }
    }
    snap_thread_finish(l->snap);
    tree_image_end(&image);
    buf_fini(&sessions);
}

static void stop(struct life *l)
{
    log_thread_stop(l->log);
    snap_thread_stop(l->snap);
    take_events(l, thread_queue_pop_all(&l->events));
    fake_fs_fail_at(l->fs, 0, 0);
    recovery_fini(&l->state);
}

static void live(uint64_t seed)
{
    struct life l = { .fs = fake_fs_new() };
    fake_fs_make_dir(l.fs, "/d");
    prng_init(&l.rng, seed);
    assert_int_equal(thread_queue_init(&l.events), 0);
    for (int i = 0; i < STARTS; i++) {
        start(&l);
        fake_fs_fail_at(l.fs, 1 + prng_below(&l.rng, 120), prng_below(&l.rng, 2) ? EIO : ENOSPC);
        for (int turn = 0; turn < 40 && !l.is_broken; turn++) {
            if (prng_below(&l.rng, 12) == 0) {
                snapshot(&l);
            } else {
                write_some(&l);
            }
            take_events(&l, thread_queue_pop_all(&l.events));
        }
        stop(&l);
        fake_fs_crash(l.fs, prng_below(&l.rng, 4) ? prng_next(&l.rng) : 0);
    }
    start(&l);
    stop(&l);
    assert_true(l.durable_zxid > STARTS * 10);
    assert_true(l.snapshots > 5);
    thread_queue_fini(&l.events);
    fake_fs_free(l.fs);
}

static void test_L1_L10_nothing_durable_is_ever_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        live(seed);
    }
    data_tree_free(model);
    model = NULL;
    digests_known = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_L1_L10_nothing_durable_is_ever_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
