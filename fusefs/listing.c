/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/listing.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/lock_name.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct listing *listing_new(const char *const *names, size_t count)
{
    struct listing *l = xcalloc(1, sizeof(*l));
    l->refs = 1;
    l->count = 0;
    l->cap = count;
    l->names = xcalloc(count ? count : 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        if (!lock_name_is_hidden(names[i])) {
            l->names[l->count++] = xstrdup(names[i]);
        } else if (!lock_name_is_queue(names[i])) {
            l->lock_entries++;
        }
    }
    qsort(l->names, l->count, sizeof(char *), compare_names);
    return l;
}

struct listing *listing_ref(struct listing *l)
{
    l->refs++;
    return l;
}

void listing_unref(struct listing *l)
{
    if (!l || --l->refs > 0) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        free(l->names[i]);
    }
    free(l->names);
    free(l);
}

size_t listing_index(const struct listing *l, const char *name)
{
    size_t low = 0;
    size_t high = l->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(l->names[mid], name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool listing_has(const struct listing *l, const char *name)
{
    size_t i = listing_index(l, name);
    return i < l->count && strcmp(l->names[i], name) == 0;
}

bool listing_is_equal(const struct listing *a, const struct listing *b)
{
    bool is_equal = a->count == b->count;
    for (size_t i = 0; is_equal && i < a->count; i++) {
        is_equal = strcmp(a->names[i], b->names[i]) == 0;
    }
    return is_equal;
}

static void make_private(struct listing **l)
{
    if ((*l)->refs > 1) {
        struct listing *copy = listing_new((const char *const *)(*l)->names, (*l)->count);
        listing_unref(*l);
        *l = copy;
    }
}

void listing_add(struct listing **l, const char *name)
{
    if (listing_has(*l, name) || lock_name_is_hidden(name)) {
        return;
    }
    make_private(l);
    struct listing *own = *l;
    size_t i = listing_index(own, name);
    if (own->count == own->cap) {
        own->cap = own->cap * 2 + 8;
        own->names = xrealloc(own->names, own->cap * sizeof(char *));
    }
    memmove(own->names + i + 1, own->names + i, (own->count - i) * sizeof(char *));
    own->names[i] = xstrdup(name);
    own->count++;
}

void listing_remove(struct listing **l, const char *name)
{
    if (!listing_has(*l, name)) {
        return;
    }
    make_private(l);
    struct listing *own = *l;
    size_t i = listing_index(own, name);
    free(own->names[i]);
    own->count--;
    memmove(own->names + i, own->names + i + 1, (own->count - i) * sizeof(char *));
}

void listing_diff(const struct listing *old, const struct listing *now,
                  void (*on_removed)(void *arg, const char *name),
                  void (*on_added)(void *arg, const char *name), void *arg)
{
    size_t i = 0;
    size_t j = 0;
    while (i < old->count || j < now->count) {
        int order = i == old->count   ? 1
                    : j == now->count ? -1
                                      : strcmp(old->names[i], now->names[j]);
        if (order < 0) {
            on_removed(arg, old->names[i++]);
        } else if (order > 0) {
            on_added(arg, now->names[j++]);
        } else {
            i++;
            j++;
        }
    }
}
