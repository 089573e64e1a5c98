/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock_run.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"

static bool is_own_entry(const struct lock *l, const char *path)
{
    size_t len = strlen(l->queue);
    const char *name = l->names[LOCK_FORM_KAZOO];
    return name && strcmp(name_base(path), name) == 0 && strncmp(path, l->queue, len) == 0;
}

void lock_on_watch(struct fusefs *fs, const char *path)
{
    struct lock_entry entry;
    struct lock_plan plan = { 0 };
    if (!lock_name_parse(name_base(path), &entry)) {
        return;
    }
    fs_lock(fs);
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        if (l->calls > 0 || l->leaves) {
            continue;
        }
        if (l->phase == LOCK_WAITING && l->watched && strcmp(l->watched, path) == 0) {
            l->phase = LOCK_LOOKING;
            lock_plan_add(&plan, l, lock_plan_locked(l, LOCK_MOVE_LOOK));
        } else if (l->phase == LOCK_HELD && is_own_entry(l, path)) {
            lock_plan_add(&plan, l, lock_plan_locked(l, LOCK_MOVE_CHECK));
        }
    }
    fs_unlock(fs);
    lock_plan_carry_out(&plan);
}

/* The session of its entries has ended. Who waits, waits for the next one, and there at the end of the
 * line; what is under way finds out by itself. */
static enum lock_move end_of_session(struct lock *l, bool has_next)
{
    if (l->phase == LOCK_HELD && l->ask != LOCK_ASK_LOCK) {
        return lock_lose_locked(l);
    }
    if (l->phase == LOCK_HELD) {
        l->phase = LOCK_WAITING; /* it was about to be told */
    }
    bool is_idle = l->calls == 0 && !l->leaves && l->phase == LOCK_WAITING;
    return is_idle && has_next ? lock_start_locked(l) : LOCK_MOVE_NONE;
}

/* There are no watches any more, but the session is the same. */
static enum lock_move watch_again(struct lock *l)
{
    if (l->calls > 0 || l->leaves) {
        return LOCK_MOVE_NONE;
    }
    if (l->phase == LOCK_HELD) {
        return lock_plan_locked(l, LOCK_MOVE_CHECK);
    }
    if (l->phase == LOCK_WAITING) {
        l->phase = LOCK_LOOKING;
        return lock_plan_locked(l, LOCK_MOVE_LOOK);
    }
    return LOCK_MOVE_NONE;
}

/* Until it is known whether the session lives, nobody is to believe that he holds a lock. */
static void set_doubtful_locked(struct lock *l, bool is_doubtful)
{
    if (lock_is_granted(l) && l->handle && l->handle->is_lock_doubtful != is_doubtful) {
        l->handle->is_lock_doubtful = is_doubtful;
        notify_on_change(l->fs, CHANGE_ATTR, l->handle->inode);
    }
}

void lock_on_state(struct fusefs *fs, enum zkc_event event)
{
    struct lock_plan plan = { 0 };
    int64_t session_id = zkc_session_id(fs->zkc);
    bool is_new = event == ZKC_NEW_SESSION;
    fs_lock(fs);
    bool is_connected = zkc_is_connected(fs->zkc);
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        set_doubtful_locked(l, !is_connected && (event == ZKC_DOUBTFUL ||
                                                 (l->handle && l->handle->is_lock_doubtful)));
        if (event == ZKC_EXPIRED || (is_new && l->session_id && l->session_id != session_id)) {
            lock_plan_add(&plan, l, end_of_session(l, is_new));
        } else if (is_new) {
            lock_plan_add(&plan, l, watch_again(l));
        }
    }
    fs_unlock(fs);
    lock_plan_carry_out(&plan);
}

size_t lock_watch_bytes_locked(const struct fusefs *fs)
{
    size_t bytes = 0;
    list_for_each (i, &fs->locks.all) {
        const struct lock *l = list_entry(i, struct lock, link);
        bytes += strlen(l->queue) + LOCK_NAME_SIZE + (l->watched ? strlen(l->watched) + 4 : 0);
    }
    return bytes;
}

void lock_stop(struct fusefs *fs)
{
    struct lock_plan plan = { 0 };
    fs_lock(fs);
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        lock_plan_add(&plan, l, lock_leave_locked(l));
    }
    fs_unlock(fs);
    lock_plan_carry_out(&plan);
}
