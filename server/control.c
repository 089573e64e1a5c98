/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "server/instance.h"
#include "server/probe.h"

enum { START_WAIT_MS = 30000, STOP_WAIT_MS = 20000, KILL_WAIT_MS = 5000 };

/* The files of the instance at hand. */
struct files {
    char *pid_path;
    char *log_path;
    int lock_fd; /* on the pid file, so that two starts do not overlap; -1 while not taken */
};

static void files_init(struct files *files, const struct config *cfg)
{
    files->pid_path = instance_pid_path(cfg);
    files->log_path = instance_log_path(cfg);
    files->lock_fd = -1;
}

static void files_fini(struct files *files)
{
    if (files->lock_fd >= 0) {
        close(files->lock_fd);
    }
    free(files->pid_path);
    free(files->log_path);
}

/* Makes the directory that path lies in. */
static int make_parent(const char *path)
{
    char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    int status = 0;
    if (slash && slash != dir) {
        *slash = '\0';
        status = instance_make_dir(dir);
    }
    free(dir);
    return status;
}

static int fail_with(const char *word, const char *path, int error)
{
    printf("%s\n", word);
    fprintf(stderr, "%s: %s\n", path, strerror(error));
    return 1;
}

static char *start_option(const char *name, const char *value)
{
    return value ? xasprintf("--%s=%s", name, value) : NULL;
}

/* In the child: becomes the server, detached from the terminal. */
_Noreturn static void become_server(const struct control *c, int log_fd, int ready_fd)
{
    char fd_text[16];
    snprintf(fd_text, sizeof(fd_text), "%d", ready_fd);
    char *ready = start_option("ready-fd", fd_text);
    char *level = start_option("log-level", c->log_level);
    char *argv[] = {
        (char *)c->program, (char *)"start-foreground", (char *)c->config_path, ready, level, NULL
    };
    int null_fd = open("/dev/null", O_RDONLY);
    setsid();
    /* Who waits for the end of a pipe that we happened to inherit must not wait for the server. */
    close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0 && fcntl(ready_fd, F_SETFD, 0) == 0) {
        execv(c->program, argv);
        fprintf(stderr, "%s: %s\n", c->program, strerror(errno));
    }
    _exit(127);
}

/* Whether the server said that it is ready, or at least still lives when the time is up. */
static bool wait_until_ready(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    int64_t deadline_ms = clock_now_ms() + START_WAIT_MS;
    int64_t left_ms;
    while ((left_ms = deadline_ms - clock_now_ms()) > 0) {
        int count = poll(&ready, 1, (int)left_ms);
        if (count > 0) {
            char line[64];
            return read(fd, line, sizeof(line)) > 0;
        }
        if (count < 0 && errno != EINTR) {
            break;
        }
    }
    return true;
}

/* Lock held, nobody runs. */
static int start_server(const struct control *c, const struct files *files)
{
    int log_fd = open(files->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) {
        return fail_with("SERVER DID NOT START", files->log_path, errno);
    }
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) {
        close(log_fd);
        return fail_with("SERVER DID NOT START", "pipe", errno);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        become_server(c, log_fd, ready[1]);
    }
    int fork_error = errno;
    close(log_fd);
    close(ready[1]);
    int status = 0;
    if (pid < 0) {
        status = fail_with("SERVER DID NOT START", "fork", fork_error);
    } else if ((status = instance_write_pid(files->pid_path, pid)) < 0) {
        kill(pid, SIGTERM);
        status = fail_with("FAILED TO WRITE PID", files->pid_path, -status);
    } else if (!wait_until_ready(ready[0])) {
        waitpid(pid, NULL, 0);
        printf("FAILED TO START\n");
        fprintf(stderr, "the reason is at the end of %s\n", files->log_path);
        status = 1;
    } else {
        printf("STARTED\n");
    }
    close(ready[0]);
    return status;
}

/* 0 or -errno. */
static int lock_pid_file(struct files *files)
{
    int status = make_parent(files->pid_path);
    if (status < 0) {
        return status;
    }
    files->lock_fd = open(files->pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (files->lock_fd < 0 || flock(files->lock_fd, LOCK_EX) < 0) {
        return -errno;
    }
    return 0;
}

int control_start(const struct control *c)
{
    struct files files;
    files_init(&files, c->cfg);
    printf("Starting zookeeper ... ");
    int status = lock_pid_file(&files);
    if (status < 0) {
        status = fail_with("FAILED TO WRITE PID", files.pid_path, -status);
    } else {
        pid_t running = instance_running_pid(files.pid_path);
        if (running > 0) {
            printf("already running as process %d.\n", (int)running);
            status = 1;
        } else if ((status = make_parent(files.log_path)) < 0) {
            status = fail_with("SERVER DID NOT START", files.log_path, -status);
        } else if ((status = start_server(c, &files)) != 0) {
            unlink(files.pid_path);
        }
    }
    files_fini(&files);
    return status;
}

/* Waits for the end of a process that need not be a child. */
static bool ends_within(int pid_fd, int wait_ms)
{
    struct pollfd end = { .fd = pid_fd, .events = POLLIN };
    int count;
    do {
        count = poll(&end, 1, wait_ms);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

static void end_process(pid_t pid)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        return;
    }
    if (pidfd_send_signal(fd, SIGTERM, NULL, 0) == 0 && !ends_within(fd, STOP_WAIT_MS)) {
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
        ends_within(fd, KILL_WAIT_MS);
    }
    close(fd);
}

int control_stop(const struct control *c)
{
    struct files files;
    files_init(&files, c->cfg);
    printf("Stopping zookeeper ... ");
    fflush(stdout);
    if (access(files.pid_path, F_OK) < 0) {
        printf("no zookeeper to stop (could not find file %s)\n", files.pid_path);
    } else {
        pid_t pid = instance_running_pid(files.pid_path);
        if (pid > 0) {
            end_process(pid);
        }
        unlink(files.pid_path);
        printf("STOPPED\n");
    }
    files_fini(&files);
    return 0;
}

int control_restart(const struct control *c)
{
    control_stop(c);
    return control_start(c);
}

int control_status(const struct control *c)
{
    const char *address = c->cfg->client_port_address ? c->cfg->client_port_address : "localhost";
    printf("Client port found: %d. Client address: %s. Client SSL: false.\n", c->cfg->client_port,
           address);
    fflush(stdout);
    char mode[64];
    if (probe_mode(address, c->cfg->client_port, mode, sizeof(mode)) < 0) {
        printf("Error contacting service. It is probably not running.\n");
        return 1;
    }
    printf("Mode: %s\n", mode);
    return 0;
}

int control_print_command(const struct control *c)
{
    struct files files;
    files_init(&files, c->cfg);
    printf("\"%s\" start-foreground \"%s\" >> \"%s\" 2>&1 < /dev/null\n", c->program,
           c->config_path, files.log_path);
    files_fini(&files);
    return 0;
}
