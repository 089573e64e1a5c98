/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { WORKER_COUNT = 4 };

struct server {
    struct fuse_session *se;
    int stop_fd;
    int error; /* by the worker that met it; 0 or -errno */
};

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
    return e.data.fd != s->stop_fd;
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
    int err = epoll_fd < 0 ? -errno : watch(epoll_fd, s->stop_fd, EPOLLIN);
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
    fuse_session_exit(s->se);
    return NULL;
}

int serve_requests(struct fuse_session *se, int stop_fd)
{
    struct server s = { se, stop_fd, 0 };
    pthread_t workers[WORKER_COUNT];
    int count = 0;
    int fd = fuse_session_fd(se);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        return -errno;
    }
    while (count < WORKER_COUNT && pthread_create(&workers[count], NULL, worker_main, &s) == 0) {
        count++;
    }
    if (count == 0) {
        return -EAGAIN;
    }
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i], NULL);
    }
    return s.error;
}
