/* SPDX-License-Identifier: Apache-2.0 */
#include "common/thread_queue.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/assert.h"

int thread_queue_init(struct thread_queue *q)
{
    q->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->event_fd < 0) {
        return -errno;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->ready, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    q->first = NULL;
    q->last = &q->first;
    q->count = 0;
    q->closed = false;
    return 0;
}

void thread_queue_fini(struct thread_queue *q)
{
    zk_assert(q->first == NULL);
    close(q->event_fd);
    pthread_cond_destroy(&q->ready);
    pthread_mutex_destroy(&q->lock);
}

static void wake_locked(struct thread_queue *q)
{
    uint64_t one = 1;
    ssize_t ignored = write(q->event_fd, &one, sizeof(one));
    (void)ignored; /* the counter is full only if nobody has read it: it is readable then */
    pthread_cond_signal(&q->ready);
}

void thread_queue_push(struct thread_queue *q, struct queue_item *item)
{
    item->next = NULL;
    pthread_mutex_lock(&q->lock);
    bool was_empty = q->first == NULL;
    *q->last = item;
    q->last = &item->next;
    q->count++;
    if (was_empty) {
        wake_locked(q);
    }
    pthread_mutex_unlock(&q->lock);
}

static struct queue_item *take_locked(struct thread_queue *q)
{
    struct queue_item *chain = q->first;
    q->first = NULL;
    q->last = &q->first;
    q->count = 0;
    return chain;
}

static struct timespec deadline_after(int timeout_ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += timeout_ms / 1000;
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

struct queue_item *thread_queue_pop_wait(struct thread_queue *q, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms < 0 ? 0 : timeout_ms);
    pthread_mutex_lock(&q->lock);
    while (q->first == NULL && !q->closed) {
        if (timeout_ms < 0) {
            pthread_cond_wait(&q->ready, &q->lock);
        } else if (pthread_cond_timedwait(&q->ready, &q->lock, &deadline) == ETIMEDOUT) {
            break;
        }
    }
    struct queue_item *chain = take_locked(q);
    pthread_mutex_unlock(&q->lock);
    return chain;
}

struct queue_item *thread_queue_pop_all(struct thread_queue *q)
{
    uint64_t drained;
    /* Clear first: an item pushed after the take makes the descriptor readable again. */
    ssize_t ignored = read(q->event_fd, &drained, sizeof(drained));
    (void)ignored;
    pthread_mutex_lock(&q->lock);
    struct queue_item *chain = take_locked(q);
    pthread_mutex_unlock(&q->lock);
    return chain;
}

void thread_queue_close(struct thread_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    wake_locked(q);
    pthread_cond_broadcast(&q->ready);
    pthread_mutex_unlock(&q->lock);
}

bool thread_queue_is_closed(struct thread_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

size_t thread_queue_count(struct thread_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}
