/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/daemonise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"

#define MODULE "daemonise"

/* ---- signals -------------------------------------------------------------------------------- */

int daemonise_init(struct daemonise *d, const char *log_file)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    *d = (struct daemonise){ .report_fd = -1, .signal_fd = -1, .log_file = log_file };
    /* Inherited as ignored (nohup, a shell's `&`), these would never arrive at the descriptor. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -errno;
    }
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return d->signal_fd >= 0 ? 0 : -errno;
}

void daemonise_fini(struct daemonise *d)
{
    if (d->report_fd >= 0) {
        close(d->report_fd);
    }
    if (d->signal_fd >= 0) {
        close(d->signal_fd);
    }
    d->report_fd = -1;
    d->signal_fd = -1;
}

int daemonise_take_signal(struct daemonise *d)
{
    struct signalfd_siginfo info;
    ssize_t got = read(d->signal_fd, &info, sizeof(info));
    return got == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* ---- the first process ---------------------------------------------------------------------- */

/* The daemon ended without a report: it crashed or was killed. */
static int status_of_dead(pid_t daemon)
{
    int status = 0;
    waitpid(daemon, &status, 0);
    if (WIFSIGNALED(status)) {
        log_error(MODULE, "the daemon was ended by signal %d before the mount was ready",
                  WTERMSIG(status));
    } else {
        log_error(MODULE, "the daemon ended before the mount was ready");
    }
    return EXIT_MOUNT_FAILED;
}

/* Waits for the daemon's report. What the user sends to us (^C) is passed on, and the daemon's
 * clean-up is waited for, so that nothing half-made is left when the prompt returns. */
_Noreturn static void await_report(struct daemonise *d, int fd, pid_t daemon)
{
    struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
                            { .fd = d->signal_fd, .events = POLLIN } };
    uint8_t code;
    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            continue; /* EINTR: nothing else can fail here */
        }
        if (fds[0].revents != 0) {
            ssize_t got = read(fd, &code, 1);
            _exit(got == 1 ? code : status_of_dead(daemon));
        }
        int signal_number = daemonise_take_signal(d);
        if (signal_number != 0) {
            kill(daemon, signal_number);
        }
    }
}

int daemonise_start(struct daemonise *d)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return -errno;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int err = -errno;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return err;
    }
    if (pid > 0) {
        close(pipe_fds[1]);
        await_report(d, pipe_fds[0], pid);
    }
    close(pipe_fds[0]);
    d->report_fd = pipe_fds[1];
    setsid();
    if (chdir("/") != 0) {
        return -errno; /* or the current directory could never be unmounted */
    }
    return 0;
}

/* ---- ready ---------------------------------------------------------------------------------- */

/* One datagram, as sd_notify(3) sends it; not worth a library. */
static void notify_systemd(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof(addr.sun_path)) {
        return;
    }
    memcpy(addr.sun_path, path, strlen(path));
    if (addr.sun_path[0] == '@') {
        addr.sun_path[0] = '\0'; /* an abstract name */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr, len) < 0) {
        log_warn(MODULE, "systemd was not told: %s", strerror(errno));
    }
    close(fd);
}

/* True if stderr is the journal: then it may stay, whoever started us. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    unsigned long long device;
    unsigned long long inode;
    return stream != NULL && fstat(STDERR_FILENO, &st) == 0 &&
           sscanf(stream, "%llu:%llu", &device, &inode) == 2 && st.st_dev == device &&
           st.st_ino == inode;
}

/* Lets go of the caller's terminal or pipe, which would look busy for as long as the mount
 * lives. */
static void stdio_release(const char *log_file)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log_fd = -1;
    if (log_file != NULL) {
        log_fd = open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (log_fd < 0) {
            log_warn(MODULE, "log file %s: %s; using syslog", log_file, strerror(errno));
        }
    }
    if (null_fd < 0) {
        return;
    }
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    if (log_fd >= 0) {
        dup2(log_fd, STDERR_FILENO);
        close(log_fd);
    } else if (!stderr_is_journal()) {
        log_to_syslog("zkfs");
        dup2(null_fd, STDERR_FILENO);
    }
    close(null_fd);
}

void daemonise_report(struct daemonise *d, int exit_code)
{
    if (exit_code == EXIT_OK) {
        notify_systemd();
    }
    if (d->report_fd < 0) {
        return;
    }
    if (exit_code == EXIT_OK) {
        stdio_release(d->log_file);
    }
    uint8_t code = (uint8_t)exit_code;
    if (write(d->report_fd, &code, 1) != 1) {
        log_warn(MODULE, "whoever started the mount did not wait for it");
    }
    close(d->report_fd);
    d->report_fd = -1;
}

/* ---- pid file ------------------------------------------------------------------------------- */

int pid_file_write(const char *path)
{
    /* Under another name first, so that a reader never finds an empty file. */
    char *draft = xasprintf("%s.%d", path, (int)getpid());
    int err = 0;
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        err = -errno;
        goto out;
    }
    if (dprintf(fd, "%d\n", (int)getpid()) < 0) {
        err = -errno;
    }
    if (close(fd) != 0 && err == 0) {
        err = -errno;
    }
    if (err == 0 && rename(draft, path) != 0) {
        err = -errno;
    }
    if (err != 0) {
        unlink(draft);
    }
out:
    free(draft);
    return err;
}

void pid_file_remove(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    int pid = 0;
    bool is_ours = fscanf(file, "%d", &pid) == 1 && pid == getpid();
    fclose(file);
    if (is_ours) {
        unlink(path);
    }
}
