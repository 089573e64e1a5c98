/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/job_thread.h"

#include <stdlib.h>

#include "common/worker.h"
#include "common/xalloc.h"
#include "server/store/store_event.h"

_Static_assert(offsetof(struct store_job, item) == 0, "the worker casts the item to its job");

struct job_thread {
    struct worker worker;
    struct thread_queue *events;
};

static void handle(void *arg, struct queue_item *chain)
{
    struct job_thread *t = arg;
    while (chain) {
        struct store_job *job = (struct store_job *)chain;
        chain = chain->next;
        job->run(job);
        store_event_post(t->events, &(struct store_event){ .type = STORE_JOB_DONE, .job = job });
    }
}

int job_thread_start(struct thread_queue *events, struct job_thread **out)
{
    struct job_thread *t = xcalloc(1, sizeof(*t));
    t->events = events;
    int rc = worker_start(&t->worker, "zk-jobs", handle, t);
    if (rc != 0) {
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void job_thread_push(struct job_thread *t, struct store_job *job)
{
    worker_push(&t->worker, &job->item);
}

void job_thread_stop(struct job_thread *t)
{
    worker_stop(&t->worker);
    free(t);
}
