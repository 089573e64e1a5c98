/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "server/store/snapshot_tree.h"
#include "tests/lib/log_fixture.h"

/*
 * The hexdumps in docs/on-disk.md are what the server really writes: one log and one snapshot of a
 * session that creates /zkPro with the data MyData.
 */
static const int64_t session_id = 0x1000012a8d50000;
static const int64_t time_ms = 1767225600000; /* 2026-01-01T00:00:00Z */

/* The text of the fenced block behind the line <!-- hexdump: name -->. */
static char *documented(const char *name)
{
    struct buf doc = BUF_EMPTY;
    struct buf marker = BUF_EMPTY;
    assert_int_equal(fs_read_file(&fsops_posix, "docs/on-disk.md", 1 << 20, &doc), 0);
    char *text = buf_take_str(&doc);
    buf_printf(&marker, "<!-- hexdump: %s -->\n```\n", name);
    char *marker_text = buf_take_str(&marker);
    char *start = strstr(text, marker_text);
    assert_non_null(start);
    start += strlen(marker_text);
    char *end = strstr(start, "```");
    assert_non_null(end);
    *end = '\0';
    memmove(text, start, (size_t)(end - start) + 1);
    free(marker_text);
    return text;
}

/* As `hexdump -C` prints it, but every line in full. */
static char *dump(const uint8_t *data, size_t len)
{
    struct buf out = BUF_EMPTY;
    for (size_t at = 0; at < len; at += 16) {
        size_t count = len - at < 16 ? len - at : 16;
        buf_printf(&out, "%08zx ", at);
        for (size_t i = 0; i < 16; i++) {
            buf_append_str(&out, i == 8 ? " " : "");
            if (i < count) {
                buf_printf(&out, " %02x", data[at + i]);
            } else {
                buf_append_str(&out, "   ");
            }
        }
        buf_append_str(&out, "  |");
        for (size_t i = 0; i < count; i++) {
            uint8_t c = data[at + i];
            buf_printf(&out, "%c", c >= 0x20 && c < 0x7f ? c : '.');
        }
        buf_append_str(&out, "|\n");
    }
    return buf_take_str(&out);
}

static void assert_is_documented(struct fake_fs *f, const char *path, const char *name)
{
    size_t len;
    const uint8_t *data = fake_fs_get(f, path, &len);
    assert_non_null(data);
    char *expected = documented(name);
    char *got = dump(data, len);
    assert_string_equal(got, expected);
    free(got);
    free(expected);
}

/* Applies the txn, and logs it with the digest of the tree behind it. */
static void run(struct data_tree *tree, struct txnlog *log, struct txn *txn)
{
    struct buf entry = BUF_EMPTY;
    data_tree_apply(tree, txn, NULL);
    txn->has_digest = true;
    txn->digest = (struct txn_digest){ TXN_DIGEST_VERSION, (int64_t)tree->digest };
    txn_encode(&entry, txn);
    assert_int_equal(txnlog_append(log, txn->hdr.zxid, buf_head(&entry), buf_readable(&entry)), 0);
    buf_fini(&entry);
}

static void test_hexdumps_are_real(void **state)
{
    (void)state;
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    struct data_tree *tree = data_tree_new(&(struct data_tree_config){ .hash_seed = 1 });
    struct txnlog *log = txnlog_new(fake_fs_ops(f), "/d", &fixture_log_options, 0);
    struct txn open = { .hdr = { session_id, 0, 1, time_ms, OP_CREATE_SESSION } };
    open.body.create_session.timeout_ms = 30000;
    run(tree, log, &open);
    struct txn create = { .hdr = { session_id, 1, 2, time_ms + 250, OP_CREATE } };
    create.body.create = (struct create_txn){
        .path = slice_of_str("/zkPro"),
        .data = slice_of_str("MyData"),
        .acl = acl_open(),
        .parent_cversion = 1,
    };
    run(tree, log, &create);
    assert_int_equal(txnlog_roll(log), 0);
    txnlog_free(log);
    struct saved_session session = { session_id, 30000 };
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), "/d", tree, &session, 1), 0);
    data_tree_free(tree);
    assert_is_documented(f, "/d/log.1", "log.1");
    assert_is_documented(f, "/d/snapshot.2", "snapshot.2");
    fake_fs_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hexdumps_are_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
