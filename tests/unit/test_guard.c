/* SPDX-License-Identifier: Apache-2.0 */
/* The guard over a tmpfs, in a mount namespace of our own: it does not ask what it unmounts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "mountd/guard.h"

struct fixture {
    int namespace_fd; /* the one we came from; -1: not allowed to mount, tests are skipped */
    char dir[32];
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/zkfs-guard-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->namespace_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (unshare(CLONE_NEWNS) == 0) {
        assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        assert_int_equal(mount("ours", f->dir, "tmpfs", 0, NULL), 0);
    } else {
        close(f->namespace_fd);
        f->namespace_fd = -1;
    }
    /* The guard of a killed daemon comes to us, so that we see when it is done. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->namespace_fd >= 0) {
        assert_int_equal(setns(f->namespace_fd, CLONE_NEWNS), 0);
        close(f->namespace_fd);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

/* Sources of the mounts on dir, the lowest first: "ours over ". */
static void mounts_on(const char *dir, char *out, size_t size)
{
    FILE *file = fopen("/proc/self/mounts", "re");
    char source[64];
    char place[256];
    out[0] = '\0';
    while (fscanf(file, "%63s %255s %*[^\n]", source, place) == 2) {
        if (strcmp(place, dir) == 0) {
            strncat(out, source, size - strlen(out) - 1);
            strncat(out, " ", size - strlen(out) - 1);
        }
    }
    fclose(file);
}

static void assert_mounts(const struct fixture *f, const char *want)
{
    char found[256];
    mounts_on(f->dir, found, sizeof(found));
    assert_string_equal(found, want);
}

/* Starts a daemon with a guard; returns when it is armed, if it is to be. */
static pid_t start_daemon(const char *dir, int arms)
{
    int report[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct guard *g;
        int err = guard_start(&g);
        if (err == 0 && arms) {
            err = guard_arm(g, dir);
        }
        ssize_t ignored = write(report[1], &err, sizeof(err));
        (void)ignored;
        pause();
        _exit(0);
    }
    close(report[1]);
    int err = -1;
    assert_int_equal(read(report[0], &err, sizeof(err)), sizeof(err));
    assert_int_equal(err, 0);
    close(report[0]);
    return pid;
}

/* Kills the daemon and waits for it and its guard. */
static void kill_daemon(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    int status;
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_int_equal(status, 0);
}

static void skip_if_not_allowed(const struct fixture *f)
{
    if (f->namespace_fd < 0) {
        skip();
    }
}

static void test_a_killed_daemons_mount_is_taken_away(void **state)
{
    struct fixture *f = *state;
    skip_if_not_allowed(f);
    pid_t pid = start_daemon(f->dir, 1);
    assert_mounts(f, "ours ");
    /* In use, too. */
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kill_daemon(pid);
    assert_mounts(f, "");
    close(fd);
}

static void test_other_mounts_are_left_alone(void **state)
{
    struct fixture *f = *state;
    skip_if_not_allowed(f);
    pid_t pid = start_daemon(f->dir, 1);
    assert_int_equal(mount("over", f->dir, "tmpfs", 0, NULL), 0);
    kill_daemon(pid);
    assert_mounts(f, "ours over ");
    assert_int_equal(umount(f->dir), 0);

    /* Unmounted while in use, and something else mounted at its place. */
    pid = start_daemon(f->dir, 1);
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
    assert_int_equal(mount("another", f->dir, "tmpfs", 0, NULL), 0);
    kill_daemon(pid);
    assert_mounts(f, "another ");
    close(fd);

    pid = start_daemon(f->dir, 0);
    kill_daemon(pid);
    assert_mounts(f, "another ");
}

static void test_a_clean_end_leaves_the_mount_to_the_daemon(void **state)
{
    struct fixture *f = *state;
    skip_if_not_allowed(f);
    struct guard *g;
    assert_int_equal(guard_start(&g), 0);
    assert_int_equal(guard_arm(g, f->dir), 0);
    guard_stop(g);
    assert_mounts(f, "ours ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_MOUNT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        WITH_MOUNT(test_a_killed_daemons_mount_is_taken_away),
        WITH_MOUNT(test_other_mounts_are_left_alone),
        WITH_MOUNT(test_a_clean_end_leaves_the_mount_to_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
