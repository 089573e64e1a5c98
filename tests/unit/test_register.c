/* SPDX-License-Identifier: Apache-2.0 */
/* The linearizability checker, on histories that are known to be good or bad. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/prng.h"
#include "tests/lib/register.h"

#define READ(value, from, to)  { REGISTER_READ, value, from, to }
#define WRITE(value, from, to) { REGISTER_WRITE, value, from, to }
#define LOST(value, from)      { REGISTER_WRITE, value, from, REGISTER_UNANSWERED }

struct history {
    const char *what;
    enum register_verdict expected;
    struct register_op ops[8];
    size_t count;
};

static const struct history histories[] = {
    { "nothing", REGISTER_OK, { READ(0, 1, 2) }, 1 },
    { "read what was written", REGISTER_OK, { WRITE(1, 1, 2), READ(1, 3, 4) }, 2 },
    { "stale read", REGISTER_BROKEN, { WRITE(1, 1, 2), READ(0, 3, 4) }, 2 },
    { "read during a write may see either", REGISTER_OK,
      { WRITE(1, 1, 9), READ(0, 2, 3), READ(1, 4, 5) }, 3 },
    { "but not new and then old", REGISTER_BROKEN,
      { WRITE(1, 1, 9), READ(1, 2, 3), READ(0, 4, 5) }, 3 },
    { "two writes at once, read in one order by all", REGISTER_OK,
      { WRITE(1, 1, 9), WRITE(2, 1, 9), READ(1, 10, 11), READ(1, 12, 13) }, 4 },
    { "two writes at once, read in both orders", REGISTER_BROKEN,
      { WRITE(1, 1, 9), WRITE(2, 1, 9), READ(1, 10, 11), READ(2, 12, 13) }, 4 },
    { "lost update: an answered write is gone", REGISTER_BROKEN,
      { WRITE(1, 1, 2), WRITE(2, 3, 4), READ(1, 5, 6) }, 3 },
    { "a lost write may never have happened", REGISTER_OK, { LOST(1, 1), READ(0, 2, 3) }, 2 },
    { "or happen late", REGISTER_OK, { LOST(1, 1), READ(0, 2, 3), READ(1, 4, 5) }, 3 },
    { "but not be taken back", REGISTER_BROKEN,
      { LOST(1, 1), READ(0, 2, 3), READ(1, 4, 5), READ(0, 6, 7) }, 4 },
    { "a value from nowhere", REGISTER_BROKEN, { WRITE(1, 1, 2), READ(7, 1, 9) }, 2 },
    { "a value from the future", REGISTER_BROKEN, { READ(1, 1, 2), WRITE(1, 3, 4) }, 2 },
    { "split brain: each side reads its own", REGISTER_BROKEN,
      { WRITE(1, 1, 2), WRITE(2, 3, 4), READ(2, 5, 6), READ(1, 5, 6), READ(2, 7, 8) }, 5 },
};

static void test_known_histories(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(histories) / sizeof(histories[0]); i++) {
        struct history h = histories[i];
        if (register_check(h.ops, h.count, 0) != h.expected) {
            fail_msg("%s", h.what);
        }
    }
}

/* A real register, operations around the moment they happened; then the same with one read changed to a
 * value that was overwritten long before. */
static void test_random_histories(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct register_op ops[COUNT];
    struct register_op bad[COUNT];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct prng rng;
        int64_t value = 0;
        int last_read = 0;
        prng_init(&rng, seed);
        for (int i = 0; i < COUNT; i++) {
            bool is_write = i == 0 || prng_below(&rng, 2);
            value = is_write ? i + 1 : value;
            ops[i] = (struct register_op){ is_write ? REGISTER_WRITE : REGISTER_READ, value,
                                           i * 10 - (int64_t)prng_below(&rng, 25),
                                           i * 10 + (int64_t)prng_below(&rng, 25) };
            last_read = is_write ? last_read : i;
        }
        memcpy(bad, ops, sizeof(ops));
        bad[last_read].value = 1;
        assert_int_equal(register_check(ops, COUNT, 0), REGISTER_OK);
        assert_int_equal(register_check(bad, COUNT, 0), REGISTER_BROKEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_histories),
        cmocka_unit_test(test_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
