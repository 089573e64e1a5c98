/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/log_thread.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/core/peer.h"
#include "server/store/store_event.h"
#include "common/worker.h"

static const char module[] = "log";

struct log_item {
    struct queue_item item; /* first */
    bool is_roll;
    struct buf batch; /* owned */
};

struct log_thread {
    struct worker worker;
    struct txnlog *log; /* the thread's */
    struct thread_queue *events;
    int64_t fsync_warning_us;
    int64_t backlog_bytes_max;
    int64_t synced_zxid;   /* the thread's; last one posted */
    int64_t pending_txns;  /* the thread's; appended and not committed */
    int64_t pending_bytes; /* the thread's; of backlog, covered by pending_txns */
    int failed;            /* the thread's, the caller's after the join */
    atomic_int_least64_t backlog_bytes;
    atomic_int_least64_t file_bytes;
};

static void post_failure(struct log_thread *t, int rc)
{
    t->failed = rc;
    log_error(module, "cannot write the transaction log: %s; nothing is accepted any more",
              strerror(-rc));
    store_event_post(t->events, &(struct store_event){
                                    .type = STORE_LOG_FAILED,
                                    .zxid = t->synced_zxid,
                                    .error = rc,
                                });
}

/* Everything appended so far is durable. The figures change first: who has seen the event sees
 * them. */
static void post_synced(struct log_thread *t, int64_t byte_count, int64_t duration_us)
{
    struct store_event event = {
        .type = STORE_LOG_SYNCED,
        .zxid = txnlog_last_zxid(t->log),
        .txn_count = t->pending_txns,
        .byte_count = byte_count,
        .duration_us = duration_us,
    };
    t->synced_zxid = event.zxid;
    atomic_fetch_sub(&t->backlog_bytes, t->pending_bytes);
    atomic_store(&t->file_bytes, txnlog_file_bytes(t->log));
    t->pending_txns = 0;
    t->pending_bytes = 0;
    store_event_post(t->events, &event);
}

static void commit(struct log_thread *t)
{
    if (t->failed != 0 || t->pending_txns == 0) {
        return;
    }
    int64_t written = txnlog_written_bytes(t->log);
    int64_t started_us = clock_now_us();
    int rc = txnlog_commit(t->log);
    int64_t duration_us = clock_now_us() - started_us;
    if (rc != 0) {
        post_failure(t, rc);
        return;
    }
    if (duration_us > t->fsync_warning_us) {
        log_warn(module,
                 "a sync of the transaction log took %" PRId64 " ms; clients wait that long",
                 duration_us / 1000);
    }
    post_synced(t, txnlog_written_bytes(t->log) - written, duration_us);
}

static void roll(struct log_thread *t)
{
    commit(t);
    int rc = t->failed != 0 ? 0 : txnlog_roll(t->log);
    if (rc != 0) {
        post_failure(t, rc);
    }
    atomic_store(&t->file_bytes, 0);
}

static void append_batch(struct log_thread *t, const struct buf *batch)
{
    const uint8_t *at = buf_head(batch);
    const uint8_t *end = at + buf_readable(batch);
    while (at < end && t->failed == 0) {
        struct log_entry_head head;
        zk_assert((size_t)(end - at) >= sizeof(head));
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        zk_assert(head.len <= end - at);
        int rc = txnlog_append(t->log, head.zxid, at, (size_t)head.len);
        if (rc != 0) {
            post_failure(t, rc);
            return;
        }
        at += head.len;
        t->pending_txns++;
        t->pending_bytes += (int64_t)sizeof(head) + head.len;
        if (txnlog_batch_is_full(t->log)) {
            commit(t);
        }
    }
}

/* Everything that was waiting. After a failure the items are only freed. */
static void handle(void *arg, struct queue_item *chain)
{
    struct log_thread *t = arg;
    while (chain != NULL) {
        struct log_item *item = (struct log_item *)chain;
        chain = chain->next;
        if (item->is_roll) {
            roll(t);
        } else {
            append_batch(t, &item->batch);
        }
        buf_fini(&item->batch);
        free(item);
    }
    commit(t);
}

int log_thread_start(const struct log_thread_config *config, struct log_thread **out)
{
    struct log_thread *t = xcalloc(1, sizeof(*t));
    t->log = txnlog_new(config->fs, config->dir, &config->log, config->last_zxid);
    t->events = config->events;
    t->fsync_warning_us = config->fsync_warning_us;
    t->backlog_bytes_max = config->backlog_bytes_max;
    t->synced_zxid = config->last_zxid;
    int rc = worker_start(&t->worker, "zk-log", handle, t);
    if (rc != 0) {
        txnlog_free(t->log);
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void log_thread_append(struct log_thread *t, struct buf *batch)
{
    if (buf_readable(batch) == 0) {
        return;
    }
    struct log_item *item = xcalloc(1, sizeof(*item));
    item->batch = *batch;
    buf_init(batch);
    atomic_fetch_add(&t->backlog_bytes, (int64_t)buf_readable(&item->batch));
    worker_push(&t->worker, &item->item);
}

void log_thread_roll(struct log_thread *t)
{
    struct log_item *item = xcalloc(1, sizeof(*item));
    item->is_roll = true;
    worker_push(&t->worker, &item->item);
}

int64_t log_thread_backlog_bytes(const struct log_thread *t)
{
    return atomic_load(&t->backlog_bytes);
}

bool log_thread_is_full(const struct log_thread *t)
{
    return log_thread_backlog_bytes(t) > t->backlog_bytes_max;
}

int64_t log_thread_file_bytes(const struct log_thread *t)
{
    return atomic_load(&t->file_bytes);
}

int log_thread_stop(struct log_thread *t)
{
    worker_stop(&t->worker);
    /* Everything is committed: this gives back the preallocated tail. */
    int rc = t->failed != 0 ? t->failed : txnlog_roll(t->log);
    txnlog_free(t->log);
    free(t);
    return rc;
}
