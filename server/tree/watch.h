/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_WATCH_H
#define SERVER_TREE_WATCH_H

/*
 * Watches (client-protocol 11): which connection waits for a change of which path. They belong to a
 * connection, not to a session, and go with it (W9).
 *
 *      path -> watch_path --- watch, watch, ...      watcher: watch, watch, ...
 *
 * A watch is all that one watcher has on one path; its kinds are apart from one another (W10). Registering,
 * removing and firing one is O(1); a change also looks for recursive watches on each ancestor of its path,
 * if there are any at all. Thread: the core's. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "common/list.h"
#include "server/jute/opcode.h"
#include "server/jute/wire.h"

enum watch_kind {
    WATCH_DATA = 1,       /* getData, exists: once, created, data changed, deleted */
    WATCH_CHILD = 2,      /* getChildren: once, children changed, deleted */
    WATCH_PERSISTENT = 4, /* addWatch: all four, until it is removed */
    WATCH_RECURSIVE = 8,  /* addWatch: as WATCH_DATA, also of what is below, until it is removed */
    WATCH_ANY = 15,
};

/* Embedded in whatever watches: a client's connection. */
struct watcher {
    struct list watches;
    int64_t data_count;  /* paths with a kind other than WATCH_CHILD */
    uint64_t last_event; /* the last one it was told of: one event for several watches */
};

struct watch_table {
    struct htable by_path; /* struct watch_path */
    struct htable by_key;  /* struct watch: (watcher, path) */
    uint64_t hash_seed;
    uint64_t event_serial;
    int64_t recursive_count;
    /* As Apache counts them, whose tables are for data and for children: */
    int64_t data_count;    /* (watcher, path) with a kind other than WATCH_CHILD */
    int64_t child_count;   /* (watcher, path) with WATCH_CHILD or WATCH_PERSISTENT */
    int64_t data_paths;    /* paths with one of data_count */
    int64_t data_watchers; /* watchers with one of data_count */
};

/* Tells one watcher; path is in client form. Must not add or remove watches. */
typedef void watch_deliver_fn(void *arg, struct watcher *watcher, enum watch_event_type type,
                              struct slice path);

void watch_table_init(struct watch_table *t, uint64_t hash_seed);
void watch_table_fini(struct watch_table *t);

void watcher_init(struct watcher *w);
/* Drops all of its watches. */
void watcher_fini(struct watch_table *t, struct watcher *w);

/* A second registration of the same kind on the same path changes nothing. */
void watch_add(struct watch_table *t, struct watcher *w, enum watch_kind kind, struct slice path);
/* The kinds that it has on the path, as bits. */
unsigned watch_find(const struct watch_table *t, const struct watcher *w, struct slice path);
/* Takes these kinds away; false: it had none of them. */
bool watch_remove(struct watch_table *t, struct watcher *w, unsigned kinds, struct slice path);

/* Fires what a change of path concerns: its own watches, recursive ones above it, and for created and deleted
 * the child watches of its parent (there as EVENT_NODE_CHILDREN_CHANGED). type is created, deleted or data
 * changed. A watcher is told of each event once. */
void watch_trigger_path(struct watch_table *t, enum watch_event_type type, struct slice path,
                        watch_deliver_fn *deliver, void *arg);

#endif
