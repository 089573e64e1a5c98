/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the one who started a daemon gets to see: its exit status, and when. Each case runs in a
 * forked process, since the first process of a daemon never returns.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "mountd/daemonise.h"

enum { WAIT_MS = 10000 };

struct run {
    pid_t starter;
    int output; /* what starter and daemon write to stdout and stderr; ends when all have let go */
    int said;   /* the daemon writes here when it has got somewhere */
};

typedef void (*daemon_fn)(struct daemonise *d, int said);

/* Runs fn in a daemon. */
static struct run run_daemon(daemon_fn fn, const char *log_file)
{
    int output[2];
    int said[2];
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        close(output[1]);
        struct daemonise d;
        if (daemonise_init(&d, log_file) != 0 || daemonise_start(&d) != 0) {
            _exit(99);
        }
        fn(&d, said[1]);
        _exit(0);
    }
    close(output[1]);
    close(said[1]);
    return (struct run){ pid, output[0], said[0] };
}

static int exit_status(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Everything up to the end of a pipe; fails when that does not come. */
static char *read_to_end(int fd)
{
    char text[4096];
    size_t len = 0;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);
        assert_true(got >= 0);
        if (got == 0) {
            break;
        }
        len += (size_t)got;
    }
    text[len] = '\0';
    close(fd);
    return xstrdup(text);
}

/* A number from the daemon to the test. */
static void say(int said, int number)
{
    ssize_t ignored = write(said, &number, sizeof(number));
    (void)ignored;
}

static int hear(int said)
{
    struct pollfd p = { .fd = said, .events = POLLIN };
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    int number = 0;
    assert_int_equal(read(said, &number, sizeof(number)), sizeof(number));
    return number;
}

/* Waits for a signal; its number. */
static int await_signal(struct daemonise *d)
{
    struct pollfd p = { .fd = d->signal_fd, .events = POLLIN };
    poll(&p, 1, WAIT_MS);
    return daemonise_take_signal(d);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void daemon_ready(struct daemonise *d, int said)
{
    say(said, getpid());
    say(said, getsid(0));
    /* A child keeps the descriptors that it was given, as fusermount3 does for auto_unmount. */
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    log_info("test", "before");
    daemonise_report(d, EXIT_OK);
    log_info("test", "after");
    say(said, 0);
    say(said, await_signal(d));
    kill(child, SIGKILL);
    daemonise_report(d, EXIT_MOUNT_FAILED); /* nobody listens any more: no harm */
    daemonise_fini(d);
}

static void test_ready_lets_the_caller_go(void **state)
{
    (void)state;
    char log_file[] = "/tmp/zkfs-daemonise-XXXXXX";
    int log_fd = mkstemp(log_file);
    struct run run = run_daemon(daemon_ready, log_file);
    int daemon = hear(run.said);
    assert_int_equal(hear(run.said), daemon); /* a session of its own */
    assert_int_equal(exit_status(run.starter), EXIT_OK);

    /* The caller's pipe ends although the daemon lives: `out=$(zkfs ...)` must not hang. */
    char *output = read_to_end(run.output);
    assert_non_null(strstr(output, "test before"));
    assert_null(strstr(output, "test after"));
    free(output);
    assert_int_equal(hear(run.said), 0);
    char text[512] = "";
    assert_true(pread(log_fd, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "test after"));

    assert_int_equal(kill(daemon, SIGTERM), 0);
    assert_int_equal(hear(run.said), SIGTERM);
    free(read_to_end(run.said));
    close(log_fd);
    unlink(log_file);
}

static void daemon_fails(struct daemonise *d, int said)
{
    (void)said;
    fprintf(stderr, "no server\n");
    daemonise_report(d, EXIT_MOUNT_FAILED);
}

static void daemon_crashes(struct daemonise *d, int said)
{
    (void)d;
    (void)said;
    kill(getpid(), SIGKILL);
}

static void daemon_interrupted(struct daemonise *d, int said)
{
    say(said, 0);
    int signal_number = await_signal(d);
    say(said, signal_number);
    daemonise_report(d, EXIT_INTERRUPTED);
}

static void test_the_outcome_is_the_exit_status(void **state)
{
    (void)state;
    struct run run = run_daemon(daemon_fails, NULL);
    assert_int_equal(exit_status(run.starter), EXIT_MOUNT_FAILED);
    char *output = read_to_end(run.output);
    assert_string_equal(output, "no server\n");
    free(output);
    close(run.said);

    run = run_daemon(daemon_crashes, NULL);
    assert_int_equal(exit_status(run.starter), EXIT_MOUNT_FAILED);
    output = read_to_end(run.output);
    assert_non_null(strstr(output, "ended by signal 9 before the mount was ready"));
    free(output);
    close(run.said);
}

static void test_an_interrupt_is_passed_on_and_waited_for(void **state)
{
    (void)state;
    struct run run = run_daemon(daemon_interrupted, NULL);
    assert_int_equal(hear(run.said), 0);
    assert_int_equal(kill(run.starter, SIGINT), 0);
    assert_int_equal(exit_status(run.starter), EXIT_INTERRUPTED);
    assert_int_equal(hear(run.said), SIGINT);
    free(read_to_end(run.output));
    close(run.said);
}

static void test_systemd_is_told(void **state)
{
    (void)state;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/zkfs-notify-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    setenv("NOTIFY_SOCKET", addr.sun_path, 1);

    struct daemonise foreground = { .report_fd = -1, .signal_fd = -1, .journal_fd = -1 };
    daemonise_report(&foreground, EXIT_MOUNT_FAILED);
    char text[64] = "";
    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), -1);
    daemonise_report(&foreground, EXIT_OK);
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "READY=1");
    daemonise_report(&foreground, EXIT_OK); /* the mount has ended */
    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), -1);

    unsetenv("NOTIFY_SOCKET");
    close(fd);
    unlink(addr.sun_path);
}

static void test_pid_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/zkfs-pid-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = xasprintf("%s/pid", dir);
    assert_int_equal(pid_file_write(path), 0);
    FILE *file = fopen(path, "r");
    int pid = 0;
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    assert_int_equal(pid, getpid());
    pid_file_remove(path);
    assert_int_equal(access(path, F_OK), -1);

    /* Another daemon has taken the name: it is not ours to remove. */
    file = fopen(path, "w");
    fprintf(file, "1\n");
    fclose(file);
    pid_file_remove(path);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); /* and no draft is left */
    assert_int_equal(pid_file_write(path), -ENOENT);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_lets_the_caller_go),
        cmocka_unit_test(test_the_outcome_is_the_exit_status),
        cmocka_unit_test(test_an_interrupt_is_passed_on_and_waited_for),
        cmocka_unit_test(test_systemd_is_told),
        cmocka_unit_test(test_pid_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
