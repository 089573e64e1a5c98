/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_STORE_EVENT_H
#define SERVER_STORE_STORE_EVENT_H

/*
 * What the log thread, the snapshot thread and the job thread tell the server, through one
 * thread_queue that the server gives them. The receiver owns an event it has popped and frees it
 * with free().
 */
#include <stdint.h>

#include "common/thread_queue.h"

struct store_job;

enum store_event_type {
    STORE_LOG_SYNCED,   /* every txn up to zxid is durable */
    STORE_LOG_FAILED,   /* the log refuses everything from now on; the server must stop (rule L1) */
    STORE_SNAP_WRITTEN, /* snapshot.<zxid> is durable under its name */
    STORE_SNAP_FAILED,  /* there is no new snapshot.<zxid> */
    STORE_JOB_DONE,     /* its done() is to be called */
};

struct store_event {
    struct queue_item item; /* first: an item is its event */
    enum store_event_type type;
    int64_t zxid;
    int64_t txn_count;  /* LOG_SYNCED: in this batch */
    int64_t byte_count; /* written for it */
    int64_t
        duration_us; /* LOG_SYNCED: of write and fdatasync; SNAP_WRITTEN: from begin to rename */
    int error;       /* the -errno of a FAILED event */
    int64_t serial;  /* SNAP_WRITTEN, SNAP_FAILED: of the snap_thread_begin that it is about */
    struct store_job *job; /* JOB_DONE */
};

/* Sends a copy of *event. Any thread. */
void store_event_post(struct thread_queue *to, const struct store_event *event);

#endif
