/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/session_map.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "server/jute/wire.h"

struct entry {
    struct hlink by_id;
    struct list all;
    struct saved_session session;
};

void session_map_init(struct session_map *m)
{
    htable_init(&m->by_id);
    list_init(&m->all);
}

void session_map_fini(struct session_map *m)
{
    list_for_each_safe (it, next, &m->all) {
        free(list_entry(it, struct entry, all));
    }
    htable_fini(&m->by_id);
}

static struct entry *find(const struct session_map *m, int64_t session_id)
{
    uint64_t hash = hash_u64((uint64_t)session_id, 0);
    for (struct hlink *l = htable_first(&m->by_id, hash); l != NULL; l = hlink_next(l, hash)) {
        struct entry *e = list_entry(l, struct entry, by_id);
        if (e->session.session_id == session_id) {
            return e;
        }
    }
    return NULL;
}

void session_map_set(struct session_map *m, int64_t session_id, int32_t timeout_ms)
{
    struct entry *e = find(m, session_id);
    if (e == NULL) {
        e = xcalloc(1, sizeof(*e));
        e->session.session_id = session_id;
        htable_insert(&m->by_id, &e->by_id, hash_u64((uint64_t)session_id, 0));
        list_push_back(&m->all, &e->all);
    }
    e->session.timeout_ms = timeout_ms;
}

void session_map_remove(struct session_map *m, int64_t session_id)
{
    struct entry *e = find(m, session_id);
    if (e != NULL) {
        htable_remove(&m->by_id, &e->by_id);
        list_remove(&e->all);
        free(e);
    }
}

bool session_map_has(const struct session_map *m, int64_t session_id)
{
    return find(m, session_id) != NULL;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = ((const struct saved_session *)a)->session_id;
    int64_t y = ((const struct saved_session *)b)->session_id;
    return (x > y) - (x < y);
}

struct saved_session *session_map_list(const struct session_map *m, size_t *count)
{
    struct saved_session *sessions = xcalloc(m->by_id.count + 1, sizeof(*sessions));
    size_t i = 0;
    list_for_each (it, &m->all) {
        sessions[i++] = list_entry(it, struct entry, all)->session;
    }
    qsort(sessions, i, sizeof(*sessions), compare_ids);
    *count = i;
    return sessions;
}

void saved_sessions_encode(struct buf *out, const struct saved_session *sessions, size_t count)
{
    put_int(out, (int32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_long(out, sessions[i].session_id);
        put_int(out, sessions[i].timeout_ms);
    }
}
