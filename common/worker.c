/* SPDX-License-Identifier: Apache-2.0 */
#include "common/worker.h"

#include <signal.h>

#include "common/assert.h"

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct queue_item *chain;
    while ((chain = thread_queue_pop_wait(&w->queue, -1)) != NULL) {
        w->handle(w->arg, chain);
    }
    return NULL;
}

int worker_start(struct worker *w, const char *name,
                 void (*handle)(void *arg, struct queue_item *chain), void *arg)
{
    int rc = thread_queue_init(&w->queue);
    if (rc != 0) {
        return rc;
    }
    w->handle = handle;
    w->arg = arg;
    /* A thread inherits the mask: no signal shall be handled in the middle of a write. */
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        thread_queue_fini(&w->queue);
        return -rc;
    }
    pthread_setname_np(w->thread, name); /* only for people to read */
    return 0;
}

void worker_push(struct worker *w, struct queue_item *item)
{
    zk_assert(!thread_queue_is_closed(&w->queue));
    thread_queue_push(&w->queue, item);
}

void worker_stop(struct worker *w)
{
    thread_queue_close(&w->queue);
    pthread_join(w->thread, NULL);
    thread_queue_fini(&w->queue);
}
