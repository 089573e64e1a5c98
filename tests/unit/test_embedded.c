/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded server's life, with this program itself standing in for zkserver: called with
 * start-foreground it reads the port from its zoo.cfg and answers "ruok".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "mountd/embedded.h"

enum { WAIT_MS = 10000 };

/* ---- the stand-in ---------------------------------------------------------------------------- */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A listening socket on loopback, or -1. */
static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct sockaddr_in addr = loopback(port);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 5) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int config_port(const char *config)
{
    FILE *file = fopen(config, "re");
    char line[256];
    int port = 0;
    while (file != NULL && port == 0 && fgets(line, sizeof(line), file) != NULL) {
        sscanf(line, "clientPort=%d", &port);
    }
    if (file != NULL) {
        fclose(file);
    }
    return port;
}

static int stand_in(const char *config)
{
    const char *mode = getenv("STAND_IN");
    printf("stand-in runs\n");
    fflush(stdout);
    if (strcmp(mode, "fail") == 0) {
        return 3;
    }
    int fd = listen_on(config_port(config));
    if (fd < 0) {
        return 4;
    }
    for (;;) {
        int conn = accept(fd, NULL, NULL);
        char word[4];
        if (conn >= 0 && read(conn, word, 4) == 4 && memcmp(word, "ruok", 4) == 0 &&
            write(conn, "imok", 4) != 4) {
            return 5;
        }
        close(conn);
    }
}

/* ---- fixture --------------------------------------------------------------------------------- */

struct fixture {
    char *base; /* holds bin/zkserver, and the servers' directories */
    char *dir;
    int signal_fd; /* never readable, unless a test writes to it */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->base = xstrdup("/tmp/zkfs-embedded-XXXXXX");
    assert_non_null(mkdtemp(f->base));
    f->dir = xasprintf("%s/a/b", f->base);
    char *bin = xasprintf("%s/bin", f->base);
    assert_int_equal(mkdir(bin, 0700), 0);
    char *program = xasprintf("%s/zkserver", bin);
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(len > 0);
    self[len] = '\0';
    assert_int_equal(symlink(self, program), 0);
    setenv("PATH", bin, 1);
    setenv("STAND_IN", "serve", 1);
    free(program);
    free(bin);
    f->signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->signal_fd);
    char *command = xasprintf("/bin/rm -rf %s", f->base);
    assert_int_equal(system(command), 0);
    free(command);
    free(f->dir);
    free(f->base);
    free(f);
    return 0;
}

static struct embedded *start(const struct fixture *f)
{
    struct embedded *e;
    char *error = NULL;
    if (embedded_start(f->dir, f->signal_fd, &e, &error) != 0) {
        fail_msg("%s", error);
    }
    return e;
}

static int port_of(const struct embedded *e)
{
    int port = 0;
    assert_int_equal(sscanf(embedded_address(e), "127.0.0.1:%d", &port), 1);
    return port;
}

static bool is_listening(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = loopback(port);
    bool is_up = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return is_up;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_it_answers_until_it_is_stopped(void **state)
{
    struct fixture *f = *state;
    struct embedded *e = start(f);
    int port = port_of(e);
    assert_true(is_listening(port));
    struct stat st;
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    embedded_stop(e);
    assert_false(is_listening(port));

    /* The next start is at the same place. */
    e = start(f);
    assert_int_equal(port_of(e), port);
    embedded_stop(e);

    /* If that is taken meanwhile, at another. */
    int taken = listen_on(port);
    assert_true(taken >= 0);
    e = start(f);
    assert_int_not_equal(port_of(e), port);
    embedded_stop(e);
    close(taken);
}

static void test_a_directory_serves_one_mount(void **state)
{
    struct fixture *f = *state;
    struct embedded *e = start(f);
    struct embedded *other = NULL;
    char *error = NULL;
    assert_int_equal(embedded_start(f->dir, f->signal_fd, &other, &error), -EBUSY);
    assert_non_null(strstr(error, "in use by another mount"));
    assert_null(other);
    free(error);
    assert_true(is_listening(port_of(e)));
    embedded_stop(e);
}

static void test_a_server_that_fails_is_explained(void **state)
{
    struct fixture *f = *state;
    setenv("STAND_IN", "fail", 1);
    struct embedded *e = NULL;
    char *error = NULL;
    assert_int_equal(embedded_start(f->dir, f->signal_fd, &e, &error), -ECHILD);
    assert_non_null(strstr(error, "ended with status 3"));
    assert_non_null(strstr(error, "/zkserver.log"));
    free(error);

    error = NULL;
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(embedded_start(f->dir, f->signal_fd, &e, &error), -ENOENT);
    assert_non_null(strstr(error, "zkserver was found neither"));
    free(error);
}

static void test_a_signal_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    struct embedded *holder = start(f);
    uint64_t one = 1;
    assert_int_equal(write(f->signal_fd, &one, sizeof(one)), sizeof(one));
    struct embedded *e = NULL;
    char *error = NULL;
    assert_int_equal(embedded_start(f->dir, f->signal_fd, &e, &error), -EINTR);
    free(error);
    embedded_stop(holder);
}

static void test_an_end_of_its_own_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct embedded *e = start(f);
    struct pollfd fd = { .fd = embedded_pid_fd(e), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_int_equal(pidfd_send_signal(embedded_pid_fd(e), SIGKILL, NULL, 0), 0);
    assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
    char *how = embedded_describe_end(e);
    assert_string_equal(how, "was ended by signal 9");
    free(how);

    int port = port_of(e);
    assert_int_equal(embedded_respawn(e), 0);
    assert_int_equal(port_of(e), port);
    fd.fd = embedded_pid_fd(e);
    assert_int_equal(poll(&fd, 1, 0), 0);
    embedded_stop(e);
}

static void test_it_dies_with_its_daemon_and_then_frees_the_lock(void **state)
{
    struct fixture *f = *state;
    int report[2];
    assert_int_equal(pipe2(report, 0), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        int port = port_of(start(f));
        ssize_t ignored = write(report[1], &port, sizeof(port));
        (void)ignored;
        pause();
        _exit(0);
    }
    close(report[1]);
    int port = 0;
    assert_int_equal(read(report[0], &port, sizeof(port)), sizeof(port));
    close(report[0]);
    assert_true(is_listening(port));
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    /* The lock waits for the dying server, so this start finds its port free again. */
    struct embedded *e = start(f);
    assert_int_equal(port_of(e), port);
    embedded_stop(e);
}

static void test_the_default_directory(void **state)
{
    (void)state;
    setenv("XDG_STATE_HOME", "/state", 1);
    setenv("HOME", "/home/me", 1);
    char *dir = embedded_default_dir();
    assert_string_equal(dir, "/state/zkfs");
    free(dir);
    setenv("XDG_STATE_HOME", "relative", 1);
    dir = embedded_default_dir();
    assert_string_equal(dir, "/home/me/.local/state/zkfs");
    free(dir);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "", 1); /* as mount(8) runs its helpers */
    dir = embedded_default_dir();
    assert_non_null(dir);
    assert_int_equal(dir[0], '/');
    assert_non_null(strstr(dir, "/.local/state/zkfs"));
    free(dir);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "start-foreground") == 0) {
        return stand_in(argv[2]);
    }
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        WITH_DIR(test_it_answers_until_it_is_stopped),
        WITH_DIR(test_a_server_that_fails_is_explained),
        WITH_DIR(test_a_signal_ends_the_wait),
        WITH_DIR(test_an_end_of_its_own_is_noticed),
        WITH_DIR(test_it_dies_with_its_daemon_and_then_frees_the_lock),
        WITH_DIR(test_a_directory_serves_one_mount),
        cmocka_unit_test(test_the_default_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
