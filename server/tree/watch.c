/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/watch.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/tree/path.h"

struct watch_path {
    struct hlink by_path;
    struct list watches[WATCH_KINDS];
    int32_t path_len;
    char path[]; /* client form, not terminated */
};

struct watch {
    struct hlink by_key;
    struct list by_path;    /* in watch_path.watches[kind] */
    struct list by_watcher; /* in watcher.watches */
    struct watch_path *at;
    struct watcher *watcher;
    enum watch_kind kind;
};

void watch_table_init(struct watch_table *t, uint64_t hash_seed)
{
    memset(t, 0, sizeof(*t));
    htable_init(&t->by_path);
    htable_init(&t->by_key);
    t->hash_seed = hash_seed;
}

void watch_table_fini(struct watch_table *t)
{
    zk_assert(t->count == 0);
    htable_fini(&t->by_path);
    htable_fini(&t->by_key);
}

void watcher_init(struct watcher *w)
{
    *w = (struct watcher){ .last_event = 0 };
    list_init(&w->watches);
}

static struct watch_path *find_path(const struct watch_table *t, struct slice path)
{
    uint64_t hash = hash_bytes(path.data, slice_size(path), t->hash_seed);
    for (struct hlink *l = htable_first(&t->by_path, hash); l; l = hlink_next(l, hash)) {
        struct watch_path *p = list_entry(l, struct watch_path, by_path);
        if (slice_eq((struct slice){ (uint8_t *)p->path, p->path_len }, path)) {
            return p;
        }
    }
    return NULL;
}

static struct watch_path *find_or_add_path(struct watch_table *t, struct slice path)
{
    struct watch_path *p = find_path(t, path);
    if (!p) {
        p = xmalloc(sizeof(*p) + slice_size(path));
        p->path_len = path.len;
        memcpy(p->path, path.data, slice_size(path));
        for (int kind = 0; kind < WATCH_KINDS; kind++) {
            list_init(&p->watches[kind]);
        }
        htable_insert(&t->by_path, &p->by_path,
                      hash_bytes(path.data, slice_size(path), t->hash_seed));
    }
    return p;
}

static void drop_path_if_unused(struct watch_table *t, struct watch_path *p)
{
    for (int kind = 0; kind < WATCH_KINDS; kind++) {
        if (!list_is_empty(&p->watches[kind])) {
            return;
        }
    }
    htable_remove(&t->by_path, &p->by_path);
    free(p);
}

static uint64_t key_hash(const struct watch_table *t, const struct watcher *w,
                         const struct watch_path *p, enum watch_kind kind)
{
    uint64_t h = hash_u64((uint64_t)(uintptr_t)w, t->hash_seed);
    return hash_u64((uint64_t)(uintptr_t)p, h + (uint64_t)kind);
}

void watch_add(struct watch_table *t, struct watcher *w, enum watch_kind kind, struct slice path)
{
    struct watch_path *p = find_or_add_path(t, path_for_client(path));
    uint64_t hash = key_hash(t, w, p, kind);
    for (struct hlink *l = htable_first(&t->by_key, hash); l; l = hlink_next(l, hash)) {
        struct watch *old = list_entry(l, struct watch, by_key);
        if (old->watcher == w && old->at == p && old->kind == kind) {
            return;
        }
    }
    struct watch *watch = xmalloc(sizeof(*watch));
    *watch = (struct watch){ .at = p, .watcher = w, .kind = kind };
    t->path_counts[kind] += list_is_empty(&p->watches[kind]);
    t->watcher_counts[kind] += w->counts[kind]++ == 0;
    t->counts[kind]++;
    t->count++;
    list_push_back(&p->watches[kind], &watch->by_path);
    list_push_back(&w->watches, &watch->by_watcher);
    htable_insert(&t->by_key, &watch->by_key, hash);
}

/* Leaves the path in place even if this was its last watch. */
static void remove_watch(struct watch_table *t, struct watch *watch)
{
    list_remove(&watch->by_path);
    list_remove(&watch->by_watcher);
    htable_remove(&t->by_key, &watch->by_key);
    enum watch_kind kind = watch->kind;
    t->path_counts[kind] -= list_is_empty(&watch->at->watches[kind]);
    t->watcher_counts[kind] -= --watch->watcher->counts[kind] == 0;
    t->counts[kind]--;
    t->count--;
    free(watch);
}

void watcher_fini(struct watch_table *t, struct watcher *w)
{
    while (!list_is_empty(&w->watches)) {
        struct watch *watch = list_entry(w->watches.next, struct watch, by_watcher);
        struct watch_path *p = watch->at;
        remove_watch(t, watch);
        drop_path_if_unused(t, p);
    }
}

/* deliver must not add or remove watches: it queues an event and returns. */
static void fire(struct watch_table *t, enum watch_kind kind, enum watch_event_type type,
                 struct slice path, watch_deliver_fn *deliver, void *arg)
{
    struct watch_path *p = find_path(t, path);
    if (!p) {
        return;
    }
    while (!list_is_empty(&p->watches[kind])) {
        struct watch *watch = list_entry(p->watches[kind].next, struct watch, by_path);
        struct watcher *w = watch->watcher;
        remove_watch(t, watch);
        bool told = type == EVENT_NODE_DELETED && w->last_event == t->event_serial;
        if (!told) {
            w->last_event = t->event_serial;
            deliver(arg, w, type, path);
        }
    }
    drop_path_if_unused(t, p);
}

void watch_trigger_path(struct watch_table *t, enum watch_event_type type, struct slice path,
                        watch_deliver_fn *deliver, void *arg)
{
    if (t->count == 0) {
        return;
    }
    t->event_serial++;
    path = path_for_client(path);
    fire(t, WATCH_DATA, type, path, deliver, arg);
    if (type == EVENT_NODE_DATA_CHANGED) {
        return;
    }
    if (type == EVENT_NODE_DELETED) {
        fire(t, WATCH_CHILD, type, path, deliver, arg);
    }
    struct slice parent;
    struct slice name;
    if (path_split(path, &parent, &name)) {
        fire(t, WATCH_CHILD, EVENT_NODE_CHILDREN_CHANGED, path_for_client(parent), deliver, arg);
    }
}
