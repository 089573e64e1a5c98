/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/watch.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/tree/path.h"

enum { ONE_SHOT = WATCH_DATA | WATCH_CHILD };
/* Which kinds count as which of Apache's. */
enum {
    ON_DATA = WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE,
    ON_CHILDREN = WATCH_CHILD | WATCH_PERSISTENT,
};

struct watch_path {
    struct hlink by_path;
    struct list watches; /* struct watch.by_path */
    int64_t data_count;  /* of watches, those with a kind of ON_DATA */
    int32_t path_len;
    char path[]; /* client form, not terminated */
};

struct watch {
    struct hlink by_key;
    struct list by_path;    /* in watch_path.watches */
    struct list by_watcher; /* in watcher.watches */
    struct watch_path *at;
    struct watcher *watcher;
    unsigned kinds;
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
    zk_assert(t->by_key.count == 0);
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
        p->data_count = 0;
        list_init(&p->watches);
        htable_insert(&t->by_path, &p->by_path,
                      hash_bytes(path.data, slice_size(path), t->hash_seed));
    }
    return p;
}

static uint64_t key_hash(const struct watch_table *t, const struct watcher *w,
                         const struct watch_path *p)
{
    return hash_u64((uint64_t)(uintptr_t)p, hash_u64((uint64_t)(uintptr_t)w, t->hash_seed));
}

static struct watch *find_watch(const struct watch_table *t, const struct watcher *w,
                                const struct watch_path *p)
{
    uint64_t hash = key_hash(t, w, p);
    for (struct hlink *l = htable_first(&t->by_key, hash); l; l = hlink_next(l, hash)) {
        struct watch *watch = list_entry(l, struct watch, by_key);
        if (watch->watcher == w && watch->at == p) {
            return watch;
        }
    }
    return NULL;
}

static int has(unsigned kinds, unsigned some)
{
    return (kinds & some) != 0;
}

/* All counts follow. */
static void set_kinds(struct watch_table *t, struct watch *watch, unsigned kinds)
{
    int data = has(kinds, ON_DATA) - has(watch->kinds, ON_DATA);
    t->recursive_count += has(kinds, WATCH_RECURSIVE) - has(watch->kinds, WATCH_RECURSIVE);
    t->child_count += has(kinds, ON_CHILDREN) - has(watch->kinds, ON_CHILDREN);
    t->data_count += data;
    watch->kinds = kinds;
    if (data != 0) {
        bool was_path = watch->at->data_count > 0;
        bool was_watcher = watch->watcher->data_count > 0;
        watch->at->data_count += data;
        watch->watcher->data_count += data;
        t->data_paths += (watch->at->data_count > 0) - was_path;
        t->data_watchers += (watch->watcher->data_count > 0) - was_watcher;
    }
}

void watch_add(struct watch_table *t, struct watcher *w, enum watch_kind kind, struct slice path)
{
    struct watch_path *p = find_or_add_path(t, path_for_client(path));
    struct watch *watch = find_watch(t, w, p);
    if (!watch) {
        watch = xmalloc(sizeof(*watch));
        *watch = (struct watch){ .at = p, .watcher = w };
        list_push_back(&p->watches, &watch->by_path);
        list_push_back(&w->watches, &watch->by_watcher);
        htable_insert(&t->by_key, &watch->by_key, key_hash(t, w, p));
    }
    set_kinds(t, watch, watch->kinds | kind);
}

/* Leaves the path in place even if this was its last watch. */
static void take_kinds(struct watch_table *t, struct watch *watch, unsigned kinds)
{
    set_kinds(t, watch, watch->kinds & ~kinds);
    if (watch->kinds == 0) {
        list_remove(&watch->by_path);
        list_remove(&watch->by_watcher);
        htable_remove(&t->by_key, &watch->by_key);
        free(watch);
    }
}

static void drop_path_if_unused(struct watch_table *t, struct watch_path *p)
{
    if (list_is_empty(&p->watches)) {
        htable_remove(&t->by_path, &p->by_path);
        free(p);
    }
}

static struct watch *find(const struct watch_table *t, const struct watcher *w, struct slice path)
{
    const struct watch_path *p = find_path(t, path_for_client(path));
    return p ? find_watch(t, w, p) : NULL;
}

unsigned watch_find(const struct watch_table *t, const struct watcher *w, struct slice path)
{
    const struct watch *watch = find(t, w, path);
    return watch ? watch->kinds : 0;
}

bool watch_remove(struct watch_table *t, struct watcher *w, unsigned kinds, struct slice path)
{
    struct watch *watch = find(t, w, path);
    if (!watch || (watch->kinds & kinds) == 0) {
        return false;
    }
    struct watch_path *p = watch->at;
    take_kinds(t, watch, kinds);
    drop_path_if_unused(t, p);
    return true;
}

void watcher_fini(struct watch_table *t, struct watcher *w)
{
    while (!list_is_empty(&w->watches)) {
        struct watch *watch = list_entry(w->watches.next, struct watch, by_watcher);
        struct watch_path *p = watch->at;
        take_kinds(t, watch, WATCH_ANY);
        drop_path_if_unused(t, p);
    }
}

/* One event on its way to whoever waits for it. */
struct firing {
    enum watch_event_type type;
    struct slice path;
    watch_deliver_fn *deliver;
    void *arg;
};

/* The watches of these kinds at a path: that of the event, or one above it. */
static void fire_at(struct watch_table *t, struct slice at, unsigned kinds, const struct firing *f)
{
    struct watch_path *p = find_path(t, at);
    if (!p) {
        return;
    }
    list_for_each_safe (it, next, &p->watches) {
        struct watch *watch = list_entry(it, struct watch, by_path);
        struct watcher *w = watch->watcher;
        if ((watch->kinds & kinds) == 0) {
            continue;
        }
        take_kinds(t, watch, kinds & ONE_SHOT);
        if (w->last_event != t->event_serial) {
            w->last_event = t->event_serial;
            f->deliver(f->arg, w, f->type, f->path);
        }
    }
    drop_path_if_unused(t, p);
}

static void fire_above(struct watch_table *t, const struct firing *f)
{
    struct slice parent;
    struct slice name;
    struct slice at = f->path;
    while (t->recursive_count > 0 && path_split(path_normal(at), &parent, &name)) {
        at = parent;
        fire_at(t, path_for_client(at), WATCH_RECURSIVE, f);
    }
}

void watch_trigger_path(struct watch_table *t, enum watch_event_type type, struct slice path,
                        watch_deliver_fn *deliver, void *arg)
{
    if (t->by_key.count == 0) {
        return;
    }
    struct firing f = { type, path_for_client(path), deliver, arg };
    t->event_serial++;
    fire_at(t, f.path, type == EVENT_NODE_DELETED ? WATCH_ANY : ON_DATA, &f);
    fire_above(t, &f);
    struct slice parent;
    struct slice name;
    if (type != EVENT_NODE_DATA_CHANGED && path_split(f.path, &parent, &name)) {
        f = (struct firing){ EVENT_NODE_CHILDREN_CHANGED, path_for_client(parent), deliver, arg };
        t->event_serial++;
        fire_at(t, f.path, ON_CHILDREN, &f);
    }
}
