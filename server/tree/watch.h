/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_WATCH_H
#define SERVER_TREE_WATCH_H

/*
 * One-shot watches (client-protocol 11): which connection waits for a change of which path. They belong
 * to a connection, not to a session, and go with it (W9).
 *
 *      path -> watch_path --- data: watch, watch, ...      watcher: watch, watch, ...
 *                         \-- child: watch, ...            (every watch is on both lists)
 *
 * Registering, removing and firing one watch is O(1). Thread: the core's. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "common/list.h"
#include "server/jute/opcode.h"
#include "server/jute/wire.h"

enum watch_kind {
    WATCH_DATA,  /* getData, exists: created, data changed, deleted */
    WATCH_CHILD, /* getChildren: children changed, deleted */
    WATCH_KINDS,
};

/* Embedded in whatever watches: a client's connection. */
struct watcher {
    struct list watches;
    int64_t counts[WATCH_KINDS];
    uint64_t last_event; /* the last deletion it was told of: one event for two kinds of watch */
};

struct watch_table {
    struct htable by_path; /* struct watch_path */
    struct htable by_key;  /* struct watch: (watcher, path, kind) */
    uint64_t hash_seed;
    uint64_t event_serial;
    int64_t count;
    int64_t counts[WATCH_KINDS];         /* watches of that kind */
    int64_t path_counts[WATCH_KINDS];    /* paths with one */
    int64_t watcher_counts[WATCH_KINDS]; /* watchers with one */
};

/* Tells one watcher; the watch is gone already. path is in client form. */
typedef void watch_deliver_fn(void *arg, struct watcher *watcher, enum watch_event_type type,
                              struct slice path);

void watch_table_init(struct watch_table *t, uint64_t hash_seed);
void watch_table_fini(struct watch_table *t);

void watcher_init(struct watcher *w);
/* Drops all of its watches. */
void watcher_fini(struct watch_table *t, struct watcher *w);

/* A second registration of the same kind on the same path changes nothing. */
void watch_add(struct watch_table *t, struct watcher *w, enum watch_kind kind, struct slice path);

/* Fires what a change of path concerns: its own watches, and for created and deleted the child watches of
 * its parent (there as EVENT_NODE_CHILDREN_CHANGED). type is created, deleted or data changed. */
void watch_trigger_path(struct watch_table *t, enum watch_event_type type, struct slice path,
                        watch_deliver_fn *deliver, void *arg);

#endif
