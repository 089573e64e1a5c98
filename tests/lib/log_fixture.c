/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/log_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/jute/txn.h"
#include "server/store/txnlog_truncate.h"

int fixture_setup(void **state)
{
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fake_fs_free(*state);
    return 0;
}

const struct txnlog_options fixture_log_options = { .force_sync = true };

void fixture_entry(struct buf *b, int64_t zxid, size_t data_len)
{
    struct buf acl = BUF_EMPTY;
    acl_encode(&acl, &(struct acl){ 31, slice_of_str("world"), slice_of_str("anyone") });
    char *path = xasprintf("/n%" PRIx64, (uint64_t)zxid);
    char *data = xcalloc(1, data_len + 1);
    memset(data, 'x', data_len);
    struct txn txn = { .hdr = { 0x1000, 1, zxid, 1700000000000 + zxid, OP_CREATE } };
    txn.body.create = (struct create_txn){
        .path = slice_of_str(path),
        .data = { (const uint8_t *)data, (int32_t)data_len },
        .acl = { 1, { buf_head(&acl), (int32_t)buf_readable(&acl) } },
        .parent_cversion = (int32_t)zxid,
    };
    txn_encode(b, &txn);
    free(data);
    free(path);
    buf_fini(&acl);
}

int fixture_append(struct txnlog *log, int64_t zxid)
{
    struct buf entry = BUF_EMPTY;
    fixture_entry(&entry, zxid, 10);
    int rc = txnlog_append(log, zxid, buf_head(&entry), buf_readable(&entry));
    buf_fini(&entry);
    return rc;
}

void fixture_write_log(struct fake_fs *f, const char *dir, int64_t first, int64_t last)
{
    struct txnlog *log = txnlog_new(fake_fs_ops(f), dir, &fixture_log_options, first - 1);
    for (int64_t zxid = first; zxid <= last; zxid++) {
        zk_assert(fixture_append(log, zxid) == 0);
    }
    zk_assert(txnlog_roll(log) == 0);
    txnlog_free(log);
}

static struct fixture_read read_all(struct txnlog_reader *reader)
{
    struct fixture_read out = { .cut_bytes = -1 };
    struct txnlog_entry entry;
    int rc;
    while ((rc = txnlog_reader_next(reader, &entry)) == 1) {
        struct txn txn;
        zk_assert(txn_decode(entry.data, entry.len, &txn));
        zk_assert(txn.hdr.zxid == entry.zxid);
        out.first_zxid = out.count == 0 ? entry.zxid : out.first_zxid;
        out.last_zxid = entry.zxid;
        out.count++;
    }
    out.rc = rc;
    const char *text = NULL;
    if (rc != 0) {
        text = txnlog_reader_error(reader);
    } else {
        const struct txnlog_tail *tail = txnlog_reader_tail(reader);
        out.needs_repair = tail->needs_repair;
        out.keep_files = tail->keep_files;
        out.cut_bytes = tail->cut_bytes;
        text = tail->reason;
    }
    snprintf(out.text, sizeof(out.text), "%s", text != NULL ? text : "");
    return out;
}

static struct fixture_read read_and_repair(struct fake_fs *f, const char *dir, int64_t after_zxid,
                                           bool repair)
{
    struct txnlog_reader *reader;
    int rc = txnlog_reader_open(fake_fs_ops(f), dir, after_zxid, FIXTURE_ENTRY_MAX, &reader);
    if (rc != 0) {
        return (struct fixture_read){ .rc = rc };
    }
    struct fixture_read out = read_all(reader);
    if (repair && out.rc == 0) {
        out.rc = txnlog_repair(fake_fs_ops(f), dir, txnlog_reader_files(reader),
                               txnlog_reader_tail(reader));
    }
    txnlog_reader_close(reader);
    return out;
}

struct fixture_read fixture_read_log(struct fake_fs *f, const char *dir, int64_t after_zxid)
{
    return read_and_repair(f, dir, after_zxid, false);
}

struct fixture_read fixture_recover_log(struct fake_fs *f, const char *dir, int64_t after_zxid)
{
    struct fixture_read first = read_and_repair(f, dir, after_zxid, true);
    if (first.rc == 0) {
        struct fixture_read again = fixture_read_log(f, dir, after_zxid);
        zk_assert(again.rc == 0);
        zk_assert(!again.needs_repair);
        zk_assert(again.count == first.count);
        zk_assert(again.last_zxid == first.last_zxid);
    }
    return first;
}

/* A copy of the file's content; the caller frees it. */
static uint8_t *take_copy(struct fake_fs *f, const char *path, size_t *len)
{
    const uint8_t *data = fake_fs_get(f, path, len);
    zk_assert(data != NULL);
    return xmemdup(data, *len);
}

void fixture_cut(struct fake_fs *f, const char *path, size_t len)
{
    size_t old;
    uint8_t *copy = take_copy(f, path, &old);
    zk_assert(len <= old);
    fake_fs_put(f, path, copy, len);
    free(copy);
}

void fixture_poke(struct fake_fs *f, const char *path, size_t offset, uint8_t value)
{
    size_t len;
    uint8_t *copy = take_copy(f, path, &len);
    zk_assert(offset < len);
    copy[offset] = value;
    fake_fs_put(f, path, copy, len);
    free(copy);
}

void fixture_flip(struct fake_fs *f, const char *path, size_t offset)
{
    size_t len;
    const uint8_t *data = fake_fs_get(f, path, &len);
    zk_assert(offset < len);
    fixture_poke(f, path, offset, data[offset] ^ 0x40);
}

size_t fixture_size(struct fake_fs *f, const char *path)
{
    size_t len;
    zk_assert(fake_fs_get(f, path, &len) != NULL);
    return len;
}
