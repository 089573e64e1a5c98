/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_REAPER_H
#define SERVER_CORE_REAPER_H

/*
 * Which container and TTL nodes the leader deletes, and when (ZooKeeper's ContainerManager,
 * client-protocol 7). Each check_interval_ms a round begins; it goes through the line of such nodes in
 * slices, so that neither a million of them nor a million deletes hold anybody up:
 *
 *      idle --check_interval_ms--> slice --slice_ms--> slice ... --> idle
 *
 * Thread: the core's. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/tree/data_tree.h"

struct reaper_config {
    int32_t check_interval_ms;  /* 0: nothing is ever deleted */
    int32_t max_per_minute;     /* deletes */
    int64_t never_used_ms_max;  /* 0: a container that never had a child stays */
};

struct reaper {
    struct reaper_config config;
    int64_t next_ms;      /* monotonic: of the next slice; INT64_MAX: this server does not lead */
    int64_t began_ms;     /* the round at hand */
    int64_t left;         /* nodes not looked at in this round */
    int64_t looks_left;   /* in this slice */
    int64_t deletes_left; /* in this slice */
};

void reaper_init(struct reaper *r, const struct reaper_config *config);
/* This server leads and serves from now on. */
void reaper_start(struct reaper *r, int64_t now_ms);
void reaper_stop(struct reaper *r);

/* Begins the slice that is due; false: none is. */
bool reaper_begin_slice(struct reaper *r, const struct data_tree *t, int64_t now_ms);
/* The next node of this slice whose time is over, to be deleted; NULL: the slice is done. */
const struct znode *reaper_next(struct reaper *r, struct data_tree *t, int64_t wall_ms);

#endif
