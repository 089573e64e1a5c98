/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a transaction log behind snapshot.0. The first byte says how:
 *
 *      'f'  the rest is the file log.1
 *      'e'  the rest are entries, each led by its length in one byte and without the first 20
 *           bytes of its header: they get valid ones, checksums too, so that the fuzzer reaches
 *           the tree
 *
 * Either recovery refuses with a text, or what it gives is there again at the next start.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/log.h"
#include "server/store/recovery.h"
#include "server/store/txnlog.h"
#include "tests/lib/fake_fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct recovery_options options = {
    .data_dir = "/d",
    .log_dir = "/d",
    .frame_bytes_max = 4096,
    .tree = { .hash_seed = 1, .extended_types = true },
};

static void put_entries(struct fake_fs *f, const uint8_t *at, size_t left)
{
    struct txnlog_options log_options = { 0 };
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d/version-2", &log_options, 0);
    for (int64_t zxid = 1; left > 1; zxid++) {
        size_t len = at[0] < left ? at[0] : left - 1;
        struct buf entry = BUF_EMPTY;
        put_long(&entry, 0x1000 + at[0] % 3);
        put_int(&entry, 1);
        put_long(&entry, zxid);
        buf_append(&entry, at + 1, len);
        if (buf_readable(&entry) >= TXN_HEADER_BYTES) {
            zk_assert(txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry)) == 0);
        } else {
            zxid--;
        }
        buf_fini(&entry);
        at += len + 1;
        left -= len + 1;
    }
    zk_assert(txnlog_roll(log) == 0);
    txnlog_free(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    log_set_level(LOG_ERROR);
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    struct recovery first;
    zk_assert(recovery_run(fake_fs_ops(f), &options, &first) == 0);
    recovery_fini(&first);
    if (data[0] == 'e') {
        put_entries(f, data + 1, len - 1);
    } else {
        fake_fs_put(f, "/d/version-2/log.1", data + 1, len - 1);
    }
    int rc = recovery_run(fake_fs_ops(f), &options, &first);
    zk_assert((rc == 0) == (first.error == NULL));
    int64_t last_zxid = first.last_zxid;
    uint64_t digest = rc == 0 ? first.tree->digest : 0;
    recovery_fini(&first);
    if (rc == 0) {
        zk_assert(recovery_run(fake_fs_ops(f), &options, &first) == 0);
        zk_assert(first.last_zxid == last_zxid);
        zk_assert(first.tree->digest == digest);
        recovery_fini(&first);
    }
    fake_fs_free(f);
    return 0;
}
