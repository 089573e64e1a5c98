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
    *d = (struct daemonise){
        .report_fd = -1, .signal_fd = -1, .journal_fd = -1, .log_file = log_file
    };
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
    if (d->journal_fd >= 0) {
        close(d->journal_fd);
    }
    d->report_fd = -1;
    d->signal_fd = -1;
    d->journal_fd = -1;
}

int daemonise_take_signal(struct daemonise *d)
{
    struct signalfd_siginfo info;
    ssize_t got = read(d->signal_fd, &info, sizeof(info));
    return got == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* ---- the first process ---------------------------------------------------------------------- */

struct pipes {
    int report[2]; /* one byte: the exit code */
    int output[2]; /* the daemon's stderr until it is ready */
};

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

/* Copies to our stderr what the daemon has written. False: nothing there, or no writer any more. */
static bool relay(int output_fd)
{
    char text[1024];
    ssize_t got = read(output_fd, text, sizeof(text));
    if (got <= 0) {
        return false;
    }
    ssize_t ignored = write(STDERR_FILENO, text, (size_t)got);
    (void)ignored; /* a caller who has closed its stderr does not want it */
    return true;
}

/* Waits for the daemon's report. What the user sends to us (^C) is passed on, and the daemon's
 * clean-up is waited for, so that nothing half-made is left when the prompt returns. */
_Noreturn static void await_report(struct daemonise *d, const struct pipes *p, pid_t daemon)
{
    struct pollfd fds[] = { { .fd = p->report[0], .events = POLLIN },
                            { .fd = d->signal_fd, .events = POLLIN },
                            { .fd = p->output[0], .events = POLLIN } };
    for (;;) {
        if (poll(fds, 3, -1) < 0) {
            continue; /* EINTR: nothing else can fail here */
        }
        if (fds[2].revents != 0 && !relay(p->output[0])) {
            fds[2].fd = -1;
        }
        if (fds[0].revents != 0) {
            while (relay(p->output[0])) {
            }
            uint8_t code;
            ssize_t got = read(p->report[0], &code, 1);
            if (got == 1 && code != EXIT_OK) {
                waitpid(daemon, NULL, 0); /* it has cleaned up, and ends now */
            }
            _exit(got == 1 ? code : status_of_dead(daemon));
        }
        int signal_number = daemonise_take_signal(d);
        if (signal_number != 0) {
            kill(daemon, signal_number);
        }
    }
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static int pipes_open(struct pipes *p)
{
    if (pipe2(p->report, O_CLOEXEC) != 0) {
        return -errno;
    }
    if (pipe2(p->output, O_CLOEXEC) != 0) {
        int err = -errno;
        close_pair(p->report);
        return err;
    }
    /* Only the reading end: the daemon's lines are to wait for room. */
    fcntl(p->output[0], F_SETFL, O_NONBLOCK);
    return 0;
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

/* In the daemon: none of the caller's descriptors stays, nor its directory, which could never be
 * unmounted. */
static int leave_caller(struct daemonise *d, const struct pipes *p)
{
    setsid();
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        return -errno;
    }
    if (stderr_is_journal()) {
        d->journal_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    int err = 0;
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(p->output[1], STDERR_FILENO) < 0 || chdir("/") != 0) {
        err = -errno;
    }
    close(null_fd);
    return err;
}

int daemonise_start(struct daemonise *d)
{
    struct pipes p;
    int err = pipes_open(&p);
    if (err != 0) {
        return err;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        err = -errno;
        close_pair(p.report);
        close_pair(p.output);
        return err;
    }
    if (pid > 0) {
        close(p.report[1]);
        close(p.output[1]);
        await_report(d, &p, pid);
    }
    d->report_fd = p.report[1];
    close(p.report[0]);
    err = leave_caller(d, &p);
    close_pair(p.output);
    return err;
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

/* From here on nobody reads the pipe that stderr has been. */
static void stderr_to_log(const struct daemonise *d)
{
    int fd = d->journal_fd;
    if (d->log_file != NULL) {
        fd = open(d->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0) {
            log_warn(MODULE, "log file %s: %s; using syslog", d->log_file, strerror(errno));
        }
    }
    if (fd < 0) {
        log_to_syslog("zkfs");
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    if (fd >= 0) {
        dup2(fd, STDERR_FILENO);
    }
    if (fd >= 0 && fd != d->journal_fd) {
        close(fd);
    }
}

void daemonise_report(struct daemonise *d, int exit_code)
{
    if (exit_code == EXIT_OK && !d->has_told) {
        d->has_told = true;
        notify_systemd();
    }
    if (d->report_fd < 0) {
        return;
    }
    if (exit_code == EXIT_OK) {
        stderr_to_log(d);
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
