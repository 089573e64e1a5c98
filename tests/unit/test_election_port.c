/* SPDX-License-Identifier: Apache-2.0 */
/* Two or three election ports in one loop, over real sockets on the loopback interface. */
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
#include "server/net/election_port.h"

enum { SERVERS = 3 };

struct server {
    struct election_port port;
    struct members members;
    int heard_count;
    int64_t heard_from;
    char heard[64];
};

struct fixture {
    struct loop loop;
    struct resolver *resolver;
    struct member_address addresses[SERVERS];
    struct member list[SERVERS];
    struct server servers[SERVERS];
    bool is_open[SERVERS];
};

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

static void on_message(void *arg, int64_t sid, const uint8_t *body, size_t len)
{
    struct server *s = arg;
    s->heard_count++;
    s->heard_from = sid;
    snprintf(s->heard, sizeof(s->heard), "%.*s", (int)len, (const char *)body);
}

/* Server number i has sid i + 1. */
static void open_server(struct fixture *f, int i)
{
    struct server *s = &f->servers[i];
    s->heard_count = 0;
    s->members = (struct members){ i + 1, f->list, SERVERS, i == 1, 2000 };
    election_port_open(&s->port, &f->loop, f->resolver, &s->members, on_message, s);
    f->is_open[i] = true;
}

static void close_server(struct fixture *f, int i)
{
    if (f->is_open[i]) {
        election_port_close(&f->servers[i].port);
        f->is_open[i] = false;
    }
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    log_set_level(LOG_ERROR);
    assert_int_equal(loop_init(&f.loop), 0);
    assert_int_equal(resolver_start(&f.loop, &f.resolver), 0);
    for (int i = 0; i < SERVERS; i++) {
        /* A name goes through the resolver's thread, an address does not. */
        f.addresses[i] = (struct member_address){ i == 0 ? "localhost" : "127.0.0.1", 0, free_port() };
        f.list[i] = (struct member){ i + 1, &f.addresses[i], 1 };
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SERVERS; i++) {
        close_server(f, i);
    }
    resolver_stop(f->resolver);
    loop_fini(&f->loop);
    return 0;
}

static void turn(struct fixture *f)
{
    assert_int_equal(loop_turn(&f->loop, 10), 0);
    for (int i = 0; i < SERVERS; i++) {
        if (f->is_open[i]) {
            election_port_turn(&f->servers[i].port);
        }
    }
}

/* Until this server has heard count messages in all. */
static void wait_for(struct fixture *f, int i, int count)
{
    int64_t until_ms = clock_now_ms() + 5000;
    while (f->servers[i].heard_count < count && clock_now_ms() < until_ms) {
        turn(f);
    }
    assert_int_equal(f->servers[i].heard_count, count);
}

static void send_text(struct fixture *f, int from, int64_t to, const char *text)
{
    election_port_send(&f->servers[from].port, to, slice_of_str(text));
}

static void test_the_higher_sid_dials_and_both_talk(void **state)
{
    struct fixture *f = *state;
    open_server(f, 0);
    open_server(f, 1);
    turn(f);
    send_text(f, 1, 1, "from 2");
    wait_for(f, 0, 1);
    assert_int_equal(f->servers[0].heard_from, 2);
    assert_string_equal(f->servers[0].heard, "from 2");
    send_text(f, 0, 2, "from 1");
    wait_for(f, 1, 1);
    assert_string_equal(f->servers[1].heard, "from 1");
}

/* The lower one dials, gives its handshake, and is dialled back. */
static void test_the_lower_sid_is_dialled_back(void **state)
{
    struct fixture *f = *state;
    open_server(f, 0);
    open_server(f, 1);
    turn(f);
    send_text(f, 0, 2, "from 1");
    wait_for(f, 1, 1);
    assert_int_equal(f->servers[1].heard_from, 1);
    assert_string_equal(f->servers[1].heard, "from 1");
}

static void test_a_newer_message_takes_the_place_of_one_that_waits(void **state)
{
    struct fixture *f = *state;
    open_server(f, 1);
    send_text(f, 1, 1, "old");
    for (int i = 0; i < 5; i++) {
        turn(f);
    }
    open_server(f, 0);
    turn(f);
    send_text(f, 1, 1, "new");
    wait_for(f, 0, 1);
    assert_string_equal(f->servers[0].heard, "new");
}

/* What was said last is said again to a server that comes back, whoever dials. */
static void test_a_new_connection_repeats_the_last_message(void **state)
{
    struct fixture *f = *state;
    open_server(f, 0);
    open_server(f, 1);
    send_text(f, 1, 1, "vote");
    wait_for(f, 0, 1);
    close_server(f, 0);
    for (int i = 0; i < 5; i++) {
        turn(f);
    }
    open_server(f, 0);
    turn(f);
    send_text(f, 0, 2, "hello");
    wait_for(f, 0, 1);
    assert_string_equal(f->servers[0].heard, "vote");
    wait_for(f, 1, 1);
    assert_string_equal(f->servers[1].heard, "hello");
}

static int dial(const struct fixture *f, int i)
{
    struct sockaddr_in in4 = { .sin_family = AF_INET,
                               .sin_port = htons((uint16_t)f->addresses[i].election_port),
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in4, sizeof(in4)), 0);
    return fd;
}

/* The other side ends a connection on which this was sent. */
static void assert_refused(struct fixture *f, const struct buf *bytes)
{
    int fd = dial(f, 1);
    assert_int_equal(send(fd, bytes->data, bytes->len, 0), bytes->len);
    int64_t until_ms = clock_now_ms() + 5000;
    char byte;
    ssize_t got = -1;
    while (got < 0 && clock_now_ms() < until_ms) {
        turn(f);
        got = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    assert_int_equal(got, 0);
    close(fd);
}

/* What the server sid of that host sends first. */
static void put_handshake(struct buf *b, int64_t sid, const char *host, int port)
{
    struct member_address address = { host, 0, port };
    struct member self = { sid, &address, 1 };
    election_handshake_encode(b, &self);
}

static void test_what_is_no_handshake_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_EMPTY;
    open_server(f, 1);
    turn(f);
    put_long(&b, -5);
    assert_refused(f, &b);
    buf_reset(&b);
    put_handshake(&b, 9, "127.0.0.1", 1);
    assert_refused(f, &b); /* a server that is not in the configuration */
    buf_reset(&b);
    put_handshake(&b, 2, "127.0.0.1", 1);
    assert_refused(f, &b); /* our own id */
    buf_reset(&b);
    put_long(&b, -65536);
    put_long(&b, 3);
    put_int(&b, ELECTION_ADDRESS_BYTES_MAX + 1);
    assert_refused(f, &b);
    buf_reset(&b);
    put_handshake(&b, 3, "127.0.0.1", 1);
    put_int(&b, ELECTION_MESSAGE_BYTES_MAX + 1);
    assert_refused(f, &b);
    buf_fini(&b);
}

static void test_a_handshake_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_EMPTY;
    open_server(f, 1);
    turn(f);
    put_handshake(&b, 3, "::1", 77);
    assert_memory_equal(b.data + 20, "[::1]:77", 8);
    put_slice(&b, slice_of_str("late vote"));
    int fd = dial(f, 1);
    for (size_t i = 0; i < b.len; i++) {
        assert_int_equal(send(fd, b.data + i, 1, 0), 1);
        assert_int_equal(f->servers[1].heard_count, 0);
        turn(f);
    }
    wait_for(f, 1, 1);
    assert_int_equal(f->servers[1].heard_from, 3);
    assert_string_equal(f->servers[1].heard, "late vote");
    close(fd);
    buf_fini(&b);
}

/* A 3.4 server sends its sid alone. */
static void test_the_oldest_handshake_is_understood(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_EMPTY;
    open_server(f, 1);
    turn(f);
    put_long(&b, 3);
    put_slice(&b, slice_of_str("old"));
    int fd = dial(f, 1);
    assert_int_equal(send(fd, b.data, b.len, 0), b.len);
    wait_for(f, 1, 1);
    assert_int_equal(f->servers[1].heard_from, 3);
    close(fd);
    buf_fini(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_higher_sid_dials_and_both_talk),
        TEST(test_the_lower_sid_is_dialled_back),
        TEST(test_a_newer_message_takes_the_place_of_one_that_waits),
        TEST(test_a_new_connection_repeats_the_last_message),
        TEST(test_what_is_no_handshake_is_refused),
        TEST(test_a_handshake_may_come_byte_by_byte),
        TEST(test_the_oldest_handshake_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
