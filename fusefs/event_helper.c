/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/event_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/helper_process.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/mount_ref.h"

#define MODULE "event_helper"

enum {
    /* A call may wait for a directory lock that a user's request holds while it waits for the
     * ensemble. */
    CALL_TIMEOUT_MS = 10000,
    REAP_TIMEOUT_MS = 5000,
};

enum command { COMMAND_ATTACH, COMMAND_DETACH, COMMAND_RAISE };

/* One packet each way. The path ends the packet; its NUL is sent. */
struct request {
    uint32_t sequence;
    uint16_t command;
    uint16_t kind; /* enum event_kind, for RAISE */
    char path[PATH_MAX];
};

struct reply {
    uint32_t sequence;
    int32_t err; /* 0 or -errno */
};

struct event_helper {
    pid_t pid;
    int pid_fd;
    int socket_fd;
    pthread_mutex_t lock; /* one call at a time */
    uint32_t sequence;    /* by lock; of the last call */
};

/* ---- the helper process ---------------------------------------------------------------------- */

/* The group of a normal writer. The length is 1 because 0 is invalid; KEEP_SIZE lets it mean
 * nothing. */
static int modify_and_close(int fd)
{
    int err = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1) == 0 ? 0 : -errno;
    close(fd);
    return err;
}

/* Where opening for write is refused (a mode without w under default_permissions, a running
 * program), setting the mtime that the file already has still raises MODIFY, though no OPEN
 * and CLOSE_WRITE. */
static int raise_modify_only(int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -errno;
    }
    const struct timespec times[2] = { { 0, UTIME_OMIT }, st.st_mtim };
    return utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int raise_changed(int dir_fd, const char *name)
{
    int fd = mount_ref_open_at(dir_fd, name, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd == -EACCES || fd == -EPERM || fd == -ETXTBSY) {
        return raise_modify_only(dir_fd, name);
    }
    return fd < 0 ? fd : modify_and_close(fd);
}

static int raise_created(int dir_fd, const char *name)
{
    int fd = mount_ref_open_at(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
    return fd < 0 ? fd : modify_and_close(fd);
}

static int raise_attrib(int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -errno;
    }
    if (S_ISLNK(st.st_mode)) {
        return -ELOOP;
    }
    return fchmodat(dir_fd, name, st.st_mode & 07777, 0) == 0 ? 0 : -errno;
}

static int raise_in_dir(enum event_kind kind, int dir_fd, const char *name)
{
    switch (kind) {
    case EVENT_FILE_CHANGED:
        return raise_changed(dir_fd, name);
    case EVENT_FILE_CREATED:
        return raise_created(dir_fd, name);
    case EVENT_FILE_DELETED:
        return unlinkat(dir_fd, name, 0) == 0 ? 0 : -errno;
    case EVENT_DIR_CREATED:
        return mkdirat(dir_fd, name, 0777) == 0 ? 0 : -errno;
    case EVENT_DIR_DELETED:
        return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
    case EVENT_ATTRIB:
        return raise_attrib(dir_fd, name);
    }
    return -EINVAL;
}

static int child_raise(const struct mount_ref *ref, enum event_kind kind, const char *path)
{
    const char *name;
    int dir_fd = mount_ref_open_parent(ref, path, &name);
    if (dir_fd < 0) {
        return dir_fd;
    }
    int err = raise_in_dir(kind, dir_fd, name);
    close(dir_fd);
    return err;
}

/* Serves one packet; false when the daemon has closed its end. */
static bool child_serve(struct mount_ref *ref)
{
    static struct request
        request; /* a page: not for the stack of a fork; the process has one thread */
    ssize_t len = recv(HELPER_PROCESS_FD, &request, sizeof(request), 0);
    if (len < 0 && errno == EINTR) {
        return true;
    }
    if (len <= (ssize_t)offsetof(struct request, path)) {
        return false;
    }
    struct reply reply = { .sequence = request.sequence };
    switch (request.command) {
    case COMMAND_ATTACH:
        reply.err = mount_ref_attach(ref, request.path);
        break;
    case COMMAND_DETACH:
        mount_ref_detach(ref);
        return true;
    default:
        reply.err = child_raise(ref, request.kind, request.path);
        break;
    }
    return send(HELPER_PROCESS_FD, &reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply);
}

static void child_loop(void)
{
    struct mount_ref ref;
    mount_ref_init(&ref);
    for (;;) {
        struct pollfd fds[] = {
            { .fd = HELPER_PROCESS_FD, .events = POLLIN },
            { .fd = mount_ref_watch_fd(&ref), .events = POLLPRI },
        };
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        /* Our clone would keep a file system alive that nobody can reach any more. */
        if (fds[1].revents != 0 && !mount_ref_is_visible(&ref)) {
            mount_ref_detach(&ref);
        }
        if (fds[0].revents != 0 && !child_serve(&ref)) {
            return;
        }
    }
}

_Noreturn static void child_main(int socket_fd, pid_t parent)
{
    helper_process_isolate("zkfs-events", socket_fd);
    /* The closed socket ends an idle helper; this ends one that waits in a system call. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(0); /* the daemon died before the line above */
    }
    umask(0);
    child_loop();
    _exit(0);
}

/* ---- the daemon's side ----------------------------------------------------------------------- */

/* Forks a helper. Its end of a new pair is the child's, the other one replaces h->socket_fd under the same
 * number, which other threads may be using. 0 or -errno. */
static int spawn(struct event_helper *h)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        child_main(pair[1], parent);
    }
    int err = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (err == 0) {
        h->pid = pid;
        h->pid_fd = pidfd_open(pid, 0);
        if (h->socket_fd < 0) {
            h->socket_fd = pair[0];
            return 0;
        }
        err = dup3(pair[0], h->socket_fd, O_CLOEXEC) < 0 ? -errno : 0;
    }
    close(pair[0]);
    return err;
}

/* Kills the helper, if there is one, and reaps it. */
static void reap(struct event_helper *h)
{
    if (h->pid <= 0) {
        return;
    }
    kill(h->pid, SIGKILL);
    /* Killed while the file system holds a request of its, it ends only when that is answered or
     * /dev/fuse is closed. If neither happens we leave it: init reaps it after us. */
    struct pollfd fd = { .fd = h->pid_fd, .events = POLLIN };
    if (h->pid_fd >= 0 && poll(&fd, 1, REAP_TIMEOUT_MS) == 0) {
        log_warn(MODULE, "helper does not end pid=%d", (int)h->pid);
    } else {
        waitpid(h->pid, NULL, 0);
    }
    if (h->pid_fd >= 0) {
        close(h->pid_fd);
    }
    h->pid = 0;
}

int event_helper_start(struct event_helper **out)
{
    struct event_helper *h = xcalloc(1, sizeof(*h));
    h->socket_fd = -1;
    int err = spawn(h);
    if (err != 0) {
        free(h);
        return err;
    }
    pthread_mutex_init(&h->lock, NULL);
    *out = h;
    return 0;
}

int event_helper_restart(struct event_helper *h)
{
    pthread_mutex_lock(&h->lock);
    reap(h);
    int err = spawn(h);
    pthread_mutex_unlock(&h->lock);
    return err;
}

pid_t event_helper_pid(const struct event_helper *h)
{
    return h->pid;
}

static int send_request(struct event_helper *h, struct request *request, const char *path)
{
    size_t len = strlen(path);
    if (len >= sizeof(request->path)) {
        return -ENAMETOOLONG;
    }
    memcpy(request->path, path, len + 1);
    size_t bytes = offsetof(struct request, path) + len + 1;
    for (;;) {
        /* Never blocks: a full queue means a helper that is stuck. */
        if (send(h->socket_fd, request, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            return 0;
        }
        if (errno == EAGAIN) {
            return -ETIMEDOUT;
        }
        if (errno != EINTR) {
            return -EPIPE;
        }
    }
}

/* Waits for the answer of one call; answers of calls that were given up before are dropped. */
static int await_reply(struct event_helper *h, uint32_t sequence)
{
    int64_t deadline_ms = clock_now_ms() + CALL_TIMEOUT_MS;
    for (;;) {
        int64_t left_ms = deadline_ms - clock_now_ms();
        struct pollfd fd = { .fd = h->socket_fd, .events = POLLIN };
        int n = left_ms > 0 ? poll(&fd, 1, (int)left_ms) : 0;
        if (n == 0) {
            return -ETIMEDOUT;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        struct reply reply;
        ssize_t len = n > 0 ? recv(h->socket_fd, &reply, sizeof(reply), MSG_DONTWAIT) : -1;
        if (len < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (len != sizeof(reply)) {
            return -EPIPE;
        }
        if (reply.sequence == sequence) {
            return reply.err;
        }
    }
}

static int call(struct event_helper *h, enum command command, enum event_kind kind,
                const char *path)
{
    struct request request = { .command = (uint16_t)command, .kind = (uint16_t)kind };
    pthread_mutex_lock(&h->lock);
    request.sequence = ++h->sequence;
    int err = send_request(h, &request, path);
    if (err == 0) {
        err = await_reply(h, request.sequence);
    }
    pthread_mutex_unlock(&h->lock);
    return err;
}

int event_helper_attach(struct event_helper *h, const char *mountpoint)
{
    return call(h, COMMAND_ATTACH, 0, mountpoint);
}

void event_helper_detach(struct event_helper *h)
{
    /* No answer and no lock: this may have to overtake a caller who waits. */
    struct request request = { .command = COMMAND_DETACH };
    send_request(h, &request, "");
}

int event_helper_raise(struct event_helper *h, enum event_kind kind, const char *path)
{
    if (*path == '\0' && kind != EVENT_ATTRIB) {
        return -EINVAL; /* the root can only change its attributes */
    }
    return call(h, COMMAND_RAISE, kind, path);
}

void event_helper_stop(struct event_helper *h)
{
    if (h == NULL) {
        return;
    }
    close(h->socket_fd);
    reap(h);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
