/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SNAPSHOTTER_H
#define SERVER_SNAPSHOTTER_H

/*
 * Snapshots while the server runs: a slice of the tree's point-in-time image is encoded in each
 * turn of the loop and handed to the snapshot thread, which writes, seals and purges.
 *
 *      begin --> turn, turn, ... --> finish --> snapshot thread --> on disk --> purge
 *
 * Nothing waits for it: a slice is bounded, and while the disk falls behind no slice is taken. Loop
 * thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/core/peer.h"
#include "server/store/snap_thread.h"
#include "server/tree/image.h"

struct snapshotter {
    struct peer *peer;          /* borrowed */
    struct snap_thread *thread; /* borrowed */
    struct tree_image image;    /* attached to the tree while is_walking */
    bool is_walking;            /* nodes are still to be encoded */
    bool is_writing;            /* from begin until the thread has reported */
    int64_t serial;             /* how many this thread was given */
    int64_t began_ms;
    struct snapshotter_stats {
        int64_t count;
        int64_t ms_total;
        int64_t ms_max;
    } stats;
};

void snapshotter_init(struct snapshotter *s, struct peer *peer, struct snap_thread *thread);
/* Gives an unfinished snapshot up; nothing that the thread still reports of it concerns anybody. */
void snapshotter_abandon(struct snapshotter *s);

/* Begins one of this moment, unless one is being written. */
void snapshotter_begin(struct snapshotter *s);
/* The next slice. True: there is more to do at once, so the loop must not wait. */
bool snapshotter_turn(struct snapshotter *s);
/* The thread has reported the end of one (store_event.serial). False: it had been abandoned. */
bool snapshotter_ended(struct snapshotter *s, int64_t serial, bool written);

#endif
