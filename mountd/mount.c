/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/fusefs.h"
#include "mountd/daemonise.h"
#include "mountd/embedded.h"
#include "mountd/guard.h"
#include "mountd/options.h"

#define MODULE "mount"

/* The embedded server is started again after a second, and ever later if it keeps ending. */
enum { RESPAWN_DELAY_MS = 1000, RESPAWN_DELAY_MS_MAX = 60000 };

struct mount {
    struct mountd_options *options; /* borrowed */
    const char *mountpoint;         /* borrowed */
    struct daemonise *daemon;       /* borrowed */
    struct embedded *embedded;      /* owned, by the watcher once that runs; NULL: none */
    struct guard *guard;            /* owned; NULL: none */
    struct fusefs *fs;              /* owned; set before the watcher starts */
    pthread_t watcher;
    bool has_watcher;
    int watcher_end_fd;     /* eventfd; ends the watcher */
    pthread_mutex_t lock;   /* the state changes in three threads */
    enum mount_state state; /* by lock */
    bool was_ready;         /* by lock */
    int exit_code;          /* main thread */
};

/* ---- states --------------------------------------------------------------------------------- */

#define BIT(state) (1u << (state))
static const struct {
    const char *name;
    unsigned followers;
} states[MOUNT_STATE_COUNT] = {
    [MOUNT_WAIT] = { "wait", BIT(MOUNT_MOUNT) | BIT(MOUNT_DRAIN) | BIT(MOUNT_FAILED) },
    [MOUNT_MOUNT] = { "mount", BIT(MOUNT_READY) | BIT(MOUNT_DRAIN) | BIT(MOUNT_FAILED) },
    [MOUNT_READY] = { "ready", BIT(MOUNT_DRAIN) },
    [MOUNT_DRAIN] = { "drain", BIT(MOUNT_UNMOUNT) },
    [MOUNT_FAILED] = { "failed", BIT(MOUNT_UNMOUNT) },
    [MOUNT_UNMOUNT] = { "unmount", BIT(MOUNT_UNMOUNTED) },
    [MOUNT_UNMOUNTED] = { "unmounted", 0 },
};

const char *mount_state_name(enum mount_state state)
{
    return states[state].name;
}

bool mount_state_may_follow(enum mount_state from, enum mount_state to)
{
    return (states[from].followers & BIT(to)) != 0;
}

/* Goes to a state if it may follow the present one. False if not: another thread was faster,
 * and its transition stands. */
static bool enter_locked(struct mount *m, enum mount_state next)
{
    if (!mount_state_may_follow(m->state, next)) {
        return false;
    }
    log_debug(MODULE, "%s -> %s", states[m->state].name, states[next].name);
    m->state = next;
    m->was_ready = m->was_ready || next == MOUNT_READY;
    return true;
}

static bool enter(struct mount *m, enum mount_state next)
{
    pthread_mutex_lock(&m->lock);
    bool is_allowed = enter_locked(m, next);
    pthread_mutex_unlock(&m->lock);
    return is_allowed;
}

static enum mount_state current(struct mount *m)
{
    pthread_mutex_lock(&m->lock);
    enum mount_state state = m->state;
    pthread_mutex_unlock(&m->lock);
    return state;
}

/* Main thread: the mount cannot be made. A signal that came first makes it an interruption
 * instead. */
static void fail(struct mount *m, int exit_code)
{
    if (enter(m, MOUNT_FAILED)) {
        m->exit_code = exit_code;
    }
}

/* ---- the watcher thread --------------------------------------------------------------------- */

static void on_signal(struct mount *m)
{
    int signal_number = daemonise_take_signal(m->daemon);
    if (signal_number == 0) {
        return;
    }
    log_info(MODULE, "%s, unmounting %s", strsignal(signal_number), m->mountpoint);
    pthread_mutex_lock(&m->lock);
    if (enter_locked(m, MOUNT_DRAIN)) {
        fusefs_stop(m->fs); /* with the lock: the main thread frees it when it sees DRAIN */
    }
    pthread_mutex_unlock(&m->lock);
}

/* When to start the embedded server again. */
struct respawn {
    int64_t started_ms; /* last start */
    int64_t due_ms;     /* 0: it runs */
    int delay_ms;       /* for the next time */
};

/* The mount stays: what is cached is still readable, and clients come back once the server is
 * there. */
static void on_server_end(struct mount *m, struct respawn *r)
{
    int64_t now_ms = clock_now_ms();
    bool was_steady = now_ms - r->started_ms > RESPAWN_DELAY_MS_MAX;
    r->delay_ms = was_steady ? RESPAWN_DELAY_MS : r->delay_ms;
    char *how = embedded_describe_end(m->embedded);
    log_error(MODULE, "the embedded server %s, starting it again in %d s", how, r->delay_ms / 1000);
    free(how);
    r->due_ms = now_ms + r->delay_ms;
    r->delay_ms = r->delay_ms * 2 < RESPAWN_DELAY_MS_MAX ? r->delay_ms * 2 : RESPAWN_DELAY_MS_MAX;
}

static void respawn_server(struct mount *m, struct respawn *r)
{
    r->started_ms = clock_now_ms();
    int err = embedded_respawn(m->embedded);
    if (err == 0) {
        r->due_ms = 0;
        log_info(MODULE, "embedded server started again");
    } else {
        r->due_ms = r->started_ms + RESPAWN_DELAY_MS_MAX;
        log_error(MODULE, "cannot start the embedded server: %s", strerror(-err));
    }
}

static int respawn_wait_ms(const struct respawn *r)
{
    int64_t wait_ms = r->due_ms - clock_now_ms();
    return r->due_ms == 0 ? -1 : wait_ms > 0 ? (int)wait_ms : 0;
}

static void *watcher_main(void *arg)
{
    struct mount *m = arg;
    struct respawn r = { .started_ms = clock_now_ms(), .delay_ms = RESPAWN_DELAY_MS };
    for (;;) {
        bool has_server = m->embedded != NULL && r.due_ms == 0;
        struct pollfd fds[] = {
            { .fd = m->watcher_end_fd, .events = POLLIN },
            { .fd = m->daemon->signal_fd, .events = POLLIN },
            { .fd = has_server ? embedded_pid_fd(m->embedded) : -1, .events = POLLIN },
        };
        int n = poll(fds, 3, respawn_wait_ms(&r));
        if (n == 0) {
            respawn_server(m, &r);
        } else if (n > 0 && fds[0].revents != 0) {
            break;
        } else if (n > 0 && fds[1].revents != 0) {
            on_signal(m);
        } else if (n > 0) {
            on_server_end(m, &r);
        }
    }
    /* Here, because the kernel would kill it with this thread if this thread has started it. */
    embedded_stop(m->embedded);
    m->embedded = NULL;
    return NULL;
}

static int watcher_start(struct mount *m)
{
    m->watcher_end_fd = eventfd(0, EFD_CLOEXEC);
    if (m->watcher_end_fd < 0) {
        return -errno;
    }
    int err = pthread_create(&m->watcher, NULL, watcher_main, m);
    m->has_watcher = err == 0;
    return -err;
}

static void watcher_stop(struct mount *m)
{
    if (m->has_watcher) {
        uint64_t one = 1;
        ssize_t written = write(m->watcher_end_fd, &one, sizeof(one));
        zk_assert(written == sizeof(one));
        pthread_join(m->watcher, NULL);
        m->has_watcher = false;
    }
    if (m->watcher_end_fd >= 0) {
        close(m->watcher_end_fd);
        m->watcher_end_fd = -1;
    }
}

/* ---- WAIT ----------------------------------------------------------------------------------- */

static int start_server(struct mount *m)
{
    char *error = NULL;
    char *dir = m->options->embedded_dir != NULL ? xstrdup(m->options->embedded_dir)
                                                 : embedded_default_dir();
    int err = -ENOENT;
    if (dir == NULL) {
        error = xstrdup("no home directory to keep data in; give one with --embedded=DIR");
    } else {
        err = embedded_start(dir, m->daemon->signal_fd, &m->embedded, &error);
    }
    if (err == 0) {
        err = fusefs_options_set_hosts(&m->options->fs, embedded_address(m->embedded), &error);
    }
    if (err == -EINTR) {
        enter(m, MOUNT_DRAIN);
    } else if (err != 0) {
        log_error(MODULE, "%s", error);
    }
    free(error);
    free(dir);
    return err;
}

static void log_connect_error(struct mount *m, int err)
{
    const char *hosts = m->options->fs.hosts;
    switch (err) {
    case -ETIMEDOUT:
        log_error(MODULE, "no server of %s answered within %d ms; see mount_timeout=", hosts,
                  m->options->mount_timeout_ms);
        break;
    case -ENOENT:
        log_error(MODULE, "%s: the path does not exist in the ensemble; create it first", hosts);
        break;
    case -EACCES:
        log_error(MODULE, "%s: the ensemble refuses this identity; see auth_file=", hosts);
        break;
    default:
        log_error(MODULE, "%s: %s", hosts, strerror(-err));
        break;
    }
}

/* Everything that forks comes first, while there is one thread. */
static int prepare(struct mount *m)
{
    int err = m->options->is_embedded ? start_server(m) : 0;
    if (err != 0) {
        return err;
    }
    if (m->options->auto_unmount) {
        err = guard_start(&m->guard);
    }
    if (err == 0) {
        err = fusefs_new(&m->options->fs, &m->fs);
    }
    if (err == 0) {
        err = watcher_start(m);
    }
    if (err != 0) {
        log_error(MODULE, "cannot start: %s", strerror(-err));
    }
    return err;
}

static void step_wait(struct mount *m)
{
    int err = prepare(m);
    if (err != 0) {
        fail(m, m->embedded == NULL && m->options->is_embedded ? EXIT_MOUNT_FAILED : EXIT_SYSTEM);
        return;
    }
    if (m->options->mount_timeout_ms > 0) {
        err = fusefs_connect(m->fs, m->options->mount_timeout_ms);
    }
    if (err == 0) {
        enter(m, MOUNT_MOUNT); /* or a signal was faster */
    } else if (current(m) == MOUNT_WAIT) {
        log_connect_error(m, err);
        fail(m, EXIT_MOUNT_FAILED);
    }
}

/* ---- MOUNT, READY --------------------------------------------------------------------------- */

/* The file system itself is mounted read-write, or the event helper could not open files for
 * write in its own copy of the mount. What others see says "ro" and is refused by the VFS.
 * Ordinary users cannot change a mount: there the file system alone refuses. */
static void make_read_only(const struct mount *m)
{
    if (geteuid() != 0) {
        return;
    }
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    if (mount_setattr(AT_FDCWD, m->mountpoint, 0, &attr, sizeof(attr)) != 0) {
        log_warn(MODULE, "%s: not shown as read-only: %s", m->mountpoint, strerror(errno));
    }
}

static void on_ready(void *arg)
{
    struct mount *m = arg;
    if (m->options->fs.ro) {
        make_read_only(m);
    }
    if (!enter(m, MOUNT_READY)) {
        return; /* a signal was faster */
    }
    if (m->options->pid_file != NULL) {
        int err = pid_file_write(m->options->pid_file);
        if (err != 0) {
            log_warn(MODULE, "pid file %s: %s", m->options->pid_file, strerror(-err));
        }
    }
    daemonise_report(m->daemon, EXIT_OK);
    log_info(MODULE, "%s mounted on %s", m->options->fs.hosts, m->mountpoint);
}

/* A mount that the guard does not know is still a mount. */
static void arm_guard(struct mount *m)
{
    int err = m->guard != NULL ? guard_arm(m->guard, m->mountpoint) : 0;
    if (err != 0) {
        log_warn(MODULE, "%s: not unmounted if the daemon is killed: %s", m->mountpoint,
                 strerror(-err));
    }
}

static void stop_guard(struct mount *m)
{
    guard_stop(m->guard);
    m->guard = NULL;
}

static void step_mount(struct mount *m)
{
    int err = fusefs_mount(m->fs, m->mountpoint);
    if (err == 0) {
        arm_guard(m);
        err = fusefs_serve(m->fs, on_ready, m);
        stop_guard(m); /* the mount is gone, and another may come to its place */
    }
    /* Unmounted by somebody else is an end like any other; before READY it is a failure. */
    switch (current(m)) {
    case MOUNT_MOUNT:
        fail(m, EXIT_MOUNT_FAILED);
        break;
    case MOUNT_READY:
        if (err != 0) {
            log_error(MODULE, "serving %s ended: %s", m->mountpoint, strerror(-err));
            m->exit_code = EXIT_MOUNT_FAILED;
        }
        enter(m, MOUNT_DRAIN);
        break;
    default:
        break; /* DRAIN by a signal */
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

static void step_unmount(struct mount *m)
{
    fusefs_free(m->fs);
    m->fs = NULL;
    stop_guard(m);
    watcher_stop(m); /* and the server: last, closing the session needs it */
    embedded_stop(m->embedded);
    m->embedded = NULL;
    if (m->options->pid_file != NULL) {
        pid_file_remove(m->options->pid_file);
    }
    if (enter(m, MOUNT_UNMOUNTED) && m->was_ready) {
        log_info(MODULE, "unmounted %s", m->mountpoint);
    }
}

/* An end before READY is an answer to whoever waits; after it, the report goes nowhere. The process
 * itself has done what the signal asked for, and a service manager is to see that as success. */
static int report_end(struct mount *m)
{
    bool is_interrupted = m->exit_code == EXIT_OK && !m->was_ready;
    daemonise_report(m->daemon, is_interrupted ? EXIT_INTERRUPTED : m->exit_code);
    return m->exit_code;
}

int mount_run(struct mountd_options *o, const char *mountpoint, struct daemonise *d)
{
    struct mount m = { .options = o,
                       .mountpoint = mountpoint,
                       .daemon = d,
                       .watcher_end_fd = -1,
                       .state = MOUNT_WAIT };
    pthread_mutex_init(&m.lock, NULL);
    for (;;) {
        switch (current(&m)) {
        case MOUNT_WAIT:
            step_wait(&m);
            break;
        case MOUNT_MOUNT:
            step_mount(&m);
            break;
        case MOUNT_DRAIN:
        case MOUNT_FAILED:
            enter(&m, MOUNT_UNMOUNT);
            break;
        case MOUNT_UNMOUNT:
            step_unmount(&m);
            break;
        default:
            pthread_mutex_destroy(&m.lock);
            return report_end(&m);
        }
    }
}
