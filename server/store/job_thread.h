/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_JOB_THREAD_H
#define SERVER_STORE_JOB_THREAD_H

/*
 * The thread for what takes long and is not the log's or the snapshot's daily work: reading the
 * data directory again, cutting logs, reading them for a learner, freeing a tree of a million
 * nodes. One job after the other; the loop goes on meanwhile.
 *
 *      loop --job_thread_push--> run(), on this thread --STORE_JOB_DONE--> done(), on the loop
 *
 * A job belongs to the thread from the push until its event is taken.
 */
#include "common/thread_queue.h"

struct store_job {
    struct queue_item item; /* first */
    void (*run)(struct store_job *job);
    void (*done)(struct store_job *job); /* frees it */
};

struct job_thread;

/* events: struct store_event; must outlive the thread. 0 or -errno. */
int job_thread_start(struct thread_queue *events, struct job_thread **t);
void job_thread_push(struct job_thread *t, struct store_job *job);
/* Works off what was pushed, ends the thread and frees t. The events are still to be taken. */
void job_thread_stop(struct job_thread *t);

#endif
