/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

/*
 * One server: the product's peer, tree and store over a fake disk, with a shell that does what the real
 * one does (zab.h, "The shell's duties"). Its log thread is an event that comes some time after the batch
 * was handed over. A life is one process, from start to kill, crash or failed disk; the disk survives.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/core/peer.h"
#include "server/store/recovery.h"
#include "server/store/snapshot_writer.h"
#include "server/store/txnlog.h"
#include "server/tree/image.h"
#include "tests/lib/fake_fs.h"
#include "tests/sim/net.h"

struct world;
struct event;

struct node {
    int32_t index;
    int64_t sid;
    struct ensemble ensemble;
    int32_t commit_log_count;
    struct fake_fs *fs;
    bool is_up;
    bool is_paused;
    bool is_host_up;
    uint64_t life;
    struct list held; /* struct event.held: they wait while it is paused */
    struct peer *peer;
    struct data_tree *tree;
    char *snapshot_dir;
    char *log_dir;
    bool is_listening;
    int64_t last_accepted; /* ids of accepted links count down */
    int64_t restarts;
    /* disk */
    struct txnlog *log;
    struct buf log_queue; /* struct log_entry_head and bytes, as in peer.actions.log_batch */
    struct buf log_busy;  /* the part being written */
    bool is_log_busy;
    uint64_t log_serial; /* of the log thread */
    bool wants_roll;
    int64_t log_latency_us;
    bool is_imaging; /* a periodic snapshot is being written, slice by slice */
    struct tree_image image;
    struct snapshot_writer *writer;
    bool is_disk_bad;       /* a file call has failed: tried again from time to time */
    bool is_failure_untold; /* to be told to the core next */
    bool is_snapping;       /* SNAP_LOAD waits for its stream */
    int64_t snap_link;
    int64_t snap_zxid;
    uint64_t job_serial; /* the last SNAP_SAVE, LOG_TRUNCATE or RELOAD; an older one was given up */
    /* clock: its own pace */
    int64_t clock_base_ms;
    int64_t clock_ppm;
    int64_t tick_at_us; /* the planned tick, or INT64_MAX */
    uint64_t tick_serial;
    /* what the truth has seen of this life */
    int64_t seen_zxid;
    int64_t durable_zxid;  /* survives lives: what the disk certainly has */
    int64_t appended_zxid; /* last one handed to the log; prev of the next */
    int64_t told_zxid;     /* the newest COMMIT from the leader it follows */
    bool was_serving;
};

void node_init(struct world *w, struct node *n, int32_t index);
void node_fini(struct world *w, struct node *n);

void node_start(struct world *w, struct node *n);
/* SIGKILL: what was written stays written. */
void node_kill(struct world *w, struct node *n);
/* Loss of power: what was not synced may be gone. */
void node_crash(struct world *w, struct node *n);
void node_pause(struct world *w, struct node *n);
void node_resume(struct world *w, struct node *n);

/* ---- what the network says; only to a running, unpaused node ---- */
void node_on_link(struct world *w, struct node *n, int64_t local_id, bool is_up);
void node_on_packet(struct world *w, struct node *n, int64_t local_id, const struct buf *bytes);
void node_on_stream(struct world *w, struct node *n, int64_t local_id, const struct buf *bytes);
void node_on_vote(struct world *w, struct node *n, int64_t from_sid, const struct buf *bytes);
void node_on_client(struct world *w, struct node *n, struct link *link);
void node_on_client_bytes(struct world *w, struct node *n, struct link *link,
                          const struct buf *bytes);
void node_on_client_closed(struct world *w, struct node *n, struct link *link);

int64_t node_now_ms(const struct world *w, const struct node *n);

#endif
