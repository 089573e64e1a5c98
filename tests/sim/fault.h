/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_FAULT_H
#define TESTS_SIM_FAULT_H

/*
 * What goes wrong while a run is hostile. Each seed picks which kinds of faults there are and how often, so
 * that some runs are about partitions and others about disks.
 */
#include <stdint.h>

struct world;

enum fault_kind {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_POWER_ALL,
    FAULT_PAUSE,
    FAULT_ISOLATE,
    FAULT_SPLIT,
    FAULT_ONE_WAY,
    FAULT_CLOG,
    FAULT_LAG,
    FAULT_BREAK_LINK,
    FAULT_BREAK_VOTES,
    FAULT_BREAK_CLIENT,
    FAULT_DISK_CALL,
    FAULT_DISK_SLOW,
    FAULT_KINDS,
};

struct faults {
    int32_t weight[FAULT_KINDS]; /* 0: not in this run */
    int32_t weight_sum;
    int64_t interval_us; /* typical time from one to the next */
    int64_t counts[FAULT_KINDS];
};

const char *fault_name(enum fault_kind kind);

void faults_init(struct world *w);
/* The hostile time is over: everything is up, connected, and works from now on. */
void faults_heal(struct world *w);

#endif
