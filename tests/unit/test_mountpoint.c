/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "mountd/find_program.h"
#include "mountd/mountpoint.h"

/* A file of the given text; the caller unlinks and frees its name. */
static char *text_file(const char *text)
{
    char *path = xstrdup("/tmp/zkfs-mountpoint-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_the_topmost_mount_counts(void **state)
{
    (void)state;
    char *table = text_file("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
                            "30 22 0:30 / /zk rw - fuse.zkfs h:2181 rw,user_id=0\n"
                            "31 22 0:31 / /over rw shared:7 master:2 - fuse.zkfs h:2181 rw\n"
                            "32 31 0:32 / /over rw - tmpfs none rw\n"
                            "33 22 0:33 / /auto rw - autofs systemd-1 rw\n"
                            "34 33 0:34 / /auto rw - fuse.zkfs h:2181 rw\n"
                            "35 22 0:35 / /with\\040blank rw - fuse.zkfs h:2181 rw\n"
                            "broken line\n"
                            "36 22 0:36 / /other rw - fuse.sshfs h: rw\n");
    assert_true(mountpoint_is_zkfs("/zk", table));
    assert_true(mountpoint_is_zkfs("/auto", table));
    assert_true(mountpoint_is_zkfs("/with blank", table));
    assert_false(mountpoint_is_zkfs("/over", table));
    assert_false(mountpoint_is_zkfs("/other", table));
    assert_false(mountpoint_is_zkfs("/", table));
    assert_false(mountpoint_is_zkfs("/zk/below", table));
    unlink(table);
    free(table);
}

static void assert_refused(const char *path, int want, const char *part_of_error)
{
    char *resolved = NULL;
    char *error = NULL;
    assert_int_equal(mountpoint_check(path, &resolved, &error), want);
    assert_null(resolved);
    assert_non_null(strstr(error, part_of_error));
    free(error);
}

static void test_places_that_cannot_be_mounted_on(void **state)
{
    (void)state;
    assert_refused("/etc/passwd", -ENOTDIR, "/etc/passwd: not a directory");
    assert_refused("/no/such/place", -ENOENT, "mkdir -p /no/such/place");
    assert_refused("/etc/passwd/below", -ENOTDIR, "Not a directory");
}

static void test_the_place_is_made_absolute(void **state)
{
    (void)state;
    char dir[] = "/tmp/zkfs-mountpoint-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *link = xasprintf("%s.link", dir);
    assert_int_equal(symlink(dir, link), 0);
    char *resolved = NULL;
    char *error = NULL;
    assert_int_equal(mountpoint_check(link, &resolved, &error), 0);
    char *real = realpath(dir, NULL);
    assert_string_equal(resolved, real);
    free(real);
    free(resolved);
    unlink(link);
    free(link);
    rmdir(dir);
}

static void test_fuse_conf(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool want;
    } cases[] = {
        { "", false },
        { "#user_allow_other\n", false },
        { "# a\nuser_allow_other\n", true },
        { "  user_allow_other  # yes", true },
        { "mount_max = 5\nuser_allow_others\n", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *file = text_file(cases[i].text);
        assert_int_equal(fuse_conf_allows_other(file), cases[i].want);
        unlink(file);
        free(file);
    }
    assert_false(fuse_conf_allows_other("/no/such/file"));
}

static void test_programs_are_found_without_a_path(void **state)
{
    (void)state;
    char *saved = getenv("PATH") != NULL ? xstrdup(getenv("PATH")) : NULL;
    const char *const paths[] = { NULL, "", "/nowhere:/bin", "relative:/usr/bin" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (paths[i] != NULL) {
            setenv("PATH", paths[i], 1);
        } else {
            unsetenv("PATH");
        }
        char *found = find_program("sh");
        assert_non_null(found);
        assert_int_equal(found[0], '/');
        assert_int_equal(access(found, X_OK), 0);
        free(found);
    }
    setenv("PATH", "/nowhere:", 1);
    assert_null(find_program("sh"));
    /* Beside our own binary comes first: this test finds itself. */
    char *found = find_program("test_mountpoint");
    assert_non_null(found);
    free(found);
    if (saved != NULL) {
        setenv("PATH", saved, 1);
    }
    free(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_topmost_mount_counts),
        cmocka_unit_test(test_places_that_cannot_be_mounted_on),
        cmocka_unit_test(test_the_place_is_made_absolute),
        cmocka_unit_test(test_fuse_conf),
        cmocka_unit_test(test_programs_are_found_without_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
