/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/htable.h"

struct entry {
    struct hlink link;
    uint64_t key;
};

static struct entry *find(struct htable *t, uint64_t key)
{
    uint64_t h = hash_u64(key, 7);
    for (struct hlink *l = htable_first(t, h); l; l = hlink_next(l, h)) {
        struct entry *e = (struct entry *)l;
        if (e->key == key) {
            return e;
        }
    }
    return NULL;
}

static void test_grows_without_losing_entries(void **state)
{
    (void)state;
    static struct entry entries[5000];
    struct htable t;
    htable_init(&t);
    for (uint64_t i = 0; i < 5000; i++) {
        entries[i].key = i;
        htable_insert(&t, &entries[i].link, hash_u64(i, 7));
    }
    for (uint64_t i = 0; i < 5000; i += 2) {
        htable_remove(&t, &find(&t, i)->link);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        assert_ptr_equal(find(&t, i), i % 2 ? &entries[i] : NULL);
    }
    assert_int_equal(t.count, 2500);
    htable_fini(&t);
}

static void test_hash_depends_on_every_byte_and_the_seed(void **state)
{
    (void)state;
    char key[20] = "/services/web/0001";
    uint64_t base = hash_bytes(key, sizeof(key), 1);
    assert_true(base != hash_bytes(key, sizeof(key), 2));
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] ^= 1;
        assert_true(base != hash_bytes(key, sizeof(key), 1));
        key[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_without_losing_entries),
        cmocka_unit_test(test_hash_depends_on_every_byte_and_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
