/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_DAEMONISE_H
#define MOUNTD_DAEMONISE_H

/*
 * How zkfs goes into the background, and how whoever started it learns the outcome: mount(8), a
 * shell or systemd waits for the first process, which ends only when the mount answers or has
 * failed.
 *
 *      first process ---fork---> daemon (own session)
 *            |<------ stderr -------| embedded server, ensemble, mount ...
 *            |<----- exit code -----+ daemonise_report
 *          exit                     | goes on serving, stderr to the log
 *
 * The daemon never holds the caller's descriptors: it writes to a pipe that the first process
 * copies to its own stderr. Else a child that a library leaves running would keep them, and a
 * pipe that the caller reads (`out=$(zkfs ...)`) would not end before the mount does.
 *
 * With -f there is one process and the same calls do nothing but tell systemd (sd_notify).
 */
#include <stdbool.h>

/* Exit codes of mount(8). */
enum {
    EXIT_OK = 0,
    EXIT_USAGE = 1,        /* wrong call, or no permission */
    EXIT_SYSTEM = 2,       /* no process, no memory, no descriptor */
    EXIT_INTERRUPTED = 8,  /* by the user, before the mount was ready */
    EXIT_MOUNT_FAILED = 32 /* the mount failed */
};

struct daemonise {
    int report_fd;        /* of the daemon; -1: foreground, or reported already */
    int signal_fd;        /* readable when SIGTERM, SIGINT or SIGHUP has arrived */
    int journal_fd;       /* the caller's stderr if that is the journal, else -1 */
    bool has_told;        /* the service manager that the mount is ready; the end is no news to it */
    const char *log_file; /* borrowed; NULL: the journal if there is one, or syslog */
};

/* Blocks the signals that end a mount and opens signal_fd. Before any thread exists. 0 or
 * -errno. */
int daemonise_init(struct daemonise *d, const char *log_file);
void daemonise_fini(struct daemonise *d);

/* Goes into the background. Returns 0 in the daemon only; the first process never returns.
 * -errno if there is no process to be had. */
int daemonise_start(struct daemonise *d);

/* Takes a signal that has arrived: its number, or 0 if there is none. */
int daemonise_take_signal(struct daemonise *d);

/* Tells the first process how it went, once; later calls do nothing. With EXIT_OK the daemon
 * logs elsewhere from here on. Any thread. */
void daemonise_report(struct daemonise *d, int exit_code);

/* Writes this process's id. 0 or -errno. */
int pid_file_write(const char *path);
/* Removes the file if it still names this process. */
void pid_file_remove(const char *path);

#endif
