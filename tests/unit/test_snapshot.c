/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/xalloc.h"
#include "server/store/snapshot_tree.h"
#include "server/store/snapshot_writer.h"
#include "server/store/snappy.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/tree_text.h"

static const struct data_tree_config tree_config = { .hash_seed = 1, .extended_types = true };
static const struct saved_session two_sessions[] = { { 0x1000, 30000 }, { 0x2000, 40000 } };

/* A tree after the fixture's txns 1 to count, with data_len bytes in each node. */
static struct data_tree *make_tree(int64_t count, size_t data_len)
{
    struct data_tree *tree = data_tree_new(&tree_config);
    for (int64_t zxid = 1; zxid <= count; zxid++) {
        struct buf entry = BUF_EMPTY;
        struct txn txn;
        fixture_entry(&entry, zxid, data_len);
        assert_true(txn_decode(buf_head(&entry), buf_readable(&entry), &txn));
        data_tree_apply(tree, &txn, NULL);
        buf_fini(&entry);
    }
    return tree;
}

/* Writes snapshot.<count> and gives its text. */
static char *write_tree(struct fake_fs *f, int64_t count, size_t data_len)
{
    struct data_tree *tree = make_tree(count, data_len);
    assert_int_equal(snapshot_write_tree(fake_fs_ops(f), "/d", tree, two_sessions, 2), 0);
    char *text = tree_text(tree, two_sessions, 2);
    data_tree_free(tree);
    return text;
}

static struct version_file file_of(const char *name)
{
    struct version_file file = { .name = (char *)(uintptr_t)name };
    assert_true(version_name_parse(name, VERSION_SNAPSHOT, &file));
    return file;
}

static int check(struct fake_fs *f, const char *name, struct snapshot_info *info)
{
    struct version_file file = file_of(name);
    return snapshot_read(fake_fs_ops(f), "/d", &file, &snapshot_sink_none, info);
}

static void assert_loads_as(struct fake_fs *f, const char *name, const char *text)
{
    struct version_file file = file_of(name);
    struct data_tree *tree = data_tree_new(&tree_config);
    struct session_map sessions;
    struct snapshot_info info;
    session_map_init(&sessions);
    assert_int_equal(snapshot_load_tree(fake_fs_ops(f), "/d", &file, tree, &sessions, &info), 0);
    assert_true(info.has_digest);
    assert_true(info.digest == tree->digest);
    assert_int_equal(info.digest_zxid, tree->last_zxid);
    size_t count;
    struct saved_session *list = session_map_list(&sessions, &count);
    char *got = tree_text(tree, list, count);
    assert_string_equal(got, text);
    free(got);
    free(list);
    session_map_fini(&sessions);
    data_tree_free(tree);
}

static void test_round_trip(void **state)
{
    struct fake_fs *f = *state;
    char *text = write_tree(f, 40, 10);
    assert_loads_as(f, "snapshot.28", text);
    free(text);
}

static void test_round_trip_larger_than_every_window(void **state)
{
    struct fake_fs *f = *state;
    char *text = write_tree(f, 7, 900001);
    assert_loads_as(f, "snapshot.7", text);
    free(text);
    text = write_tree(f, 8000, 200);
    assert_loads_as(f, "snapshot.1f40", text);
    free(text);
}

/* The smallest snapshot byte by byte: the layout of docs/on-disk.md. */
static void test_layout(void **state)
{
    struct fake_fs *f = *state;
    struct snapshot_writer *w;
    static const char payload[] = "\0\0\0\0"   /* no session */
                                  "\0\0\0\0"   /* no ACL */
                                  "\0\0\0\1/"; /* end of nodes */
    static const char expected[] = "ZKSN\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_int_equal(snapshot_writer_open(fake_fs_ops(f), "/d", 0x123, &w), 0);
    assert_int_equal(snapshot_writer_write(w, payload, sizeof(payload) - 1), 0);
    assert_int_equal(snapshot_writer_bytes(w), 16 + 13);
    assert_int_equal(snapshot_writer_finish(w, 0x1122334455667788), 0);
    size_t len;
    const uint8_t *file = fake_fs_get(f, "/d/snapshot.123", &len);
    assert_int_equal(len, 16 + 13 + 13 + 20 + 13 + 8 + 13);
    assert_memory_equal(file, expected, 16);
    assert_memory_equal(file + 16, payload, 13);
    const size_t seals[] = { 29, 62, 83 };
    for (size_t i = 0; i < 3; i++) {
        struct buf seal = BUF_EMPTY;
        put_long(&seal, (int64_t)adler32(1, file, (uInt)seals[i]));
        put_slice(&seal, slice_of_str("/"));
        assert_memory_equal(file + seals[i], buf_head(&seal), 13);
        buf_fini(&seal);
    }
    assert_memory_equal(file + 42, "\0\0\0\0\0\0\1\x23\0\0\0\2\x11\x22\x33\x44\x55\x66\x77\x88",
                        20);
    assert_memory_equal(file + 75, "\0\0\0\0\0\0\1\x23", 8);
}

/* L5: until the writer has finished there is nothing under the name, afterwards it is whole. */
static void test_L5_only_a_whole_file_gets_the_name(void **state)
{
    struct fake_fs *f = *state;
    struct snapshot_writer *w;
    assert_int_equal(snapshot_writer_open(fake_fs_ops(f), "/d", 5, &w), 0);
    assert_int_equal(snapshot_writer_write(w, "\0\0\0\0\0\0\0\0\0\0\0\1/", 13), 0);
    assert_false(fake_fs_has(f, "/d/snapshot.5"));
    assert_int_equal(snapshot_writer_finish(w, 0), 0);
    fake_fs_crash(f, 0);
    struct snapshot_info info;
    assert_int_equal(check(f, "snapshot.5", &info), 0);
    assert_int_equal(fake_fs_count(f, "/d"), 1);
}

static void test_L5_abort_leaves_nothing(void **state)
{
    struct fake_fs *f = *state;
    struct snapshot_writer *w;
    assert_int_equal(snapshot_writer_open(fake_fs_ops(f), "/d", 5, &w), 0);
    assert_int_equal(snapshot_writer_write(w, "\0\0\0\0", 4), 0);
    snapshot_writer_abort(w);
    snapshot_writer_abort(NULL);
    assert_int_equal(fake_fs_count(f, "/d"), 0);
}

static void test_L5_each_file_call_may_fail_once(void **state)
{
    (void)state;
    struct data_tree *tree = make_tree(1500, 200);
    bool has_failed = true;
    uint64_t nth = 1;
    for (; has_failed; nth++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct fake_fs *f = fake_fs_new();
            fake_fs_make_dir(f, "/d");
            fake_fs_fail_at(f, nth, ENOSPC);
            int rc = snapshot_write_tree(fake_fs_ops(f), "/d", tree, NULL, 0);
            has_failed = fake_fs_has_failed(f);
            assert_int_equal(rc, has_failed ? -ENOSPC : 0);
            assert_null(tree->image);
            fake_fs_fail_at(f, 0, 0);
            fake_fs_crash(f, seed);
            struct snapshot_info info;
            if (fake_fs_has(f, "/d/snapshot.5dc")) {
                assert_int_equal(check(f, "snapshot.5dc", &info), 0);
                assert_int_equal(info.node_count, 1504);
            } else {
                assert_int_not_equal(rc, 0);
            }
            assert_int_equal(snapshot_remove_temporaries(fake_fs_ops(f), "/d"), 0);
            assert_true(fake_fs_count(f, "/d") <= 1);
            fake_fs_free(f);
        }
    }
    assert_true(nth > 6);
    data_tree_free(tree);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void test_each_flipped_byte_is_noticed(void **state)
{
    struct fake_fs *f = *state;
    free(write_tree(f, 3, 5));
    size_t len;
    fake_fs_get(f, "/d/snapshot.3", &len);
    for (size_t at = 0; at < len; at++) {
        struct snapshot_info info;
        fixture_flip(f, "/d/snapshot.3", at);
        assert_int_equal(check(f, "snapshot.3", &info), -EBADMSG);
        assert_non_null(info.reason);
        fixture_flip(f, "/d/snapshot.3", at);
    }
}

/* The sections behind the first seal may be missing as a whole, as from older servers. */
static void test_each_truncation_is_noticed_but_for_whole_sections(void **state)
{
    struct fake_fs *f = *state;
    free(write_tree(f, 3, 5));
    size_t len;
    const uint8_t *data = fake_fs_get(f, "/d/snapshot.3", &len);
    uint8_t *whole = xmemdup(data, len);
    for (size_t keep = 0; keep < len; keep++) {
        struct snapshot_info info;
        bool is_whole = keep == len - 21 || keep == len - 21 - 33;
        fake_fs_put(f, "/d/snapshot.3", whole, keep);
        assert_int_equal(check(f, "snapshot.3", &info), is_whole ? 0 : -EBADMSG);
        assert_true(!is_whole || info.has_digest == (keep == len - 21));
    }
    /* Last zxid without the digest, and a section that is not invented yet. */
    uint8_t *last = xmemdup(whole + len - 21, 21);
    size_t body = len - 21 - 33;
    struct snapshot_info info;
    struct buf b = BUF_EMPTY;
    buf_append(&b, whole, body);
    buf_append(&b, last, 8);
    put_long(&b, (int64_t)adler32(1, buf_head(&b), (uInt)buf_readable(&b)));
    put_slice(&b, slice_of_str("/"));
    fake_fs_put(f, "/d/snapshot.3", buf_head(&b), buf_readable(&b));
    assert_int_equal(check(f, "snapshot.3", &info), 0);
    assert_false(info.has_digest);
    buf_reset(&b);
    buf_append(&b, whole, len);
    for (int i = 0; i < 50; i++) {
        buf_append_str(&b, "a section of the future ");
    }
    fake_fs_put(f, "/d/snapshot.3", buf_head(&b), buf_readable(&b));
    assert_int_equal(check(f, "snapshot.3", &info), -EBADMSG);
    buf_append(&b, "checksum\0\0\0\1/", 13);
    fake_fs_put(f, "/d/snapshot.3", buf_head(&b), buf_readable(&b));
    assert_int_equal(check(f, "snapshot.3", &info), 0);
    assert_true(info.has_digest);
    buf_fini(&b);
    free(last);
    free(whole);
}

static void put_file(struct fake_fs *f, const char *body, size_t len)
{
    struct buf b = BUF_EMPTY;
    buf_append(&b, "ZKSN\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    buf_append(&b, body, len);
    put_long(&b, (int64_t)adler32(1, buf_head(&b), (uInt)buf_readable(&b)));
    put_slice(&b, slice_of_str("/"));
    fake_fs_put(f, "/d/snapshot.1", buf_head(&b), buf_readable(&b));
    buf_fini(&b);
}

static void assert_bad(struct fake_fs *f, const char *body, size_t len, const char *reason)
{
    struct snapshot_info info;
    put_file(f, body, len);
    assert_int_equal(check(f, "snapshot.1", &info), -EBADMSG);
    assert_string_equal(info.reason, reason);
}

/* No memory is taken for bytes that are not there. */
static void test_absurd_lengths(void **state)
{
    struct fake_fs *f = *state;
    assert_bad(f, "\xff\xff\xff\xff", 4, "impossible count");
    assert_bad(f, "\x7f\xff\xff\xff", 4, "ends too early");
    assert_bad(f, "\0\0\0\0\x80\0\0\0", 8, "impossible count");
    assert_bad(f, "\0\0\0\0\0\0\0\0\x7f\xff\xff\xff", 12, "ends too early");
    assert_bad(f, "\0\0\0\0\0\0\0\0\xff\xff\xff\xfe", 12, "impossible length");
    assert_bad(f, "\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff", 16, "ends too early");
    assert_bad(f, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\x7f\xff\xff\xff", 20, "ends too early");
}

static void test_empty_file(void **state)
{
    struct fake_fs *f = *state;
    const char *const names[] = { "snapshot.1", "snapshot.1.gz", "snapshot.1.snappy" };
    for (size_t i = 0; i < 3; i++) {
        struct snapshot_info info;
        char *path = fs_join("/d", names[i]);
        fake_fs_put(f, path, "", 0);
        assert_int_equal(check(f, names[i], &info), -EBADMSG);
        assert_non_null(info.reason);
        free(path);
    }
}

static void test_nodes_that_cannot_be(void **state)
{
    struct fake_fs *f = *state;
    /* A tree needs a root. */
    put_file(f, "\0\0\0\0\0\0\0\0\0\0\0\1/", 13);
    struct version_file file = file_of("snapshot.1");
    struct data_tree *tree = data_tree_new(&tree_config);
    struct session_map sessions;
    struct snapshot_info info;
    session_map_init(&sessions);
    assert_int_equal(snapshot_load_tree(fake_fs_ops(f), "/d", &file, tree, &sessions, &info),
                     -EBADMSG);
    assert_string_equal(info.reason, "no root node");
    /* ... and every node a parent. */
    struct buf b = BUF_EMPTY;
    put_int(&b, 0);
    put_int(&b, 0);
    put_slice(&b, slice_of_str("/orphan"));
    put_slice(&b, SLICE_NULL);
    put_long(&b, -1);
    persisted_stat_encode(&b, &(struct persisted_stat){ 0 });
    put_slice(&b, slice_of_str("/"));
    put_file(f, (const char *)buf_head(&b), buf_readable(&b));
    assert_int_equal(snapshot_load_tree(fake_fs_ops(f), "/d", &file, tree, &sessions, &info),
                     -EBADMSG);
    assert_string_equal(info.reason, "impossible node");
    buf_fini(&b);
    session_map_fini(&sessions);
    data_tree_free(tree);
}

/* ---- packed files ---------------------------------------------------------------------------- */

static void test_damaged_packed_files(void **state)
{
    struct fake_fs *f = *state;
    const char *const names[] = { "snapshot.4d.gz", "snapshot.4d.snappy" };
    fake_fs_import(f, "tests/data/apache/standalone/packed", "/d");
    for (size_t i = 0; i < 2; i++) {
        struct snapshot_info info;
        char *path = fs_join("/d", names[i]);
        size_t len;
        assert_int_equal(check(f, names[i], &info), 0);
        assert_int_equal(info.node_count, 54);
        const uint8_t *data = fake_fs_get(f, path, &len);
        uint8_t *whole = xmemdup(data, len);
        for (size_t keep = 0; keep < len; keep++) {
            fake_fs_put(f, path, whole, keep);
            assert_int_equal(check(f, names[i], &info), -EBADMSG);
        }
        fake_fs_put(f, path, whole, len);
        /* Not every flip matters (gzip's header has a time stamp, for one), but what is accepted
         * has the right checksums, so it is the same tree. */
        size_t accepted = 0;
        for (size_t at = 0; at < len; at++) {
            fixture_flip(f, path, at);
            int rc = check(f, names[i], &info);
            assert_true(rc == -EBADMSG || (rc == 0 && info.node_count == 54));
            accepted += rc == 0;
            fixture_flip(f, path, at);
        }
        assert_true(accepted < len / 20);
        free(whole);
        free(path);
    }
}

static void test_snappy_blocks(void **state)
{
    (void)state;
    const struct {
        const char *src;
        size_t len;
        const char *text; /* NULL: refused */
    } cases[] = {
        { "\x00", 1, "" },
        { "\x05\x10hello", 7, "hello" },
        { "\x09\x08xyz\x09\x03", 7, "xyzxyzxyz" },     /* copy of 6 from 3 back overlaps itself */
        { "\x06\x08xyz\x0a\x03\x00", 8, "xyzxyz" },    /* the same with a 2-byte offset */
        { "\x06\x08xyz\x0b\x03\0\0\0", 10, "xyzxyz" }, /* and with 4 bytes */
        { "\x03\xf0\x02"
          "abc",
          6, "abc" },                           /* literal length in a byte of its own */
        { "\x05\x10hell", 6, NULL },            /* literal cut off */
        { "\x04\x10hello", 7, NULL },           /* longer than announced */
        { "\x06\x10hello", 7, NULL },           /* shorter than announced */
        { "\x06\x08xyz\x0a\x04\x00", 8, NULL }, /* copy from before the start */
        { "\x06\x08xyz\x0a\x00\x00", 8, NULL }, /* copy from nowhere */
        { "\x06\x08xyz\x0a\x03", 7, NULL },     /* offset cut off */
        { "\xff\xff\xff\xff\x0f", 5, NULL },    /* beyond the limit */
        { "\xff\xff\xff\xff\xff\xff", 6, NULL },
        { "", 0, NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = BUF_EMPTY;
        bool ok = snappy_decode((const uint8_t *)cases[i].src, cases[i].len, 1000, &out);
        assert_int_equal(ok, cases[i].text != NULL);
        if (ok) {
            char *text = buf_take_str(&out);
            assert_string_equal(text, cases[i].text);
            free(text);
        }
        buf_fini(&out);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_round_trip),
        T(test_round_trip_larger_than_every_window),
        T(test_layout),
        T(test_L5_only_a_whole_file_gets_the_name),
        T(test_L5_abort_leaves_nothing),
        T(test_L5_each_file_call_may_fail_once),
        T(test_each_flipped_byte_is_noticed),
        T(test_each_truncation_is_noticed_but_for_whole_sections),
        T(test_absurd_lengths),
        T(test_empty_file),
        T(test_nodes_that_cannot_be),
        T(test_damaged_packed_files),
        T(test_snappy_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
