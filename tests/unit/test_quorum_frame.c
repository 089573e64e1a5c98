/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/jute/quorum_packet.h"
#include "server/jute/records.h"
#include "server/net/quorum_frame.h"

enum { BYTES_MAX = 1000 };

/* A REQUEST with two ids, the largest form there is. */
static struct buf request(size_t data_len)
{
    struct buf data = BUF_EMPTY;
    struct buf ids = BUF_EMPTY;
    struct buf out = BUF_EMPTY;
    memset(buf_reserve(&data, data_len), 'd', data_len);
    struct id ip = { slice_of_str("ip"), slice_of_str("127.0.0.1") };
    struct id digest = { slice_of_str("digest"), slice_of_str("bob:x") };
    id_encode(&ids, &ip);
    id_encode(&ids, &digest);
    struct quorum_packet p = {
        ZAB_REQUEST, -1, { data.data, (int32_t)data_len }, { 2, { ids.data, (int32_t)ids.len } }
    };
    quorum_packet_encode(&out, &p);
    buf_fini(&data);
    buf_fini(&ids);
    return out;
}

static void test_a_packet_is_whole_with_its_last_byte_only(void **state)
{
    (void)state;
    struct buf b = request(10);
    size_t len = 0;
    for (size_t i = 0; i < b.len; i++) {
        assert_int_equal(quorum_frame_next(b.data, i, BYTES_MAX, &len), FRAME_PARTIAL);
    }
    buf_append_str(&b, "next");
    assert_int_equal(quorum_frame_next(b.data, b.len, BYTES_MAX, &len), FRAME_COMPLETE);
    assert_int_equal(len, b.len - 4);
    buf_fini(&b);
}

static void test_the_captured_ping_is_read(void **state)
{
    (void)state;
    static const uint8_t ping[] = { 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff };
    size_t len = 0;
    assert_int_equal(quorum_frame_next(ping, sizeof(ping), BYTES_MAX, &len), FRAME_COMPLETE);
    assert_int_equal(len, sizeof(ping));
}

/* Each length is refused as soon as its four bytes are there. */
static void test_lengths_over_the_limit_are_refused_before_what_they_announce(void **state)
{
    (void)state;
    size_t len = 0;
    struct buf b = request(BYTES_MAX);
    assert_int_equal(quorum_frame_next(b.data, b.len, BYTES_MAX, &len), FRAME_COMPLETE);
    assert_int_equal(quorum_frame_next(b.data, 16, BYTES_MAX - 1, &len), FRAME_BAD);
    buf_fini(&b);

    b = request(0);
    put_int_at(&b, 12, -2);
    assert_int_equal(quorum_frame_next(b.data, 16, BYTES_MAX, &len), FRAME_BAD);
    put_int_at(&b, 12, 0);
    put_int_at(&b, 16, QUORUM_IDS_MAX + 1);
    assert_int_equal(quorum_frame_next(b.data, 20, BYTES_MAX, &len), FRAME_BAD);
    put_int_at(&b, 16, -2);
    assert_int_equal(quorum_frame_next(b.data, 20, BYTES_MAX, &len), FRAME_BAD);
    put_int_at(&b, 16, 2);
    put_int_at(&b, 20, BYTES_MAX + 1);
    assert_int_equal(quorum_frame_next(b.data, 24, BYTES_MAX, &len), FRAME_BAD);
    buf_fini(&b);
}

/* Many ids, each within the limit, may not pass it together. */
static void test_ids_share_one_limit(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    char text[300];
    size_t len = 0;
    memset(text, 'x', sizeof(text));
    put_int(&b, ZAB_REQUEST);
    put_long(&b, -1);
    put_int(&b, -1);
    put_int(&b, 8);
    for (int i = 0; i < 16; i++) {
        put_slice(&b, (struct slice){ (const uint8_t *)text, sizeof(text) });
    }
    assert_int_equal(quorum_frame_next(b.data, b.len, BYTES_MAX, &len), FRAME_BAD);
    assert_int_equal(quorum_frame_next(b.data, b.len, 6000, &len), FRAME_COMPLETE);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_packet_is_whole_with_its_last_byte_only),
        cmocka_unit_test(test_the_captured_ping_is_read),
        cmocka_unit_test(test_lengths_over_the_limit_are_refused_before_what_they_announce),
        cmocka_unit_test(test_ids_share_one_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
