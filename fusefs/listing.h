/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_LISTING_H
#define FUSEFS_LISTING_H

/*
 * The names in one directory, sorted. A listing that somebody else holds too is never changed: an open
 * directory keeps the one it started with. Pure; the caller's lock protects the count.
 */
#include <stdbool.h>
#include <stddef.h>

struct listing {
    unsigned refs;
    size_t count;
    size_t cap;
    char **names;         /* owned, ascending by strcmp */
    size_t lock_entries;  /* children that are not listed, since they are places in a lock's queue */
    bool is_lock_traffic; /* nothing else has changed since it was read last */
};

/* Copies the names, in any order; those of lock queues are left out. One reference, the caller's. */
struct listing *listing_new(const char *const *names, size_t count);
struct listing *listing_ref(struct listing *l);
/* NULL is fine. */
void listing_unref(struct listing *l);
/* Index of the name, or of the first one after it. */
size_t listing_index(const struct listing *l, const char *name);
bool listing_has(const struct listing *l, const char *name);
/* Adds or removes one name in *l, which is replaced by a copy if it is shared. No effect if the name is
 * there, or not there, already. */
void listing_add(struct listing **l, const char *name);
/* The same names. */
bool listing_is_equal(const struct listing *a, const struct listing *b);
void listing_remove(struct listing **l, const char *name);

/* Calls on_removed for each name only in old and on_added for each only in now, in name order. */
void listing_diff(const struct listing *old, const struct listing *now,
                  void (*on_removed)(void *arg, const char *name),
                  void (*on_added)(void *arg, const char *name), void *arg);

#endif
