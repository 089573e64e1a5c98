/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "server/net/peer_address.h"

enum { REST_MS = 100, QUIET_MS = 10000, ACCEPTS_PER_TURN = 64 };

/* 0 or -errno; nothing stays open after a failure. */
static int open_socket(const struct sockaddr *address, socklen_t len, int backlog, int *out)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1;
    int off = 0;
    int status = 0;
    /* A restarted server must get its port back while old connections are still in TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address->sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
        bind(fd, address, len) < 0 || listen(fd, backlog < 0 ? SOMAXCONN : backlog) < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    *out = fd;
    return 0;
}

static int open_any(const struct listener_options *options, int *out)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                .sin6_port = htons((uint16_t)options->port),
                                .sin6_addr = in6addr_any };
    int status = open_socket((struct sockaddr *)&in6, sizeof(in6), options->backlog, out);
    if (status == -EAFNOSUPPORT || status == -EADDRNOTAVAIL) {
        struct sockaddr_in in4 = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options->port) };
        status = open_socket((struct sockaddr *)&in4, sizeof(in4), options->backlog, out);
    }
    return status;
}

/* The first address of the name that can be bound. */
static int open_named(const struct listener_options *options, int *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *found = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%d", options->port);
    int error = getaddrinfo(options->address, port, &hints, &found);
    if (error != 0) {
        log_error("net", "clientPortAddress=%s: %s", options->address, gai_strerror(error));
        return -EADDRNOTAVAIL;
    }
    int status = -EADDRNOTAVAIL;
    for (struct addrinfo *a = found; a && status < 0; a = a->ai_next) {
        status = open_socket(a->ai_addr, a->ai_addrlen, options->backlog, out);
    }
    freeaddrinfo(found);
    return status;
}

static int bound_port(int fd)
{
    struct sockaddr_storage address;
    struct peer_address text;
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        return 0;
    }
    peer_address_of(&address, &text);
    return text.port;
}

static void on_rested(void *arg)
{
    struct listener *l = arg;
    loop_io_change(l->loop, &l->io, EPOLLIN);
}

static void take_rest(struct listener *l, int error)
{
    if (l->loop->now_ms >= l->quiet_until_ms) {
        log_warn("net", "cannot accept a connection: %s", strerror(error));
        l->quiet_until_ms = l->loop->now_ms + QUIET_MS;
    }
    loop_io_change(l->loop, &l->io, 0);
    loop_timer_set(l->loop, &l->rest, l->loop->now_ms + REST_MS);
}

/* The connection that was to be accepted is gone, or has an error of its own; the next may be
 * fine. */
static bool concerns_one_connection(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

static void on_readable(void *arg, uint32_t events)
{
    struct listener *l = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(l->io.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->on_accept(l->arg, fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (!concerns_one_connection(errno)) {
            take_rest(l, errno);
            return;
        }
    }
}

/* Takes fd, also on failure. */
static int accept_from(struct listener *l, struct loop *loop, int fd, listener_accept_fn *on_accept,
                       void *arg)
{
    *l = (struct listener){
        .loop = loop,
        .io = { fd, EPOLLIN, on_readable, l },
        .rest = { .fn = on_rested, .arg = l },
        .port = bound_port(fd),
        .on_accept = on_accept,
        .arg = arg,
    };
    int status = loop_io_add(loop, &l->io);
    if (status < 0) {
        close(fd);
    }
    return status;
}

int listener_open_at(struct listener *l, struct loop *loop, const struct sockaddr *address,
                     socklen_t len, int backlog, listener_accept_fn *on_accept, void *arg)
{
    int fd = -1;
    int status = open_socket(address, len, backlog, &fd);
    return status < 0 ? status : accept_from(l, loop, fd, on_accept, arg);
}

int listener_open(struct listener *l, struct loop *loop, const struct listener_options *options,
                  listener_accept_fn *on_accept, void *arg)
{
    int fd = -1;
    int status = options->address ? open_named(options, &fd) : open_any(options, &fd);
    if (status == 0) {
        status = accept_from(l, loop, fd, on_accept, arg);
    }
    if (status < 0) {
        log_error("net", "cannot listen on %s, port %d: %s",
                  options->address ? options->address : "all addresses", options->port,
                  strerror(-status));
    }
    return status;
}

void listener_close(struct listener *l)
{
    loop_timer_cancel(l->loop, &l->rest);
    loop_io_remove(l->loop, &l->io);
    close(l->io.fd);
}
