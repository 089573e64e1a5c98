/* SPDX-License-Identifier: Apache-2.0 */
#include "server/probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/buf.h"

enum { TIMEOUT_S = 5, ANSWER_BYTES_MAX = 64 * 1024 };

/* A connected socket or -errno; each attempt may take TIMEOUT_S. */
static int dial(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    struct timeval timeout = { .tv_sec = TIMEOUT_S };
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        int status = -errno;
        close(fd);
        return status;
    }
    return fd;
}

static int dial_any(const char *host, int port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        return -EHOSTUNREACH;
    }
    int fd = -EHOSTUNREACH;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = dial(a);
    }
    freeaddrinfo(found);
    return fd;
}

/* Sends the word and reads until the server ends the connection. 0 or -errno. */
static int ask(int fd, const char *word, struct buf *answer)
{
    if (send(fd, word, 4, MSG_NOSIGNAL) != 4) {
        return -errno;
    }
    ssize_t got;
    do {
        got = recv(fd, buf_reserve(answer, 4096), 4096, 0);
        if (got > 0) {
            answer->len += (size_t)got;
        }
    } while (got > 0 && answer->len < ANSWER_BYTES_MAX);
    return got < 0 ? -errno : 0;
}

int probe_mode(const char *host, int port, char *mode, size_t size)
{
    struct buf answer = BUF_EMPTY;
    int fd = dial_any(host, port);
    if (fd < 0) {
        return fd;
    }
    int status = ask(fd, "srvr", &answer);
    close(fd);
    char *text = buf_take_str(&answer);
    if (status == 0) {
        const char *line = strstr(text, "\nMode: ");
        if (line) {
            line += strlen("\nMode: ");
            snprintf(mode, size, "%.*s", (int)strcspn(line, "\n"), line);
        } else {
            status = -ENOMSG;
        }
    }
    free(text);
    return status;
}
