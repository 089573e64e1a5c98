/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/member_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { UNACKNOWLEDGED_MS_MAX = 5000, IDLE_SECONDS = 5, PROBE_SECONDS = 1 };

void member_socket_tune(int fd)
{
    int on = 1;
    int idle = IDLE_SECONDS;
    int probe = PROBE_SECONDS;
    unsigned timeout_ms = UNACKNOWLEDGED_MS_MAX;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof(probe));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}
