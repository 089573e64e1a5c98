/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/session.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/jute/wire.h"

void session_table_init(struct session_table *t, int64_t sid, int64_t start_ms, int32_t tick_ms,
                        int64_t now_ms, uint64_t hash_seed)
{
    htable_init(&t->by_id);
    for (int i = 0; i < SESSION_RING; i++) {
        list_init(&t->ring[i]);
    }
    list_init(&t->touched);
    t->proposed_count = 0;
    t->reports_touches = false;
    t->tick_ms = tick_ms;
    t->swept_tick = now_ms / tick_ms;
    t->next_id = (int64_t)((uint64_t)sid << 56 | ((uint64_t)start_ms & 0xffffffffff) << 16);
    t->hash_seed = hash_seed;
}

static void free_session(struct hlink *link, void *arg)
{
    (void)arg;
    free(list_entry(link, struct session, by_id));
}

void session_table_clear(struct session_table *t)
{
    htable_drain(&t->by_id, free_session, NULL);
    t->proposed_count = 0;
    list_init(&t->touched);
    for (int i = 0; i < SESSION_RING; i++) {
        list_init(&t->ring[i]);
    }
}

void session_table_fini(struct session_table *t)
{
    session_table_clear(t);
    htable_fini(&t->by_id);
}

int64_t session_table_next_id(struct session_table *t)
{
    /* The one id that marks containers is no session's. */
    if (t->next_id == INT64_MIN) {
        t->next_id++;
    }
    int64_t id = t->next_id;
    t->next_id = (int64_t)((uint64_t)t->next_id + 1);
    return id;
}

struct session *session_find(const struct session_table *t, int64_t id)
{
    uint64_t hash = hash_u64((uint64_t)id, t->hash_seed);
    for (struct hlink *l = htable_first(&t->by_id, hash); l; l = hlink_next(l, hash)) {
        struct session *s = list_entry(l, struct session, by_id);
        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

void session_touch(struct session_table *t, struct session *s, int64_t now_ms)
{
    if (t->reports_touches && list_is_empty(&s->touched)) {
        list_push_back(&t->touched, &s->touched);
    }
    int64_t tick = (now_ms + s->timeout_ms) / t->tick_ms + 1;
    if (s->closing || tick == s->expiry_tick) {
        return;
    }
    s->expiry_tick = tick;
    list_remove(&s->bucket);
    list_push_back(&t->ring[tick % SESSION_RING], &s->bucket);
}

struct session *session_add(struct session_table *t, int64_t id, int32_t timeout_ms, int64_t now_ms)
{
    struct session *s = session_find(t, id);
    if (!s) {
        s = xcalloc(1, sizeof(*s));
        s->id = id;
        list_init(&s->bucket);
        list_init(&s->touched);
        htable_insert(&t->by_id, &s->by_id, hash_u64((uint64_t)id, t->hash_seed));
    }
    t->proposed_count -= s->is_proposed;
    s->is_proposed = false;
    s->timeout_ms = timeout_ms;
    session_touch(t, s, now_ms);
    return s;
}

void session_propose(struct session_table *t, int64_t id, int32_t timeout_ms, int64_t now_ms)
{
    if (!session_find(t, id)) {
        session_add(t, id, timeout_ms, now_ms)->is_proposed = true;
        t->proposed_count++;
    }
}

void session_table_drop_proposed(struct session_table *t)
{
    for (size_t i = 0; i < t->by_id.used && t->proposed_count > 0; i++) {
        for (struct hlink *l = t->by_id.buckets[i], *next; l; l = next) {
            next = l->next; /* removing an entry leaves the others where they are */
            struct session *s = list_entry(l, struct session, by_id);
            if (s->is_proposed) {
                session_remove(t, s);
            }
        }
    }
}

void session_remove(struct session_table *t, struct session *s)
{
    zk_assert(s->client == NULL);
    t->proposed_count -= s->is_proposed;
    list_remove(&s->bucket);
    list_remove(&s->touched);
    htable_remove(&t->by_id, &s->by_id);
    free(s);
}

struct session *session_next_expired(struct session_table *t, int64_t now_ms)
{
    int64_t tick = now_ms / t->tick_ms;
    /* After a long pause of the process every bucket has had its turn after one round. */
    if (tick - t->swept_tick > SESSION_RING) {
        t->swept_tick = tick - SESSION_RING;
    }
    while (t->swept_tick <= tick) {
        /* The ring may hold sessions of a later round in the same bucket. */
        list_for_each (it, &t->ring[t->swept_tick % SESSION_RING]) {
            struct session *s = list_entry(it, struct session, bucket);
            if (s->expiry_tick <= tick) {
                list_remove(&s->bucket);
                return s;
            }
        }
        if (t->swept_tick == tick) {
            break;
        }
        t->swept_tick++;
    }
    return NULL;
}

void session_table_renew(struct session_table *t, int64_t now_ms)
{
    for (size_t i = 0; i < t->by_id.used; i++) {
        for (struct hlink *l = t->by_id.buckets[i]; l; l = l->next) {
            struct session *s = list_entry(l, struct session, by_id);
            s->closing = false;
            s->owner_sid = 0;
            session_touch(t, s, now_ms);
        }
    }
}

void session_table_touch_all(struct session_table *t, int64_t now_ms)
{
    for (size_t i = 0; i < t->by_id.used; i++) {
        for (struct hlink *l = t->by_id.buckets[i]; l; l = l->next) {
            session_touch(t, list_entry(l, struct session, by_id), now_ms);
        }
    }
}

void session_take_touched(struct session_table *t, struct buf *out)
{
    struct list *it;
    while ((it = list_pop_front(&t->touched)) != NULL) {
        const struct session *s = list_entry(it, struct session, touched);
        put_long(out, s->id);
        put_int(out, s->timeout_ms);
    }
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = (*(const struct session *const *)a)->id;
    int64_t y = (*(const struct session *const *)b)->id;
    return (x > y) - (x < y);
}

void session_table_encode(const struct session_table *t, struct buf *out)
{
    /* By id: the order in the hash table differs from server to server. */
    size_t count = 0;
    const struct session **sorted = xmalloc((t->by_id.count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < t->by_id.used; i++) {
        for (const struct hlink *l = t->by_id.buckets[i]; l; l = l->next) {
            const struct session *s = list_entry(l, struct session, by_id);
            if (!s->is_proposed) {
                sorted[count++] = s;
            }
        }
    }
    qsort(sorted, count, sizeof(*sorted), compare_ids);
    put_int(out, (int32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_long(out, sorted[i]->id);
        put_int(out, sorted[i]->timeout_ms);
    }
    free(sorted);
}

void session_password(int64_t id, uint8_t out[SESSION_PASSWD_BYTES])
{
    const uint64_t mask = ((uint64_t)1 << 48) - 1;
    uint64_t state = (((uint64_t)id ^ 0xB3415C00u) ^ 0x5DEECE66Du) & mask;
    for (int i = 0; i < SESSION_PASSWD_BYTES; i += 4) {
        state = (state * 0x5DEECE66Du + 0xB) & mask;
        uint32_t word = (uint32_t)(state >> 16);
        for (int b = 0; b < 4; b++) {
            out[i + b] = (uint8_t)(word >> (8 * b));
        }
    }
}
