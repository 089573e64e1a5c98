/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper against an ordinary directory: what it does to a FUSE mount is the same system
 * calls. What is checked is what inotify reports, and that the helper stays inside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/event_helper.h"

enum { WAIT_MS = 10000, ANOTHER_UID = 65534 };

struct fixture {
    char *dir;
    struct event_helper *helper;
};

static char *in_dir(const struct fixture *f, const char *name)
{
    return xasprintf("%s/%s", f->dir, name);
}

static void make_file(const struct fixture *f, const char *name, const char *text)
{
    char *path = in_dir(f, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    free(path);
}

static void make_dir(const struct fixture *f, const char *name)
{
    char *path = in_dir(f, name);
    assert_int_equal(mkdir(path, 0755), 0);
    free(path);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->dir = xstrdup("/tmp/zkfs-helper-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    make_file(f, "file", "text");
    make_dir(f, "sub");
    make_file(f, "sub/inner", "text");
    assert_int_equal(event_helper_start(&f->helper), 0);
    assert_int_equal(event_helper_attach(f->helper, f->dir), 0);
    *state = f;
    return 0;
}

static void remove_tree(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    event_helper_stop(f->helper);
    remove_tree(f->dir);
    free(f->dir);
    free(f);
    return 0;
}

/* ---- what inotify saw ------------------------------------------------------------------------ */

static void print_event(const struct inotify_event *e, struct buf *out)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        { IN_OPEN, "OPEN" },
        { IN_MODIFY, "MODIFY" },
        { IN_CLOSE_WRITE, "CLOSE_WRITE" },
        { IN_CLOSE_NOWRITE, "CLOSE_NOWRITE" },
        { IN_CREATE, "CREATE" },
        { IN_DELETE, "DELETE" },
        { IN_DELETE_SELF, "DELETE_SELF" },
        { IN_ATTRIB, "ATTRIB" },
        { IN_IGNORED, "IGNORED" },
        { IN_ISDIR, "ISDIR" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((e->mask & names[i].bit) != 0) {
            buf_printf(out, "%s%s", names[i].name, names[i].bit == IN_ISDIR ? "" : " ");
        }
    }
    buf_printf(out, "%s;", e->len > 0 ? e->name : "");
}

/* The events queued so far, as "MASK name;MASK name;". raise() has returned, so they are all
 * there. */
static char *events_read(int fd)
{
    char raw[8192] __attribute__((aligned(8)));
    struct buf out = BUF_EMPTY;
    ssize_t got = read(fd, raw, sizeof(raw));
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *e = (const void *)(raw + at);
        print_event(e, &out);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    return buf_take_str(&out);
}

static int watch(const struct fixture *f, const char *name)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char *path = in_dir(f, name);
    assert_true(inotify_add_watch(fd, path, IN_ALL_EVENTS & ~IN_ACCESS) >= 0);
    free(path);
    return fd;
}

/* Raises one event and compares what a watch on `watched` sees. */
static void assert_events(struct fixture *f, enum event_kind kind, const char *path,
                          const char *watched, const char *want)
{
    int fd = watch(f, watched);
    assert_int_equal(event_helper_raise(f->helper, kind, path), 0);
    char *seen = events_read(fd);
    assert_string_equal(seen, want);
    free(seen);
    close(fd);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_each_kind_raises_what_a_local_writer_would(void **state)
{
    struct fixture *f = *state;
    assert_events(f, EVENT_FILE_CHANGED, "file", "", "OPEN file;MODIFY file;CLOSE_WRITE file;");
    assert_events(f, EVENT_FILE_CHANGED, "file", "file", "OPEN ;MODIFY ;CLOSE_WRITE ;");
    assert_events(f, EVENT_FILE_CHANGED, "sub/inner", "sub",
                  "OPEN inner;MODIFY inner;CLOSE_WRITE inner;");
    assert_events(f, EVENT_FILE_CREATED, "new", "",
                  "CREATE new;OPEN new;MODIFY new;CLOSE_WRITE new;");
    assert_events(f, EVENT_DIR_CREATED, "sub/d", "sub", "CREATE ISDIRd;");
    assert_events(f, EVENT_DIR_DELETED, "sub/d", "sub", "DELETE ISDIRd;");
    assert_events(f, EVENT_ATTRIB, "file", "", "ATTRIB file;");
    assert_events(f, EVENT_ATTRIB, "sub", "sub", "ATTRIB ISDIR;");
    assert_events(f, EVENT_ATTRIB, "", "", "ATTRIB ISDIR;");
    assert_events(f, EVENT_FILE_DELETED, "file", "", "DELETE file;");
    assert_events(f, EVENT_FILE_DELETED, "new", "new", "ATTRIB ;DELETE_SELF ;IGNORED ;");
}

static void test_nothing_is_altered(void **state)
{
    struct fixture *f = *state;
    char *path = in_dir(f, "file");
    assert_int_equal(chmod(path, 0640), 0);
    struct stat before;
    struct stat after;
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "file"), 0);
    assert_int_equal(event_helper_raise(f->helper, EVENT_ATTRIB, "file"), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mode, before.st_mode);
    free(path);
}

static void test_errors_are_the_system_calls(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CREATED, "file"), -EEXIST);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "absent"), -ENOENT);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_DELETED, "sub"), -EISDIR);
    assert_int_equal(event_helper_raise(f->helper, EVENT_DIR_DELETED, "sub"), -ENOTEMPTY);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_DELETED, "sub/none/x"), -ENOENT);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, ""), -EINVAL);

    char *longest = xmalloc(5000);
    memset(longest, 'x', 4999);
    longest[4999] = '\0';
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, longest), -ENAMETOOLONG);
    free(longest);
}

static void test_it_never_leaves_the_mount(void **state)
{
    struct fixture *f = *state;
    char *link = in_dir(f, "link");
    assert_int_equal(symlink("sub", link), 0);
    free(link);
    link = in_dir(f, "sub/file_link");
    assert_int_equal(symlink("inner", link), 0);
    free(link);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "link/inner"), -ELOOP);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "sub/file_link"), -ELOOP);
    assert_int_equal(event_helper_raise(f->helper, EVENT_ATTRIB, "sub/file_link"), -ELOOP);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "../x/y"), -EXDEV);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "/etc/passwd"), -EXDEV);
}

static void test_a_running_program_still_gets_its_modify(void **state)
{
    struct fixture *f = *state;
    char *copy = in_dir(f, "program");
    char *command = xasprintf("cp /bin/cat %s", copy);
    assert_int_equal(system(command), 0);
    free(command);
    int in[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    int ready[2]; /* closed by the exec: from then on the file is busy */
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        execl(copy, copy, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    char c;
    assert_int_equal(read(ready[0], &c, 1), 0);
    close(ready[0]);

    assert_events(f, EVENT_FILE_CHANGED, "program", "", "MODIFY program;");
    close(in[0]);
    close(in[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(copy);
}

static void test_detach_and_attach_again(void **state)
{
    struct fixture *f = *state;
    event_helper_detach(f->helper);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "file"), -ENOTCONN);
    assert_int_equal(event_helper_attach(f->helper, "/nowhere/at/all"), -ENOENT);
    char *sub = in_dir(f, "sub");
    assert_int_equal(event_helper_attach(f->helper, sub), 0);
    free(sub);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "file"), -ENOENT);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "inner"), 0);
}

/* The names behind the descriptors of a process, "0=/dev/null " and so on, in a string to free. */
static char *open_files(pid_t pid)
{
    char *path = xasprintf("/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    struct buf out = BUF_EMPTY;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char target[512];
        ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        if (len > 0) {
            buf_printf(&out, "%s=%.*s ", e->d_name, (int)len, target);
        }
    }
    closedir(dir);
    free(path);
    return buf_take_str(&out);
}

static void test_it_holds_no_descriptor_of_the_daemon(void **state)
{
    struct fixture *f = *state;
    int stranger = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC, as a library might */
    struct event_helper *h;
    assert_int_equal(event_helper_start(&h), 0);
    /* A served call proves that the child is past its start. */
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CHANGED, "x"), -ENOTCONN);
    char *files = open_files(event_helper_pid(h));
    assert_null(strstr(files, "passwd"));
    assert_non_null(strstr(files, "0=/dev/null"));
    assert_non_null(strstr(files, "1=/dev/null"));
    assert_non_null(strstr(files, "2=/dev/null"));
    assert_non_null(strstr(files, "3=socket:"));
    assert_null(strstr(files, " 4="));
    free(files);
    event_helper_stop(h);
    close(stranger);

    /* Nor does one event leave a descriptor behind. */
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "sub/inner"), 0);
    char *before = open_files(event_helper_pid(f->helper));
    for (int kind = EVENT_FILE_CHANGED; kind <= EVENT_ATTRIB; kind++) {
        event_helper_raise(f->helper, kind, "sub/inner");
        event_helper_raise(f->helper, kind, "sub/none/x");
    }
    char *after = open_files(event_helper_pid(f->helper));
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void wait_for_end(int pid_fd)
{
    struct pollfd fd = { .fd = pid_fd, .events = POLLIN };
    assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
    close(pid_fd);
}

static void test_signals_of_the_terminal_do_not_reach_it(void **state)
{
    struct fixture *f = *state;
    pid_t pid = event_helper_pid(f->helper);
    assert_int_not_equal(getpgid(pid), getpgid(0));
    const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        assert_int_equal(kill(pid, signals[i]), 0);
    }
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "file"), 0);
}

static void test_a_dead_helper_is_reported(void **state)
{
    struct fixture *f = *state;
    int pid_fd = pidfd_open(event_helper_pid(f->helper), 0);
    assert_int_equal(kill(event_helper_pid(f->helper), SIGKILL), 0);
    wait_for_end(pid_fd);
    assert_int_equal(event_helper_raise(f->helper, EVENT_FILE_CHANGED, "file"), -EPIPE);
    assert_int_equal(event_helper_attach(f->helper, f->dir), -EPIPE);
    event_helper_detach(f->helper);
}

static void test_it_dies_with_its_parent(void **state)
{
    (void)state;
    /* The orphan comes to us, so that nobody else reaps it while we look. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    int report[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        struct event_helper *h;
        pid_t pid = event_helper_start(&h) == 0 ? event_helper_pid(h) : -1;
        ssize_t ignored = write(report[1], &pid, sizeof(pid));
        (void)ignored;
        pause();
        _exit(0);
    }
    close(report[1]);
    pid_t pid;
    assert_int_equal(read(report[0], &pid, sizeof(pid)), sizeof(pid));
    close(report[0]);
    assert_true(pid > 0);
    int pid_fd = pidfd_open(pid, 0);
    assert_true(pid_fd >= 0);
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    wait_for_end(pid_fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* Without CAP_SYS_ADMIN the mount point is opened by its path for each event, and what is
 * there must still be the same file system. */
static void test_unprivileged(void **state)
{
    struct fixture *f = *state;
    char *link = in_dir(f, "mountpoint");
    char *sub = in_dir(f, "sub");
    char *inner = in_dir(f, "sub/inner");
    assert_int_equal(symlink(sub, link), 0);
    if (geteuid() == 0) {
        assert_int_equal(chmod(f->dir, 0755), 0);
        assert_int_equal(chmod(inner, 0666), 0);
        assert_int_equal(seteuid(ANOTHER_UID), 0);
    }
    struct event_helper *h;
    assert_int_equal(event_helper_start(&h), 0);
    if (geteuid() == ANOTHER_UID) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_int_equal(event_helper_attach(h, link), 0);
    char *files = open_files(event_helper_pid(h));
    assert_null(strstr(files, " 4=")); /* holds nothing that keeps the mount busy */
    free(files);

    int fd = watch(f, "sub");
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CHANGED, "inner"), 0);
    char *seen = events_read(fd);
    assert_string_equal(seen, "OPEN inner;MODIFY inner;CLOSE_WRITE inner;");
    free(seen);
    close(fd);

    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("/proc", link), 0);
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CHANGED, "inner"), -EXDEV);
    event_helper_stop(h);
    free(inner);
    free(sub);
    free(link);
}

static void mount_and_unmount(const char *dir)
{
    assert_int_equal(mount("test", dir, "tmpfs", 0, NULL), 0);
    struct event_helper *h;
    assert_int_equal(event_helper_start(&h), 0);
    assert_int_equal(event_helper_attach(h, dir), 0);
    assert_int_equal(event_helper_raise(h, EVENT_DIR_CREATED, "d"), 0);

    /* Mounted over and made read-only, it is still reached; the other file system is not
     * touched. */
    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    assert_int_equal(mount("over", dir, "tmpfs", 0, NULL), 0);
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CREATED, "d/new"), 0);
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CREATED, "new"), 0);
    assert_int_equal(umount(dir), 0);
    char *path = xasprintf("%s/new", dir);
    assert_int_equal(access(path, F_OK), 0);
    free(path);

    assert_int_equal(umount(dir), 0);
    assert_int_equal(event_helper_raise(h, EVENT_FILE_CREATED, "late"), -ENOTCONN);
    event_helper_stop(h);
}

/* Holding the clone must not make umount fail, and must end when the last visible mount has
 * gone. */
static void test_privileged(void **state)
{
    struct fixture *f = *state;
    int own_namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own_namespace < 0 || unshare(CLONE_NEWNS) != 0) {
        close(own_namespace);
        skip(); /* not allowed to mount */
    }
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    mount_and_unmount(f->dir);
    assert_int_equal(setns(own_namespace, CLONE_NEWNS), 0);
    close(own_namespace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_HELPER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        WITH_HELPER(test_each_kind_raises_what_a_local_writer_would),
        WITH_HELPER(test_nothing_is_altered),
        WITH_HELPER(test_errors_are_the_system_calls),
        WITH_HELPER(test_it_never_leaves_the_mount),
        WITH_HELPER(test_a_running_program_still_gets_its_modify),
        WITH_HELPER(test_detach_and_attach_again),
        WITH_HELPER(test_it_holds_no_descriptor_of_the_daemon),
        WITH_HELPER(test_signals_of_the_terminal_do_not_reach_it),
        WITH_HELPER(test_a_dead_helper_is_reported),
        WITH_HELPER(test_unprivileged),
        WITH_HELPER(test_privileged),
        cmocka_unit_test(test_it_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
