/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/prng.h"
#include "common/xalloc.h"
#include "server/net/client_conn.h"

enum { FRAME_MAX = 1000, OUT_PAUSE = 4096, OUT_MAX = 4 * 1024 * 1024 };

/* A connection over a socket pair, and what its user was told. */
struct fixture {
    struct loop loop;
    struct client_conn_env env;
    struct client_conn *conn; /* NULL once it is closed */
    int peer;                 /* the client's end, non-blocking */
    struct buf out;
    struct buf frames; /* bodies that came, each with its length in front, as they were sent */
    int frame_count;
    int word_count;
    int close_count;
    /* What to do on a frame. */
    int oversized_count;
    bool pause_on_frame;
    bool close_on_frame;
    size_t reply_bytes;
};

static void on_open(void *arg, struct client_conn *conn)
{
    struct fixture *f = arg;
    f->conn = conn;
    client_conn_attach(conn, f, &f->out);
}

static bool on_word(void *arg, struct client_conn *conn, const uint8_t word[4])
{
    struct fixture *f = arg;
    assert_ptr_equal(conn, f->conn);
    if (memcmp(word, "ruok", 4) != 0) {
        return false;
    }
    f->word_count++;
    buf_append_str(&f->out, "imok");
    return true;
}

static void on_frame(void *arg, struct client_conn *conn, const uint8_t *body, size_t len)
{
    struct fixture *f = arg;
    assert_ptr_equal(conn, f->conn);
    assert_int_equal(conn->state, CLIENT_CONN_OPEN);
    uint8_t header[4] = { 0, 0, (uint8_t)(len >> 8), (uint8_t)len };
    buf_append(&f->frames, header, sizeof(header));
    buf_append(&f->frames, body, len);
    f->frame_count++;
    if (f->reply_bytes > 0) {
        memset(buf_reserve(&f->out, f->reply_bytes), 'r', f->reply_bytes);
        f->out.len += f->reply_bytes;
    }
    if (f->pause_on_frame) {
        client_conn_pause(conn, CLIENT_CONN_PAUSE_OUTSTANDING);
    }
    if (f->close_on_frame) {
        client_conn_close(conn);
    }
}

static void on_close(void *arg, struct client_conn *conn)
{
    struct fixture *f = arg;
    assert_ptr_equal(conn, f->conn);
    f->close_count++;
}

/* Only what begins with "request!" is one. */
static bool on_oversized(void *arg, struct client_conn *conn, const uint8_t *body)
{
    struct fixture *f = arg;
    assert_ptr_equal(conn, f->conn);
    f->oversized_count += memcmp(body, "request!", CLIENT_CONN_OVERSIZED_BYTES) == 0;
    return memcmp(body, "request!", CLIENT_CONN_OVERSIZED_BYTES) == 0;
}

static const struct client_conn_ops ops = { on_open, on_word, on_frame, on_oversized, on_close };

/* As a server's prepare hook: resumed frames, closed connections, output. */
static bool prepare(void *arg)
{
    struct fixture *f = arg;
    client_conn_serve_ready(&f->env);
    struct client_conn *closed = client_conn_take_closed(&f->env);
    if (closed) {
        on_close(f, closed);
        client_conn_free(closed);
        f->conn = NULL;
    }
    if (f->conn) {
        client_conn_flush(f->conn);
    }
    return client_conn_has_ready(&f->env);
}

static void fixture_init(struct fixture *f, int sessionless_timeout_ms)
{
    const struct client_conn_limits limits = {
        .frame_bytes_max = FRAME_MAX,
        .sessionless_timeout_ms = sessionless_timeout_ms,
        .out_pause_bytes = OUT_PAUSE,
        .out_bytes_max = OUT_MAX,
    };
    const struct peer_address peer = { "test", 1 };
    int fds[2];
    memset(f, 0, sizeof(*f));
    assert_int_equal(loop_init(&f->loop), 0);
    loop_set_prepare(&f->loop, prepare, f);
    client_conn_env_init(&f->env, &f->loop, &limits, &ops, f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    f->peer = fds[1];
    assert_int_equal(client_conn_open(&f->env, fds[0], &peer), 0);
}

static void fixture_fini(struct fixture *f)
{
    if (f->conn) {
        client_conn_close(f->conn);
        prepare(f);
    }
    assert_int_equal(f->close_count, 1);
    if (f->peer >= 0) {
        close(f->peer);
    }
    buf_fini(&f->out);
    buf_fini(&f->frames);
    client_conn_env_fini(&f->env);
    loop_fini(&f->loop);
}

/* Turns until nothing is left to do; the last prepare has run. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(loop_turn(&f->loop, 0), 0);
    }
    prepare(f);
}

static void say(struct fixture *f, const void *bytes, size_t len)
{
    assert_int_equal(send(f->peer, bytes, len, MSG_NOSIGNAL), len);
}

/* Everything that can be read now; *at_end says whether the end of the stream was seen. */
static size_t hear(struct fixture *f, void *bytes, size_t size, bool *at_end)
{
    size_t got = 0;
    *at_end = false;
    while (got < size) {
        ssize_t n = recv(f->peer, (char *)bytes + got, size - got, 0);
        if (n <= 0) {
            *at_end = n == 0;
            assert_true(n == 0 || errno == EAGAIN);
            break;
        }
        got += (size_t)n;
    }
    return got;
}

static void put_frame(struct buf *b, size_t len, uint8_t fill)
{
    uint8_t header[4] = { 0, 0, (uint8_t)(len >> 8), (uint8_t)len };
    buf_append(b, header, sizeof(header));
    memset(buf_reserve(b, len), fill, len);
    b->len += len;
}

static void test_frames_survive_any_chunking(void **state)
{
    (void)state;
    struct prng prng;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct fixture f;
        struct buf stream = BUF_EMPTY;
        fixture_init(&f, 10000);
        prng_init(&prng, seed);
        for (int i = 0; i < 40; i++) {
            put_frame(&stream, prng_below(&prng, i % 3 == 0 ? FRAME_MAX + 1 : 20), (uint8_t)i);
        }
        size_t chunk_max = 1 + prng_below(&prng, 3000);
        for (size_t at = 0; at < stream.len;) {
            size_t chunk = 1 + prng_below(&prng, chunk_max);
            chunk = chunk > stream.len - at ? stream.len - at : chunk;
            say(&f, stream.data + at, chunk);
            at += chunk;
            assert_int_equal(loop_turn(&f.loop, 0), 0);
        }
        settle(&f);
        assert_int_equal(f.frame_count, 40);
        assert_int_equal(f.frames.len, stream.len);
        assert_memory_equal(f.frames.data, stream.data, stream.len);
        /* Nothing is kept for a connection that has no partial frame. */
        assert_null(f.conn->in.data);
        assert_int_equal(f.env.stats.bytes_received, stream.len);
        buf_fini(&stream);
        fixture_fini(&f);
    }
}

static void test_bad_length_closes(void **state)
{
    (void)state;
    static const uint8_t lengths[][4] = {
        { 0, 0, 0x03, 0xe9 },       /* one over the limit */
        { 0xff, 0xff, 0xff, 0xff }, /* -1 */
        { 0x80, 0, 0, 0 },          /* the smallest int */
        { 0x7f, 0xff, 0xff, 0xff }, /* the largest */
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct fixture f;
        struct buf stream = BUF_EMPTY;
        fixture_init(&f, 10000);
        put_frame(&stream, FRAME_MAX, 'x');
        buf_append(&stream, lengths[i], 4);
        put_frame(&stream, 10, 'y');
        say(&f, stream.data, stream.len);
        settle(&f);
        assert_null(f.conn);
        assert_int_equal(f.frame_count, 1);
        assert_int_equal(f.env.stats.dropped, 1);
        buf_fini(&stream);
        fixture_fini(&f);
    }
}

static void test_oversized_request_is_skipped_in_any_chunking(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    for (size_t over = 1; over <= (CLIENT_CONN_OVERSIZED_TIMES - 1) * FRAME_MAX; over += 777) {
        struct fixture f;
        struct buf stream = BUF_EMPTY;
        fixture_init(&f, 10000);
        put_frame(&stream, 20, 'a');
        size_t at = stream.len;
        put_frame(&stream, FRAME_MAX + over, 'b');
        memcpy(stream.data + at + 4, "request!", 8);
        put_frame(&stream, FRAME_MAX, 'c');
        for (at = 0; at < stream.len;) {
            size_t chunk = 1 + prng_below(&prng, 400);
            chunk = chunk > stream.len - at ? stream.len - at : chunk;
            say(&f, stream.data + at, chunk);
            at += chunk;
            assert_int_equal(loop_turn(&f.loop, 0), 0);
        }
        settle(&f);
        assert_int_equal(f.frame_count, 2);
        assert_int_equal(f.oversized_count, 1);
        assert_int_equal(f.frames.len, 24 + 4 + FRAME_MAX);
        assert_null(f.conn->in.data);
        buf_fini(&stream);
        fixture_fini(&f);
    }
}

static void test_frame_too_large_to_be_a_request_closes(void **state)
{
    (void)state;
    struct fixture f;
    struct buf stream = BUF_EMPTY;
    fixture_init(&f, 10000);
    put_frame(&stream, 20, 'a');
    put_frame(&stream, CLIENT_CONN_OVERSIZED_TIMES * FRAME_MAX + 1, 'b');
    memcpy(stream.data + 28, "request!", 8);
    say(&f, stream.data, 100);
    settle(&f);
    assert_null(f.conn);
    assert_int_equal(f.oversized_count, 0);
    buf_fini(&stream);
    fixture_fini(&f);
}

static void test_memory_follows_arrival(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    say(&f, "\0\0\3\350abc", 7);
    settle(&f);
    assert_non_null(f.conn);
    assert_int_equal(buf_readable(&f.conn->in), 7);
    assert_true(f.conn->in.cap <= 256);
    fixture_fini(&f);
}

static void test_word_is_answered_and_lingers(void **state)
{
    (void)state;
    struct fixture f;
    char got[16];
    bool at_end;
    fixture_init(&f, 10000);
    say(&f, "ru", 2);
    settle(&f);
    assert_int_equal(f.word_count, 0);
    say(&f, "ok\r\nand whatever follows", 24);
    settle(&f);
    assert_int_equal(f.word_count, 1);
    assert_int_equal(hear(&f, got, sizeof(got), &at_end), 4);
    assert_memory_equal(got, "imok", 4);
    assert_true(at_end);
    /* More input does not reset the connection before the client has read. */
    assert_non_null(f.conn);
    assert_int_equal(f.conn->state, CLIENT_CONN_LINGERING);
    say(&f, "more", 4);
    settle(&f);
    assert_non_null(f.conn);
    close(f.peer);
    f.peer = -1;
    settle(&f);
    assert_null(f.conn);
    assert_int_equal(f.env.stats.dropped, 0);
    fixture_fini(&f);
}

static void test_word_counts_only_at_the_start(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    say(&f, "\0\0\0\1xruok", 9);
    settle(&f);
    assert_int_equal(f.frame_count, 1);
    assert_int_equal(f.word_count, 0);
    assert_null(f.conn);
    fixture_fini(&f);
}

static void test_unknown_word_is_a_bad_length(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    say(&f, "GET / HTTP/1.0\r\n\r\n", 18);
    settle(&f);
    assert_null(f.conn);
    assert_int_equal(f.env.stats.dropped, 1);
    fixture_fini(&f);
}

static void test_half_open_is_closed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    say(&f, "\0\0", 2);
    int64_t give_up_ms = clock_now_ms() + 5000;
    while (f.conn && clock_now_ms() < give_up_ms) {
        assert_int_equal(loop_turn(&f.loop, 100), 0);
        prepare(&f);
    }
    assert_null(f.conn);
    assert_int_equal(f.env.stats.sessionless_expired, 1);
    fixture_fini(&f);
}

static void test_silent_connection_is_closed_unless_paused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    say(&f, "\0\0\0\1x", 5);
    settle(&f);
    assert_int_equal(f.conn->timer.place, 0);
    client_conn_pause(f.conn, CLIENT_CONN_PAUSE_SESSION);
    client_conn_set_idle_timeout(f.conn, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_turn(&f.loop, 100), 0);
    }
    assert_int_not_equal(f.conn->state, CLIENT_CONN_CLOSED);
    client_conn_resume(f.conn, CLIENT_CONN_PAUSE_SESSION);
    int64_t give_up_ms = clock_now_ms() + 5000;
    while (f.conn && clock_now_ms() < give_up_ms) {
        assert_int_equal(loop_turn(&f.loop, 100), 0);
        prepare(&f);
    }
    assert_null(f.conn);
    fixture_fini(&f);
}

static void test_pause_holds_frames_back(void **state)
{
    (void)state;
    struct fixture f;
    struct buf stream = BUF_EMPTY;
    fixture_init(&f, 10000);
    f.pause_on_frame = true;
    for (int i = 0; i < 5; i++) {
        put_frame(&stream, 10, (uint8_t)i);
    }
    say(&f, stream.data, stream.len);
    for (int i = 1; i <= 5; i++) {
        settle(&f);
        assert_int_equal(f.frame_count, i);
        client_conn_resume(f.conn, CLIENT_CONN_PAUSE_OUTSTANDING);
    }
    settle(&f);
    assert_int_equal(f.frame_count, 5);
    assert_memory_equal(f.frames.data, stream.data, stream.len);
    assert_null(f.conn->in.data);
    buf_fini(&stream);
    fixture_fini(&f);
}

static void test_two_reasons_to_pause(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    client_conn_pause(f.conn, CLIENT_CONN_PAUSE_SESSION);
    client_conn_pause(f.conn, CLIENT_CONN_PAUSE_OUTSTANDING);
    say(&f, "\0\0\0\1x", 5);
    settle(&f);
    client_conn_resume(f.conn, CLIENT_CONN_PAUSE_SESSION);
    settle(&f);
    assert_int_equal(f.frame_count, 0);
    client_conn_resume(f.conn, CLIENT_CONN_PAUSE_OUTSTANDING);
    settle(&f);
    assert_int_equal(f.frame_count, 1);
    fixture_fini(&f);
}

static void test_close_in_a_frame_ends_delivery(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    f.close_on_frame = true;
    say(&f, "\0\0\0\1x\0\0\0\1y", 10);
    settle(&f);
    assert_int_equal(f.frame_count, 1);
    assert_null(f.conn);
    fixture_fini(&f);
}

static void test_client_that_goes_is_reported_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    say(&f, "\0\0\0\1x\0\0", 7);
    close(f.peer);
    f.peer = -1;
    settle(&f);
    assert_int_equal(f.frame_count, 1);
    assert_int_equal(f.close_count, 1);
    assert_null(f.conn);
    fixture_fini(&f);
}

/* Requests keep coming, replies are not read: the server stops reading, loses nothing, and goes on when
 * the client reads again. */
static void test_slow_reader_is_not_read_from(void **state)
{
    (void)state;
    enum { REQUESTS = 200, REPLY = 8000 };
    struct fixture f;
    struct buf stream = BUF_EMPTY;
    fixture_init(&f, 10000);
    f.reply_bytes = REPLY;
    for (int i = 0; i < REQUESTS; i++) {
        put_frame(&stream, 10, (uint8_t)i);
    }
    say(&f, stream.data, stream.len);
    settle(&f);
    assert_true(f.frame_count < REQUESTS);
    assert_true(buf_readable(&f.out) <= OUT_PAUSE + REPLY);
    assert_false(client_conn_is_reading(f.conn));

    char *got = xmalloc(REPLY);
    size_t total = 0;
    bool at_end;
    for (int i = 0; i < 10000 && total < (size_t)REQUESTS * REPLY; i++) {
        total += hear(&f, got, REPLY, &at_end);
        assert_int_equal(loop_turn(&f.loop, 0), 0);
    }
    assert_int_equal(total, REQUESTS * REPLY);
    assert_int_equal(f.frame_count, REQUESTS);
    assert_memory_equal(f.frames.data, stream.data, stream.len);
    assert_int_equal(f.env.stats.bytes_sent, total);
    free(got);
    buf_fini(&stream);
    fixture_fini(&f);
}

static void test_output_has_an_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 10000);
    f.reply_bytes = 2 * OUT_MAX;
    say(&f, "\0\0\0\1x", 5);
    settle(&f);
    assert_null(f.conn);
    assert_int_equal(f.env.stats.dropped, 1);
    fixture_fini(&f);
}

static void test_finish_sends_all_then_ends(void **state)
{
    (void)state;
    enum { BYTES = 1000000 };
    struct fixture f;
    fixture_init(&f, 10000);
    memset(buf_reserve(&f.out, BYTES), 'z', BYTES);
    f.out.len += BYTES;
    client_conn_finish(f.conn);
    say(&f, "\0\0\0\1x", 5);
    char *got = xmalloc(BYTES + 1);
    size_t total = 0;
    bool at_end = false;
    for (int i = 0; i < 10000 && !at_end; i++) {
        total += hear(&f, got + total, BYTES + 1 - total, &at_end);
        assert_int_equal(loop_turn(&f.loop, 0), 0);
    }
    assert_true(at_end);
    assert_int_equal(total, BYTES);
    assert_int_equal(f.frame_count, 0);
    free(got);
    close(f.peer);
    f.peer = -1;
    settle(&f);
    assert_null(f.conn);
    fixture_fini(&f);
}

int main(void)
{
    /* The closed connections of these tests are meant. */
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_survive_any_chunking),
        cmocka_unit_test(test_bad_length_closes),
        cmocka_unit_test(test_oversized_request_is_skipped_in_any_chunking),
        cmocka_unit_test(test_frame_too_large_to_be_a_request_closes),
        cmocka_unit_test(test_memory_follows_arrival),
        cmocka_unit_test(test_word_is_answered_and_lingers),
        cmocka_unit_test(test_word_counts_only_at_the_start),
        cmocka_unit_test(test_unknown_word_is_a_bad_length),
        cmocka_unit_test(test_half_open_is_closed),
        cmocka_unit_test(test_silent_connection_is_closed_unless_paused),
        cmocka_unit_test(test_pause_holds_frames_back),
        cmocka_unit_test(test_two_reasons_to_pause),
        cmocka_unit_test(test_close_in_a_frame_ends_delivery),
        cmocka_unit_test(test_client_that_goes_is_reported_once),
        cmocka_unit_test(test_slow_reader_is_not_read_from),
        cmocka_unit_test(test_output_has_an_end),
        cmocka_unit_test(test_finish_sends_all_then_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
