/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snap_thread.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/store/purge.h"
#include "server/store/snapshot_writer.h"
#include "server/store/store_event.h"
#include "common/worker.h"

static const char module[] = "snap";

enum snap_item_kind { SNAP_BEGIN, SNAP_WRITE, SNAP_FINISH, SNAP_ABORT, SNAP_PURGE };

struct snap_item {
    struct queue_item item; /* first */
    enum snap_item_kind kind;
    int64_t zxid;        /* BEGIN */
    uint64_t digest;     /* BEGIN */
    size_t retain_count; /* PURGE */
    struct buf payload;  /* WRITE; owned */
};

struct snap_thread {
    struct worker worker;
    const struct fsops *fs;
    char *snapshot_dir;
    char *log_dir;
    size_t retain_count;
    struct thread_queue *events;
    struct snapshot_writer *writer; /* the thread's; NULL: none begun, or it failed */
    int64_t zxid;                   /* the thread's; of the snapshot at hand */
    int64_t serial;                 /* the thread's; how many were begun */
    uint64_t digest;                /* the thread's */
    int64_t started_us;             /* the thread's */
    atomic_int_least64_t backlog_bytes;
};

static void post_failure(struct snap_thread *t, int rc)
{
    log_error(module, "cannot write snapshot zxid=0x%" PRIx64 ": %s", (uint64_t)t->zxid,
              strerror(-rc));
    store_event_post(t->events, &(struct store_event){
                                    .type = STORE_SNAP_FAILED,
                                    .zxid = t->zxid,
                                    .serial = t->serial,
                                    .error = rc,
                                });
}

static void drop_writer(struct snap_thread *t)
{
    snapshot_writer_abort(t->writer);
    t->writer = NULL;
}

static void begin(struct snap_thread *t, const struct snap_item *item)
{
    zk_assert(t->writer == NULL);
    t->zxid = item->zxid;
    t->serial++;
    t->digest = item->digest;
    t->started_us = clock_now_us();
    int rc = snapshot_writer_open(t->fs, t->snapshot_dir, item->zxid, &t->writer);
    if (rc != 0) {
        post_failure(t, rc);
    }
}

static void write_payload(struct snap_thread *t, const struct buf *payload)
{
    if (t->writer == NULL) {
        return; /* the failure was reported */
    }
    int rc = snapshot_writer_write(t->writer, buf_head(payload), buf_readable(payload));
    if (rc != 0) {
        drop_writer(t);
        post_failure(t, rc);
    }
}

static void purge(struct snap_thread *t, size_t retain_count)
{
    struct purge_result result;
    int rc = purge_run(t->fs, t->snapshot_dir, t->log_dir, retain_count, &result);
    if (rc != 0) {
        /* Costs room, not safety; the next purge tries again. */
        log_warn(module, "cannot purge old snapshots and logs: %s", strerror(-rc));
    }
    if (result.snapshots + result.logs > 0) {
        log_info(module, "purged snapshots=%zu logs=%zu", result.snapshots, result.logs);
    }
}

static void finish(struct snap_thread *t)
{
    if (t->writer == NULL) {
        return; /* the failure was reported */
    }
    int64_t byte_count = snapshot_writer_bytes(t->writer);
    int rc = snapshot_writer_finish(t->writer, t->digest);
    t->writer = NULL;
    if (rc != 0) {
        post_failure(t, rc);
        return;
    }
    store_event_post(t->events, &(struct store_event){
                                    .type = STORE_SNAP_WRITTEN,
                                    .zxid = t->zxid,
                                    .serial = t->serial,
                                    .byte_count = byte_count,
                                    .duration_us = clock_now_us() - t->started_us,
                                });
    if (t->retain_count > 0) {
        purge(t, t->retain_count);
    }
}

static void handle_item(struct snap_thread *t, struct snap_item *item)
{
    switch (item->kind) {
    case SNAP_BEGIN:
        begin(t, item);
        break;
    case SNAP_WRITE:
        write_payload(t, &item->payload);
        atomic_fetch_sub(&t->backlog_bytes, (int64_t)buf_readable(&item->payload));
        break;
    case SNAP_FINISH:
        finish(t);
        break;
    case SNAP_ABORT:
        drop_writer(t);
        break;
    case SNAP_PURGE:
        purge(t, item->retain_count);
        break;
    }
}

static void handle(void *arg, struct queue_item *chain)
{
    while (chain != NULL) {
        struct snap_item *item = (struct snap_item *)chain;
        chain = chain->next;
        handle_item(arg, item);
        buf_fini(&item->payload);
        free(item);
    }
}

int snap_thread_start(const struct snap_thread_config *config, struct snap_thread **out)
{
    struct snap_thread *t = xcalloc(1, sizeof(*t));
    t->fs = config->fs;
    t->snapshot_dir = xstrdup(config->snapshot_dir);
    t->log_dir = xstrdup(config->log_dir);
    t->retain_count = config->retain_count;
    t->events = config->events;
    int rc = worker_start(&t->worker, "zk-snap", handle, t);
    if (rc != 0) {
        free(t->log_dir);
        free(t->snapshot_dir);
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

static void push(struct snap_thread *t, const struct snap_item *item)
{
    struct snap_item *copy = xmemdup(item, sizeof(*item));
    worker_push(&t->worker, &copy->item);
}

void snap_thread_begin(struct snap_thread *t, int64_t zxid, uint64_t digest)
{
    push(t, &(struct snap_item){ .kind = SNAP_BEGIN, .zxid = zxid, .digest = digest });
}

void snap_thread_write(struct snap_thread *t, struct buf *payload)
{
    if (buf_readable(payload) == 0) {
        return;
    }
    atomic_fetch_add(&t->backlog_bytes, (int64_t)buf_readable(payload));
    push(t, &(struct snap_item){ .kind = SNAP_WRITE, .payload = *payload });
    buf_init(payload);
}

void snap_thread_finish(struct snap_thread *t)
{
    push(t, &(struct snap_item){ .kind = SNAP_FINISH });
}

void snap_thread_abort(struct snap_thread *t)
{
    push(t, &(struct snap_item){ .kind = SNAP_ABORT });
}

void snap_thread_purge(struct snap_thread *t, size_t retain_count)
{
    push(t, &(struct snap_item){ .kind = SNAP_PURGE, .retain_count = retain_count });
}

int64_t snap_thread_backlog_bytes(const struct snap_thread *t)
{
    return atomic_load(&t->backlog_bytes);
}

void snap_thread_stop(struct snap_thread *t)
{
    worker_stop(&t->worker);
    drop_writer(t);
    free(t->log_dir);
    free(t->snapshot_dir);
    free(t);
}
