/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/ephemerals.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/xalloc.h"

struct ephemeral_owner *ephemerals_find(const struct data_tree *t, int64_t session_id)
{
    uint64_t hash = hash_u64((uint64_t)session_id, t->hash_seed);
    for (struct hlink *l = htable_first(&t->owners, hash); l; l = hlink_next(l, hash)) {
        struct ephemeral_owner *o = list_entry(l, struct ephemeral_owner, by_session);
        if (o->session_id == session_id) {
            return o;
        }
    }
    return NULL;
}

void ephemerals_add(struct data_tree *t, struct znode *n)
{
    int64_t session_id = n->stat.ephemeral_owner;
    struct ephemeral_owner *o = ephemerals_find(t, session_id);
    if (!o) {
        o = xmalloc(sizeof(*o));
        o->session_id = session_id;
        list_init(&o->nodes);
        htable_insert(&t->owners, &o->by_session, hash_u64((uint64_t)session_id, t->hash_seed));
    }
    list_push_back(&o->nodes, &n->by_owner);
    t->ephemerals_count++;
}

void ephemerals_remove(struct data_tree *t, struct znode *n)
{
    struct ephemeral_owner *o = ephemerals_find(t, n->stat.ephemeral_owner);
    zk_assert(o != NULL);
    list_remove(&n->by_owner);
    t->ephemerals_count--;
    if (list_is_empty(&o->nodes)) {
        htable_remove(&t->owners, &o->by_session);
        free(o);
    }
}

static void free_owner(struct hlink *link, void *arg)
{
    (void)arg;
    free(list_entry(link, struct ephemeral_owner, by_session));
}

void ephemerals_clear(struct data_tree *t)
{
    htable_drain(&t->owners, free_owner, NULL);
    t->ephemerals_count = 0;
}
