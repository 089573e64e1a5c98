/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/register.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/htable.h"
#include "common/xalloc.h"

enum { OPS_MAX = 1024, WORDS = OPS_MAX / 64, STATES_MAX = 200000 };

/* What is done, and what the register holds then. */
struct state {
    struct hlink link;
    int64_t value;
    uint64_t done[WORDS];
};

struct search {
    const struct register_op *ops; /* by invoked_us */
    size_t count;
    struct htable seen;
    struct state now;
    size_t first; /* everything in front of it is done */
    bool is_tired;
};

static bool is_done(const struct search *s, size_t i)
{
    return s->now.done[i / 64] >> (i % 64) & 1;
}

static void set_done(struct search *s, size_t i, bool done)
{
    uint64_t bit = (uint64_t)1 << (i % 64);
    s->now.done[i / 64] = done ? s->now.done[i / 64] | bit : s->now.done[i / 64] & ~bit;
}

/* True if the search has not been in this state. */
static bool is_new_state(struct search *s)
{
    uint64_t hash = hash_bytes(s->now.done, sizeof(s->now.done), (uint64_t)s->now.value);
    for (struct hlink *l = htable_first(&s->seen, hash); l; l = hlink_next(l, hash)) {
        const struct state *old = (const struct state *)l;
        if (old->value == s->now.value && memcmp(old->done, s->now.done, sizeof(old->done)) == 0) {
            return false;
        }
    }
    struct state *copy = xmemdup(&s->now, sizeof(s->now));
    htable_insert(&s->seen, &copy->link, hash);
    s->is_tired = s->seen.count > STATES_MAX;
    return true;
}

/* Nothing that is left may have been answered before the next one begins. */
static int64_t earliest_answer(const struct search *s)
{
    int64_t at = INT64_MAX;
    for (size_t i = s->first; i < s->count && s->ops[i].invoked_us <= at; i++) {
        if (!is_done(s, i) && s->ops[i].answered_us < at) {
            at = s->ops[i].answered_us;
        }
    }
    return at;
}

static bool is_finished(const struct search *s)
{
    for (size_t i = s->first; i < s->count; i++) {
        if (!is_done(s, i) && s->ops[i].answered_us != REGISTER_UNANSWERED) {
            return false;
        }
    }
    return true;
}

/* One way on from here; its depth is the number of operations, which is bounded. */
static bool go_on(struct search *s)
{
    if (is_finished(s)) {
        return true;
    }
    if (s->is_tired || !is_new_state(s)) {
        return false;
    }
    size_t old_first = s->first;
    int64_t old_value = s->now.value;
    int64_t until = earliest_answer(s);
    for (size_t i = old_first; i < s->count && s->ops[i].invoked_us <= until; i++) {
        const struct register_op *op = &s->ops[i];
        if (is_done(s, i) || (op->kind == REGISTER_READ && op->value != old_value)) {
            continue;
        }
        set_done(s, i, true);
        s->now.value = op->value;
        while (s->first < s->count && is_done(s, s->first)) {
            s->first++;
        }
        if (go_on(s)) {
            return true;
        }
        s->first = old_first;
        s->now.value = old_value;
        set_done(s, i, false);
    }
    return false;
}

static int by_invocation(const void *a, const void *b)
{
    const struct register_op *x = a;
    const struct register_op *y = b;
    if (x->invoked_us != y->invoked_us) {
        return x->invoked_us < y->invoked_us ? -1 : 1;
    }
    return (x->answered_us > y->answered_us) - (x->answered_us < y->answered_us);
}

static void free_state(struct hlink *l, void *arg)
{
    (void)arg;
    free(l);
}

enum register_verdict register_check(struct register_op *ops, size_t count, int64_t initial)
{
    struct search s = { .ops = ops, .count = count, .now = { .value = initial } };
    if (count > OPS_MAX) {
        return REGISTER_UNDECIDED;
    }
    qsort(ops, count, sizeof(*ops), by_invocation);
    htable_init(&s.seen);
    bool found = go_on(&s);
    htable_drain(&s.seen, free_state, NULL);
    htable_fini(&s.seen);
    return found ? REGISTER_OK : s.is_tired ? REGISTER_UNDECIDED : REGISTER_BROKEN;
}
