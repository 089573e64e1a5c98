/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "server/store/fsops.h"
#include "tests/lib/fake_fs.h"

/* The same tests for the real file system and for the fake, so that the fake is like the real one.
 */
struct fixture {
    const struct fsops *fs;
    struct fake_fs *fake; /* NULL: the real one */
    char *dir;
};

static int setup_posix(void **state)
{
    char template[] = "/tmp/test_fsops.XXXXXX";
    struct fixture *x = xcalloc(1, sizeof(*x));
    assert_non_null(mkdtemp(template));
    x->fs = &fsops_posix;
    x->dir = xstrdup(template);
    *state = x;
    return 0;
}

static int setup_fake(void **state)
{
    struct fixture *x = xcalloc(1, sizeof(*x));
    x->fake = fake_fs_new();
    x->fs = fake_fs_ops(x->fake);
    x->dir = xstrdup("/d");
    fake_fs_make_dir(x->fake, "/d");
    *state = x;
    return 0;
}

struct names {
    char *names[32];
    size_t count;
};

static void collect(void *arg, const char *name)
{
    struct names *n = arg;
    assert_true(n->count < 32);
    n->names[n->count++] = xstrdup(name);
}

static void remove_all(const char *dir)
{
    struct names n = { .count = 0 };
    fsops_posix.list_dir(NULL, dir, collect, &n);
    for (size_t i = 0; i < n.count; i++) {
        char *path = fs_join(dir, n.names[i]);
        if (unlink(path) != 0) {
            remove_all(path);
        }
        free(path);
        free(n.names[i]);
    }
    rmdir(dir);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    if (x->fake == NULL) {
        remove_all(x->dir);
    } else {
        fake_fs_free(x->fake);
    }
    free(x->dir);
    free(x);
    return 0;
}

static int open_in(const struct fixture *x, const char *name, enum fs_mode mode)
{
    char *path = fs_join(x->dir, name);
    int fd = x->fs->open(x->fs->ctx, path, mode);
    free(path);
    return fd;
}

static void test_open_modes(void **state)
{
    struct fixture *x = *state;
    const struct fsops *fs = x->fs;
    assert_int_equal(open_in(x, "a", FS_READ), -ENOENT);
    assert_int_equal(open_in(x, "a", FS_WRITE), -ENOENT);
    assert_int_equal(open_in(x, "no/a", FS_CREATE), -ENOENT);
    int fd = open_in(x, "a", FS_CREATE_NEW);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_full(fs, fd, "hello", 5, 0), 0);
    assert_int_equal(fs->close(fs->ctx, fd), 0);
    assert_int_equal(open_in(x, "a", FS_CREATE_NEW), -EEXIST);
    char back[10];
    fd = open_in(x, "a", FS_WRITE);
    assert_int_equal(fs_read_full(fs, fd, back, sizeof(back), 0), 5);
    assert_memory_equal(back, "hello", 5);
    assert_int_equal(fs_write_full(fs, fd, "J", 1, 0), 0);
    assert_int_equal(fs_read_full(fs, fd, back, 2, 3), 2);
    assert_int_equal(fs_read_full(fs, fd, back, 2, 9), 0);
    assert_int_equal(fs->close(fs->ctx, fd), 0);
    fd = open_in(x, "a", FS_CREATE);
    int64_t size = -1;
    assert_int_equal(fs->size(fs->ctx, fd, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(fs->close(fs->ctx, fd), 0);
}

static void test_truncate_and_sync(void **state)
{
    struct fixture *x = *state;
    const struct fsops *fs = x->fs;
    int64_t size = 0;
    char back[8];
    int fd = open_in(x, "a", FS_CREATE);
    assert_int_equal(fs_write_full(fs, fd, "abcdef", 6, 0), 0);
    assert_int_equal(fs->truncate(fs->ctx, fd, 3), 0);
    assert_int_equal(fs->truncate(fs->ctx, fd, 8), 0);
    assert_int_equal(fs->fdatasync(fs->ctx, fd), 0);
    assert_int_equal(fs->size(fs->ctx, fd, &size), 0);
    assert_int_equal(size, 8);
    assert_int_equal(fs_read_full(fs, fd, back, 8, 0), 8);
    assert_memory_equal(back, "abc\0\0\0\0\0", 8);
    assert_int_equal(fs_write_full(fs, fd, "z", 1, 20), 0);
    assert_int_equal(fs->size(fs->ctx, fd, &size), 0);
    assert_int_equal(size, 21);
    assert_int_equal(fs->close(fs->ctx, fd), 0);
}

static void test_names(void **state)
{
    struct fixture *x = *state;
    const struct fsops *fs = x->fs;
    char *a = fs_join(x->dir, "a");
    char *b = fs_join(x->dir, "b");
    assert_int_equal(fs->rename(fs->ctx, a, b), -ENOENT);
    assert_int_equal(fs->unlink(fs->ctx, a), -ENOENT);
    fs->close(fs->ctx, open_in(x, "a", FS_CREATE));
    fs->close(fs->ctx, open_in(x, "b", FS_CREATE));
    assert_int_equal(fs->rename(fs->ctx, a, b), 0);
    assert_int_equal(fs->fsync_dir(fs->ctx, x->dir), 0);
    struct names n = { .count = 0 };
    assert_int_equal(fs->list_dir(fs->ctx, x->dir, collect, &n), 0);
    assert_int_equal(n.count, 1);
    assert_string_equal(n.names[0], "b");
    free(n.names[0]);
    assert_int_equal(fs->list_dir(fs->ctx, a, collect, &n), -ENOENT);
    assert_int_equal(fs->unlink(fs->ctx, b), 0);
    assert_int_equal(fs->mkdir(fs->ctx, a), 0);
    assert_int_equal(fs->mkdir(fs->ctx, a), -EEXIST);
    free(b);
    free(a);
}

static void test_make_dirs(void **state)
{
    struct fixture *x = *state;
    char *deep = fs_join(x->dir, "one/two/three");
    assert_int_equal(fs_make_dirs(x->fs, deep), 0);
    assert_int_equal(fs_make_dirs(x->fs, deep), 0);
    assert_true(open_in(x, "one/two/three", FS_CREATE) == -EISDIR);
    int fd = open_in(x, "one/two/three/f", FS_CREATE);
    assert_true(fd >= 0);
    x->fs->close(x->fs->ctx, fd);
    free(deep);
}

static void test_replace_and_read_file(void **state)
{
    struct fixture *x = *state;
    char *path = fs_join(x->dir, "f");
    struct buf back = BUF_EMPTY;
    assert_int_equal(fs_read_file(x->fs, path, 100, &back), -ENOENT);
    assert_int_equal(fs_replace_file(x->fs, x->dir, "f", "old", 3), 0);
    assert_int_equal(fs_replace_file(x->fs, x->dir, "f", "newer", 5), 0);
    assert_int_equal(fs_read_file(x->fs, path, 4, &back), -EFBIG);
    assert_int_equal(buf_readable(&back), 0);
    assert_int_equal(fs_read_file(x->fs, path, 5, &back), 0);
    assert_int_equal(buf_readable(&back), 5);
    assert_memory_equal(buf_head(&back), "newer", 5);
    assert_int_equal(fs_replace_file(x->fs, x->dir, "f", "", 0), 0);
    assert_int_equal(fs_read_file(x->fs, path, 5, &back), 0);
    assert_int_equal(buf_readable(&back), 5); /* appended nothing */
    buf_fini(&back);
    free(path);
}

static void test_lock_dir(void **state)
{
    struct fixture *x = *state;
    const struct fsops *fs = x->fs;
    int lock = fs->lock_dir(fs->ctx, x->dir);
    assert_true(lock >= 0);
    assert_int_equal(fs->lock_dir(fs->ctx, x->dir), -EBUSY);
    assert_int_equal(fs->close(fs->ctx, lock), 0);
    lock = fs->lock_dir(fs->ctx, x->dir);
    assert_true(lock >= 0);
    assert_int_equal(fs->close(fs->ctx, lock), 0);
    char *none = fs_join(x->dir, "none");
    assert_int_equal(fs->lock_dir(fs->ctx, none), -ENOENT);
    free(none);
}

/* A path without a slash is made in the current directory. */
static void test_make_relative_dirs(void **state)
{
    struct fixture *x = *state;
    char old[4096];
    assert_non_null(getcwd(old, sizeof(old)));
    assert_int_equal(chdir(x->dir), 0);
    int rc = fs_make_dirs(&fsops_posix, "r//s/");
    assert_int_equal(chdir(old), 0);
    assert_int_equal(rc, 0);
    int fd = open_in(x, "r/s/f", FS_CREATE);
    assert_true(fd >= 0);
    fsops_posix.close(NULL, fd);
}

int main(void)
{
#define BOTH(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, setup_posix, teardown),                                  \
        cmocka_unit_test_setup_teardown(name, setup_fake, teardown)
    const struct CMUnitTest tests[] = {
        BOTH(test_open_modes),
        BOTH(test_truncate_and_sync),
        BOTH(test_names),
        BOTH(test_make_dirs),
        BOTH(test_replace_and_read_file),
        BOTH(test_lock_dir),
        cmocka_unit_test_setup_teardown(test_make_relative_dirs, setup_posix, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
