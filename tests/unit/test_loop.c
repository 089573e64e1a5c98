/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/prng.h"
#include "server/net/loop.h"

enum { TIMERS = 500 };

struct timers {
    struct loop loop;
    struct loop_timer timer[TIMERS];
    int64_t last_deadline_ms;
    int fired;
};

struct tick {
    struct timers *all;
    struct loop_timer *timer;
};

static void on_tick(void *arg)
{
    struct tick *tick = arg;
    assert_int_equal(tick->timer->place, 0);
    assert_true(tick->timer->deadline_ms >= tick->all->last_deadline_ms);
    tick->all->last_deadline_ms = tick->timer->deadline_ms;
    tick->all->fired++;
}

/* All are due; a third is cancelled and a third is moved. */
static void test_due_timers_fire_by_deadline(void **state)
{
    (void)state;
    struct timers t = { .fired = 0 };
    struct tick ticks[TIMERS];
    struct prng prng;
    prng_init(&prng, 7);
    assert_int_equal(loop_init(&t.loop), 0);
    int64_t past = clock_now_ms() - 10000;
    int cancelled = 0;
    for (int i = 0; i < TIMERS; i++) {
        ticks[i] = (struct tick){ &t, &t.timer[i] };
        t.timer[i].fn = on_tick;
        t.timer[i].arg = &ticks[i];
        loop_timer_set(&t.loop, &t.timer[i], past + (int64_t)prng_below(&prng, 1000));
    }
    for (int i = 0; i < TIMERS; i++) {
        if (i % 3 == 0) {
            loop_timer_cancel(&t.loop, &t.timer[i]);
            loop_timer_cancel(&t.loop, &t.timer[i]);
            cancelled++;
        } else if (i % 3 == 1) {
            loop_timer_set(&t.loop, &t.timer[i], past + (int64_t)prng_below(&prng, 1000));
        }
    }
    assert_int_equal(loop_turn(&t.loop, 0), 0);
    assert_int_equal(t.fired, TIMERS - cancelled);
    loop_fini(&t.loop);
}

struct again {
    struct loop loop;
    struct loop_timer timer;
    int fired;
};

static void on_again(void *arg)
{
    struct again *a = arg;
    a->fired++;
    loop_timer_set(&a->loop, &a->timer, a->loop.now_ms - 1);
}

static void test_timer_that_sets_itself_does_not_hold_the_loop(void **state)
{
    (void)state;
    struct again a = { .fired = 0 };
    assert_int_equal(loop_init(&a.loop), 0);
    a.timer = (struct loop_timer){ .fn = on_again, .arg = &a };
    loop_timer_set(&a.loop, &a.timer, 0);
    assert_int_equal(loop_turn(&a.loop, -1), 0);
    assert_int_equal(loop_turn(&a.loop, -1), 0);
    assert_int_equal(a.fired, 2);
    loop_timer_cancel(&a.loop, &a.timer);
    loop_fini(&a.loop);
}

static void test_future_timer_waits(void **state)
{
    (void)state;
    struct again a = { .fired = 0 };
    assert_int_equal(loop_init(&a.loop), 0);
    a.timer = (struct loop_timer){ .fn = on_again, .arg = &a };
    loop_timer_set(&a.loop, &a.timer, clock_now_ms() + 3600 * 1000);
    assert_int_equal(loop_turn(&a.loop, 0), 0);
    assert_int_equal(a.fired, 0);
    loop_timer_cancel(&a.loop, &a.timer);
    loop_fini(&a.loop);
}

/* Two readable sockets; whichever is served first takes the other out of the loop. */
struct pair {
    struct loop loop;
    struct loop_io io[2];
    int peer[2];
    int served;
};

static struct pair *pair_of_test;

static void on_pair(void *arg, uint32_t events)
{
    struct pair *p = pair_of_test;
    struct loop_io *other = arg;
    assert_true(events & EPOLLIN);
    p->served++;
    loop_io_remove(&p->loop, other);
    other->fn = NULL;
}

static void test_removed_descriptor_gets_no_event(void **state)
{
    (void)state;
    struct pair p = { .served = 0 };
    pair_of_test = &p;
    assert_int_equal(loop_init(&p.loop), 0);
    for (int i = 0; i < 2; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        p.peer[i] = fds[1];
        p.io[i] = (struct loop_io){ fds[0], EPOLLIN, on_pair, &p.io[1 - i] };
        assert_int_equal(loop_io_add(&p.loop, &p.io[i]), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
    }
    assert_int_equal(loop_turn(&p.loop, 0), 0);
    assert_int_equal(p.served, 1);
    loop_io_remove(&p.loop, p.io[0].fn ? &p.io[0] : &p.io[1]);
    for (int i = 0; i < 2; i++) {
        close(p.io[i].fd);
        close(p.peer[i]);
    }
    loop_fini(&p.loop);
}

struct woken {
    struct loop loop;
    int prepared;
    bool is_busy;
};

static bool on_prepare(void *arg)
{
    struct woken *w = arg;
    w->prepared++;
    return w->is_busy;
}

static void *stop_it(void *arg)
{
    struct woken *w = arg;
    loop_wake(&w->loop);
    loop_stop(&w->loop);
    return NULL;
}

static void test_another_thread_stops_it(void **state)
{
    (void)state;
    struct woken w = { .prepared = 0 };
    assert_int_equal(loop_init(&w.loop), 0);
    loop_set_prepare(&w.loop, on_prepare, &w);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_it, &w), 0);
    assert_int_equal(loop_run(&w.loop), 0);
    pthread_join(thread, NULL);
    assert_true(w.prepared >= 1);

    /* A stop that comes first counts as well. */
    int before = w.prepared;
    loop_stop(&w.loop);
    assert_int_equal(loop_run(&w.loop), 0);
    assert_int_equal(w.prepared, before + 1);
    loop_fini(&w.loop);
}

static void test_busy_prepare_does_not_wait(void **state)
{
    (void)state;
    struct woken w = { .is_busy = true };
    assert_int_equal(loop_init(&w.loop), 0);
    loop_set_prepare(&w.loop, on_prepare, &w);
    assert_int_equal(loop_turn(&w.loop, -1), 0);
    assert_int_equal(loop_turn(&w.loop, -1), 0);
    assert_int_equal(w.prepared, 2);
    loop_fini(&w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due_timers_fire_by_deadline),
        cmocka_unit_test(test_timer_that_sets_itself_does_not_hold_the_loop),
        cmocka_unit_test(test_future_timer_waits),
        cmocka_unit_test(test_removed_descriptor_gets_no_event),
        cmocka_unit_test(test_another_thread_stops_it),
        cmocka_unit_test(test_busy_prepare_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
