/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How fast the store is on this machine's disk: a log of small txns written with one sync per
 * batch, replayed; a snapshot of the resulting tree written and loaded. Arguments: an empty
 * directory, and how many txns (default 1,000,000). Prints one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_tree.h"
#include "server/store/txnlog.h"

enum { FANOUT = 1000, DATA_BYTES = 32 };

static double seconds_since(int64_t started_us)
{
    return (double)(clock_now_us() - started_us) / 1e6;
}

static void put_create(struct buf *b, int64_t zxid, const char *path, struct vec acl)
{
    char data[DATA_BYTES];
    memset(data, 'd', sizeof(data));
    struct txn txn = { .hdr = { 1, 1, zxid, 1700000000000 + zxid, OP_CREATE } };
    txn.body.create = (struct create_txn){
        .path = slice_of_str(path),
        .data = { (const uint8_t *)data, DATA_BYTES },
        .acl = acl,
        .parent_cversion = -1,
    };
    txn_encode(b, &txn);
}

/* Creates /00000, FANOUT children below it, /00001 ... : count nodes in all. */
static double write_log(const char *dir, int64_t count)
{
    struct txnlog_options opts = { .prealloc_bytes = 64 << 20, .force_sync = true };
    struct txnlog *log = txnlog_new(&fsops_posix, dir, &opts, 0);
    struct buf entry = BUF_EMPTY;
    int64_t started_us = clock_now_us();
    for (int64_t zxid = 1; zxid <= count; zxid++) {
        char path[64];
        int64_t parent = (zxid - 1) / (FANOUT + 1);
        int64_t child = (zxid - 1) % (FANOUT + 1);
        int len = snprintf(path, sizeof(path), "/%05" PRId64, parent);
        if (child > 0) {
            snprintf(path + len, sizeof(path) - (size_t)len, "/node-%05" PRId64, child);
        }
        buf_reset(&entry);
        put_create(&entry, zxid, path, acl_open());
        zk_assert(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)) == 0);
        if (txnlog_batch_is_full(log)) {
            zk_assert(txnlog_commit(log) == 0);
        }
    }
    zk_assert(txnlog_roll(log) == 0);
    double seconds = seconds_since(started_us);
    txnlog_free(log);
    buf_fini(&entry);
    return seconds;
}

static double recover(const char *dir, struct recovery *out)
{
    struct recovery_options opts = {
        .data_dir = dir,
        .log_dir = dir,
        .frame_bytes_max = 1048575,
        .tree = { .hash_seed = 7 },
    };
    int64_t started_us = clock_now_us();
    int rc = recovery_run(&fsops_posix, &opts, out);
    if (rc != 0) {
        fprintf(stderr, "%s\n", out->error);
        exit(1);
    }
    return seconds_since(started_us);
}

/* What one sync of a small batch costs here: the floor under every durable write. */
static double sync_cost_us(const char *dir, int64_t last_zxid)
{
    enum { ROUNDS = 200 };
    struct txnlog_options opts = { .prealloc_bytes = 64 << 20, .force_sync = true };
    struct txnlog *log = txnlog_new(&fsops_posix, dir, &opts, last_zxid);
    struct buf entry = BUF_EMPTY;
    int64_t started_us = clock_now_us();
    for (int64_t zxid = last_zxid + 1; zxid <= last_zxid + ROUNDS; zxid++) {
        buf_reset(&entry);
        put_create(&entry, zxid, "/again", acl_open());
        zk_assert(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)) == 0);
        zk_assert(txnlog_commit(log) == 0);
    }
    double us = seconds_since(started_us) * 1e6 / ROUNDS;
    zk_assert(txnlog_roll(log) == 0);
    txnlog_free(log);
    buf_fini(&entry);
    return us;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_bench EMPTY_DIRECTORY [TXNS]\n");
        return 2;
    }
    log_set_level(LOG_WARN);
    int64_t count = argc > 2 ? atoll(argv[2]) : 1000000;
    struct recovery out;
    recover(argv[1], &out); /* makes the directory and snapshot.0 */
    char *dir = xstrdup(out.log_dir);
    recovery_fini(&out);

    double write_seconds = write_log(dir, count);
    double replay_seconds = recover(argv[1], &out);
    zk_assert(out.last_zxid == count);
    int64_t started_us = clock_now_us();
    zk_assert(snapshot_write_tree(&fsops_posix, dir, out.tree, out.sessions, out.session_count) ==
              0);
    double snapshot_seconds = seconds_since(started_us);
    recovery_fini(&out);

    double load_seconds = recover(argv[1], &out);
    zk_assert(out.txn_count == 0);
    zk_assert(data_tree_count(out.tree) == count + 4);
    recovery_fini(&out);
    double sync_us = sync_cost_us(dir, count);

    printf("{\"txns\": %" PRId64 ", \"log_write_s\": %.3f, \"log_replay_s\": %.3f, "
           "\"snapshot_write_s\": %.3f, \"snapshot_load_s\": %.3f, \"sync_us\": %.1f}\n",
           count, write_seconds, replay_seconds, snapshot_seconds, load_seconds, sync_us);
    free(dir);
    return 0;
}
