/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/tree/mutant.h"
#include "server/tree/path.h"

void overlay_init(struct overlay *o, uint64_t hash_seed)
{
    htable_init(&o->by_path);
    list_init(&o->fifo);
    o->count = 0;
    o->hash_seed = hash_seed;
}

void overlay_fini(struct overlay *o)
{
    overlay_applied(o, INT64_MAX);
    htable_fini(&o->by_path);
}

static uint64_t path_hash(const struct overlay *o, struct slice path)
{
    return hash_bytes(path.data, slice_size(path), o->hash_seed);
}

static struct change *find(const struct overlay *o, struct slice path)
{
    if (o->by_path.count == 0) {
        return NULL;
    }
    uint64_t hash = path_hash(o, path);
    for (struct hlink *l = htable_first(&o->by_path, hash); l; l = hlink_next(l, hash)) {
        struct change *c = list_entry(l, struct change, by_path);
        if (slice_eq((struct slice){ c->path, c->path_len }, path)) {
            return c;
        }
    }
    return NULL;
}

void overlay_get(const struct overlay *o, const struct data_tree *t, struct slice path,
                 struct node_view *out)
{
    path = path_normal(path);
    const struct change *c = find(o, path);
    if (c && !MUTANT(W2)) {
        *out = c->view;
        return;
    }
    const struct znode *n = data_tree_find(t, path);
    if (!n) {
        *out = (struct node_view){ .exists = false };
        return;
    }
    *out = (struct node_view){
        .exists = true,
        .stat = n->stat,
        .num_children = n->num_children,
        .data_len = n->data_len,
        .body_crc = n->body_crc,
        .acl = data_tree_acl(t, n),
    };
}

void overlay_put(struct overlay *o, int64_t zxid, struct slice path, const struct node_view *view)
{
    path = path_normal(path);
    size_t path_len = slice_size(path);
    size_t acl_len = slice_size(view->acl.raw);
    struct change *c = xmalloc(sizeof(*c) + path_len + acl_len);
    c->zxid = zxid;
    c->view = *view;
    c->path_len = path.len;
    if (path_len > 0) {
        memcpy(c->path, path.data, path_len);
    }
    if (acl_len > 0) {
        memcpy(c->path + path_len, view->acl.raw.data, acl_len);
    }
    c->view.acl.raw.data = c->path + path_len;
    c->newer = NULL;
    c->older = find(o, path);
    if (c->older) {
        zk_assert(c->older->zxid <= zxid);
        htable_remove(&o->by_path, &c->older->by_path);
        c->older->newer = c;
    }
    htable_insert(&o->by_path, &c->by_path, path_hash(o, path));
    list_push_back(&o->fifo, &c->fifo);
    o->count++;
}

static void free_change(struct overlay *o, struct change *c)
{
    list_remove(&c->fifo);
    o->count--;
    free(c);
}

void overlay_applied(struct overlay *o, int64_t zxid)
{
    while (!list_is_empty(&o->fifo)) {
        struct change *c = list_entry(o->fifo.next, struct change, fifo);
        if (c->zxid > zxid) {
            return;
        }
        if (c->newer) {
            c->newer->older = NULL;
        } else {
            htable_remove(&o->by_path, &c->by_path);
        }
        free_change(o, c);
    }
}

void overlay_rollback(struct overlay *o, int64_t zxid)
{
    while (!list_is_empty(&o->fifo)) {
        struct change *c = list_entry(o->fifo.prev, struct change, fifo);
        if (c->zxid != zxid) {
            return;
        }
        htable_remove(&o->by_path, &c->by_path);
        if (c->older) {
            c->older->newer = NULL;
            htable_insert(&o->by_path, &c->older->by_path, c->older->by_path.hash);
        }
        free_change(o, c);
    }
}
