/* SPDX-License-Identifier: Apache-2.0 */
/* Where files are, who runs, and how readiness is told. Each test works in a directory of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
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
#include "server/instance.h"
#include "server/probe.h"
#include "server/ready.h"

struct place {
    char dir[64];
    int before; /* the working directory of the test program */
};

static int enter(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));
    strcpy(place->dir, "/tmp/test_instance.XXXXXX");
    place->before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char *const names[] = { "ZOOCFG", "ZOOCFGDIR", "ZOOPIDFILE", "ZOO_LOG_DIR",
                                         "NOTIFY_SOCKET" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
    *state = place;
    return mkdtemp(place->dir) && chdir(place->dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    struct place *place = *state;
    char *command = xasprintf("rm -rf %s", place->dir);
    int status = fchdir(place->before) == 0 && system(command) == 0 ? 0 : -1;
    close(place->before);
    free(command);
    free(place);
    return status;
}

static void make_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void expect_config_path(const char *arg, const char *dir, const char *expected)
{
    char *path = instance_config_path(arg, dir);
    assert_string_equal(path, expected);
    free(path);
}

static void test_config_search(void **state)
{
    (void)state;
    expect_config_path(NULL, NULL, "/etc/zookeeper/conf/zoo.cfg");
    expect_config_path("/a/b.cfg", NULL, "/a/b.cfg");
    expect_config_path("./b.cfg", NULL, "./b.cfg");
    expect_config_path("b.cfg", NULL, "/etc/zookeeper/conf/b.cfg");
    make_file("b.cfg", "");
    expect_config_path("b.cfg", NULL, "b.cfg");
    assert_int_equal(mkdir("conf", 0700), 0);
    expect_config_path(NULL, NULL, "/etc/zookeeper/conf/zoo.cfg");
    make_file("conf/zoo.cfg", "");
    expect_config_path(NULL, NULL, "./conf/zoo.cfg");
    expect_config_path("b.cfg", NULL, "b.cfg");
    expect_config_path("other.cfg", NULL, "./conf/other.cfg");
    setenv("ZOOCFG", "c.cfg", 1);
    expect_config_path(NULL, NULL, "./conf/c.cfg");
    setenv("ZOOCFGDIR", "/z", 1);
    expect_config_path(NULL, NULL, "/z/c.cfg");
    expect_config_path(NULL, "/y", "/y/c.cfg");
    expect_config_path("b.cfg", NULL, "/z/b.cfg");
    setenv("ZOOCFG", "/x/c.cfg", 1);
    expect_config_path(NULL, "/y", "/x/c.cfg");
}

static void test_pid_and_log_paths(void **state)
{
    (void)state;
    struct config cfg = { .data_dir = (char *)"/data" };
    char *path = instance_pid_path(&cfg);
    assert_string_equal(path, "/data/zookeeper_server.pid");
    free(path);
    path = instance_log_path(&cfg);
    static const char start[] = "/data/zookeeper-";
    assert_memory_equal(path, start, strlen(start));
    assert_non_null(strstr(path, "-server-"));
    free(path);
    setenv("ZOOPIDFILE", "/run/x.pid", 1);
    setenv("ZOO_LOG_DIR", "/log", 1);
    path = instance_pid_path(&cfg);
    assert_string_equal(path, "/run/x.pid");
    free(path);
    path = instance_log_path(&cfg);
    assert_memory_equal(path, "/log/zookeeper-", 15);
    free(path);
}

static void test_only_a_running_server_counts(void **state)
{
    (void)state;
    assert_int_equal(instance_running_pid("pid"), 0);
    make_file("pid", "");
    assert_int_equal(instance_running_pid("pid"), 0);
    make_file("pid", "nonsense\n");
    assert_int_equal(instance_running_pid("pid"), 0);
    make_file("pid", "-1");
    assert_int_equal(instance_running_pid("pid"), 0);
    /* Some process, and not a server: the number was used again. */
    assert_int_equal(instance_write_pid("pid", getpid()), 0);
    assert_int_equal(instance_running_pid("pid"), 0);
    /* The same process under the name of a server. */
    assert_int_equal(pthread_setname_np(pthread_self(), "zkserver"), 0);
    assert_int_equal(instance_running_pid("pid"), getpid());
    /* A child of that name that has ended, and then is gone altogether. */
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(instance_write_pid("pid", child), 0);
    assert_int_equal(instance_running_pid("pid"), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(instance_running_pid("pid"), 0);
    assert_int_equal(instance_write_pid("no/such/dir/pid", 1), -ENOENT);
}

static void test_directories_are_made(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(instance_make_dir("a/b//c"), 0);
    assert_int_equal(stat("a/b/c", &st), 0);
    assert_int_equal(instance_make_dir("a/b//c/"), 0);
    make_file("a/file", "");
    assert_int_equal(instance_make_dir("a/file"), -ENOTDIR);
    assert_int_equal(instance_make_dir("a/file/b"), -ENOTDIR);
}

static void test_ready_line(void **state)
{
    (void)state;
    int fds[2];
    char line[64] = "";
    assert_int_equal(pipe(fds), 0);
    ready_announce(fds[1], 2181);
    assert_int_equal(read(fds[0], line, sizeof(line) - 1), 16);
    assert_string_equal(line, "ready port=2181\n");
    assert_int_equal(read(fds[0], line, sizeof(line)), 0);
    close(fds[0]);
    ready_announce(-1, 2181);
}

static void test_systemd_is_told(void **state)
{
    struct place *place = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char text[64] = "";
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", place->dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    ready_announce(-1, 1);
    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), 7);
    assert_string_equal(text, "READY=1");
    ready_announce_stop();
    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), 10);
    assert_string_equal(text, "STOPPING=1");
    close(fd);

    /* A name in the abstract namespace. */
    char name[64];
    int len = snprintf(name, sizeof(name), "@zkfs-test-%d", (int)getpid());
    memcpy(address.sun_path, name, (size_t)len);
    address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    ready_announce(-1, 1);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 7);
    close(fd);
    /* Nobody listens any more, and the server does not mind. */
    ready_announce_stop();
}

/* A server that takes one connection, reads the word and says answer. */
struct stub {
    int fd;
    const char *answer;
    char word[4];
};

static void *serve_once(void *arg)
{
    struct stub *stub = arg;
    int fd = accept(stub->fd, NULL, NULL);
    if (recv(fd, stub->word, 4, MSG_WAITALL) == 4) {
        ssize_t ignored = send(fd, stub->answer, strlen(stub->answer), MSG_NOSIGNAL);
        (void)ignored;
    }
    close(fd);
    return NULL;
}

static int probe_stub(const char *answer, char *mode, size_t size)
{
    struct stub stub = { socket(AF_INET, SOCK_STREAM, 0), answer, "" };
    assert_int_equal(listen(stub.fd, 1), 0);
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    assert_int_equal(getsockname(stub.fd, (struct sockaddr *)&address, &len), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve_once, &stub), 0);
    int status = probe_mode("127.0.0.1", ntohs(address.sin_port), mode, size);
    pthread_join(thread, NULL);
    close(stub.fd);
    assert_memory_equal(stub.word, "srvr", 4);
    return status;
}

static void test_probe_reads_the_mode(void **state)
{
    (void)state;
    char mode[64] = "untouched";
    assert_int_equal(probe_stub("srvr is not executed because it is not in the whitelist.\n", mode,
                                sizeof(mode)),
                     -ENOMSG);
    assert_string_equal(mode, "untouched");
    assert_int_equal(
        probe_stub("Zookeeper version: 3\nMode: follower\nNode count: 5\n", mode, sizeof(mode)), 0);
    assert_string_equal(mode, "follower");
    assert_int_equal(probe_mode("127.0.0.1", 0, mode, sizeof(mode)), -ECONNREFUSED);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config_search, enter, leave),
        cmocka_unit_test_setup_teardown(test_pid_and_log_paths, enter, leave),
        cmocka_unit_test_setup_teardown(test_only_a_running_server_counts, enter, leave),
        cmocka_unit_test_setup_teardown(test_directories_are_made, enter, leave),
        cmocka_unit_test_setup_teardown(test_ready_line, enter, leave),
        cmocka_unit_test_setup_teardown(test_systemd_is_told, enter, leave),
        cmocka_unit_test(test_probe_reads_the_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
