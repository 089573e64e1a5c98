/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_MEMBER_SOCKET_H
#define SERVER_NET_MEMBER_SOCKET_H

/* Options of a socket between two servers: no delay, and an end within seconds when the other host is
 * gone without a word. Without that, TCP would try for a quarter of an hour, and for up to two minutes
 * after a network came back. None of them is worth refusing a connection for. */
void member_socket_tune(int fd);

#endif
