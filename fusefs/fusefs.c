/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/fusefs.h"

#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/away.h"
#include "fusefs/event_helper.h"
#include "fusefs/refetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/notify.h"
#include "fusefs/ops.h"
#include "fusefs/ops_poll.h"
#include "fusefs/perms.h"
#include "fusefs/serve.h"
#include "fusefs/session_io.h"

/* Values kept for readers; a value that is open is not counted. */
#define VALUE_BYTES_MAX ((size_t)64 << 20)

/* Requests under way at the end get this long. */
enum { DRAIN_MS = 2000 };

/* ---- options --------------------------------------------------------------------------------------------------- */

static char *copy_str(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static void copy_options(struct fusefs_options *to, const struct fusefs_options *from)
{
    *to = *from;
    to->uid = from->uid >= 0 ? from->uid : (int)getuid();
    to->gid = from->gid >= 0 ? from->gid : (int)getgid();
    to->hosts = copy_str(from->hosts);
    to->control_name = copy_str(from->control_name);
    to->auth_file = copy_str(from->auth_file);
    to->acl = copy_str(from->acl);
    to->scratch = copy_str(from->scratch);
    to->mount_options = copy_str(from->mount_options);
    to->auths = xcalloc(from->auth_count ? from->auth_count : 1, sizeof(*to->auths));
    for (size_t i = 0; i < from->auth_count; i++) {
        to->auths[i].scheme = xstrdup(from->auths[i].scheme);
        to->auths[i].credentials = xstrdup(from->auths[i].credentials);
    }
}

/* ---- the session ------------------------------------------------------------------------------------------------ */

static void on_watch(void *owner, int type, const char *path)
{
    lock_on_watch(owner, path);
    refetch_on_watch(owner, type, path);
}

static void on_state(void *owner, enum zkc_event event)
{
    struct fusefs *fs = owner;
    if (event == ZKC_EXPIRED) {
        atomic_store(&fs->expired_session_id, zkc_session_id(fs->zkc));
    }
    if (event == ZKC_NEW_SESSION) {
        refetch_everything(fs);
    }
    lock_on_state(fs, event);
    if (event == ZKC_WENT_OFFLINE && fs->options.offline == FUSEFS_OFFLINE_ERROR) {
        notify_forget_everything(fs);
    }
    if (event != ZKC_DOUBTFUL) { /* no state that anybody is shown */
        atomic_fetch_add(&fs->session_changes, 1);
        notify_session_changed(fs);
        poll_wake_made(fs);
    }
}

/* ---- FUSE -------------------------------------------------------------------------------------------------------- */

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    /* O_TRUNC comes as a SETATTR, whose answer decides the size that readers see until the new value is
     * there. Atomic, the kernel would show them 0 bytes at once. */
    conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
    /* Between two hosts a cached write would be a late one. */
    conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
    conn->want |=
        conn->capable & (FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_PARALLEL_DIROPS |
                         FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_READ |
                         FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS);
    conn->time_gran = 1000000; /* a znode's times are in milliseconds */
}

static void fill_ops(struct fuse_lowlevel_ops *ops)
{
    memset(ops, 0, sizeof(*ops));
    ops->init = on_init;
    ops_meta_fill(ops);
    ops_dir_fill(ops);
    ops_readdir_fill(ops);
    ops_rename_fill(ops);
    ops_file_fill(ops);
    ops_xattr_fill(ops);
    ops_poll_fill(ops);
    ops_lock_fill(ops);
}

static struct fuse_session *new_session(struct fusefs *fs)
{
    struct fuse_lowlevel_ops ops;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fill_ops(&ops);
    fuse_opt_add_arg(&args, "zkfs");
    if (fs->options.mount_options && fs->options.mount_options[0]) {
        fuse_opt_add_arg(&args, "-o");
        fuse_opt_add_arg(&args, fs->options.mount_options);
    }
    if (fs->options.debug) {
        fuse_opt_add_arg(&args, "-d");
    }
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), fs);
    fuse_opt_free_args(&args);
    return se;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int fusefs_new(const struct fusefs_options *options, struct fusefs **out)
{
    struct fusefs *fs = xcalloc(1, sizeof(*fs));
    copy_options(&fs->options, options);
    pthread_mutex_init(&fs->lock, NULL);
    list_init(&fs->to_read);
    lock_table_init(&fs->locks);
    fs->started_ms = clock_wall_ms();
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        seed = (uint64_t)clock_now_us();
    }
    cache_init(&fs->cache, seed, VALUE_BYTES_MAX, notify_on_change, fs);
    fs->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = fs->stop_fd < 0 ? -errno : thread_queue_init(&fs->notices);
    if (err) {
        goto err_free;
    }
    err = event_helper_start(&fs->helper);
    if (err) {
        log_error("fusefs", "cannot start the event helper: %s", strerror(-err));
        goto err_queue;
    }
    atomic_store(&fs->helper_pid, event_helper_pid(fs->helper));
    struct zkc_callbacks callbacks = { on_watch, on_state, refetch_watch_bytes, fs };
    fs->zkc = zkc_new(&fs->options, &callbacks);
    fs->cache.new_perms =
        perms_granted(zkc_new_acl(fs->zkc), fs->options.auths, fs->options.auth_count);
    err = notify_start(fs);
    if (err) {
        goto err_zkc;
    }
    err = away_start(fs);
    if (err) {
        goto err_notify;
    }
    err = zkc_start(fs->zkc);
    if (err) {
        log_error("fusefs", "cannot open a session: %s", strerror(-err));
        goto err_away;
    }
    *out = fs;
    return 0;

err_away:
    away_stop(fs);
    away_fini(fs);
err_notify:
    notify_stop(fs);
err_zkc:
    zkc_free(fs->zkc);
    event_helper_stop(fs->helper);
err_queue:
    thread_queue_fini(&fs->notices);
err_free:
    if (fs->stop_fd >= 0) {
        close(fs->stop_fd);
    }
    cache_fini(&fs->cache);
    fusefs_options_fini(&fs->options);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
    return err;
}

int fusefs_mount(struct fusefs *fs, const char *mountpoint)
{
    fs->se = new_session(fs);
    if (!fs->se) {
        return -EINVAL;
    }
    if (fuse_session_mount(fs->se, mountpoint) != 0) {
        fuse_session_destroy(fs->se);
        fs->se = NULL;
        return -EIO;
    }
    fs->mountpoint = xstrdup(mountpoint);
    return session_io_attach(fs->se);
}

struct ready {
    struct fusefs *fs;
    void (*on_ready)(void *arg);
    void *arg;
    int error; /* why it never came to that; 0 or -errno */
};

/* The mount answers once the root directory is armed: from then on nothing is missed. Without a
 * connection that takes a while, and who has not waited for one (fusefs_connect) does not want to. */
static void *wait_ready(void *arg)
{
    struct ready *ready = arg;
    struct fusefs *fs = ready->fs;
    struct stat st;
    if (zkc_is_connected(fs->zkc) && stat(fs->mountpoint, &st) != 0) {
        if (!atomic_load(&fs->stopping)) {
            log_error("fusefs", "the mount does not answer: %s", strerror(errno));
            ready->error = -errno;
            fusefs_stop(fs);
        }
        return NULL;
    }
    int err = event_helper_attach(fs->helper, fs->mountpoint);
    if (err) {
        log_warn("fusefs", "no inotify events: the helper cannot reach the mount: %s",
                 strerror(-err));
    }
    if (ready->on_ready) {
        ready->on_ready(ready->arg);
    }
    return NULL;
}

/* Everybody is answered who waits for the ensemble, and the notify thread ends: it may wait for requests
 * of the mount, and must not write to a descriptor that unmounting has closed. */
static void wind_down(void *arg)
{
    struct fusefs *fs = arg;
    atomic_store(&fs->stopping, true);
    event_helper_detach(fs->helper);
    away_stop(fs);
    zkc_drain(fs->zkc, DRAIN_MS);
    zkc_stop(fs->zkc);
    lock_stop(fs);
    notify_stop(fs);
}

int fusefs_serve(struct fusefs *fs, void (*on_ready)(void *arg), void *arg)
{
    struct ready ready = { fs, on_ready, arg, 0 };
    pthread_t thread;
    int err = pthread_create(&thread, NULL, wait_ready, &ready);
    if (err) {
        return -err;
    }
    err = serve_requests(fs->se, fs->stop_fd, wind_down, fs);
    fuse_session_unmount(fs->se); /* what still waits for us gets an error from the kernel */
    pthread_join(thread, NULL);
    return err ? err : ready.error;
}

void fusefs_stop(struct fusefs *fs)
{
    uint64_t one = 1;
    ssize_t written = write(fs->stop_fd, &one, sizeof(one));
    (void)written; /* it can only be full, and then it is readable already */
}

void fusefs_free(struct fusefs *fs)
{
    if (!fs) {
        return;
    }
    wind_down(fs);
    if (fs->se) {
        fuse_session_unmount(fs->se);
    }
    event_helper_stop(fs->helper);
    if (fs->se) {
        fuse_session_destroy(fs->se);
    }
    zkc_free(fs->zkc);
    thread_queue_fini(&fs->notices);
    readahead_clear_locked(fs); /* no thread is left */
    handle_release_all(&fs->cache);
    away_fini(fs);
    cache_fini(&fs->cache);
    fusefs_options_fini(&fs->options);
    pthread_mutex_destroy(&fs->lock);
    close(fs->stop_fd);
    free(fs->mountpoint);
    free(fs);
}
