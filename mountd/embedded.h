/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_EMBEDDED_H
#define MOUNTD_EMBEDDED_H

/*
 * A captive zkserver for a mount that has no ensemble: a child process on a free loopback port,
 * with its files in a directory of its own. A process, not a thread: a server that stops because
 * its disk refuses to write must not take the mount along.
 *
 *      DIR/lock           held (flock) by the daemon and the server; if it is free, both have gone
 *      DIR/zoo.cfg        written at each start
 *      DIR/zkserver.log   what the server logs; the one before is zkserver.log.old
 *      DIR/data/          its snapshots and transaction logs
 *
 * The server ends with the daemon, also when that is killed: the kernel ends it with the thread
 * that called embedded_start or embedded_respawn. One thread at a time.
 */
struct embedded;

/* The default directory, from the environment or the password file. Owned by the caller; NULL:
 * there is no home directory. */
char *embedded_default_dir(void);

/* Starts a server on dir, an absolute path, which is made if it is missing, and waits until it
 * answers. signal_fd readable ends the wait with -EINTR; the signal is left to be taken. 0, or
 * -errno with *error one line that the caller frees. */
int embedded_start(const char *dir, int signal_fd, struct embedded **out, char **error);

/* "127.0.0.1:PORT" for clients; valid until embedded_stop. */
const char *embedded_address(const struct embedded *e);

/* Polls readable when the server has ended by itself. */
int embedded_pid_fd(const struct embedded *e);

/* How the server ended, in words that the caller frees; call when embedded_pid_fd is readable. */
char *embedded_describe_end(struct embedded *e);

/* Starts a server that has ended again, on the same port, and does not wait for it: clients
 * come back by themselves. 0 or -errno. */
int embedded_respawn(struct embedded *e);

/* Ends the server, politely first, and waits for it. NULL is fine. */
void embedded_stop(struct embedded *e);

#endif
