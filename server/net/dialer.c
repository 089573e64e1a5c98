/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/dialer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "server/net/member_socket.h"

static void drop_socket(struct dialer *d)
{
    if (d->io.fd >= 0) {
        loop_io_remove(d->loop, &d->io);
        close(d->io.fd);
        d->io.fd = -1;
    }
}

void dialer_cancel(struct dialer *d)
{
    if (d->query) {
        resolver_cancel(d->query);
        d->query = NULL;
    }
    drop_socket(d);
    loop_timer_cancel(d->loop, &d->timer);
    d->is_busy = false;
}

static void fail(struct dialer *d, const char *error)
{
    dialer_cancel(d);
    d->done(d->arg, -1, error);
}

static void succeed(struct dialer *d)
{
    int fd = d->io.fd;
    loop_io_remove(d->loop, &d->io);
    d->io.fd = -1;
    dialer_cancel(d);
    member_socket_tune(fd);
    d->done(d->arg, fd, NULL);
}

/* Begins to connect; the loop hears how it went. 0 or -errno. */
static int begin_connect(struct dialer *d, const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int err = 0;
    if (connect(fd, (const struct sockaddr *)address, resolver_address_len(address)) < 0 &&
        errno != EINPROGRESS && errno != EINTR) {
        err = -errno;
    }
    if (err == 0) {
        d->io.fd = fd;
        err = loop_io_add(d->loop, &d->io);
    }
    if (err < 0) {
        d->io.fd = -1;
        close(fd);
    }
    return err;
}

static void try_next(struct dialer *d)
{
    while (d->next < d->answer.count) {
        int err = begin_connect(d, &d->answer.addresses[d->next++]);
        if (err == 0) {
            return;
        }
        d->error = strerrordesc_np(-err);
    }
    fail(d, d->error);
}

static void on_event(void *arg, uint32_t events)
{
    struct dialer *d = arg;
    (void)events;
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(d->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error == 0) {
        succeed(d);
        return;
    }
    d->error = strerrordesc_np(error);
    drop_socket(d);
    try_next(d);
}

static void on_answer(void *arg, const struct resolver_answer *answer)
{
    struct dialer *d = arg;
    d->query = NULL;
    if (answer->count == 0) {
        fail(d, answer->error);
        return;
    }
    d->answer = *answer;
    d->next = 0;
    try_next(d);
}

static void on_timeout(void *arg)
{
    fail(arg, "no answer in time");
}

void dialer_init(struct dialer *d, struct loop *loop, struct resolver *resolver,
                 dialer_done_fn *done, void *arg)
{
    *d = (struct dialer){ .loop = loop, .resolver = resolver, .done = done, .arg = arg };
    d->io = (struct loop_io){ -1, EPOLLOUT, on_event, d };
    d->timer = (struct loop_timer){ .fn = on_timeout, .arg = d };
}

void dialer_start(struct dialer *d, const char *host, int port, int timeout_ms)
{
    zk_assert(!d->is_busy);
    d->is_busy = true;
    d->error = NULL;
    loop_timer_set(d->loop, &d->timer, clock_now_ms() + timeout_ms);
    d->query = resolver_ask(d->resolver, host, port, on_answer, d);
}
