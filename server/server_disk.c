/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replication does to the disk, and a disk that fails. Whatever reads or changes whole files
 * is work for the job thread: it takes the log and the snapshot thread over, ends them (S11), does
 * it, and the loop starts both anew. The loop goes on meanwhile; nothing is logged, and no client
 * is served.
 */
#include "server/server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/store/rebuild.h"

/* How long a member whose disk has failed waits before it tries again. */
enum { DISK_RETRY_MS = 1000 };

/* Room that a log needs beyond what it grows by. */
enum { SPARE_BYTES = 256 * 1024 };

static const char module[] = "server";

/* ---- a disk that fails ----------------------------------------------------------------------- */

/* Alone there is nobody who could go on meanwhile: the process ends, and whoever watches it knows.
 * A member leaves the quorum and lives on (S13). */
void server_disk_failed(struct server *s, int err, const char *what)
{
    struct replication *r = &s->replication;
    if (server_is_alone(s)) {
        log_error(module, "cannot %s, stopping: %s", what, strerror(-err));
        server_fail(s, err);
    } else if (!r->is_disk_bad) {
        log_error(module, "cannot %s, leaving the quorum until the disk works: %s", what,
                  strerror(-err));
        r->is_disk_bad = true;
        r->is_failure_untold = true;
    }
}

static void check(struct server *s, int err, const char *what)
{
    if (err < 0) {
        server_disk_failed(s, err, what);
    }
}

void server_disk_save_accepted_epoch(struct server *s, int64_t epoch)
{
    check(s, epochs_write_accepted(&fsops_posix, s->recovered.snapshot_dir, epoch),
          "save acceptedEpoch");
}

void server_disk_save_current_epoch(struct server *s, int64_t epoch)
{
    check(s, epochs_write_current(&fsops_posix, s->recovered.snapshot_dir, epoch),
          "save currentEpoch");
}

/* ---- trees ----------------------------------------------------------------------------------- */

struct free_job {
    struct store_job job; /* first */
    struct data_tree *tree;
};

static void run_free(struct store_job *job)
{
    data_tree_free(((struct free_job *)job)->tree);
}

static void free_done(struct store_job *job)
{
    free(job);
}

/* A million nodes take a while. */
static void free_later(struct server *s, struct data_tree *tree)
{
    struct free_job *f = xmalloc(sizeof(*f));
    *f = (struct free_job){ .job = { .run = run_free, .done = free_done }, .tree = tree };
    job_thread_push(s->jobs, &f->job);
}

void server_disk_install(struct server *s, struct data_tree *tree, struct saved_session *sessions,
                         size_t session_count)
{
    struct data_tree *old = s->recovered.tree;
    int64_t now_ms = clock_now_ms();
    server_disk_abandon_snapshot(s);
    image_sender_abandon(&s->replication.sender);
    server_store_set_config_node(s, tree);
    peer_replace_tree(s->peer, tree);
    for (size_t i = 0; i < session_count; i++) {
        peer_restore_session(s->peer, sessions[i].session_id, sessions[i].timeout_ms, now_ms);
    }
    s->recovered.tree = tree;
    free_later(s, old);
    free(sessions);
}

void server_disk_abandon_snapshot(struct server *s)
{
    snapshotter_abandon(&s->snapshotter);
    s->replication.is_saving = false;
}

/* ---- work ------------------------------------------------------------------------------------ */

enum disk_work { DISK_TRUNCATE, DISK_RELOAD, DISK_BEGIN_ANEW, DISK_STOP, DISK_RESUME };

struct disk_job {
    struct store_job job; /* first */
    struct server *server;
    enum disk_work work;
    int64_t zxid;
    bool is_tree_beyond; /* TRUNCATE: the tree in memory goes further */
    struct log_thread *log;   /* taken over; may be NULL */
    struct snap_thread *snap; /* likewise */
    int rc;
    const char *what; /* could not be done; static text */
    bool is_not_truncated;
    bool has_state;
    struct store_state state;
};

static void failed(struct disk_job *d, int rc, const char *what)
{
    if (rc < 0 && d->rc == 0) {
        d->rc = rc;
        d->what = what;
    }
}

/* On this thread, as all up to disk_work_done: the server's settings do not change. */
static void end_threads(struct disk_job *d)
{
    if (d->snap) {
        snap_thread_stop(d->snap);
    }
    if (d->log) {
        failed(d, log_thread_stop(d->log), "write the transaction log");
    }
}

static void read_state(struct disk_job *d)
{
    int rc = server_store_read_state(d->server, &d->state);
    d->has_state = rc == 0;
    failed(d, rc, "read the data directory again");
}

static void truncate_log(struct disk_job *d)
{
    const struct recovery *r = &d->server->recovered;
    int rc = rebuild_truncate(&fsops_posix, r->snapshot_dir, r->log_dir, d->zxid,
                              server_entry_bytes_max(d->server));
    d->is_not_truncated = rc == -ENOENT;
    if (d->is_not_truncated) {
        return;
    }
    failed(d, rc, "cut the log as the leader wants it");
    if (rc == 0 && d->is_tree_beyond) {
        read_state(d);
    }
}

static const char probe_name[] = "probe";

/* Is there room for a log to grow, and does a write arrive? */
static int probe(const struct server *s, const char *dir)
{
    struct statvfs room;
    int64_t needed = 2 * (int64_t)s->cfg->prealloc_kb * 1024 + SPARE_BYTES;
    if (statvfs(dir, &room) < 0) {
        return -errno;
    }
    if ((int64_t)room.f_bavail * (int64_t)room.f_frsize < needed) {
        return -ENOSPC;
    }
    int err = fs_replace_file(&fsops_posix, dir, probe_name, probe_name, sizeof(probe_name));
    if (err == 0) {
        char *path = fs_join(dir, probe_name);
        err = fsops_posix.unlink(fsops_posix.ctx, path);
        free(path);
    }
    return err;
}

static void resume(struct disk_job *d)
{
    const struct recovery *r = &d->server->recovered;
    failed(d, probe(d->server, r->snapshot_dir), "write");
    failed(d, d->rc == 0 ? probe(d->server, r->log_dir) : 0, "write");
    if (d->rc == 0) {
        read_state(d);
    }
}

static void run_disk_work(struct store_job *job)
{
    struct disk_job *d = (struct disk_job *)job;
    const struct recovery *r = &d->server->recovered;
    end_threads(d);
    if (d->rc < 0) {
        return;
    }
    switch (d->work) {
    case DISK_TRUNCATE:
        truncate_log(d);
        break;
    case DISK_RELOAD:
        read_state(d);
        break;
    case DISK_BEGIN_ANEW:
        failed(d, rebuild_from_snapshot(&fsops_posix, r->snapshot_dir, r->log_dir, d->zxid),
               "remove the old log");
        break;
    case DISK_STOP:
        break;
    case DISK_RESUME:
        resume(d);
        break;
    }
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static void step_zab(struct server *s, struct zab_event event)
{
    struct peer_event ev = { .type = PEER_ZAB, .zab = &event };
    server_step(s, &ev);
}

static void tell_reloaded(struct server *s, const struct store_state *state)
{
    const struct zab_start disk = { .last_zxid = state->recovered.last_zxid,
                                    .accepted_epoch = state->epochs.accepted,
                                    .current_epoch = state->epochs.current,
                                    .tail = &state->tail,
                                    .log_from_zxid = state->recovered.snapshot_zxid };
    step_zab(s, (struct zab_event){ .type = ZAB_ON_RELOADED, .disk = &disk });
}

static void tell_truncated(struct server *s, const struct disk_job *d)
{
    if (d->is_not_truncated) {
        log_info(module, "cannot cut the log behind zxid=0x%" PRIx64 ", asking for a snapshot",
                 (uint64_t)d->zxid);
        step_zab(s, (struct zab_event){ .type = ZAB_ON_NOT_TRUNCATED });
    } else {
        log_info(module, "log cut behind zxid=0x%" PRIx64, (uint64_t)d->zxid);
        step_zab(s, (struct zab_event){ .type = ZAB_ON_TRUNCATED });
    }
}

static void tell(struct server *s, const struct disk_job *d)
{
    switch (d->work) {
    case DISK_TRUNCATE:
        tell_truncated(s, d);
        break;
    case DISK_BEGIN_ANEW:
        step_zab(s, (struct zab_event){ .type = ZAB_ON_SNAP_SAVED });
        break;
    case DISK_RESUME:
        log_info(module, "the disk works again");
        s->replication.is_disk_bad = false;
        tell_reloaded(s, &d->state);
        break;
    case DISK_RELOAD:
        tell_reloaded(s, &d->state);
        break;
    case DISK_STOP:
        break;
    }
}

/* The log may go on behind this. */
static int64_t last_zxid_of(const struct server *s, const struct disk_job *d)
{
    if (d->has_state) {
        return d->state.recovered.last_zxid;
    }
    return d->is_not_truncated ? s->peer->tree->last_zxid : d->zxid;
}

static void go_on(struct server *s, struct disk_job *d)
{
    int64_t last_zxid = last_zxid_of(s, d);
    if (d->has_state) {
        struct recovery *r = &d->state.recovered;
        server_disk_install(s, r->tree, r->sessions, r->session_count);
        s->recovered.last_zxid = r->last_zxid;
        r->tree = NULL;
        r->sessions = NULL;
    }
    int rc = server_store_start_threads(s, last_zxid);
    if (rc < 0) {
        log_error(module, "cannot start the threads of log and snapshots, stopping: %s",
                  strerror(-rc));
        server_fail(s, rc);
        return;
    }
    tell(s, d);
}

static void retry_later(struct server *s)
{
    loop_timer_set(&s->loop, &s->disk_retry, clock_now_ms() + DISK_RETRY_MS);
}

static void disk_work_done(struct store_job *job)
{
    struct disk_job *d = (struct disk_job *)job;
    struct server *s = d->server;
    bool is_wanted = d->work == DISK_RESUME || !s->replication.is_disk_bad;
    s->disk_jobs--;
    if (s->is_stopping || s->failure || s->disk_jobs > 0 || !is_wanted || d->work == DISK_STOP) {
        /* What comes behind it, or ends it all, finds the disk as it is. */
    } else if (d->rc == 0) {
        go_on(s, d);
    } else if (d->work == DISK_RESUME) {
        log_debug(module, "the disk does not work yet: %s", strerror(-d->rc));
        retry_later(s);
    } else {
        server_disk_failed(s, d->rc, d->what);
    }
    if (d->has_state && d->state.recovered.tree && !s->is_stopping) {
        free_later(s, d->state.recovered.tree);
        d->state.recovered.tree = NULL;
    }
    store_state_fini(&d->state);
    free(d);
}

/* Until the last job of the kind is done, the log and the snapshot thread are away. */
static void push(struct server *s, enum disk_work work, int64_t zxid)
{
    server_disk_abandon_snapshot(s);
    image_sender_abandon(&s->replication.sender);
    server_store_carry_out_log(s);
    struct disk_job *d = xmalloc(sizeof(*d));
    *d = (struct disk_job){ .job = { .run = run_disk_work, .done = disk_work_done },
                            .server = s,
                            .work = work,
                            .zxid = zxid,
                            .is_tree_beyond = s->peer->tree->last_zxid > zxid,
                            .log = s->log,
                            .snap = s->snap };
    s->log = NULL;
    s->snap = NULL;
    s->disk_jobs++;
    job_thread_push(s->jobs, &d->job);
}

void server_disk_truncate(struct server *s, int64_t zxid)
{
    push(s, DISK_TRUNCATE, zxid);
}

void server_disk_reload(struct server *s)
{
    push(s, DISK_RELOAD, 0);
}

void server_disk_begin_anew(struct server *s, int64_t zxid)
{
    push(s, DISK_BEGIN_ANEW, zxid);
}

void server_disk_suspend(struct server *s)
{
    buf_reset(&s->peer->actions.log_batch);
    push(s, DISK_STOP, 0);
    retry_later(s);
}

void server_disk_try_to_resume(struct server *s)
{
    push(s, DISK_RESUME, 0);
}
