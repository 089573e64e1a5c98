/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SERVER_PARTS_H
#define SERVER_SERVER_PARTS_H

/*
 * What a server is made of; for server*.c only. The loop thread owns all of it, but for what the log
 * and the snapshot thread hold behind their own headers.
 */
#include <stdatomic.h>

#include "common/thread_queue.h"
#include "server/config.h"
#include "server/core/peer.h"
#include "server/net/auth.h"
#include "server/net/client_port.h"
#include "server/net/loop.h"
#include "server/server.h"
#include "server/snapshotter.h"
#include "server/store/log_thread.h"
#include "server/store/recovery.h"
#include "server/store/store_event.h"

struct server {
    const struct config *cfg; /* borrowed */
    struct ensemble ensemble;
    struct loop loop;
    struct client_port port;
    struct loop_timer tick;
    struct recovery recovered;       /* owns the tree and the names of the directories */
    struct peer *peer;
    struct log_thread *log;
    struct snap_thread *snap;
    struct snapshotter snapshotter;
    struct thread_queue store_events; /* struct store_event, from both threads */
    struct loop_io store_events_io;
    struct loop_timer snapshot_retry; /* while the disk is behind */
    int64_t log_bytes;                /* logged since the last snapshot */
    struct list paused;              /* struct client.paused */
    struct auth_options auth;
    int64_t start_ms;                /* monotonic */
    int failure;                     /* -errno that ends the service, or 0 */
    struct server_counters {
        int64_t connect_requests;
        int64_t revalidate_requests;
        int64_t auth_failed;
        int64_t fsync_count;
        int64_t fsync_us_total;
        int64_t fsync_us_max;
        int64_t fsync_slow_count;
    } counters;
};

/* The figures that administration shows (admin/server_view.h). */
struct server_view;
void server_fill_view(struct server *s, struct server_view *view);

#endif
