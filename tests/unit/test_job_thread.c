/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "server/store/job_thread.h"
#include "server/store/store_event.h"

enum { JOBS = 20 };

struct log {
    int ran[JOBS]; /* numbers of the jobs, in the order in which they ran, */
    int run_count;
    int done[JOBS]; /* and in which they were reported */
    int done_count;
    pthread_t thread; /* that ran them */
};

struct numbered {
    struct store_job job; /* first */
    struct log *log;
    int number;
};

static void run(struct store_job *job)
{
    struct numbered *n = (struct numbered *)job;
    n->log->thread = pthread_self();
    n->log->ran[n->log->run_count++] = n->number;
}

static void done(struct store_job *job)
{
    struct numbered *n = (struct numbered *)job;
    n->log->done[n->log->done_count++] = n->number;
    free(n);
}

static void push_all(struct job_thread *t, struct log *log)
{
    for (int i = 0; i < JOBS; i++) {
        struct numbered *n = xmalloc(sizeof(*n));
        *n = (struct numbered){ .job = { .run = run, .done = done }, .log = log, .number = i };
        job_thread_push(t, &n->job);
    }
}

/* As the loop does. */
static void take(struct queue_item *item)
{
    while (item) {
        struct store_event *event = (struct store_event *)item;
        item = item->next;
        assert_int_equal(event->type, STORE_JOB_DONE);
        event->job->done(event->job);
        free(event);
    }
}

static void expect_all_in_order(const struct log *log)
{
    assert_int_equal(log->run_count, JOBS);
    assert_int_equal(log->done_count, JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(log->ran[i], i);
        assert_int_equal(log->done[i], i);
    }
    assert_false(pthread_equal(log->thread, pthread_self()));
}

static void test_jobs_run_elsewhere_and_are_reported_in_order(void **state)
{
    (void)state;
    struct log log = { .run_count = 0 };
    struct thread_queue events;
    struct job_thread *t;
    assert_int_equal(thread_queue_init(&events), 0);
    assert_int_equal(job_thread_start(&events, &t), 0);
    push_all(t, &log);
    while (log.done_count < JOBS) {
        take(thread_queue_pop_wait(&events, -1));
    }
    job_thread_stop(t);
    expect_all_in_order(&log);
    thread_queue_fini(&events);
}

static void test_what_was_pushed_is_done_before_the_end(void **state)
{
    (void)state;
    struct log log = { .run_count = 0 };
    struct thread_queue events;
    struct job_thread *t;
    assert_int_equal(thread_queue_init(&events), 0);
    assert_int_equal(job_thread_start(&events, &t), 0);
    push_all(t, &log);
    job_thread_stop(t);
    take(thread_queue_pop_all(&events));
    expect_all_in_order(&log);
    thread_queue_fini(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_run_elsewhere_and_are_reported_in_order),
        cmocka_unit_test(test_what_was_pushed_is_done_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
