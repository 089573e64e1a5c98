/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fusefs/cache.h"
#include "fusefs/listing.h"
#include "fusefs/perms.h"

static struct cache cache;
static struct inode *dir; /* "/d", known to the kernel, with its names read */
static char seen[512];    /* what was reported: "CREATED /d/a;" ... */

static void on_change(void *owner, enum change change, struct inode *inode)
{
    static const char *const names[] = { "CREATED", "DELETED", "DATA", "ACL", "ATTR", "LISTED" };
    (void)owner;
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof(seen) - used, "%s %s;", names[change], inode->path);
}

static void expect(const char *expected)
{
    assert_string_equal(seen, expected);
    seen[0] = '\0';
}

/* A stat as a setData or a create at that zxid leaves it. */
static struct Stat stat_at(int64_t czxid, int64_t mzxid, int len)
{
    struct Stat s;
    memset(&s, 0, sizeof(s));
    s.czxid = czxid;
    s.mzxid = mzxid;
    s.pzxid = czxid;
    s.dataLength = len;
    return s;
}

static struct Stat dir_stat(int64_t pzxid, int children)
{
    struct Stat s = stat_at(1, 1, 0);
    s.pzxid = pzxid;
    s.numChildren = children;
    return s;
}

static void list(int64_t pzxid, size_t count, const char *const *names)
{
    struct Stat s = dir_stat(pzxid, (int)count);
    cache_learn_kids(&cache, dir, &s, names, count, 0);
}

static int set_up(void **state)
{
    (void)state;
    cache_init(&cache, 7, 100, on_change, NULL);
    dir = inode_add(&cache.table, cache.table.root, "/d", INODE_UNKNOWN);
    dir->nlookup = 1;
    dir->armed = true;
    list(1, 0, NULL);
    struct Stat s = dir_stat(1, 0);
    cache_learn_value(&cache, dir, &s, NULL, -1, 0);
    seen[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cache_fini(&cache);
    return 0;
}

/* A file that has been known for a while. */
static struct inode *known_file(const char *name, int64_t zxid)
{
    const char *names[] = { name };
    list(zxid, 1, names);
    struct inode *file = inode_find_child(&cache.table, dir, name);
    struct Stat s = stat_at(zxid, zxid, 3);
    cache_learn_value(&cache, file, &s, "abc", 3, 0);
    seen[0] = '\0';
    return file;
}

static void test_kind(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        int len;
        int children;
        enum inode_kind kind;
    } cases[] = {
        { NULL, -1, 0, INODE_DIR }, { "", 0, 0, INODE_FILE }, { "x", 1, 0, INODE_FILE },
        { NULL, -1, 2, INODE_DIR }, { "", 0, 1, INODE_DIR },  { "x", 1, 1, INODE_DIR },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct inode *inode = inode_add(&cache.table, cache.table.root, "/k", INODE_UNKNOWN);
        struct Stat s = stat_at(5, 5, cases[i].len < 0 ? 0 : cases[i].len);
        s.numChildren = cases[i].children;
        cache_learn_value(&cache, inode, &s, cases[i].data, cases[i].len, 0);
        assert_int_equal(inode->kind, cases[i].kind);
        inode_kill(&cache.table, inode);
        inode_reap(&cache.table, inode);
    }
}

static void test_first_look_announces_nothing(void **state)
{
    (void)state;
    known_file("f", 10);
    struct Stat s = stat_at(10, 10, 3);
    cache_learn_stat(&cache, inode_find_path(&cache.table, "/d/f"), &s, 0);
    expect("");
}

static void test_created_is_announced_when_its_kind_is_known(void **state)
{
    (void)state;
    const char *names[] = { "a" };
    list(10, 1, names);
    expect("ATTR /d;LISTED /d/a;");
    struct inode *a = inode_find_path(&cache.table, "/d/a");
    struct Stat s = stat_at(10, 10, 0);
    cache_learn_stat(&cache, a, &s, 0);
    expect(""); /* empty or null? */
    cache_learn_value(&cache, a, &s, "", 0, 0);
    expect("CREATED /d/a;");
}

static void test_change_is_reported_once(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    struct Stat s = stat_at(10, 12, 2);
    cache_learn_value(&cache, f, &s, "xy", 2, 77);
    expect("DATA /d/f;");
    assert_int_equal(f->value->mzxid, 12);
    assert_int_equal(f->changed_ms, 77);
    cache_learn_value(&cache, f, &s, "xy", 2, 78);
    expect("");
}

static void test_older_answer_changes_nothing(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    struct Stat s = stat_at(10, 9, 1);
    cache_learn_value(&cache, f, &s, "x", 1, 0);
    expect("");
    assert_int_equal(f->value->len, 3);
    struct Stat other_life = stat_at(4, 20, 1);
    assert_ptr_equal(cache_learn_stat(&cache, f, &other_life, 0), f);
    expect("");
}

static void test_set_acl(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    cache_learn_perms(&cache, f, PERMS_ALL, 0);
    struct Stat s = stat_at(10, 10, 3);
    s.aversion = 1;
    cache_learn_stat(&cache, f, &s, 0);
    expect("ACL /d/f;");
    assert_false(f->perms_known);
    cache_learn_perms(&cache, f, 1, 0); /* an answer from before */
    assert_false(f->perms_known);
}

static void test_own_write_is_not_a_change(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    struct Stat s = stat_at(10, 12, 2);
    s.version = 1;
    cache_wrote(&cache, f, &s, "xy", 2, 0);
    expect("ATTR /d/f;");
    cache_learn_value(&cache, f, &s, "xy", 2, 0);
    expect("");
    struct Stat theirs = stat_at(10, 13, 1);
    cache_learn_value(&cache, f, &theirs, "z", 1, 0);
    expect("DATA /d/f;");
}

static void test_own_create_and_delete_are_not_announced(void **state)
{
    (void)state;
    struct Stat s = stat_at(20, 20, 0);
    struct inode *f = cache_created(&cache, dir, "new", &s, INODE_FILE);
    f->nlookup = 1;
    const char *names[] = { "new" };
    list(20, 1, names);
    expect("ATTR /d;");
    assert_ptr_equal(inode_find_path(&cache.table, "/d/new"), f);
    cache_removed(&cache, f);
    list(21, 0, NULL);
    expect("ATTR /d;");
    assert_true(f->dead);
}

static void test_deleted_by_its_own_watch_then_by_the_listing(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    f->nlookup = 1;
    cache_learn_gone(&cache, f);
    expect("DELETED /d/f;");
    assert_false(listing_has(dir->listing, "f"));
    list(11, 0, NULL);
    expect("ATTR /d;");
}

static void test_deleted_by_the_listing_then_by_its_own_watch(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    f->nlookup = 1;
    list(11, 0, NULL);
    expect("ATTR /d;DELETED /d/f;");
    cache_learn_gone(&cache, f);
    expect("");
}

static void test_deleted_and_created_again_is_another_inode(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    f->nlookup = 1;
    struct Stat s = stat_at(12, 12, 1);
    struct inode *next = cache_learn_value(&cache, f, &s, "x", 1, 0);
    assert_true(f->dead);
    assert_true(next->ino != f->ino);
    expect("DELETED /d/f;CREATED /d/f;");
}

static void test_created_and_gone_before_it_was_read(void **state)
{
    (void)state;
    const char *names[] = { "a" };
    list(10, 1, names);
    seen[0] = '\0';
    struct inode *a = inode_ref(inode_find_path(&cache.table, "/d/a"));
    cache_learn_gone(&cache, a);
    list(11, 0, NULL);
    expect("ATTR /d;");
    inode_unref(&cache.table, a);
}

static void test_file_that_gains_a_child_is_a_new_directory(void **state)
{
    (void)state;
    struct inode *f = known_file("f", 10);
    f->nlookup = 1;
    struct Stat s = stat_at(10, 10, 3);
    s.pzxid = 15;
    s.numChildren = 1;
    const char *names[] = { "child" };
    struct inode *next = cache_learn_kids(&cache, f, &s, names, 1, 0);
    assert_true(f->dead);
    assert_int_equal(next->kind, INODE_DIR);
    expect("ATTR /d/f;DELETED /d/f;ATTR /d;CREATED /d/f;");
}

static void test_directory_stays_one_without_children(void **state)
{
    (void)state;
    struct Stat s = stat_at(1, 30, 4);
    assert_ptr_equal(cache_learn_value(&cache, dir, &s, "data", 4, 0), dir);
    assert_int_equal(dir->kind, INODE_DIR);
}

static void test_values_are_dropped_longest_unused_first(void **state)
{
    (void)state;
    char bytes[60] = { 0 };
    struct inode *kept[3];
    for (int i = 0; i < 3; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/v%d", i);
        kept[i] = inode_add(&cache.table, cache.table.root, path, INODE_UNKNOWN);
        kept[i]->nlookup = 1;
    }
    for (int i = 0; i < 2; i++) {
        struct Stat s = stat_at(50 + i, 50 + i, 40);
        cache_learn_value(&cache, kept[i], &s, bytes, 40, 0);
    }
    cache_touch_value(&cache, kept[0]);
    struct Stat s = stat_at(52, 52, 60);
    cache_learn_value(&cache, kept[2], &s, bytes, 60, 0);
    assert_non_null(kept[0]->value);
    assert_null(kept[1]->value);
    assert_non_null(kept[2]->value);
    assert_int_equal(cache.table.value_bytes, 100);
    inode_kill(&cache.table, kept[2]);
    inode_forget(&cache.table, kept[2], 1);
    assert_int_equal(cache.table.value_bytes, 40);
}

static void test_rename_over_a_file(void **state)
{
    (void)state;
    struct inode *target = known_file("f", 10);
    target->nlookup = 1;
    const char *names[] = { "f", "temp" };
    list(11, 2, names);
    struct inode *temp = inode_find_path(&cache.table, "/d/temp");
    temp->nlookup = 1;
    seen[0] = '\0';
    cache_renamed(&cache, temp, dir, "f");
    assert_true(target->dead);
    assert_ptr_equal(inode_find_path(&cache.table, "/d/f"), temp);
    struct Stat s = stat_at(10, 12, 3); /* the target's znode, with the source's bytes */
    cache_learn_value(&cache, temp, &s, "new", 3, 0);
    const char *after[] = { "f" };
    list(12, 1, after);
    expect("ATTR /d;");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_kind),
        TEST(test_first_look_announces_nothing),
        TEST(test_created_is_announced_when_its_kind_is_known),
        TEST(test_change_is_reported_once),
        TEST(test_older_answer_changes_nothing),
        TEST(test_set_acl),
        TEST(test_own_write_is_not_a_change),
        TEST(test_own_create_and_delete_are_not_announced),
        TEST(test_deleted_by_its_own_watch_then_by_the_listing),
        TEST(test_deleted_by_the_listing_then_by_its_own_watch),
        TEST(test_deleted_and_created_again_is_another_inode),
        TEST(test_created_and_gone_before_it_was_read),
        TEST(test_file_that_gains_a_child_is_a_new_directory),
        TEST(test_directory_stays_one_without_children),
        TEST(test_values_are_dropped_longest_unused_first),
        TEST(test_rename_over_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
