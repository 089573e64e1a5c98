/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_LOG_THREAD_H
#define SERVER_STORE_LOG_THREAD_H

/*
 * Group commit: the thread that owns the transaction log. Whatever is waiting when it comes round
 * is one write and one fdatasync; then the server is told up to which zxid the log is durable. So a
 * lone writer waits for exactly one sync, and many writers share one.
 *
 *      server --log_thread_append--> [queue] --> write, fdatasync --STORE_LOG_SYNCED--> server
 *
 * All functions but start are for the server's thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/thread_queue.h"
#include "server/store/txnlog.h"

struct log_thread_config {
    const struct fsops *fs;
    const char *dir; /* an existing version-2; copied */
    struct txnlog_options log;
    int64_t last_zxid;           /* what recovery found */
    int64_t backlog_bytes_max;   /* see log_thread_is_full */
    int64_t fsync_warning_us;    /* a batch that takes longer is worth a WARN line */
    struct thread_queue *events; /* struct store_event; must outlive the thread */
};

struct log_thread;

/* 0 or -errno. The first append creates a file; nothing is touched before. */
int log_thread_start(const struct log_thread_config *config, struct log_thread **t);

/*
 * Logs txns, in order: batch holds struct log_entry_head (core/peer.h) and the encoded txn, again
 * and again. Takes the content of batch and leaves it empty. STORE_LOG_SYNCED follows, for these or
 * together with later ones; or STORE_LOG_FAILED, once, and then nothing more.
 */
void log_thread_append(struct log_thread *t, struct buf *batch);
/* What was appended before goes to the current file, what comes later to a new one. */
void log_thread_roll(struct log_thread *t);

/* Bytes appended that are not yet durable; and whether they have passed the limit, so that the
 * server should take no more requests until they go down. Any thread. */
int64_t log_thread_backlog_bytes(const struct log_thread *t);
bool log_thread_is_full(const struct log_thread *t);
/* Bytes of content in the current file, as of the last sync. Any thread. */
int64_t log_thread_file_bytes(const struct log_thread *t);

/* Makes everything appended durable, ends the thread and frees t. 0, or the error that ended the
 * log (its event was posted as well). */
int log_thread_stop(struct log_thread *t);

#endif
