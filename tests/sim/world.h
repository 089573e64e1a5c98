/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

/*
 * START HERE for the simulator (docs/testing.md): a whole ensemble with its clients in one process and
 * one thread, on a clock that only moves from event to event. The servers run the product's core, tree and
 * store (node.h) over a fake network (net.h) and fake disks (tests/lib/fake_fs.h); users (user.h) talk to
 * them, faults (fault.h) happen, and the truth (truth.h) checks after every step and at the end. One seed
 * decides everything: equal seeds give equal runs, event for event, which the trace hash shows.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/prng.h"
#include "tests/sim/fault.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/truth.h"
#include "tests/sim/user.h"

struct world;
struct event;
typedef void event_fn(struct world *w, const struct event *ev);

/* What will happen. An event of a node is dropped if that life of the node is over, and waits while the
 * node is paused. */
struct event {
    struct list held; /* in the node's list while it is paused */
    int64_t at_us;
    uint64_t serial; /* events of one moment happen in the order they were planned */
    event_fn *fn;
    int32_t node; /* index, or NOBODY */
    uint64_t life;
    int64_t a; /* arguments of fn */
    int64_t b;
    void *p;
    struct buf bytes;
};

enum { NOBODY = -1 };

/* After the healing one server may be half dead for a while. */
enum grey_failure { GREY_NONE, GREY_DEAF, GREY_MUTE };

/* What faults and chance lead to, counted: a way through the product that no run takes is not tested. */
enum sight {
    SEEN_REIGN,         /* a leader begins to serve */
    SEEN_DIFF,          /* a learner gets nothing or some proposals */
    SEEN_LOG_SENT,      /* it gets some from the log on disk */
    SEEN_TRUNC,         /* it cuts its log */
    SEEN_HALF_CUT,      /* and is killed meanwhile */
    SEEN_NOT_TRUNC,     /* it cannot, as only a tree from a leader stands there */
    SEEN_SNAP,          /* it takes the leader's tree */
    SEEN_HALF_SAVED,    /* it is killed before its old log is gone */
    SEEN_RELOAD,        /* and gives it up again: memory is what the disk has */
    SEEN_DISK_FAILED,   /* a server leaves the quorum for its disk */
    SEEN_DISK_WORKS,    /* and comes back without a restart */
    SEEN_SNAPSHOT,      /* a periodic snapshot is written */
    SEEN_SESSION_MOVED, /* a user goes on with its session on another server */
    SEEN_EXPIRY,        /* the leader ends a session */
    SEEN_WATCH_FIRED,
    SEEN_WATCH_SET_AGAIN, /* after a new connection */
    SEEN_SYNC_READ,
    SEEN_MULTI_FAILED,
    SEEN_DENIED, /* for want of permission */
    SIGHTS,
};

/* Most runs are a medley of faults. A few kinds of trouble need several steps that nothing else disturbs. */
enum story {
    STORY_MEDLEY,
    STORY_LEFT_BEHIND, /* a leader that the others have left goes on serving (SYNC, W4) */
    STORY_OLD_LOGS,    /* logs from before and after a tree that came from a leader (S8) */
    STORY_OWN_TAIL, /* leaders are cut off with what they alone have logged, in several files (S10) */
    STORIES,
};

/* How a run is set up; decided by the seed. */
struct world_plan {
    enum story story;
    int32_t server_count;
    int32_t user_count;
    int64_t hostile_us; /* how long faults happen */
    int64_t heal_us;    /* how long a healed ensemble may take to serve everybody */
    enum grey_failure grey;
    int64_t
        roll_one_in; /* batches of the log: it goes on in a new file, as when a snapshot failed */
    int64_t half_cut_one_in;   /* cuts of a log: killed meanwhile */
    int64_t half_saved_one_in; /* trees of a leader: killed before the old log is gone */
    int64_t job_us; /* how long rebuilding a disk may take in addition: the tree is large */
    int32_t snap_size_percent;
    int64_t snap_count;
};

struct world {
    uint64_t seed;
    struct world_plan plan;
    struct prng rng;
    int64_t now_us;
    struct event **heap; /* binary, by (at_us, serial) */
    size_t heap_count;
    size_t heap_cap;
    uint64_t serial;
    uint64_t event_count;
    uint64_t trace; /* hash of everything that was noted */
    bool is_verbose;
    bool is_hostile;
    int64_t sights[SIGHTS];
    int64_t served_us;
    int64_t undecided_count; /* registers whose history was too long to search */
    bool is_ending; /* users begin nothing new */
    struct net net;
    struct node nodes[SERVERS_MAX];
    struct user users[USERS_MAX];
    struct faults faults;
    struct truth truth;
};

/* Figures of one run. */
struct run_result {
    uint64_t trace;
    uint64_t events;
    int64_t txns;
    int64_t answers;
    int64_t faults[FAULT_KINDS];
    int64_t sights[SIGHTS];
    int64_t undecided;
    int64_t served_us; /* from the healing until every user had been served */
};

/* Runs one seed to its end. A violation prints what and when, and ends the process (sim_fail). */
void world_run(uint64_t seed, bool is_verbose, struct run_result *out);

/* The same without the checks at the end; never freed. */
struct world *world_live(uint64_t seed, bool is_verbose);

/* Plans fn in delay_us from now. The caller may fill in more before the next event. */
struct event *world_plan_event(struct world *w, int64_t delay_us, int32_t node, event_fn *fn);

/* The events that wait for this node happen now. */
void world_release(struct world *w, struct node *n);

/* Notes what happens: into the trace hash, and as a status line with -v. */
void world_note(struct world *w, int32_t node, const char *what, int64_t a, int64_t b);

static inline void world_saw(struct world *w, enum sight sight)
{
    w->sights[sight]++;
}
const char *sight_name(enum sight sight);

static inline int64_t world_below(struct world *w, int64_t bound)
{
    return (int64_t)prng_below(&w->rng, (uint64_t)bound);
}
static inline bool world_chance(struct world *w, int64_t one_in)
{
    return prng_below(&w->rng, (uint64_t)one_in) == 0;
}

/* An invariant is broken: the process ends with this status. */
enum { SIM_FAILED = 3 };
_Noreturn void sim_fail(const struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
