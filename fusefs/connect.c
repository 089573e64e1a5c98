/* SPDX-License-Identifier: Apache-2.0 */
/* fusefs_connect: the one place that waits for the ensemble, before there is a mount. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/fs.h"
#include "fusefs/fusefs.h"

/* Who waits and the answer have different lives: whoever is last frees. */
struct probe {
    pthread_mutex_t lock;
    int users;   /* by lock */
    int rc;      /* by lock; known once done_fd is readable */
    int done_fd; /* eventfd */
};

static void probe_unref(struct probe *p)
{
    pthread_mutex_lock(&p->lock);
    bool is_last = --p->users == 0;
    pthread_mutex_unlock(&p->lock);
    if (is_last) {
        close(p->done_fd);
        pthread_mutex_destroy(&p->lock);
        free(p);
    }
}

static void on_root(void *arg, const struct zkc_result *result)
{
    struct probe *p = arg;
    uint64_t one = 1;
    pthread_mutex_lock(&p->lock);
    p->rc = result->rc;
    pthread_mutex_unlock(&p->lock);
    ssize_t written = write(p->done_fd, &one, sizeof(one));
    (void)written; /* an eventfd that was 0 takes it */
    probe_unref(p);
}

static int probe_errno(struct probe *p)
{
    pthread_mutex_lock(&p->lock);
    int rc = p->rc;
    pthread_mutex_unlock(&p->lock);
    switch (rc) {
    case ZNONODE:
        return -ENOENT;
    case ZAUTHFAILED:
        return -EACCES;
    case ZOK:
    case ZNOAUTH: /* the ensemble answered; what may be read shows later */
        return 0;
    default:
        return -EIO;
    }
}

/* A refused identity leaves the probe without an answer. */
enum { AUTH_CHECK_MS = 100 };

static int probe_wait(struct fusefs *fs, struct probe *p, int timeout_ms)
{
    struct pollfd fds[] = { { .fd = p->done_fd, .events = POLLIN },
                            { .fd = fs->stop_fd, .events = POLLIN } };
    int64_t deadline_ms = clock_now_ms() + timeout_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - clock_now_ms();
        int slice_ms = left_ms < AUTH_CHECK_MS ? (int)left_ms : AUTH_CHECK_MS;
        int n = poll(fds, 2, slice_ms > 0 ? slice_ms : 0);
        if (n == 0 && zkc_is_auth_refused(fs->zkc)) {
            return -EACCES;
        }
        if (n == 0 && left_ms <= AUTH_CHECK_MS) {
            return -ETIMEDOUT;
        }
        if (n > 0) {
            return fds[1].revents != 0 ? -EINTR : probe_errno(p);
        }
    }
}

int fusefs_connect(struct fusefs *fs, int timeout_ms)
{
    struct probe *p = xcalloc(1, sizeof(*p));
    pthread_mutex_init(&p->lock, NULL);
    p->users = 2;
    p->done_fd = eventfd(0, EFD_CLOEXEC);
    if (p->done_fd < 0) {
        int err = -errno;
        pthread_mutex_destroy(&p->lock);
        free(p);
        return err;
    }
    zkc_exists(fs->zkc, "/", ZKC_PATIENT, on_root, p);
    int err = probe_wait(fs, p, timeout_ms);
    probe_unref(p);
    return err;
}
