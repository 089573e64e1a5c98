/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/prng.h"
#include "server/jute/quorum_packet.h"
#include "server/jute/txn.h"
#include "server/store/snapshot_receiver.h"
#include "server/tree/image.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/tree_text.h"

static const struct data_tree_config tree_config = { .hash_seed = 1, .extended_types = true };
static const struct saved_session two_sessions[] = { { 0x1000, 30000 }, { 0x2000, 40000 } };

enum { FIELD_MAX = 100000, LAST_ZXID = 60 };

/* A tree after some creates, as its text and as the stream that a leader sends. */
static char *make_stream(struct buf *stream)
{
    struct data_tree *tree = data_tree_new(&tree_config);
    for (int64_t zxid = 1; zxid <= LAST_ZXID; zxid++) {
        struct buf entry = BUF_EMPTY;
        struct txn txn;
        fixture_entry(&entry, zxid, (size_t)zxid * 10);
        assert_true(txn_decode(buf_head(&entry), buf_readable(&entry), &txn));
        data_tree_apply(tree, &txn, NULL);
        buf_fini(&entry);
    }
    saved_sessions_encode(stream, two_sessions, 2);
    struct tree_image image;
    tree_image_begin(&image, tree);
    while (!tree_image_step(&image, 1000)) {
    }
    buf_append(stream, buf_head(&image.out), buf_readable(&image.out));
    tree_image_end(&image);
    put_slice(stream, slice_of_str(ZAB_SNAP_SIGNATURE));
    char *text = tree_text(tree, two_sessions, 2);
    data_tree_free(tree);
    return text;
}

/* Gives the stream in pieces of random length, as a socket would. Bytes that the receiver left, or
 * -EBADMSG. */
static ssize_t feed(struct snapshot_receiver *r, const struct buf *stream, uint64_t seed)
{
    struct prng rng;
    struct buf in = BUF_EMPTY;
    size_t given = 0;
    ssize_t taken = 0;
    prng_init(&rng, seed);
    while (given < stream->len && taken >= 0 && !snapshot_receiver_is_done(r)) {
        size_t piece = 1 + prng_below(&rng, 500);
        piece = piece < stream->len - given ? piece : stream->len - given;
        buf_append(&in, stream->data + given, piece);
        given += piece;
        taken = snapshot_receiver_feed(r, buf_head(&in), buf_readable(&in));
        if (taken > 0) {
            buf_consume(&in, (size_t)taken);
        }
    }
    ssize_t left = (ssize_t)buf_readable(&in);
    buf_fini(&in);
    return taken < 0 ? taken : left;
}

static void test_any_pieces_give_the_same_tree(void **state)
{
    (void)state;
    struct buf stream = BUF_EMPTY;
    char *expected = make_stream(&stream);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct snapshot_receiver *r = snapshot_receiver_new(&tree_config, FIELD_MAX);
        assert_int_equal(feed(r, &stream, seed), 0);
        assert_true(snapshot_receiver_is_done(r));
        struct data_tree *tree;
        struct saved_session *sessions;
        size_t count;
        assert_int_equal(snapshot_receiver_take(r, LAST_ZXID, &tree, &sessions, &count), 0);
        snapshot_receiver_free(r);
        assert_int_equal(tree->last_zxid, LAST_ZXID);
        char *text = tree_text(tree, sessions, count);
        assert_string_equal(text, expected);
        free(text);
        free(sessions);
        data_tree_free(tree);
    }
    free(expected);
    buf_fini(&stream);
}

/* The packet behind the signature is not the receiver's. */
static void test_it_ends_with_the_signature(void **state)
{
    (void)state;
    struct buf stream = BUF_EMPTY;
    free(make_stream(&stream));
    size_t len = stream.len;
    buf_append_str(&stream, "NEWLEADER");
    struct snapshot_receiver *r = snapshot_receiver_new(&tree_config, FIELD_MAX);
    assert_int_equal(snapshot_receiver_feed(r, stream.data, stream.len), len);
    assert_true(snapshot_receiver_is_done(r));
    snapshot_receiver_free(r);
    buf_fini(&stream);
}

static void assert_refused(const struct buf *stream, size_t field_max)
{
    struct snapshot_receiver *r = snapshot_receiver_new(&tree_config, field_max);
    assert_int_equal(feed(r, stream, 1), -EBADMSG);
    snapshot_receiver_free(r);
}

static void test_damage_is_refused(void **state)
{
    (void)state;
    struct buf stream = BUF_EMPTY;
    free(make_stream(&stream));
    assert_refused(&stream, LAST_ZXID * 10 - 1); /* the largest node is over the limit */
    stream.data[stream.len - 1] ^= 1; /* the signature */
    assert_refused(&stream, FIELD_MAX);
    put_int_at(&stream, 0, -1); /* the session count */
    assert_refused(&stream, FIELD_MAX);
    buf_fini(&stream);
}

/* Whatever a byte is changed to, nothing but a refusal, another tree or a wait for more comes of it. */
static void test_flipped_bytes_do_no_harm(void **state)
{
    (void)state;
    struct buf stream = BUF_EMPTY;
    free(make_stream(&stream));
    for (size_t i = 0; i < stream.len; i += 7) {
        stream.data[i] ^= 0x80;
        struct snapshot_receiver *r = snapshot_receiver_new(&tree_config, FIELD_MAX);
        ssize_t taken = snapshot_receiver_feed(r, stream.data, stream.len);
        assert_true(taken <= (ssize_t)stream.len);
        snapshot_receiver_free(r);
        stream.data[i] ^= 0x80;
    }
    buf_fini(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_pieces_give_the_same_tree),
        cmocka_unit_test(test_it_ends_with_the_signature),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_flipped_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
