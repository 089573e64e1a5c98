/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_WORKER_H
#define COMMON_WORKER_H

/*
 * A thread that works off a queue: what the log thread and the snapshot thread have in common.
 * Items that were pushed before worker_stop() are still handled.
 */
#include <pthread.h>

#include "common/thread_queue.h"

struct worker {
    pthread_t thread;
    struct thread_queue queue;
    void (*handle)(void *arg, struct queue_item *chain); /* takes the chain, which is not empty */
    void *arg;
};

/* name: at most 15 characters, shown by ps and top. 0 or -errno. Signals stay with the other
 * threads. */
int worker_start(struct worker *w, const char *name,
                 void (*handle)(void *arg, struct queue_item *chain), void *arg);
void worker_push(struct worker *w, struct queue_item *item);
/* Waits until the queue is worked off and the thread has ended. */
void worker_stop(struct worker *w);

#endif
