/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/embedded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "mountd/find_program.h"

#define MODULE "embedded"

enum {
    LOCK_WAIT_MS = 3000,   /* the server of a killed daemon needs a moment to go */
    READY_WAIT_MS = 60000, /* it may have a large log to replay */
    STOP_WAIT_MS = 10000,
    PROBE_MS = 1000,
    STEP_MS = 50,
    LOG_BYTES_KEPT = 1 << 20,
};

struct embedded {
    char *dir;    /* owned, as the next two */
    char *config; /* DIR/zoo.cfg */
    char *log;    /* DIR/zkserver.log */
    char address[32];
    int port;
    int lock_fd;
    pid_t pid; /* 0: not running, or reaped */
    int pid_fd;
};

/* ---- the directory -------------------------------------------------------------------------- */

char *embedded_default_dir(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    if (state != NULL && *state == '/') { /* a relative one is invalid by its specification */
        return xasprintf("%s/zkfs", state);
    }
    const char *home = getenv("HOME");
    if (home == NULL || *home != '/') {
        const struct passwd *entry = getpwuid(geteuid());
        home = entry != NULL ? entry->pw_dir : NULL;
    }
    return home != NULL && *home == '/' ? xasprintf("%s/.local/state/zkfs", home) : NULL;
}

/* mkdir -p, private to the user. */
static int make_dirs(const char *dir)
{
    char *path = xstrdup(dir);
    int err = 0;
    for (char *p = path + 1; err == 0; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char end = *p;
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            err = -errno;
        }
        *p = end;
        if (end == '\0') {
            break;
        }
    }
    free(path);
    return err;
}

/* Milliseconds as poll wants them, never negative. */
static int left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_now_ms();
    return left > 0 ? (int)left : 0;
}

/* Waits a step, or less if a signal arrives: then -EINTR. */
static int pause_step(int signal_fd)
{
    struct pollfd fd = { .fd = signal_fd, .events = POLLIN };
    return poll(&fd, 1, STEP_MS) > 0 ? -EINTR : 0;
}

static int lock_dir(struct embedded *e, int signal_fd, char **error)
{
    char *path = xasprintf("%s/lock", e->dir);
    int err = 0;
    e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0) {
        err = -errno;
        *error = xasprintf("%s: %s", path, strerror(-err));
    }
    int64_t deadline_ms = clock_now_ms() + LOCK_WAIT_MS;
    while (err == 0 && flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? pause_step(signal_fd) : -errno;
        if (err == 0 && left_ms(deadline_ms) == 0) {
            err = -EBUSY;
            *error = xasprintf("%s: in use by another mount with an embedded server; give this one "
                               "a directory of its own with --embedded=DIR",
                               e->dir);
        }
    }
    if (err != 0 && *error == NULL) {
        *error = xasprintf("%s: %s", path, strerror(-err));
    }
    free(path);
    return err;
}

/* ---- port and configuration ----------------------------------------------------------------- */

/* The port of the start before, so that other clients find the server where it was; 0: none. */
static int last_port(const struct embedded *e)
{
    FILE *file = fopen(e->config, "re");
    if (file == NULL) {
        return 0;
    }
    char line[256];
    int port = 0;
    while (port == 0 && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "clientPort=%d", &port) != 1 || port < 1 || port > 65535) {
            port = 0;
        }
    }
    fclose(file);
    return port;
}

/* The port if it is free on loopback, or with 0 any free one; -errno. Somebody may take it
 * before the server does; then the server ends and the start is tried again. */
static int free_port(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1; /* connections of the server before may linger */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int result;
    if (bind(fd, (struct sockaddr *)&addr, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        result = -errno;
    } else {
        result = ntohs(addr.sin_port);
    }
    close(fd);
    return result;
}

static int write_config(struct embedded *e)
{
    FILE *file = fopen(e->config, "we");
    if (file == NULL) {
        return -errno;
    }
    fprintf(file,
            "# Written by zkfs at each start of its embedded server.\n"
            "dataDir=%s/data\n"
            "clientPort=%d\n"
            "clientPortAddress=127.0.0.1\n"
            "tickTime=1000\n"
            "maxClientCnxns=0\n"
            "admin.enableServer=false\n"
            "extendedTypesEnabled=true\n"
            "4lw.commands.whitelist=*\n"
            "autopurge.snapRetainCount=3\n"
            "autopurge.purgeInterval=1\n",
            e->dir, e->port);
    bool is_bad = ferror(file) != 0;
    return fclose(file) != 0 || is_bad ? -EIO : 0;
}

/* ---- the child ------------------------------------------------------------------------------ */

_Noreturn static void child_main(const struct embedded *e, const char *program, pid_t parent,
                                 int log_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid(); /* the terminal's ^C is for the daemon, which still needs its server then */
    /* Durability is not a matter of a clean end: what was acknowledged is on disk. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null_fd = open("/dev/null", O_RDONLY);
    if (getppid() != parent || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0 ||
        fcntl(e->lock_fd, F_SETFD, 0) != 0) { /* the lock lives on in the server */
        _exit(126);
    }
    execl(program, program, "start-foreground", e->config, (char *)NULL);
    _exit(127);
}

static int open_log(const struct embedded *e)
{
    struct stat st;
    if (stat(e->log, &st) == 0 && st.st_size > LOG_BYTES_KEPT) {
        char *old = xasprintf("%s.old", e->log);
        rename(e->log, old); /* failing, the log only grows on */
        free(old);
    }
    int fd = open(e->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    return fd >= 0 ? fd : -errno;
}

static int spawn(struct embedded *e, const char *program)
{
    int log_fd = open_log(e);
    if (log_fd < 0) {
        return log_fd;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        child_main(e, program, parent, log_fd);
    }
    int err = pid < 0 ? -errno : 0;
    close(log_fd);
    if (err != 0) {
        return err;
    }
    e->pid = pid;
    e->pid_fd = pidfd_open(pid, 0);
    return e->pid_fd >= 0 ? 0 : -errno;
}

static bool ends_within(const struct embedded *e, int wait_ms)
{
    struct pollfd fd = { .fd = e->pid_fd, .events = POLLIN };
    int64_t deadline_ms = clock_now_ms() + wait_ms;
    int n;
    do {
        n = poll(&fd, 1, left_ms(deadline_ms));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* ---- ready ---------------------------------------------------------------------------------- */

/* Asks "ruok"; true for "imok". The answer comes once the server serves, after its recovery. */
static bool answers(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    struct timeval timeout = { .tv_sec = PROBE_MS / 1000, .tv_usec = PROBE_MS % 1000 * 1000L };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char answer[4];
    bool is_ok = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
                 send(fd, "ruok", 4, MSG_NOSIGNAL) == 4 &&
                 recv(fd, answer, sizeof(answer), MSG_WAITALL) == 4 &&
                 memcmp(answer, "imok", 4) == 0;
    close(fd);
    return is_ok;
}

/* 0; -ECHILD: the server ended; -ETIMEDOUT; -EINTR. */
static int await_ready(struct embedded *e, int signal_fd)
{
    int64_t deadline_ms = clock_now_ms() + READY_WAIT_MS;
    while (!answers(e->port)) {
        if (ends_within(e, 0)) {
            return -ECHILD;
        }
        if (left_ms(deadline_ms) == 0) {
            return -ETIMEDOUT;
        }
        if (pause_step(signal_fd) != 0) {
            return -EINTR;
        }
    }
    /* It may be somebody else's server that took the port first. */
    return ends_within(e, 0) ? -ECHILD : 0;
}

static int start_on_port(struct embedded *e, const char *program, int port, int signal_fd)
{
    e->port = free_port(port);
    if (e->port < 0) {
        return e->port;
    }
    snprintf(e->address, sizeof(e->address), "127.0.0.1:%d", e->port);
    int err = write_config(e);
    if (err == 0) {
        err = spawn(e, program);
    }
    return err != 0 ? err : await_ready(e, signal_fd);
}

static void kill_and_reap(struct embedded *e)
{
    if (e->pid > 0) {
        kill(e->pid, SIGTERM);
        if (!ends_within(e, STOP_WAIT_MS)) {
            log_warn(MODULE, "the server does not end, killing it pid=%d", (int)e->pid);
            kill(e->pid, SIGKILL);
        }
        waitpid(e->pid, NULL, 0);
        e->pid = 0;
    }
    if (e->pid_fd >= 0) {
        close(e->pid_fd);
        e->pid_fd = -1;
    }
}

/* First the port of last time, then any: twice, because a free port may be lost to somebody
 * else. */
static int start_server(struct embedded *e, const char *program, int signal_fd, char **error)
{
    int err = start_on_port(e, program, last_port(e), signal_fd);
    for (int again = 0; again < 2 && (err == -ECHILD || err == -EADDRINUSE || err == -EACCES);
         again++) {
        kill_and_reap(e);
        err = start_on_port(e, program, 0, signal_fd);
    }
    if (err == -ECHILD) {
        char *how = embedded_describe_end(e);
        *error = xasprintf("the embedded server %s; see %s", how, e->log);
        free(how);
    } else if (err == -ETIMEDOUT) {
        *error = xasprintf("the embedded server does not answer on %s; see %s", e->address, e->log);
    } else if (err != 0) {
        *error = xasprintf("the embedded server in %s: %s", e->dir, strerror(-err));
    }
    return err;
}

int embedded_start(const char *dir, int signal_fd, struct embedded **out, char **error)
{
    char *program = find_program("zkserver");
    if (program == NULL) {
        *error = xstrdup("zkserver was found neither beside zkfs nor in PATH");
        return -ENOENT;
    }
    struct embedded *e = xcalloc(1, sizeof(*e));
    e->dir = xstrdup(dir);
    e->config = xasprintf("%s/zoo.cfg", dir);
    e->log = xasprintf("%s/zkserver.log", dir);
    e->lock_fd = -1;
    e->pid_fd = -1;
    int err = make_dirs(dir);
    if (err != 0) {
        *error = xasprintf("%s: %s", dir, strerror(-err));
    } else {
        err = lock_dir(e, signal_fd, error);
    }
    if (err == 0) {
        err = start_server(e, program, signal_fd, error);
    }
    free(program);
    if (err != 0) {
        embedded_stop(e);
        return err;
    }
    log_info(MODULE, "server ready address=%s dir=%s pid=%d", e->address, e->dir, (int)e->pid);
    *out = e;
    return 0;
}

/* ---- later ---------------------------------------------------------------------------------- */

const char *embedded_address(const struct embedded *e)
{
    return e->address;
}

int embedded_pid_fd(const struct embedded *e)
{
    return e->pid_fd;
}

char *embedded_describe_end(struct embedded *e)
{
    int status = 0;
    if (e->pid <= 0 || waitpid(e->pid, &status, 0) != e->pid) {
        return xstrdup("has ended");
    }
    e->pid = 0;
    if (WIFSIGNALED(status)) {
        return xasprintf("was ended by signal %d", WTERMSIG(status));
    }
    return xasprintf("ended with status %d", WEXITSTATUS(status));
}

int embedded_respawn(struct embedded *e)
{
    kill_and_reap(e); /* nothing but the descriptor, if its end has been described */
    char *program = find_program("zkserver");
    int err = program != NULL ? spawn(e, program) : -ENOENT;
    free(program);
    return err;
}

void embedded_stop(struct embedded *e)
{
    if (e == NULL) {
        return;
    }
    kill_and_reap(e);
    if (e->lock_fd >= 0) {
        close(e->lock_fd);
    }
    free(e->dir);
    free(e->config);
    free(e->log);
    free(e);
}
