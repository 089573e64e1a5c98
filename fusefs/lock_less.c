/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/lock_queue.h"
#include "fusefs/name.h"

/* How often it is tried when the connection breaks. */
enum { TRIES_MAX = 20 };

static void on_less(void *arg, const struct zkc_result *result);
static void on_less_checked(void *arg, const struct zkc_result *result);

/* Names of the shared entries, with the numbers that the exclusive ones have: so it keeps its place in front
 * of all who wait, and can be granted at once. */
static void name_shared(const struct lock *l, char names[LOCK_FORM_COUNT][LOCK_NAME_SIZE])
{
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        struct lock_entry entry;
        names[form][0] = '\0';
        if (lock_uses_form(l, LOCK_SHARED, form) && l->names[form] &&
            lock_name_parse(l->names[form], &entry)) {
            entry.mode = LOCK_SHARED;
            lock_name_print(&entry, names[form]);
        }
    }
}

void lock_send_less(struct lock *l)
{
    char shared[LOCK_FORM_COUNT][LOCK_NAME_SIZE];
    struct zkc_step steps[2 * LOCK_FORM_COUNT];
    char *paths[2 * LOCK_FORM_COUNT];
    char identity[96];
    int count = 0;
    lock_print_identity(l, identity, sizeof(identity));
    fs_lock(l->fs);
    name_shared(l, shared);
    for (int i = 0; i < LOCK_FORM_COUNT; i++) {
        if (l->names[i]) {
            paths[count] = name_join(l->queue, l->names[i]);
            steps[count] = lock_delete_step(paths[count]);
            count++;
        }
        if (shared[i][0]) {
            paths[count] = name_join(l->queue, shared[i]);
            steps[count] = lock_create_step(paths[count], identity, ZOO_EPHEMERAL);
            count++;
        }
    }
    fs_unlock(l->fs);
    zkc_multi(l->fs->zkc, steps, count, on_less, l);
    for (int i = 0; i < count; i++) {
        free(paths[i]);
    }
}

/* The token stays: that of whoever waits already is greater than it, and less than a new entry's. */
static void become_shared(struct lock *l)
{
    char shared[LOCK_FORM_COUNT][LOCK_NAME_SIZE];
    const char *names[LOCK_FORM_COUNT];
    name_shared(l, shared);
    for (int i = 0; i < LOCK_FORM_COUNT; i++) {
        names[i] = shared[i][0] ? shared[i] : NULL;
    }
    lock_keep_names(l, names);
    l->mode = LOCK_SHARED;
}

/* Ends a LESS: 0, an errno, or -1 if the entries are gone. */
static void less_end(struct lock *l, int err)
{
    enum lock_move move = LOCK_MOVE_NONE;
    fs_lock(l->fs);
    if (err == 0) {
        become_shared(l);
        move = lock_plan_locked(l, LOCK_MOVE_CHECK);
    } else if (err < 0) {
        lock_lose_locked(l); /* it leaves when this call has ended */
    }
    fs_unlock(l->fs);
    lock_go_on(l, move, err < 0 ? EIO : err);
    if (err == 0) {
        lock_answer(l, 0);
    }
    fs_lock(l->fs);
    move = lock_unpin_locked(l);
    fs_unlock(l->fs);
    lock_carry_out(l, move);
}

static void on_less(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    if (zkc_is_unknown(result->rc)) {
        lock_carry_out(l, LOCK_MOVE_LESS_CHECK);
    } else {
        less_end(l, result->rc == ZNONODE ? -1 : errno_from_zk(result->rc));
    }
}

static void on_less_checked(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    struct lock_judgement j = { .place = LOCK_ABSENT };
    fs_lock(l->fs);
    if (result->rc == ZOK) {
        struct lock_claim claim = { l->guid, LOCK_SHARED, NULL, 0, false };
        lock_queue_judge((const char *const *)result->names->data, (size_t)result->names->count,
                         &claim, &j);
    }
    bool is_lost = !lock_is_of_this_session(l);
    bool may_retry = result->rc == ZOK && !is_lost && !l->leaves && l->tries++ < TRIES_MAX;
    fs_unlock(l->fs);
    if (!is_lost && j.place == LOCK_ABSENT && may_retry) {
        lock_carry_out(l, LOCK_MOVE_LESS);
    } else {
        less_end(l, is_lost ? -1 : j.place != LOCK_ABSENT ? 0 : EIO);
    }
}

void lock_send_less_check(struct lock *l)
{
    zkc_children(l->fs->zkc, l->queue, ZKC_PATIENT, on_less_checked, l);
}
