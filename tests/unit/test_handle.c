/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "fusefs/cache.h"
#include "fusefs/handle.h"

static struct cache cache;
static struct inode *file; /* "/f" with "abc", covered by its watches */

enum { NOW_MS = 10000 };

static void on_change(void *owner, enum change change, struct inode *inode)
{
    (void)owner;
    (void)change;
    (void)inode;
}

/* Somebody else sets the data. */
static void change(const char *data, int64_t mzxid, int64_t now_ms)
{
    struct Stat s;
    memset(&s, 0, sizeof(s));
    s.czxid = 1;
    s.pzxid = 1;
    s.mzxid = mzxid;
    s.version = (int32_t)mzxid;
    s.dataLength = (int32_t)strlen(data);
    cache_learn_value(&cache, file, &s, data, s.dataLength, now_ms);
    handle_advance_readers(file);
}

static int set_up(void **state)
{
    (void)state;
    cache_init(&cache, 7, 1000, on_change, NULL);
    file = inode_add(&cache.table, cache.table.root, "/f", INODE_UNKNOWN);
    file->nlookup = 1;
    file->data_watched = true;
    file->kids_watched = true;
    change("abc", 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cache_fini(&cache);
    return 0;
}

static struct handle *open_reader(struct fuse_file_info *fi, int64_t now_ms)
{
    memset(fi, 0, sizeof(*fi));
    struct handle *h = handle_new(file, file, O_RDONLY, 0);
    handle_open_reader(&cache, h, fi, now_ms);
    return h;
}

static struct handle *open_writer(int flags)
{
    struct handle *h = handle_new(file, file, flags, 42);
    h->value = value_ref(file->value);
    return h;
}

static void assert_reads(struct handle *h, off_t offset, const char *expected)
{
    size_t len = 0;
    const char *bytes = handle_read(h, offset, &len);
    assert_non_null(bytes);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(bytes, expected, len);
}

static void test_quiet_file_is_read_through_the_page_cache(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    struct handle *first = open_reader(&fi, NOW_MS);
    assert_false(fi.direct_io);
    assert_false(fi.keep_cache); /* nothing of this version can be there */
    assert_true(fi.noflush);
    struct handle *second = open_reader(&fi, NOW_MS);
    assert_false(fi.direct_io);
    assert_true(fi.keep_cache);
    handle_release(&cache, first);
    handle_release(&cache, second);
}

static void test_changing_file_is_read_directly(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    change("xyz", 2, NOW_MS);
    struct handle *h = open_reader(&fi, NOW_MS + 1);
    assert_true(fi.direct_io);
    handle_release(&cache, h);
    h = open_reader(&fi, NOW_MS + 1000);
    assert_false(fi.direct_io);
    assert_false(fi.keep_cache);
    handle_release(&cache, h);
}

static void test_file_that_is_open_for_write_is_read_directly(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    struct handle *writer = open_writer(O_WRONLY);
    struct handle *reader = open_reader(&fi, NOW_MS);
    assert_true(fi.direct_io);
    handle_release(&cache, writer);
    handle_release(&cache, reader);
}

static void test_uncovered_file_is_read_directly(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    file->data_watched = false;
    struct handle *h = open_reader(&fi, NOW_MS);
    assert_true(fi.direct_io);
    handle_release(&cache, h);
}

static void test_overtaken_cached_reader_keeps_its_version(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    struct handle *old = open_reader(&fi, NOW_MS);
    change("other", 2, NOW_MS);
    assert_true(handle_is_behind(old));
    assert_true(handle_any_behind(file));
    assert_reads(old, 0, "abc");
    assert_reads(old, 2, "abc");
    struct handle *late = open_reader(&fi, NOW_MS + 5000);
    assert_true(fi.direct_io);
    assert_reads(late, 0, "other");
    handle_release(&cache, old);
    assert_false(handle_any_behind(file));
    handle_release(&cache, late);
}

static void test_cached_reader_goes_on_in_a_value_that_continues_its_own(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    struct handle *h = open_reader(&fi, NOW_MS);
    change("abc and more", 2, NOW_MS);
    assert_false(handle_is_behind(h));
    assert_reads(h, 3, "abc and more");
    handle_release(&cache, h);
}

static void test_direct_reader_changes_version_only_where_it_starts_over(void **state)
{
    (void)state;
    struct fuse_file_info fi;
    change("abc", 2, NOW_MS);
    struct handle *h = open_reader(&fi, NOW_MS);
    assert_reads(h, 0, "abc");
    change("new", 3, NOW_MS);
    assert_reads(h, 1, "abc");
    assert_reads(h, 0, "new");
    assert_reads(h, 1, "new");
    handle_release(&cache, h);
}

static void test_write_changes_nothing_but_the_buffer(void **state)
{
    (void)state;
    struct handle *h = open_writer(O_RDWR);
    assert_true(handle_make_private(h));
    handle_write(h, "Z", 1, 1);
    assert_true(h->is_dirty);
    assert_false(h->any_version);
    assert_reads(h, 0, "aZc");
    assert_memory_equal(file->value->bytes, "abc", 3);
    handle_release(&cache, h);
}

static void test_write_past_the_end_leaves_zeros(void **state)
{
    (void)state;
    struct handle *h = open_writer(O_WRONLY);
    assert_true(handle_make_private(h));
    handle_write(h, "x", 1, 5);
    assert_int_equal(handle_size(h), 6);
    assert_memory_equal(h->data, "abc\0\0x", 6);
    handle_truncate(h, 2);
    handle_truncate(h, 4);
    assert_memory_equal(h->data, "ab\0\0", 4);
    handle_release(&cache, h);
}

static void test_truncation_replaces_unless_the_old_value_was_read(void **state)
{
    (void)state;
    struct handle *blind = open_writer(O_WRONLY);
    handle_truncate(blind, 0);
    assert_true(blind->any_version);
    assert_true(blind->only_truncated);
    handle_write(blind, "new", 3, 0);
    assert_false(blind->only_truncated);
    assert_true(blind->any_version);
    struct handle *seeing = open_writer(O_RDWR);
    assert_reads(seeing, 0, "abc");
    handle_truncate(seeing, 0);
    assert_false(seeing->any_version);
    handle_release(&cache, blind);
    handle_release(&cache, seeing);
}

static void test_append_ignores_the_offset(void **state)
{
    (void)state;
    struct handle *h = open_writer(O_WRONLY | O_APPEND);
    assert_true(handle_make_private(h));
    handle_write(h, "one", 3, 3);
    handle_write(h, "two", 3, 0);
    assert_int_equal(h->len, 6);
    assert_memory_equal(h->data, "onetwo", 6);
    assert_int_equal(handle_size(h), 9);
    handle_release(&cache, h);
}

static void test_value_has_to_be_loaded_before_it_is_changed(void **state)
{
    (void)state;
    struct handle *h = handle_new(file, file, O_WRONLY, 42);
    size_t len = 0;
    assert_null(handle_read(h, 0, &len));
    assert_false(handle_make_private(h));
    handle_truncate(h, 0); /* needs no old value */
    assert_true(handle_make_private(h));
    assert_int_equal(handle_size(h), 0);
    handle_release(&cache, h);
}

static void test_opener_that_truncates_is_found_while_its_handle_is_fresh(void **state)
{
    (void)state;
    struct handle *older = open_writer(O_WRONLY);
    struct handle *newer = open_writer(O_WRONLY);
    assert_ptr_equal(handle_find_opened(file, 42), newer);
    assert_null(handle_find_opened(file, 43));
    handle_truncate(newer, 0);
    assert_ptr_equal(handle_find_opened(file, 42), older);
    handle_release(&cache, older);
    assert_null(handle_find_opened(file, 42));
    handle_release(&cache, newer);
    assert_int_equal(file->writers, 0);
    assert_int_equal(file->refs, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_quiet_file_is_read_through_the_page_cache),
        TEST(test_changing_file_is_read_directly),
        TEST(test_file_that_is_open_for_write_is_read_directly),
        TEST(test_uncovered_file_is_read_directly),
        TEST(test_overtaken_cached_reader_keeps_its_version),
        TEST(test_cached_reader_goes_on_in_a_value_that_continues_its_own),
        TEST(test_direct_reader_changes_version_only_where_it_starts_over),
        TEST(test_write_changes_nothing_but_the_buffer),
        TEST(test_write_past_the_end_leaves_zeros),
        TEST(test_truncation_replaces_unless_the_old_value_was_read),
        TEST(test_append_ignores_the_offset),
        TEST(test_value_has_to_be_loaded_before_it_is_changed),
        TEST(test_opener_that_truncates_is_found_while_its_handle_is_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
