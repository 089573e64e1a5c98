/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_queue.h"

#include <string.h>

static bool is_one_of(const char *guid, const char *const *guids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(guid, guids[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool excludes(const struct lock_entry *entry, enum lock_mode mode)
{
    return entry->mode == LOCK_EXCLUSIVE || mode == LOCK_EXCLUSIVE;
}

/* Of two entries of one form the lower counts. */
static void add_own(struct lock_judgement *out, int32_t numbers[LOCK_FORM_COUNT],
                    const struct lock_entry *entry, const char *name)
{
    const char *extra = name;
    if (!out->names[entry->form] || entry->number < numbers[entry->form]) {
        extra = out->names[entry->form];
        out->names[entry->form] = name;
        numbers[entry->form] = entry->number;
    }
    if (extra && out->extra_count < LOCK_EXTRA_MAX) {
        out->extra[out->extra_count++] = extra;
    }
}

/* The claim's own entries; its place in the queue, that of the first of them. */
static int32_t find_own(const char *const *names, size_t count, const struct lock_claim *claim,
                        struct lock_judgement *out)
{
    int32_t numbers[LOCK_FORM_COUNT] = { 0 };
    struct lock_entry entry;
    for (size_t i = 0; i < count; i++) {
        if (lock_name_parse(names[i], &entry) && entry.mode == claim->mode &&
            strcmp(entry.guid, claim->guid) == 0) {
            add_own(out, numbers, &entry, names[i]);
        }
    }
    int32_t place = INT32_MAX;
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        if (out->names[form] && numbers[form] < place) {
            place = numbers[form];
        }
    }
    return place;
}

/* Whether the owner of an exclusive entry holds a shared lock meanwhile. */
static bool is_upgrade(const char *const *names, size_t count, const struct lock_entry *exclusive)
{
    struct lock_entry entry;
    for (size_t i = 0; i < count; i++) {
        if (lock_name_parse(names[i], &entry) && entry.mode == LOCK_SHARED &&
            strcmp(entry.guid, exclusive->guid) == 0) {
            return true;
        }
    }
    return false;
}

void lock_queue_judge(const char *const *names, size_t count, const struct lock_claim *claim,
                      struct lock_judgement *out)
{
    memset(out, 0, sizeof(*out));
    int32_t place = find_own(names, count, claim, out);
    if (place == INT32_MAX) {
        out->place = LOCK_ABSENT;
        return;
    }
    int32_t last = INT32_MIN;
    out->place = LOCK_FIRST;
    for (size_t i = 0; i < count; i++) {
        struct lock_entry entry;
        if (!lock_name_parse(names[i], &entry) || entry.number >= place ||
            !excludes(&entry, claim->mode) ||
            is_one_of(entry.guid, claim->mine, claim->mine_count)) {
            continue;
        }
        if (claim->holds_shared && entry.mode == LOCK_EXCLUSIVE &&
            is_upgrade(names, count, &entry)) {
            out->place = LOCK_DEADLOCK;
            return;
        }
        if (!out->predecessor || entry.number > last) {
            out->place = LOCK_BEHIND;
            out->predecessor = names[i];
            last = entry.number;
        }
    }
}

const char *lock_queue_conflict(const char *const *names, size_t count, enum lock_mode mode,
                                const char *const *mine, size_t mine_count)
{
    const char *first = NULL;
    int32_t number = 0;
    struct lock_entry entry;
    for (size_t i = 0; i < count; i++) {
        bool is_in_the_way = lock_name_parse(names[i], &entry) && excludes(&entry, mode) &&
                             !is_one_of(entry.guid, mine, mine_count);
        if (is_in_the_way && (!first || entry.number < number)) {
            first = names[i];
            number = entry.number;
        }
    }
    return first;
}
