/* SPDX-License-Identifier: Apache-2.0 */
/* Real sockets on the loopback interface, ports chosen by the system. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/net/client_port.h"

enum { CLIENTS_MAX = 8 };

struct fixture {
    struct loop loop;
    struct client_port port;
    struct buf out[CLIENTS_MAX];
    struct client_conn *conns[CLIENTS_MAX];
    char last_host[64];
    int open_count;
    int close_count;
    int frame_count;
};

static void on_open(void *arg, struct client_conn *conn)
{
    struct fixture *f = arg;
    assert_in_range(f->open_count, 0, CLIENTS_MAX - 1);
    f->conns[f->open_count] = conn;
    client_conn_attach(conn, f, &f->out[f->open_count]);
    strcpy(f->last_host, conn->peer.host);
    f->open_count++;
}

static bool on_word(void *arg, struct client_conn *conn, const uint8_t word[4])
{
    (void)arg;
    if (memcmp(word, "ruok", 4) != 0) {
        return false;
    }
    buf_append_str(conn->out, "imok");
    return true;
}

static void on_frame(void *arg, struct client_conn *conn, const uint8_t *body, size_t len)
{
    struct fixture *f = arg;
    f->frame_count++;
    buf_append(conn->out, body, len);
}

static void on_close(void *arg, struct client_conn *conn)
{
    struct fixture *f = arg;
    (void)conn;
    f->close_count++;
}

static const struct client_conn_ops ops = { on_open, on_word, on_frame, NULL, on_close };

static bool prepare(void *arg)
{
    struct fixture *f = arg;
    client_port_turn(&f->port);
    list_for_each_safe(link, next, &f->port.conns.open)
    {
        client_conn_flush(list_entry(link, struct client_conn, link));
    }
    return client_port_is_busy(&f->port);
}

static void fixture_init(struct fixture *f, const char *address, int per_address, int in_all)
{
    const struct client_port_options options = {
        .listen = { address, 0, -1 },
        .cnxns_per_address_max = per_address,
        .cnxns_max = in_all,
        .keepalive = true,
        .frame_bytes_max = 1000,
        .sessionless_timeout_ms = 60000,
        .seed = 42,
    };
    memset(f, 0, sizeof(*f));
    assert_int_equal(loop_init(&f->loop), 0);
    assert_int_equal(client_port_open(&f->port, &f->loop, &options, &ops, f), 0);
    assert_in_range(f->port.listener.port, 1, 65535);
    loop_set_prepare(&f->loop, prepare, f);
}

static void fixture_fini(struct fixture *f)
{
    client_port_close(&f->port);
    assert_int_equal(f->close_count, f->open_count);
    loop_fini(&f->loop);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        buf_fini(&f->out[i]);
    }
}

static int dial(struct fixture *f, int family)
{
    struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
    struct sockaddr_in *in4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    in_port_t port = htons((uint16_t)f->port.listener.port);
    if (family == AF_INET) {
        in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in4->sin_port = port;
    } else {
        in6->sin6_addr = in6addr_loopback;
        in6->sin6_port = port;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Turns until the client can read something or the end, at most some seconds. */
static ssize_t hear(struct fixture *f, int fd, void *bytes, size_t size)
{
    int64_t give_up_ms = clock_now_ms() + 5000;
    ssize_t got;
    do {
        assert_int_equal(loop_turn(&f->loop, 10), 0);
        got = recv(fd, bytes, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EAGAIN && clock_now_ms() < give_up_ms);
    return got;
}

static void test_serves_on_one_address(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, "127.0.0.1", 0, 0);
    int fd = dial(&f, AF_INET);
    assert_int_equal(write(fd, "\0\0\0\3abc", 7), 7);
    assert_int_equal(hear(&f, fd, got, sizeof(got)), 3);
    assert_memory_equal(got, "abc", 3);
    assert_string_equal(f.last_host, "127.0.0.1");
    close(fd);
    fixture_fini(&f);
}

static void test_all_addresses_include_ipv4(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, NULL, 0, 0);
    int fd = dial(&f, AF_INET);
    assert_int_equal(write(fd, "ruok", 4), 4);
    assert_int_equal(hear(&f, fd, got, sizeof(got)), 4);
    assert_int_equal(hear(&f, fd, got, sizeof(got)), 0);
    /* Java's form: not ::ffff:127.0.0.1. */
    assert_string_equal(f.last_host, "127.0.0.1");
    close(fd);
    fixture_fini(&f);
}

static void test_per_address_limit(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, "127.0.0.1", 2, 0);
    int first = dial(&f, AF_INET);
    int second = dial(&f, AF_INET);
    int third = dial(&f, AF_INET);
    assert_true(hear(&f, third, got, sizeof(got)) <= 0);
    assert_int_equal(f.open_count, 2);
    assert_int_equal(f.port.rejected, 1);
    close(third);
    /* A place becomes free. */
    close(first);
    while (f.close_count < 1) {
        assert_int_equal(loop_turn(&f.loop, 10), 0);
    }
    int fourth = dial(&f, AF_INET);
    assert_int_equal(write(fourth, "\0\0\0\1x", 5), 5);
    assert_int_equal(hear(&f, fourth, got, sizeof(got)), 1);
    close(second);
    close(fourth);
    fixture_fini(&f);
}

static void test_total_limit(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, "127.0.0.1", 0, 1);
    int first = dial(&f, AF_INET);
    int second = dial(&f, AF_INET);
    assert_true(hear(&f, second, got, sizeof(got)) <= 0);
    assert_int_equal(f.open_count, 1);
    assert_int_equal(f.port.rejected, 1);
    close(first);
    close(second);
    fixture_fini(&f);
}

static void test_port_in_use_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "127.0.0.1", 0, 0);
    struct client_port other;
    struct client_port_options options = {
        .listen = { "127.0.0.1", f.port.listener.port, -1 },
        .frame_bytes_max = 1000,
        .sessionless_timeout_ms = 1000,
    };
    assert_int_equal(client_port_open(&other, &f.loop, &options, &ops, &f), -EADDRINUSE);
    options.listen.address = "no such host.invalid";
    assert_int_equal(client_port_open(&other, &f.loop, &options, &ops, &f), -EADDRNOTAVAIL);
    fixture_fini(&f);
}

/* Without a free descriptor the client waits, and the loop does not spin; it is served later. */
static void test_no_descriptor_left(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, "127.0.0.1", 0, 0);
    int fd = dial(&f, AF_INET);
    assert_int_equal(write(fd, "\0\0\0\1x", 5), 5);

    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = fcntl(fd, F_DUPFD, 0);
    assert_true(next >= 0);
    close(next);
    struct rlimit none = { (rlim_t)next, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(loop_turn(&f.loop, 1000), 0);
    assert_int_equal(f.open_count, 0);
    assert_int_equal(f.port.listener.io.events, 0);
    assert_int_not_equal(f.port.listener.rest.place, 0);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(hear(&f, fd, got, sizeof(got)), 1);
    assert_int_equal(f.open_count, 1);
    close(fd);
    fixture_fini(&f);
}

static void test_close_sends_what_is_left(void **state)
{
    (void)state;
    struct fixture f;
    char got[8];
    fixture_init(&f, "127.0.0.1", 0, 0);
    int fd = dial(&f, AF_INET);
    while (f.open_count < 1) {
        assert_int_equal(loop_turn(&f.loop, 10), 0);
    }
    buf_append_str(&f.out[0], "bye");
    fixture_fini(&f);
    assert_int_equal(read(fd, got, sizeof(got)), 3);
    assert_int_equal(read(fd, got, sizeof(got)), 0);
    close(fd);
}

int main(void)
{
    /* The rejections and failures of these tests are meant. */
    log_set_level((enum log_level) - 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves_on_one_address),
        cmocka_unit_test(test_all_addresses_include_ipv4),
        cmocka_unit_test(test_per_address_limit),
        cmocka_unit_test(test_total_limit),
        cmocka_unit_test(test_port_in_use_is_an_error),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_close_sends_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
