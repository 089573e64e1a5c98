/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_LOCK_QUEUE_H
#define FUSEFS_LOCK_QUEUE_H

/*
 * ZooKeeper's recipe for shared locks, as a judgement on the children of a queue: an entry waits for the last
 * one in front of it that it cannot share the lock with, and for no other, so that the end of one lock wakes
 * those whose turn it is and nobody else. All names point into the list of children. Pure.
 */
#include <stddef.h>

#include "fusefs/lock_name.h"

enum lock_place {
    LOCK_ABSENT, /* it has no entries */
    LOCK_FIRST,  /* nobody is in its way: it holds the lock */
    LOCK_BEHIND, /* predecessor is in its way */
    LOCK_DEADLOCK, /* it holds a shared lock, and so does somebody in front of it who waits for that one to end */
};

/* Who asks. */
struct lock_claim {
    const char *guid;
    enum lock_mode mode;
    const char *const *mine; /* GUIDs of the same owner: not in its way */
    size_t mine_count;
    bool
        holds_shared; /* it has a shared entry of the same GUID, to be replaced by this exclusive one */
};

enum { LOCK_EXTRA_MAX = 12 };

struct lock_judgement {
    enum lock_place place;
    const char *names[LOCK_FORM_COUNT]; /* its entries by form; NULL: none */
    const char *predecessor;            /* LOCK_BEHIND */
    const char
        *extra[LOCK_EXTRA_MAX]; /* its entries of a create that was sent twice, to be deleted */
    size_t extra_count;
};

void lock_queue_judge(const char *const *names, size_t count, const struct lock_claim *claim,
                      struct lock_judgement *out);

/* The first entry that a new one of that mode would have to wait for, or NULL. */
const char *lock_queue_conflict(const char *const *names, size_t count, enum lock_mode mode,
                                const char *const *mine, size_t mine_count);

#endif
