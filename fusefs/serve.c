/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WORKER_COUNT = 4 };

struct server {
    struct fuse_session *se;
    int end_fd;  /* eventfd: the workers are to end */
    int left_fd; /* eventfd: a worker has ended by itself */
    int error;   /* by the worker that met it; 0 or -errno */
};

static void signal_fd(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof(one));
    (void)written; /* it can only be full, and then it is readable already */
}

static int watch(int epoll_fd, int fd, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.fd = fd };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

/* Waits for a request or the end; true: go on. */
static bool wait_for_work(struct server *s, int epoll_fd)
{
    struct epoll_event e;
    int count = epoll_wait(epoll_fd, &e, 1, -1);
    if (count < 0) {
        return errno == EINTR;
    }
    return e.data.fd != s->end_fd;
}

static void serve_until_end(struct server *s, int epoll_fd)
{
    struct fuse_buf buf;
    memset(&buf, 0, sizeof(buf));
    while (!fuse_session_exited(s->se)) {
        int got = fuse_session_receive_buf(s->se, &buf);
        if (got > 0) {
            fuse_session_process_buf(s->se, &buf);
        } else if (got == -EAGAIN) {
            if (!wait_for_work(s, epoll_fd)) {
                break;
            }
        } else if (got != -EINTR) {
            if (got < 0 && got != -ENODEV) {
                s->error = got;
            }
            break;
        }
    }
    free(buf.mem);
}

static void *worker_main(void *arg)
{
    struct server *s = arg;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int err = epoll_fd < 0 ? -errno : watch(epoll_fd, s->end_fd, EPOLLIN);
    if (!err) {
        /* One request wakes one worker. */
        err = watch(epoll_fd, fuse_session_fd(s->se), EPOLLIN | EPOLLEXCLUSIVE);
    }
    if (!err) {
        serve_until_end(s, epoll_fd);
    } else {
        s->error = err;
    }
    if (epoll_fd >= 0) {
        close(epoll_fd);
    }
    signal_fd(s->left_fd);
    return NULL;
}

static void wait_for_end(const struct server *s, int stop_fd)
{
    struct pollfd fds[] = { { .fd = stop_fd, .events = POLLIN },
                            { .fd = s->left_fd, .events = POLLIN } };
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
}

static int serve_with_workers(struct server *s, int stop_fd, void (*wind_down)(void *arg), void *arg)
{
    pthread_t workers[WORKER_COUNT];
    int count = 0;
    while (count < WORKER_COUNT && pthread_create(&workers[count], NULL, worker_main, s) == 0) {
        count++;
    }
    if (count > 0) {
        wait_for_end(s, stop_fd);
    }
    wind_down(arg);
    signal_fd(s->end_fd);
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i], NULL);
    }
    return count > 0 ? s->error : -EAGAIN;
}

int serve_requests(struct fuse_session *se, int stop_fd, void (*wind_down)(void *arg), void *arg)
{
    struct server s = { .se = se,
                        .end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                        .left_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    int fd = fuse_session_fd(se);
    int err = 0;
    if (s.end_fd < 0 || s.left_fd < 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        err = -errno;
        wind_down(arg);
    } else {
        err = serve_with_workers(&s, stop_fd, wind_down, arg);
    }
    if (s.end_fd >= 0) {
        close(s.end_fd);
    }
    if (s.left_fd >= 0) {
        close(s.left_fd);
    }
    return err;
}
