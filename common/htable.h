/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_HTABLE_H
#define COMMON_HTABLE_H

/*
 * Intrusive hash table that grows one bucket at a time (linear hashing, Litwin 1980), so that no insert
 * ever pays for rehashing a million entries. It stores hashes and links only: comparing keys is the
 * caller's loop, and iteration order must never reach a reply or a file.
 *
 *      for (struct hlink *l = htable_first(t, hash); l; l = hlink_next(l, hash))
 *          if (same key) ...
 */
#include <stddef.h>
#include <stdint.h>

struct hlink {
    struct hlink *next; /* chain of one bucket */
    uint64_t hash;
};

struct htable {
    struct hlink **buckets; /* owned array; the links belong to the entries */
    size_t cap;             /* slots allocated */
    size_t used;            /* slots in use: level + split */
    size_t level;           /* power of two: buckets at the start of this round */
    size_t count;           /* entries */
};

void htable_init(struct htable *t);
void htable_fini(struct htable *t);
void htable_insert(struct htable *t, struct hlink *link, uint64_t hash);
/* The link must be in the table. */
void htable_remove(struct htable *t, struct hlink *link);
/* First link with exactly this hash, or NULL. */
struct hlink *htable_first(const struct htable *t, uint64_t hash);
/* Next link of the same chain with exactly this hash, or NULL. */
struct hlink *hlink_next(const struct hlink *link, uint64_t hash);
/* Calls fn for every entry; fn may free it. The table must be emptied or left alone afterwards. */
void htable_drain(struct htable *t, void (*fn)(struct hlink *link, void *arg), void *arg);

/* Seeded hash of a byte string; not cryptographic, but not predictable without the seed. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);
uint64_t hash_u64(uint64_t value, uint64_t seed);

#endif
