/* SPDX-License-Identifier: Apache-2.0 */
/* A leader's and a learner's quorum port in one loop, over real sockets on the loopback interface. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/jute/quorum_packet.h"
#include "server/net/learner_port.h"

enum { LEADER, LEARNER, SIDES, LINK = 7, PACKET_MAX = 4096, OUT_MAX = 1 << 20 };

/* What one side has heard, as one line of words. */
struct side {
    struct learner_port port;
    struct members members;
    struct fixture *f;
    int64_t id; /* of its link, once it is up */
    int down_count;
    size_t raw_wanted; /* bytes of the stream to come */
    size_t raw_bytes;
    char heard[512];
};

struct fixture {
    struct loop loop;
    struct resolver *resolver;
    struct member_address addresses[SIDES];
    struct member list[SIDES];
    struct side sides[SIDES];
};

static void note(struct side *s, const char *word)
{
    size_t len = strlen(s->heard);
    snprintf(s->heard + len, sizeof(s->heard) - len, "%s ", word);
}

static void on_up(void *arg, int64_t id)
{
    struct side *s = arg;
    s->id = id;
    note(s, "up");
}

static void on_down(void *arg, int64_t id)
{
    struct side *s = arg;
    assert_true(s->id == 0 || s->id == id);
    s->down_count++;
    note(s, "down");
}

static void on_packet(void *arg, int64_t id, const struct quorum_packet *packet)
{
    struct side *s = arg;
    char word[32];
    assert_int_equal(id, s->id);
    snprintf(word, sizeof(word), "%d", packet->type);
    note(s, word);
    if (packet->type == ZAB_SNAP) {
        quorum_conn_receive_raw(learner_port_find(&s->port, id), true);
    }
}

/* Takes the stream in odd pieces, as a parser does that wants whole elements. */
static ssize_t on_raw(void *arg, int64_t id, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;
    size_t left = s->raw_wanted - s->raw_bytes;
    size_t taken = len < left ? len - len % 7 : left;
    for (size_t i = 0; i < taken; i++) {
        assert_int_equal(bytes[i], 'r');
    }
    s->raw_bytes += taken;
    if (s->raw_bytes == s->raw_wanted) {
        quorum_conn_receive_raw(learner_port_find(&s->port, id), false);
        note(s, "stream");
    }
    return (ssize_t)taken;
}

static const struct learner_port_ops ops = { on_up, on_down, on_packet, on_raw };

static int free_port(void)
{
    struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(in4);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in4, sizeof(in4)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in4, &len), 0);
    close(fd);
    return ntohs(in4.sin_port);
}

static int setup(void **state)
{
    static struct fixture f;
    const struct quorum_conn_limits limits = { PACKET_MAX, OUT_MAX };
    memset(&f, 0, sizeof(f));
    log_set_level(LOG_ERROR);
    assert_int_equal(loop_init(&f.loop), 0);
    assert_int_equal(resolver_start(&f.loop, &f.resolver), 0);
    for (int i = 0; i < SIDES; i++) {
        f.addresses[i] = (struct member_address){ "127.0.0.1", free_port(), 0 };
        f.list[i] = (struct member){ i + 1, &f.addresses[i], 1 };
    }
    for (int i = 0; i < SIDES; i++) {
        f.sides[i].members = (struct members){ i + 1, f.list, SIDES, i == LEADER, 2000 };
        learner_port_init(&f.sides[i].port, &f.loop, f.resolver, &f.sides[i].members, &limits, &ops,
                          &f.sides[i]);
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SIDES; i++) {
        learner_port_fini(&f->sides[i].port);
    }
    resolver_stop(f->resolver);
    loop_fini(&f->loop);
    return 0;
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < SIDES; i++) {
        learner_port_turn(&f->sides[i].port);
        learner_port_flush(&f->sides[i].port);
    }
    assert_int_equal(loop_turn(&f->loop, 10), 0);
}

static void wait_until_heard(struct fixture *f, int i, const char *expected)
{
    int64_t until_ms = clock_now_ms() + 5000;
    while (strcmp(f->sides[i].heard, expected) != 0 && clock_now_ms() < until_ms) {
        turn(f);
    }
    assert_string_equal(f->sides[i].heard, expected);
}

static void send_packet(struct fixture *f, int from, int32_t type, size_t data_len)
{
    struct buf data = BUF_EMPTY;
    struct buf out = BUF_EMPTY;
    memset(buf_reserve(&data, data_len), 'd', data_len);
    struct quorum_packet p = { type, 1, { data.data, (int32_t)data_len }, VEC_NULL };
    quorum_packet_encode(&out, &p);
    learner_port_send(&f->sides[from].port, f->sides[from].id,
                      (struct slice){ out.data, (int32_t)out.len });
    buf_fini(&out);
    buf_fini(&data);
}

static void connect_both(struct fixture *f)
{
    learner_port_listen(&f->sides[LEADER].port, true);
    turn(f);
    learner_port_connect(&f->sides[LEARNER].port, LEADER + 1, LINK);
    wait_until_heard(f, LEADER, "up ");
    wait_until_heard(f, LEARNER, "up ");
    assert_int_equal(f->sides[LEARNER].id, LINK);
    assert_int_equal(f->sides[LEADER].id, -1);
}

static void test_packets_arrive_in_order(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    send_packet(f, LEARNER, 11, 20);
    send_packet(f, LEARNER, 18, PACKET_MAX);
    send_packet(f, LEADER, 17, 4);
    wait_until_heard(f, LEADER, "up 11 18 ");
    wait_until_heard(f, LEARNER, "up 17 ");
}

static void test_a_refused_dial_is_down_once(void **state)
{
    struct fixture *f = *state;
    learner_port_connect(&f->sides[LEARNER].port, LEADER + 1, LINK);
    wait_until_heard(f, LEARNER, "down ");
    learner_port_connect(&f->sides[LEARNER].port, 99, LINK + 1);
    wait_until_heard(f, LEARNER, "down down ");
}

/* The core gave the leader up before it answered. */
static void test_a_dial_that_is_dropped_is_down_once(void **state)
{
    struct fixture *f = *state;
    learner_port_listen(&f->sides[LEADER].port, true);
    turn(f);
    learner_port_connect(&f->sides[LEARNER].port, LEADER + 1, LINK);
    learner_port_drop(&f->sides[LEARNER].port, LINK);
    for (int i = 0; i < 5; i++) {
        turn(f);
    }
    assert_string_equal(f->sides[LEARNER].heard, "down ");
}

static void test_a_closed_link_is_down_once_on_both_sides(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    send_packet(f, LEADER, 5, 0);
    learner_port_drop(&f->sides[LEADER].port, -1); /* what was queued still leaves */
    wait_until_heard(f, LEARNER, "up 5 down ");
    wait_until_heard(f, LEADER, "up down ");
    learner_port_drop(&f->sides[LEADER].port, -1);
    send_packet(f, LEADER, 5, 0);
    turn(f);
    assert_int_equal(f->sides[LEADER].down_count, 1);
    assert_int_equal(f->sides[LEARNER].down_count, 1);
}

static void test_ids_of_accepted_links_are_not_used_again(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    learner_port_drop(&f->sides[LEARNER].port, LINK);
    wait_until_heard(f, LEADER, "up down ");
    turn(f);
    f->sides[LEARNER].id = 0;
    f->sides[LEADER].id = 0;
    learner_port_connect(&f->sides[LEARNER].port, LEADER + 1, LINK + 1);
    wait_until_heard(f, LEADER, "up down up ");
    assert_int_equal(f->sides[LEADER].id, -2);
}

/* Packets that are sent while a snapshot goes out stand behind it. */
static void test_a_stream_between_packets(void **state)
{
    struct fixture *f = *state;
    struct buf piece = BUF_EMPTY;
    connect_both(f);
    f->sides[LEARNER].raw_wanted = 300000;
    send_packet(f, LEADER, ZAB_SNAP, 0);
    struct quorum_conn *conn = learner_port_find(&f->sides[LEADER].port, -1);
    quorum_conn_stream_begin(conn);
    for (int i = 0; i < 3; i++) {
        memset(buf_reserve(&piece, 100000), 'r', 100000);
        piece.len = 100000;
        quorum_conn_stream(conn, &piece);
        learner_port_flush_later(&f->sides[LEADER].port, conn);
        send_packet(f, LEADER, 2, 10);
        turn(f);
    }
    quorum_conn_stream_end(conn);
    learner_port_flush_later(&f->sides[LEADER].port, conn);
    wait_until_heard(f, LEARNER, "up 15 stream 2 2 2 ");
    send_packet(f, LEADER, 12, 0);
    wait_until_heard(f, LEARNER, "up 15 stream 2 2 2 12 ");
    buf_fini(&piece);
}

static void test_a_packet_over_the_limit_ends_the_link(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    send_packet(f, LEARNER, 1, PACKET_MAX + 1);
    wait_until_heard(f, LEADER, "up down ");
}

/* Bounded output: one that does not read is dropped. */
static void test_a_learner_that_does_not_read_is_dropped(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct quorum_conn *learner = learner_port_find(&f->sides[LEARNER].port, LINK);
    loop_io_change(&f->loop, &learner->io, 0);
    for (int i = 0; i < 20000 && f->sides[LEADER].down_count == 0; i++) {
        send_packet(f, LEADER, 2, PACKET_MAX);
        learner_port_flush(&f->sides[LEADER].port);
        learner_port_turn(&f->sides[LEADER].port);
    }
    assert_string_equal(f->sides[LEADER].heard, "up down ");
}

/* LISTEN off closes the port and nothing else. */
static void test_links_outlive_the_listener(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    learner_port_listen(&f->sides[LEADER].port, false);
    send_packet(f, LEADER, 5, 0);
    wait_until_heard(f, LEARNER, "up 5 ");
    learner_port_connect(&f->sides[LEARNER].port, LEADER + 1, LINK + 1);
    f->sides[LEARNER].id = 0;
    wait_until_heard(f, LEARNER, "up 5 down ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packets_arrive_in_order),
        TEST(test_a_refused_dial_is_down_once),
        TEST(test_a_dial_that_is_dropped_is_down_once),
        TEST(test_a_closed_link_is_down_once_on_both_sides),
        TEST(test_ids_of_accepted_links_are_not_used_again),
        TEST(test_a_stream_between_packets),
        TEST(test_a_packet_over_the_limit_ends_the_link),
        TEST(test_a_learner_that_does_not_read_is_dropped),
        TEST(test_links_outlive_the_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
