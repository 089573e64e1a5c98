/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_LOOP_H
#define SERVER_NET_LOOP_H

/*
 * The event loop: descriptors, deadlines and one way to wake it from outside. One thread runs it
 * and is the only one to call anything here, except loop_wake and loop_stop.
 *
 *      turn:   prepare()  ->  wait  ->  descriptors  ->  timers  ->  next turn
 *
 * The prepare hook runs once a turn, after everything that happened in it, which is what lets all
 * replies of a turn leave in one write per connection.
 *
 * Functions that can fail return 0 or -errno.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A descriptor in the loop. The struct and the descriptor belong to the caller; both must stay
 * until loop_io_remove, after which no event arrives any more, not even one of the current turn.
 * */
struct loop_io {
    int fd;
    uint32_t events; /* wanted: EPOLLIN, EPOLLOUT. EPOLLERR and EPOLLHUP arrive in any case */
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

/* A deadline. The struct belongs to the caller and must stay until it fired or was cancelled. */
struct loop_timer {
    int64_t deadline_ms; /* monotonic, as clock_now_ms */
    size_t place;        /* in the heap, from 1; 0: not set */
    void (*fn)(void *arg);
    void *arg;
};

enum { LOOP_BATCH = 256 };

struct loop {
    int epoll_fd;
    int64_t now_ms; /* when this turn's wait ended */
    struct loop_io wake;
    struct loop_timer **heap; /* owned array, smallest deadline first */
    size_t timer_count;
    size_t timer_cap;
    bool (*prepare)(void *arg);
    void *prepare_arg;
    struct epoll_event batch[LOOP_BATCH]; /* of this turn; data.ptr NULL: removed meanwhile */
    int batch_len;
    atomic_bool is_stopped; /* any thread */
};

int loop_init(struct loop *loop);
/* Everything must have been removed and cancelled. */
void loop_fini(struct loop *loop);

/* The hook returns true when the next turn must not wait. */
void loop_set_prepare(struct loop *loop, bool (*prepare)(void *arg), void *arg);

/* Runs until loop_stop; the prepare hook has then run once more. May be called again after it. 0,
 * or -errno if waiting fails. */
int loop_run(struct loop *loop);
/* One turn that waits for at most max_wait_ms. Returns as loop_run. */
int loop_turn(struct loop *loop, int max_wait_ms);

/* Starts a turn soon. Any thread, and safe in a signal handler. */
void loop_wake(struct loop *loop);
/* Ends loop_run soon. Any thread, and safe in a signal handler. */
void loop_stop(struct loop *loop);

int loop_io_add(struct loop *loop, struct loop_io *io);
void loop_io_change(struct loop *loop, struct loop_io *io, uint32_t events);
/* Call before the descriptor is closed. */
void loop_io_remove(struct loop *loop, struct loop_io *io);

/* Sets or moves the deadline. A timer that is due fires once and is then no longer set. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ms);
/* Fine for a timer that is not set. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

#endif
