/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAP_THREAD_H
#define SERVER_STORE_SNAP_THREAD_H

/*
 * The thread that writes snapshots in the background. The server takes a point-in-time image of its
 * tree and feeds it in pieces, as fast as snap_thread_backlog_bytes() lets it; this thread writes,
 * seals, syncs and renames them (rule L5), reports, and then purges what is no longer needed (rule
 * L8).
 *
 *      begin(zxid, digest)  write(sessions)  write(image) ... finish()  ->  STORE_SNAP_WRITTEN
 *
 * One snapshot at a time. All functions but start are for the server's thread.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/thread_queue.h"
#include "server/store/fsops.h"

struct snap_thread_config {
    const struct fsops *fs;
    const char *snapshot_dir;    /* an existing version-2; copied */
    const char *log_dir;         /* copied */
    size_t retain_count;         /* snapshots that a purge keeps; 0: never purge after a snapshot */
    struct thread_queue *events; /* struct store_event; must outlive the thread */
};

struct snap_thread;

/* 0 or -errno. */
int snap_thread_start(const struct snap_thread_config *config, struct snap_thread **t);

/* Begins snapshot.<zxid>; digest: of the tree at that zxid. */
void snap_thread_begin(struct snap_thread *t, int64_t zxid, uint64_t digest);
/* Takes the content of payload and leaves it empty. */
void snap_thread_write(struct snap_thread *t, struct buf *payload);
/* The payload is complete: STORE_SNAP_WRITTEN or STORE_SNAP_FAILED follows. A failure may be
 * reported before; begin, write and finish then go on having no effect until the next begin. */
void snap_thread_finish(struct snap_thread *t);
/* Drops the snapshot that was begun; no event follows. */
void snap_thread_abort(struct snap_thread *t);
/* Purges now, in turn. retain_count: at least PURGE_RETAIN_MIN is kept in any case. */
void snap_thread_purge(struct snap_thread *t, size_t retain_count);

/* Payload bytes that were handed over and not yet written. The server holds back the image while
 * this is high. Any thread. */
int64_t snap_thread_backlog_bytes(const struct snap_thread *t);

/* Works off what was handed over, drops an unfinished snapshot, ends the thread and frees t. */
void snap_thread_stop(struct snap_thread *t);

#endif
