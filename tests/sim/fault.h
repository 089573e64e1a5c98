/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_FAULT_H
#define TESTS_SIM_FAULT_H

/*
 * What goes wrong while a run is hostile. Each seed picks which kinds of faults there are and how often, so
 * that some runs are about partitions and others about disks.
 */
#include <stdbool.h>
#include <stdint.h>

struct world;

enum fault_kind {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_POWER_ALL,
    FAULT_OUTAGE, /* a loss of power that lasts */
    FAULT_PAUSE,
    FAULT_ISOLATE,
    FAULT_SPLIT,
    FAULT_ONE_WAY,
    FAULT_CLOG,
    FAULT_LAG,
    FAULT_BREAK_LINK,
    FAULT_BREAK_VOTES,
    FAULT_BREAK_CLIENT,
    FAULT_CUT_USER, /* a user is cut off from one server, in one direction or both */
    FAULT_CLOG_USER,
    FAULT_LEAVE_BEHIND, /* a leader is unheard, but goes on hearing old answers for a while */
    FAULT_DISK_CALL,    /* a file call fails once: EIO, ENOSPC */
    FAULT_DISK_SYNC,    /* an fdatasync fails, and what it should have written is lost */
    FAULT_DISK_FULL,    /* for a while */
    FAULT_DISK_SLOW,
    FAULT_KINDS,
};

/*
 * A leader that is left behind. Its users only sync and read meanwhile, as an uncommitted write in front
 * would keep every sync waiting; the others do so until there is a new leader, and then write. A sync
 * that is answered without asking a quorum lets the first ones read what the others have overwritten.
 * Some of the others begin sessions with the new leader, and go on with them at the old one (W4).
 */
struct left_behind {
    int32_t server;
    int64_t until_us;
    bool has_successor;
};

struct faults {
    int32_t weight[FAULT_KINDS]; /* 0: not in this run */
    int32_t weight_sum;
    int64_t interval_us; /* typical time from one to the next */
    int64_t counts[FAULT_KINDS];
    struct left_behind left_behind;
};

const char *fault_name(enum fault_kind kind);

/* A user of this server is to change nothing now. */
bool faults_want_quiet(const struct world *w, int32_t server);
/* The server left behind, for a user of this other one to try to take there what it cannot know of; or NOBODY. */
int32_t faults_tempt(const struct world *w, int32_t server);
/* A server begins to lead. */
void faults_on_reign(struct world *w, int32_t server);

void faults_init(struct world *w);
/* The hostile time is over: everything is up, connected, and works from now on. */
void faults_heal(struct world *w);

#endif
