/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_READY_H
#define SERVER_READY_H

/* Tells whoever started the server that it serves, or that it stops: a line on a descriptor, and
 * systemd's notification socket, spoken by hand. Failures are logged, since nobody is served
 * worse for them. */

/* Writes `ready port=N\n` to fd, unless fd < 0, and closes it; then READY=1 to $NOTIFY_SOCKET if
 * set. */
void ready_announce(int fd, int client_port);

/* STOPPING=1 to $NOTIFY_SOCKET if set. */
void ready_announce_stop(void);

#endif
