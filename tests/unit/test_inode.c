/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "fusefs/inode.h"

static struct inode_table table;

static int set_up(void **state)
{
    (void)state;
    inode_table_init(&table, 7);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    inode_table_fini(&table);
    return 0;
}

/* Adds a node and lets the kernel remember it. */
static struct inode *add_known(struct inode *parent, const char *path, enum inode_kind kind)
{
    struct inode *inode = inode_add(&table, parent, path, kind);
    inode->nlookup = 1;
    return inode;
}

static void test_found_by_number_path_and_name(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    struct inode *file = add_known(dir, "/a/b", INODE_FILE);
    assert_int_equal(table.root->ino, INODE_ROOT);
    assert_ptr_equal(inode_find(&table, file->ino), file);
    assert_ptr_equal(inode_find_path(&table, "/a/b"), file);
    assert_ptr_equal(inode_find_child(&table, table.root, "a"), dir);
    assert_null(inode_find_child(&table, dir, "a"));
    assert_string_equal(inode_name(file), "b");
}

static void test_numbers_are_not_used_twice(void **state)
{
    (void)state;
    uint64_t last = table.root->ino;
    for (int i = 0; i < 100; i++) {
        struct inode *inode = add_known(table.root, "/again", INODE_FILE);
        assert_true(inode->ino > last);
        last = inode->ino;
        inode_kill(&table, inode);
        assert_null(inode_find_path(&table, "/again"));
        assert_ptr_equal(inode_find(&table, last), inode);
        inode_forget(&table, inode, 1);
        assert_null(inode_find(&table, last));
    }
    assert_int_equal(table.count, 1);
}

static void test_everything_below_dies_with_a_directory(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    struct inode *sub = add_known(dir, "/a/s", INODE_DIR);
    struct inode *file = add_known(sub, "/a/s/f", INODE_FILE);
    assert_int_equal(table.root->subdirs, 1);
    inode_kill(&table, dir);
    assert_true(dir->dead);
    assert_true(sub->dead);
    assert_true(file->dead);
    assert_int_equal(table.root->subdirs, 0);
    assert_null(inode_find_path(&table, "/a/s/f"));
}

static void test_ancestors_stay_while_something_hangs_below(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    struct inode *file = add_known(dir, "/a/f", INODE_FILE);
    uint64_t ino = dir->ino;
    inode_forget(&table, dir, 1);
    assert_ptr_equal(inode_find(&table, ino), dir);
    inode_forget(&table, file, 1);
    assert_null(inode_find(&table, ino));
    assert_int_equal(table.count, 1);
}

static void test_children_are_kept_while_their_directory_is_armed(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    dir->armed = true;
    struct inode *child = inode_add(&table, dir, "/a/c", INODE_FILE);
    uint64_t ino = child->ino;
    inode_reap(&table, child);
    assert_ptr_equal(inode_find(&table, ino), child);
    assert_true(inode_is_needed(child));
    inode_forget(&table, dir, 1);
    assert_null(inode_find(&table, ino));
    assert_int_equal(table.count, 1);
}

static void test_children_of_a_partly_watched_directory_are_not_kept(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    dir->armed = true;
    dir->partial = true;
    inode_reap(&table, inode_add(&table, dir, "/a/c", INODE_FILE));
    assert_null(inode_find_path(&table, "/a/c"));
}

static void test_move_takes_what_is_below_along(void **state)
{
    (void)state;
    struct inode *from = add_known(table.root, "/a", INODE_DIR);
    struct inode *to = add_known(table.root, "/b", INODE_DIR);
    struct inode *sub = add_known(from, "/a/s", INODE_DIR);
    struct inode *file = add_known(sub, "/a/s/f", INODE_FILE);
    inode_move(&table, sub, to, "/b/t");
    assert_ptr_equal(inode_find_path(&table, "/b/t/f"), file);
    assert_null(inode_find_path(&table, "/a/s/f"));
    assert_int_equal(from->subdirs, 0);
    assert_int_equal(to->subdirs, 1);
}

static void test_exchange(void **state)
{
    (void)state;
    struct inode *dir = add_known(table.root, "/a", INODE_DIR);
    struct inode *one = add_known(table.root, "/one", INODE_FILE);
    struct inode *two = add_known(dir, "/a/two", INODE_FILE);
    inode_exchange(&table, one, two);
    assert_ptr_equal(inode_find_path(&table, "/one"), two);
    assert_ptr_equal(inode_find_path(&table, "/a/two"), one);
    assert_ptr_equal(one->parent, dir);
    assert_ptr_equal(two->parent, table.root);
}

static void test_control_inodes_leave_paths_to_znodes(void **state)
{
    (void)state;
    struct inode *control = add_known(table.root, "/.zk", INODE_CONTROL_DIR);
    struct inode *maker = add_known(control, "/.zk/ephemeral", INODE_CONTROL_EPHEMERAL);
    assert_null(inode_find_path(&table, "/.zk"));
    assert_ptr_equal(inode_find(&table, maker->ino), maker);
    struct inode *znode = add_known(table.root, "/.zk", INODE_UNKNOWN);
    assert_ptr_equal(inode_find_path(&table, "/.zk"), znode);
    assert_ptr_equal(inode_owner(maker), table.root);
    assert_true(inode_is_dir(maker) && inode_is_maker(maker) && !inode_is_maker(control));
    inode_kill(&table, table.root);
    assert_true(maker->dead);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_found_by_number_path_and_name),
        TEST(test_numbers_are_not_used_twice),
        TEST(test_everything_below_dies_with_a_directory),
        TEST(test_ancestors_stay_while_something_hangs_below),
        TEST(test_children_are_kept_while_their_directory_is_armed),
        TEST(test_children_of_a_partly_watched_directory_are_not_kept),
        TEST(test_move_takes_what_is_below_along),
        TEST(test_exchange),
        TEST(test_control_inodes_leave_paths_to_znodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
