/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_STATS_H
#define FUSEFS_STATS_H

/*
 * Counters of the mount, shown in Prometheus text by .zk/stats. Any thread; no lock.
 */
#include <stdint.h>

/* FUSE requests, in the order of the table of names in stats.c. */
enum stats_op {
    STATS_LOOKUP,
    STATS_FORGET,
    STATS_GETATTR,
    STATS_SETATTR,
    STATS_MKNOD,
    STATS_MKDIR,
    STATS_UNLINK,
    STATS_RMDIR,
    STATS_RENAME,
    STATS_SYMLINK,
    STATS_LINK,
    STATS_CREATE,
    STATS_OPEN,
    STATS_READ,
    STATS_WRITE,
    STATS_FLUSH,
    STATS_FSYNC,
    STATS_RELEASE,
    STATS_OPENDIR,
    STATS_READDIR,
    STATS_READDIRPLUS,
    STATS_RELEASEDIR,
    STATS_STATFS,
    STATS_GETXATTR,
    STATS_SETXATTR,
    STATS_LISTXATTR,
    STATS_FALLOCATE,
    STATS_LOCK,
    STATS_POLL,
    STATS_HELPER, /* requests that the event helper caused, of all kinds */
    STATS_OP_COUNT,
};

/* enum event_kind has as many. */
enum { STATS_EVENT_COUNT = 6 };

struct stats {
    uint64_t ops[STATS_OP_COUNT];
    uint64_t events[STATS_EVENT_COUNT]; /* raised through the helper, by enum event_kind */
    uint64_t events_failed;
    uint64_t invalidations; /* notices to the kernel */
    uint64_t watches_fired;
    uint64_t partial_dirs; /* directories with too many children to watch each */
};

static inline void stats_add(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static inline uint64_t stats_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

const char *stats_op_name(enum stats_op op);
const char *stats_event_name(int event_kind);

#endif
