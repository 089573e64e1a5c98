/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/htable.h"
#include "common/xalloc.h"

/* ---- the queue of events -------------------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

static void heap_push(struct world *w, struct event *ev)
{
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap ? 2 * w->heap_cap : 256;
        w->heap = xrealloc(w->heap, w->heap_cap * sizeof(struct event *));
    }
    size_t i = w->heap_count++;
    for (; i > 0 && is_before(ev, w->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        w->heap[i] = w->heap[(i - 1) / 2];
    }
    w->heap[i] = ev;
}

static struct event *heap_pop(struct world *w)
{
    struct event *top = w->heap[0];
    struct event *last = w->heap[--w->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && is_before(w->heap[child + 1], w->heap[child])) {
            child++;
        }
        if (!is_before(w->heap[child], last)) {
            break;
        }
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

struct event *world_plan_event(struct world *w, int64_t delay_us, int32_t node, event_fn *fn)
{
    struct event *ev = xcalloc(1, sizeof(*ev));
    ev->at_us = w->now_us + (delay_us > 0 ? delay_us : 0);
    ev->serial = ++w->serial;
    list_init(&ev->held);
    ev->fn = fn;
    ev->node = node;
    ev->life = node == NOBODY ? 0 : w->nodes[node].life;
    heap_push(w, ev);
    return ev;
}

static void event_free(struct event *ev)
{
    buf_fini(&ev->bytes);
    free(ev);
}

/* A paused process finds everything waiting when it goes on, in the order it came. */
static bool is_held(struct world *w, struct event *ev)
{
    if (ev->node == NOBODY || !w->nodes[ev->node].is_paused) {
        return false;
    }
    list_push_back(&w->nodes[ev->node].held, &ev->held);
    return true;
}

void world_release(struct world *w, struct node *n)
{
    struct list *it;
    while ((it = list_pop_front(&n->held)) != NULL) {
        struct event *ev = list_entry(it, struct event, held);
        ev->at_us = w->now_us;
        ev->serial = ++w->serial;
        heap_push(w, ev);
    }
}

static void run_next(struct world *w)
{
    struct event *ev = heap_pop(w);
    zk_assert(ev->at_us >= w->now_us);
    w->now_us = ev->at_us;
    if (ev->node != NOBODY && w->nodes[ev->node].life != ev->life) {
        event_free(ev);
        return;
    }
    if (is_held(w, ev)) {
        return;
    }
    w->event_count++;
    ev->fn(w, ev);
    event_free(ev);
}

static void run_until(struct world *w, int64_t until_us)
{
    while (w->heap_count > 0 && w->heap[0]->at_us <= until_us) {
        run_next(w);
    }
    w->now_us = until_us;
}

/* ---- notes and failures ------------------------------------------------------------------------------ */

void world_note(struct world *w, int32_t node, const char *what, int64_t a, int64_t b)
{
    int64_t line[4] = { w->now_us, node, a, b };
    w->trace = hash_bytes(line, sizeof(line), w->trace ^ hash_bytes(what, strlen(what), 1));
    if (w->is_verbose) {
        printf("%10.3f  %4d  %-14s %12" PRIx64 " %12" PRIx64 "\n", (double)w->now_us / 1000,
               node == NOBODY ? 0 : node + 1, what, a, b);
    }
}

const char *sight_name(enum sight sight)
{
    static const char *const names[SIGHTS] = {
        "reign",       "diff",      "log-sent",      "trunc",  "half-cut",
        "not-trunc",   "snap",      "half-saved",    "reload", "disk-failed",
        "disk-works",  "snapshot",  "session-moved", "expiry", "watch-fired",
        "watch-again", "sync-read", "multi-failed",  "denied",
    };
    return names[sight];
}

void sim_fail(const struct world *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("seed %" PRIu64 " at %.3f ms: ", w->seed, (double)w->now_us / 1000);
    vprintf(fmt, ap);
    printf("\n");
    fflush(stdout);
    va_end(ap);
    exit(SIM_FAILED);
}

/* ---- one run ------------------------------------------------------------------------------------------ */

/* What a story needs to get anywhere. */
static void plan_story(struct world_plan *p)
{
    if (p->story == STORY_LEFT_BEHIND) {
        p->hostile_us += 4000000;
    } else if (p->story == STORY_OLD_LOGS) {
        p->hostile_us += 4000000;
        p->server_count = 5;
        p->half_saved_one_in = 2;
        p->snap_size_percent = -1;
        p->job_us = 800000;
    } else if (p->story == STORY_OWN_TAIL) {
        p->half_cut_one_in = 2;
        p->roll_one_in = 2;
    }
}

static void plan(struct world *w)
{
    struct world_plan *p = &w->plan;
    int64_t story = world_below(w, 10);
    p->story = story < STORIES ? (enum story)story : STORY_MEDLEY;
    p->server_count = world_chance(w, 3) ? 5 : 3;
    p->user_count = 2 + (int32_t)world_below(w, USERS_MAX - 1);
    p->hostile_us = 4000000 + world_below(w, 8000000);
    p->heal_us = 5000000; /* 25 ticks */
    p->grey = world_chance(w, 3) ? GREY_DEAF : world_chance(w, 4) ? GREY_MUTE : GREY_NONE;
    p->roll_one_in = world_chance(w, 2) ? 3 + world_below(w, 30) : 1000;
    p->job_us = world_chance(w, 3) ? 1 + world_below(w, 800000) : 1;
    p->snap_size_percent = world_chance(w, 2) ? 0 : world_chance(w, 2) ? 33 : -1;
    p->snap_count = 10 + world_below(w, 200);
    p->half_saved_one_in = 4;
    p->half_cut_one_in = 4;
    plan_story(p);
}

static void start(struct world *w)
{
    net_init(w);
    truth_init(&w->truth);
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        node_init(w, &w->nodes[i], i);
        node_start(w, &w->nodes[i]);
    }
    for (int32_t i = 0; i < w->plan.user_count; i++) {
        user_init(w, &w->users[i], i);
    }
    faults_init(w);
}

static void stop(struct world *w)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        node_fini(w, &w->nodes[i]);
    }
    for (int32_t i = 0; i < w->plan.user_count; i++) {
        user_fini(&w->users[i]);
    }
    while (w->heap_count > 0) {
        event_free(heap_pop(w));
    }
    free(w->heap);
    net_fini(w);
    truth_fini(&w->truth);
}

/* Every user must get an answer to a write that it began after the healing. */
static void wait_for_service(struct world *w)
{
    int64_t healed_us = w->now_us;
    for (;;) {
        run_until(w, w->now_us + 100000);
        int32_t served = 0;
        for (int32_t i = 0; i < w->plan.user_count; i++) {
            served += w->users[i].last_write_invoked_us > healed_us;
        }
        if (served == w->plan.user_count) {
            w->served_us =
                w->now_us - healed_us > w->served_us ? w->now_us - healed_us : w->served_us;
            return;
        }
        if (w->now_us - healed_us > w->plan.heal_us) {
            sim_fail(w, "liveness: %d of %d users have been served since everything healed", served,
                     w->plan.user_count);
        }
    }
}

/* The others go on without one server that only hears, or is only heard: the leader, if there is one. */
static void serve_around_a_grey_failure(struct world *w)
{
    int32_t grey = 0;
    if (w->plan.grey == GREY_NONE) {
        return;
    }
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        grey = w->nodes[i].peer && w->nodes[i].peer->is_leader ? i : grey;
    }
    world_note(w, grey, w->plan.grey == GREY_DEAF ? "deaf" : "mute", 0, 0);
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        w->net.blocked[i][grey] |= i != grey && w->plan.grey == GREY_DEAF;
        w->net.blocked[grey][i] |= i != grey && w->plan.grey == GREY_MUTE;
    }
    wait_for_service(w);
    faults_heal(w);
    world_note(w, grey, "heard", 0, 0);
}

/* Users are quiet, and all servers get to the same state. */
static void wait_for_agreement(struct world *w)
{
    int64_t since_us = w->now_us;
    do {
        run_until(w, w->now_us + 100000);
    } while (!truth_servers_agree(w) && w->now_us - since_us <= w->plan.heal_us);
}

struct world *world_live(uint64_t seed, bool is_verbose)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->seed = seed;
    w->is_verbose = is_verbose;
    prng_init(&w->rng,
              hash_u64(seed, 1)); /* prng streams of neighbours would be shifts of each other */
    plan(w);
    start(w);
    w->is_hostile = true;
    run_until(w, w->plan.hostile_us);
    w->is_hostile = false;
    faults_heal(w);
    world_note(w, NOBODY, "healed", 0, 0);
    wait_for_service(w);
    serve_around_a_grey_failure(w);
    w->is_ending = true;
    run_until(w, w->now_us + 2000000);
    wait_for_agreement(w);
    return w;
}

void world_run(uint64_t seed, bool is_verbose, struct run_result *out)
{
    struct world *w = world_live(seed, is_verbose);
    truth_check_end(w);
    *out = (struct run_result){
        .trace = w->trace,
        .events = w->event_count,
        .txns = w->truth.committed_count,
        .answers = w->truth.answer_count,
        .undecided = w->undecided_count,
        .served_us = w->served_us,
    };
    memcpy(out->faults, w->faults.counts, sizeof(out->faults));
    memcpy(out->sights, w->sights, sizeof(out->sights));
    stop(w);
    free(w);
}
