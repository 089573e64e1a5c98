/* SPDX-License-Identifier: Apache-2.0 */
#include "common/htable.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"

enum { HTABLE_BUCKETS_MIN = 16 };

void htable_init(struct htable *t)
{
    t->cap = HTABLE_BUCKETS_MIN;
    t->used = HTABLE_BUCKETS_MIN;
    t->level = HTABLE_BUCKETS_MIN;
    t->count = 0;
    t->buckets = xcalloc(t->cap, sizeof(*t->buckets));
}

void htable_fini(struct htable *t)
{
    free(t->buckets);
    memset(t, 0, sizeof(*t));
}

static size_t bucket_of(const struct htable *t, uint64_t hash)
{
    size_t i = hash & (2 * t->level - 1);
    return i < t->used ? i : (hash & (t->level - 1));
}

/* Splits the next bucket of the round in two. */
static void grow_one(struct htable *t)
{
    if (t->used == t->cap) {
        t->cap *= 2;
        t->buckets = xrealloc(t->buckets, t->cap * sizeof(*t->buckets));
    }
    size_t from = t->used - t->level;
    size_t to = t->used;
    struct hlink *chain = t->buckets[from];
    t->buckets[from] = NULL;
    t->buckets[to] = NULL;
    t->used++;
    while (chain) {
        struct hlink *next = chain->next;
        size_t i = (chain->hash & (2 * t->level - 1)) == to ? to : from;
        chain->next = t->buckets[i];
        t->buckets[i] = chain;
        chain = next;
    }
    if (t->used == 2 * t->level) {
        t->level *= 2;
    }
}

void htable_insert(struct htable *t, struct hlink *link, uint64_t hash)
{
    if (t->count >= t->used) {
        grow_one(t);
    }
    size_t i = bucket_of(t, hash);
    link->hash = hash;
    link->next = t->buckets[i];
    t->buckets[i] = link;
    t->count++;
}

void htable_remove(struct htable *t, struct hlink *link)
{
    struct hlink **at = &t->buckets[bucket_of(t, link->hash)];
    while (*at != link) {
        zk_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    t->count--;
}

static struct hlink *find_hash(struct hlink *l, uint64_t hash)
{
    while (l && l->hash != hash) {
        l = l->next;
    }
    return l;
}

struct hlink *htable_first(const struct htable *t, uint64_t hash)
{
    return find_hash(t->buckets[bucket_of(t, hash)], hash);
}

struct hlink *hlink_next(const struct hlink *link, uint64_t hash)
{
    return find_hash(link->next, hash);
}

void htable_drain(struct htable *t, void (*fn)(struct hlink *link, void *arg), void *arg)
{
    for (size_t i = 0; i < t->used; i++) {
        struct hlink *l = t->buckets[i];
        t->buckets[i] = NULL;
        while (l) {
            struct hlink *next = l->next;
            fn(l, arg);
            l = next;
        }
    }
    t->count = 0;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash_u64(uint64_t value, uint64_t seed)
{
    return mix(value ^ 0x9e3779b97f4a7c15u, seed ^ 0xd1b54a32d192ed03u);
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u;
    size_t left = len;
    while (left >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = mix(h ^ w, 0xd1b54a32d192ed03u);
        p += 8;
        left -= 8;
    }
    uint64_t tail = 0;
    if (left > 0) {
        memcpy(&tail, p, left);
    }
    h = mix(h ^ tail, 0xa0761d6478bd642fu);
    return mix(h ^ len, 0xe7037ed1a0b428dbu);
}
