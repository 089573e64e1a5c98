/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ready.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

/* sd_notify(3): one datagram; a name that begins with @ is in the abstract namespace. 0 or
 * -errno. */
static int notify(const char *name, const char *state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    if (len == 0 || len >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@')) {
        return -EINVAL;
    }
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int status = 0;
    socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, address_len) <
        0) {
        status = -errno;
    }
    close(fd);
    return status;
}

static void notify_if_asked(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int status = name ? notify(name, state) : 0;
    if (status < 0) {
        log_warn("main", "cannot tell %s that %s: %s", name, state, strerror(-status));
    }
}

void ready_announce(int fd, int client_port)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "ready port=%d\n", client_port);
    if (fd >= 0) {
        if (write(fd, line, (size_t)len) != len) {
            log_warn("main", "cannot say on descriptor %d that the server is ready", fd);
        }
        close(fd);
    }
    notify_if_asked("READY=1");
}

void ready_announce_stop(void)
{
    notify_if_asked("STOPPING=1");
}
