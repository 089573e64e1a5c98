/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_THREAD_QUEUE_H
#define COMMON_THREAD_QUEUE_H

/*
 * The one way threads talk: a FIFO of intrusive items under a mutex. A receiver either sleeps in
 * thread_queue_pop_wait() or polls thread_queue_fd(), which is readable while items may be waiting.
 * Items belong to the sender until pushed and to the receiver once popped.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct queue_item {
    struct queue_item *next;
};

struct thread_queue {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct queue_item *first; /* by lock */
    struct queue_item **last; /* by lock; where the next item is linked */
    size_t count;             /* by lock */
    bool closed;              /* by lock */
    int event_fd;
};

/* 0 or -errno (no descriptor left). */
int thread_queue_init(struct thread_queue *q);
/* The queue must be empty and no thread may use it any more. */
void thread_queue_fini(struct thread_queue *q);
void thread_queue_push(struct thread_queue *q, struct queue_item *item);
/* Waits up to timeout_ms (-1: for ever) and takes the whole queue as a chain, oldest first. NULL: time
 * is up, or the queue is closed and empty. */
struct queue_item *thread_queue_pop_wait(struct thread_queue *q, int timeout_ms);
/* Takes the whole queue without waiting and clears the descriptor; NULL when empty. */
struct queue_item *thread_queue_pop_all(struct thread_queue *q);
/* Wakes the receivers; pushed items are still delivered. */
void thread_queue_close(struct thread_queue *q);
bool thread_queue_is_closed(struct thread_queue *q);
size_t thread_queue_count(struct thread_queue *q);
static inline int thread_queue_fd(const struct thread_queue *q)
{
    return q->event_fd;
}

#endif
