/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/helper_process.h"
#include "common/xalloc.h"
#include "mountd/find_program.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* Linux 6.8 */
#endif

/* Which mount it is. Before Linux 6.8 the kernel uses a mount's id again after it, but not
 * together with the device number, as long as our file system lives. */
struct identity {
    uint64_t mount_id;
    uint32_t dev_major;
    uint32_t dev_minor;
};

/* The one packet that the guard gets. */
struct order {
    struct identity mount;
    char path[PATH_MAX];
};

struct guard {
    pid_t pid;
    int socket_fd;
    char *fusermount; /* owned; NULL: not there */
};

/* Asks the kernel only: a dead daemon does not answer. False if path is no longer there. */
static bool identify(const char *path, struct identity *out)
{
    struct statx stx;
    const unsigned ids = STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, ids,
              &stx) != 0 ||
        (stx.stx_mask & ids) == 0) {
        return false;
    }
    *out = (struct identity){ stx.stx_mnt_id, stx.stx_dev_major, stx.stx_dev_minor };
    return true;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
    return a->mount_id == b->mount_id && a->dev_major == b->dev_major &&
           a->dev_minor == b->dev_minor;
}

/* ---- the process ---------------------------------------------------------------------------- */

/* Goes to the directory that holds the mount point, and returns its name there. Looked at and
 * unmounted by that name, it cannot be exchanged for another in between: a mount point cannot
 * be renamed. */
static const char *enter_parent(char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    const char *parent = slash == path ? "/" : path;
    bool is_there = chdir(parent) == 0;
    *slash = '/';
    return is_there && slash[1] != '\0' ? slash + 1 : NULL;
}

static void take_away(struct order *order, const char *fusermount)
{
    struct identity now;
    const char *name = enter_parent(order->path);
    if (name == NULL || !identify(name, &now) || !is_same(&now, &order->mount)) {
        return; /* unmounted, or something else is mounted over it */
    }
    if (umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || fusermount == NULL) {
        return;
    }
    execl(fusermount, fusermount, "-u", "-z", "-q", "--", order->path, (char *)NULL);
}

_Noreturn static void child_main(int socket_fd, const char *fusermount)
{
    helper_process_isolate("zkfs-guard", socket_fd);
    struct order order = { .path = "" };
    struct order next;
    ssize_t got;
    while ((got = recv(HELPER_PROCESS_FD, &next, sizeof(next), 0)) > 0 ||
           (got < 0 && errno == EINTR)) {
        if (got > 0) {
            memcpy(&order, &next, (size_t)got); /* the path's NUL is the packet's end */
        }
    }
    if (order.path[0] != '\0') {
        take_away(&order, fusermount);
    }
    _exit(0);
}

/* ---- the daemon's side ---------------------------------------------------------------------- */

int guard_start(struct guard **out)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    char *fusermount = find_program("fusermount3");
    pid_t pid = fork();
    if (pid == 0) {
        child_main(pair[1], fusermount);
    }
    int err = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (err != 0) {
        close(pair[0]);
        free(fusermount);
        return err;
    }
    struct guard *g = xcalloc(1, sizeof(*g));
    *g = (struct guard){ .pid = pid, .socket_fd = pair[0], .fusermount = fusermount };
    *out = g;
    return 0;
}

int guard_arm(struct guard *g, const char *mountpoint)
{
    struct order order;
    size_t len = strlen(mountpoint);
    if (len >= sizeof(order.path)) {
        return -ENAMETOOLONG;
    }
    memcpy(order.path, mountpoint, len + 1);
    if (!identify(mountpoint, &order.mount)) {
        return -ENOENT;
    }
    size_t bytes = offsetof(struct order, path) + len + 1;
    return send(g->socket_fd, &order, bytes, MSG_NOSIGNAL) >= 0 ? 0 : -errno;
}

void guard_stop(struct guard *g)
{
    if (g == NULL) {
        return;
    }
    kill(g->pid, SIGKILL); /* before the end of its socket can be taken for our death */
    waitpid(g->pid, NULL, 0);
    close(g->socket_fd);
    free(g->fusermount);
    free(g);
}
