/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/lock_queue.h"

#define A      "a0000000000000000000000000000001"
#define B      "b0000000000000000000000000000002"
#define C      "c0000000000000000000000000000003"
#define B_UUID "b0000000-0000-0000-0000-000000000002"

/* Names as the clients made them (kazoo 2.8, Curator 5.4). */
static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_entry;
        enum lock_form form;
        enum lock_mode mode;
        int32_t number;
        const char *guid;
    } cases[] = {
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__0000000007", true, LOCK_FORM_KAZOO,
          LOCK_EXCLUSIVE, 7, "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1" },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__rlock__2147483647", true, LOCK_FORM_KAZOO, LOCK_SHARED,
          2147483647, "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1" },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__-000000001", true, LOCK_FORM_KAZOO,
          LOCK_EXCLUSIVE, -1, "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1" },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__-2147483648", true, LOCK_FORM_KAZOO,
          LOCK_EXCLUSIVE, INT32_MIN, "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1" },
        { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-lock-0000000003", true, LOCK_FORM_MUTEX,
          LOCK_EXCLUSIVE, 3, "0a4c5d695f2c4c1cae0e0d9c1b8d34c2" },
        { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-__READ__0000000003", true, LOCK_FORM_READ_WRITE,
          LOCK_SHARED, 3, "0a4c5d695f2c4c1cae0e0d9c1b8d34c2" },
        { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-__WRIT__0000000003", true, LOCK_FORM_READ_WRITE,
          LOCK_EXCLUSIVE, 3, "0a4c5d695f2c4c1cae0e0d9c1b8d34c2" },
        { "", false, 0, 0, 0, NULL },
        { "lock-0000000003", false, 0, 0, 0, NULL },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__", false, 0, 0, 0, NULL },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__000000007", false, 0, 0, 0, NULL },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__00000000x7", false, 0, 0, 0, NULL },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3b1__lock__9999999999", false, 0, 0, 0, NULL },
        { "9fb1d2ee61c84b90a8d8b2ea4f9ff3bX__lock__0000000007", false, 0, 0, 0, NULL },
        { "9fb1d2ee__lock__0000000007", false, 0, 0, 0, NULL },
        { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-lock-", false, 0, 0, 0, NULL },
        { "_c_0a4c5d6995f2c-4c1c-ae0e-0d9c1b8d34c2-lock-0000000003", false, 0, 0, 0, NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lock_entry entry;
        assert_int_equal(lock_name_parse(cases[i].name, &entry), cases[i].is_entry);
        assert_int_equal(lock_name_is_hidden(cases[i].name), cases[i].is_entry);
        if (cases[i].is_entry) {
            assert_int_equal(entry.form, cases[i].form);
            assert_int_equal(entry.mode, cases[i].mode);
            assert_int_equal(entry.number, cases[i].number);
            assert_string_equal(entry.guid, cases[i].guid);
        }
    }
}

static void test_printed_names_are_parsed(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {
        0x3f, 0xa9, 0x00, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
    };
    char guid[LOCK_GUID_SIZE];
    lock_name_guid(bytes, guid);
    assert_string_equal(guid, "dfa9000102030405060708090a0b0c0d");
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        for (enum lock_mode mode = LOCK_SHARED; mode <= LOCK_EXCLUSIVE; mode++) {
            struct lock_entry in = { form, mode, 42, "" };
            struct lock_entry out;
            char name[LOCK_NAME_SIZE];
            if (!lock_name_has_form(mode, form)) {
                assert_true(form == LOCK_FORM_MUTEX && mode == LOCK_SHARED);
                continue;
            }
            strcpy(in.guid, guid);
            lock_name_print(&in, name);
            assert_true(lock_name_parse(name, &out));
            assert_int_equal(out.form, form);
            assert_int_equal(out.mode, mode);
            assert_int_equal(out.number, 42);
            assert_string_equal(out.guid, guid);
        }
    }
}

static void test_queue_of_a_file(void **state)
{
    (void)state;
    char *deep = lock_name_queue("/app/config");
    char *top = lock_name_queue("/config");
    assert_string_equal(deep, "/app/.zklock.config");
    assert_string_equal(top, "/.zklock.config");
    assert_true(lock_name_is_hidden(".zklock.config"));
    assert_false(lock_name_is_hidden(".zklock"));
    free(deep);
    free(top);
}

static void test_judge(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *names[6];
        enum lock_mode mode;
        bool holds_shared;
        enum lock_place place;
        const char *predecessor;
    } cases[] = {
        { "no entry", { A "__lock__0000000001" }, LOCK_EXCLUSIVE, false, LOCK_ABSENT, NULL },
        { "alone", { "child", B "__lock__0000000001" }, LOCK_EXCLUSIVE, false, LOCK_FIRST, NULL },
        { "the last one in front",
          { C "__lock__0000000003", A "__lock__0000000002", B "__lock__0000000009",
            C "__lock__0000000012" },
          LOCK_EXCLUSIVE,
          false,
          LOCK_BEHIND,
          C "__lock__0000000003" },
        { "a writer waits for readers",
          { A "__rlock__0000000001", B "__lock__0000000002" },
          LOCK_EXCLUSIVE,
          false,
          LOCK_BEHIND,
          A "__rlock__0000000001" },
        { "readers share",
          { A "__rlock__0000000001", B "__rlock__0000000002" },
          LOCK_SHARED,
          false,
          LOCK_FIRST,
          NULL },
        { "a reader waits for the last writer, not for the reader behind that",
          { A "__lock__0000000001", C "__rlock__0000000002", B "__rlock__0000000003" },
          LOCK_SHARED,
          false,
          LOCK_BEHIND,
          A "__lock__0000000001" },
        { "Curator's mutex is in the way",
          { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-lock-0000000003", B "__lock__0000000004",
            "_c_" B_UUID "-lock-0000000005", "_c_" B_UUID "-__WRIT__0000000006" },
          LOCK_EXCLUSIVE,
          false,
          LOCK_BEHIND,
          "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-lock-0000000003" },
        { "Curator's reader is not in a reader's way",
          { "_c_0a4c5d69-5f2c-4c1c-ae0e-0d9c1b8d34c2-__READ__0000000003", B "__rlock__0000000004" },
          LOCK_SHARED,
          false,
          LOCK_FIRST,
          NULL },
        { "who comes later is not in the way",
          { B "__lock__0000000004", "_c_" B_UUID "-lock-0000000005", C "__lock__0000000006" },
          LOCK_EXCLUSIVE,
          false,
          LOCK_FIRST,
          NULL },
        { "its own shared lock is not in the way",
          { B "__rlock__0000000001", B "__lock__0000000004" },
          LOCK_EXCLUSIVE,
          true,
          LOCK_FIRST,
          NULL },
        { "the first to ask for more waits for the other's shared lock",
          { A "__rlock__0000000001", B "__rlock__0000000002", B "__lock__0000000003",
            A "__lock__0000000004" },
          LOCK_EXCLUSIVE,
          true,
          LOCK_BEHIND,
          A "__rlock__0000000001" },
        { "the second cannot",
          { B "__rlock__0000000001", A "__rlock__0000000002", A "__lock__0000000003",
            B "__lock__0000000004" },
          LOCK_EXCLUSIVE,
          true,
          LOCK_DEADLOCK,
          NULL },
        { "an ordinary writer in front is no deadlock",
          { A "__rlock__0000000001", C "__lock__0000000003", B "__lock__0000000004" },
          LOCK_EXCLUSIVE,
          false,
          LOCK_BEHIND,
          C "__lock__0000000003" },
    };
    const char *mine[] = { B };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lock_claim claim = { B, cases[i].mode, mine, 1, cases[i].holds_shared };
        struct lock_judgement out;
        size_t count = 0;
        while (count < 6 && cases[i].names[count]) {
            count++;
        }
        lock_queue_judge(cases[i].names, count, &claim, &out);
        if (out.place != cases[i].place) {
            fail_msg("%s: place %d", cases[i].what, (int)out.place);
        }
        if (cases[i].predecessor && out.place == LOCK_BEHIND) {
            assert_string_equal(out.predecessor, cases[i].predecessor);
        }
    }
}

static void test_entries_made_twice(void **state)
{
    (void)state;
    const char *names[] = { B "__lock__0000000008", "_c_" B_UUID "-lock-0000000005",
                            B "__lock__0000000004", "_c_" B_UUID "-lock-0000000009" };
    struct lock_claim claim = { B, LOCK_EXCLUSIVE, NULL, 0, false };
    struct lock_judgement out;
    lock_queue_judge(names, 4, &claim, &out);
    assert_int_equal(out.place, LOCK_FIRST);
    assert_string_equal(out.names[LOCK_FORM_KAZOO], names[2]);
    assert_string_equal(out.names[LOCK_FORM_MUTEX], names[1]);
    assert_null(out.names[LOCK_FORM_READ_WRITE]);
    assert_int_equal(out.extra_count, 2);
    assert_string_equal(out.extra[0], names[0]);
    assert_string_equal(out.extra[1], names[3]);
}

static void test_owner_is_not_in_its_own_way(void **state)
{
    (void)state;
    const char *names[] = { A "__lock__0000000001", B "__lock__0000000002" };
    const char *mine[] = { A, B };
    struct lock_claim claim = { B, LOCK_EXCLUSIVE, mine, 2, false };
    struct lock_judgement out;
    lock_queue_judge(names, 2, &claim, &out);
    assert_int_equal(out.place, LOCK_FIRST);
}

static void test_conflict(void **state)
{
    (void)state;
    const char *names[] = { C "__lock__0000000003", A "__rlock__0000000001", "child" };
    const char *mine[] = { A };
    assert_string_equal(lock_queue_conflict(names, 3, LOCK_EXCLUSIVE, NULL, 0), names[1]);
    assert_string_equal(lock_queue_conflict(names, 3, LOCK_SHARED, NULL, 0), names[0]);
    assert_string_equal(lock_queue_conflict(names, 3, LOCK_EXCLUSIVE, mine, 1), names[0]);
    assert_null(lock_queue_conflict(names + 1, 1, LOCK_SHARED, NULL, 0));
    assert_null(lock_queue_conflict(names + 2, 1, LOCK_EXCLUSIVE, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_printed_names_are_parsed),
        cmocka_unit_test(test_queue_of_a_file),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_entries_made_twice),
        cmocka_unit_test(test_owner_is_not_in_its_own_way),
        cmocka_unit_test(test_conflict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
