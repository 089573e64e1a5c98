/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"

static void on_wake(void *arg, uint32_t events)
{
    struct loop *loop = arg;
    (void)events;
    uint64_t count;
    /* Nothing to read means that somebody was faster, which is just as good. */
    ssize_t ignored = read(loop->wake.fd, &count, sizeof(count));
    (void)ignored;
}

int loop_init(struct loop *loop)
{
    memset(loop, 0, sizeof(*loop));
    atomic_init(&loop->is_stopped, false);
    loop->now_ms = clock_now_ms();
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        return -errno;
    }
    loop->wake = (struct loop_io){ eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), EPOLLIN, on_wake, loop };
    int status = loop->wake.fd < 0 ? -errno : loop_io_add(loop, &loop->wake);
    if (status < 0) {
        goto err_close;
    }
    return 0;

err_close:
    if (loop->wake.fd >= 0) {
        close(loop->wake.fd);
    }
    close(loop->epoll_fd);
    return status;
}

void loop_fini(struct loop *loop)
{
    zk_assert(loop->timer_count == 0);
    close(loop->wake.fd);
    close(loop->epoll_fd);
    free(loop->heap);
}

void loop_set_prepare(struct loop *loop, bool (*prepare)(void *arg), void *arg)
{
    loop->prepare = prepare;
    loop->prepare_arg = arg;
}

void loop_wake(struct loop *loop)
{
    int saved_errno = errno;
    uint64_t one = 1;
    /* A full counter wakes as well. */
    ssize_t ignored = write(loop->wake.fd, &one, sizeof(one));
    (void)ignored;
    errno = saved_errno;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->is_stopped, true);
    loop_wake(loop);
}

/* ---- descriptors
 * ---------------------------------------------------------------------------------- */

int loop_io_add(struct loop *loop, struct loop_io *io)
{
    struct epoll_event event = { .events = io->events, .data.ptr = io };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &event) < 0 ? -errno : 0;
}

void loop_io_change(struct loop *loop, struct loop_io *io, uint32_t events)
{
    if (io->events == events) {
        return;
    }
    io->events = events;
    struct epoll_event event = { .events = events, .data.ptr = io };
    int status = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &event);
    zk_assert(status == 0);
}

void loop_io_remove(struct loop *loop, struct loop_io *io)
{
    int status = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    zk_assert(status == 0);
    for (int i = 0; i < loop->batch_len; i++) {
        if (loop->batch[i].data.ptr == io) {
            loop->batch[i].data.ptr = NULL;
        }
    }
}

/* ---- timers: a binary heap, place 1 at the top
 * ---------------------------------------------------- */

static void put_at(struct loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place - 1] = timer;
    timer->place = place;
}

static bool is_earlier(const struct loop *loop, size_t a, size_t b)
{
    return loop->heap[a - 1]->deadline_ms < loop->heap[b - 1]->deadline_ms;
}

static void swap(struct loop *loop, size_t a, size_t b)
{
    struct loop_timer *timer = loop->heap[a - 1];
    put_at(loop, a, loop->heap[b - 1]);
    put_at(loop, b, timer);
}

/* Moves the timer at place to where its deadline belongs. */
static void settle(struct loop *loop, size_t place)
{
    while (place > 1 && is_earlier(loop, place, place / 2)) {
        swap(loop, place, place / 2);
        place /= 2;
    }
    for (;;) {
        size_t child = 2 * place;
        if (child < loop->timer_count && is_earlier(loop, child + 1, child)) {
            child++;
        }
        if (child > loop->timer_count || !is_earlier(loop, child, place)) {
            return;
        }
        swap(loop, place, child);
        place = child;
    }
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ms)
{
    timer->deadline_ms = deadline_ms;
    if (timer->place == 0) {
        if (loop->timer_count == loop->timer_cap) {
            loop->timer_cap = loop->timer_cap ? 2 * loop->timer_cap : 16;
            loop->heap = xrealloc(loop->heap, loop->timer_cap * sizeof(struct loop_timer *));
        }
        put_at(loop, ++loop->timer_count, timer);
    }
    settle(loop, timer->place);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    size_t place = timer->place;
    if (place == 0) {
        return;
    }
    zk_assert(loop->heap[place - 1] == timer);
    timer->place = 0;
    struct loop_timer *last = loop->heap[--loop->timer_count];
    if (last != timer) {
        put_at(loop, place, last);
        settle(loop, place);
    }
}

/* Each timer that is set now fires at most once, so that one which sets itself again cannot hold
 * us. */
static void run_timers(struct loop *loop)
{
    for (size_t left = loop->timer_count; left > 0 && loop->timer_count > 0; left--) {
        struct loop_timer *first = loop->heap[0];
        if (first->deadline_ms > loop->now_ms) {
            return;
        }
        loop_timer_cancel(loop, first);
        first->fn(first->arg);
    }
}

/* ---- turns
 * ---------------------------------------------------------------------------------------- */

static int wait_ms(const struct loop *loop, int max_wait_ms)
{
    if (loop->timer_count == 0) {
        return max_wait_ms;
    }
    int64_t left = loop->heap[0]->deadline_ms - clock_now_ms();
    int wait = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
    return max_wait_ms >= 0 && max_wait_ms < wait ? max_wait_ms : wait;
}

static void dispatch(struct loop *loop, int count)
{
    loop->batch_len = count;
    for (int i = 0; i < count; i++) {
        struct loop_io *io = loop->batch[i].data.ptr;
        if (io) {
            io->fn(io->arg, loop->batch[i].events);
        }
    }
    loop->batch_len = 0;
}

int loop_turn(struct loop *loop, int max_wait_ms)
{
    bool is_busy = loop->prepare && loop->prepare(loop->prepare_arg);
    int wait = is_busy || atomic_load(&loop->is_stopped) ? 0 : wait_ms(loop, max_wait_ms);
    int count = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, wait);
    if (count < 0 && errno != EINTR) {
        return -errno;
    }
    loop->now_ms = clock_now_ms();
    dispatch(loop, count > 0 ? count : 0);
    run_timers(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    int status = 0;
    while (status == 0 && !atomic_load(&loop->is_stopped)) {
        status = loop_turn(loop, -1);
    }
    if (loop->prepare) {
        loop->prepare(loop->prepare_arg);
    }
    atomic_store(&loop->is_stopped, false);
    return status;
}
