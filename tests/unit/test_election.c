/* SPDX-License-Identifier: Apache-2.0 */
/* Three voters' elections, joined by lines that the tests cut in one direction. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "common/xalloc.h"
#include "server/core/election.h"

enum { VOTERS = 3, LEADER = 2, MESSAGES_MAX = 256 }; /* the place of the largest sid */

struct message {
    int from, to;
    struct notification n;
};

struct field {
    struct ensemble ensemble[VOTERS];
    struct election election[VOTERS];
    bool cut[VOTERS][VOTERS]; /* from, to */
    struct message waiting[MESSAGES_MAX];
    int count;
    int64_t now_ms;
};

static void gather(struct field *f, int from)
{
    struct election *e = &f->election[from];
    for (int32_t i = 0; i < e->out_count; i++) {
        int to = (int)e->out[i].sid - 1;
        if (!f->cut[from][to]) {
            assert_true(f->count < MESSAGES_MAX);
            f->waiting[f->count++] = (struct message){ from, to, e->out[i].message };
        }
    }
}

/* Brings the message at a place in the queue, and takes what it is answered with. */
static void bring(struct field *f, int place)
{
    struct message m = f->waiting[place];
    f->count--;
    for (int i = place; i < f->count; i++) {
        f->waiting[i] = f->waiting[i + 1];
    }
    election_on_notification(&f->election[m.to], m.from + 1, &m.n, f->now_ms);
    gather(f, m.to);
}

/* Everything on the lines arrives; what comes from or goes to `first` is always brought before the rest. */
static void bring_all(struct field *f, int first)
{
    while (f->count > 0) {
        int place = 0;
        for (int i = 0; i < f->count; i++) {
            if (f->waiting[i].from == first || f->waiting[i].to == first) {
                place = i;
                break;
            }
        }
        bring(f, place);
    }
}

static void pass_time(struct field *f, int64_t ms)
{
    f->now_ms += ms;
    for (int i = 0; i < VOTERS; i++) {
        election_on_tick(&f->election[i], f->now_ms);
        gather(f, i);
    }
}

static void look(struct field *f, int who, bool lost_its_leader)
{
    if (lost_its_leader) {
        election_lose_leader(&f->election[who], LEADER + 1);
    }
    election_start(&f->election[who], 0x100000005, 1, f->now_ms);
    gather(f, who);
}

static int setup(void **state)
{
    struct field *f = xcalloc(1, sizeof(*f));
    for (int i = 0; i < VOTERS; i++) {
        f->ensemble[i] = (struct ensemble){
            .self_sid = i + 1,
            .voter_count = VOTERS,
            .voters = { 1, 2, 3 },
            .config_text = "",
        };
        election_init(&f->election[i], &f->ensemble[i]);
    }
    for (int i = 0; i < VOTERS; i++) {
        look(f, i, false);
    }
    bring_all(f, LEADER);
    pass_time(f, 200);
    bring_all(f, LEADER);
    assert_int_equal(f->election[LEADER].state, STATE_LEADING);
    assert_int_equal(f->election[0].state, STATE_FOLLOWING);
    assert_int_equal(f->election[1].state, STATE_FOLLOWING);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct field *f = *state;
    for (int i = 0; i < VOTERS; i++) {
        election_fini(&f->election[i]);
    }
    free(f);
    return 0;
}

/* It gave up because it hears nobody, and tells everybody its vote, which is the best one. */
static void test_a_deaf_leader_is_not_elected_again(void **state)
{
    struct field *f = *state;
    f->cut[0][LEADER] = f->cut[1][LEADER] = true;
    look(f, LEADER, false);
    look(f, 0, true);
    look(f, 1, true);
    bring_all(f, LEADER);
    pass_time(f, 200);
    bring_all(f, LEADER);
    assert_int_equal(f->election[LEADER].state, STATE_LOOKING);
    assert_int_equal(f->election[0].state, STATE_FOLLOWING);
    assert_int_equal(f->election[0].current.leader, 2);
    assert_int_equal(f->election[1].state, STATE_LEADING);
}

/* The same, but it hears the others: its vote counts at once. */
static void test_a_leader_that_lost_its_followers_for_a_moment_is_elected_again(void **state)
{
    struct field *f = *state;
    look(f, LEADER, false);
    look(f, 0, true);
    look(f, 1, true);
    bring_all(f, LEADER);
    pass_time(f, 200);
    bring_all(f, LEADER);
    assert_int_equal(f->election[LEADER].state, STATE_LEADING);
    assert_int_equal(f->election[0].current.leader, 3);
    assert_int_equal(f->election[1].current.leader, 3);
}

/* With the third one down, the one that was lost is needed, and its vote waits for nothing. */
static void test_the_lost_leader_and_one_other_are_a_quorum(void **state)
{
    struct field *f = *state;
    f->cut[0][LEADER] = f->cut[0][1] = f->cut[LEADER][0] = f->cut[1][0] = true;
    look(f, LEADER, false);
    look(f, 1, true);
    bring_all(f, LEADER);
    pass_time(f, 200);
    bring_all(f, LEADER);
    assert_int_equal(f->election[LEADER].state, STATE_LEADING);
    assert_int_equal(f->election[1].current.leader, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_deaf_leader_is_not_elected_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_leader_that_lost_its_followers_for_a_moment_is_elected_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_lost_leader_and_one_other_are_a_quorum, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
