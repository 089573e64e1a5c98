/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock_queue.h"
#include "fusefs/name.h"
#include "fusefs/notify.h"

/* How often entries that vanish, or a queue that does, are made again. */
enum { TRIES_MAX = 20 };

/* ---- the queue ---------------------------------------------------------------------------------------------- */

static void on_created(void *arg, const struct zkc_result *result);
static void on_queue_made(void *arg, const struct zkc_result *result);
static void on_own(void *arg, const struct zkc_result *result);
static void on_listed(void *arg, const struct zkc_result *result);
static void on_watched(void *arg, const struct zkc_result *result);

/* A process that waits for its turn sits out a lost connection; one that does not is told. */
static unsigned read_flags(const struct lock *l)
{
    return l->blocks ? ZKC_PATIENT : 0;
}

void lock_send_create(struct lock *l)
{
    struct zkc_step steps[LOCK_FORM_COUNT];
    char *paths[LOCK_FORM_COUNT];
    char identity[96];
    int count = 0;
    lock_print_identity(l, identity, sizeof(identity));
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        char prefix[LOCK_NAME_SIZE];
        if (lock_uses_form(l, l->mode, form)) {
            lock_name_prefix(form, l->mode, l->guid, prefix);
            paths[count] = name_join(l->queue, prefix);
            steps[count] = lock_create_step(paths[count], identity, ZOO_EPHEMERAL_SEQUENTIAL);
            count++;
        }
    }
    zkc_multi(l->fs->zkc, steps, count, on_created, l);
    for (int i = 0; i < count; i++) {
        free(paths[i]);
    }
}

static void note_created(struct lock *l, const struct zkc_result *result)
{
    const char *names[LOCK_FORM_COUNT] = { NULL };
    int count = 0;
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        if (lock_uses_form(l, l->mode, form)) {
            names[form] = name_base(result->results[count++].value);
        }
    }
    lock_keep_names(l, names);
    l->session_id = zkc_session_id(l->fs->zkc);
}

/* No entry of it is known. */
static enum lock_move end_locked(struct lock *l, enum lock_move move)
{
    l->phase = LOCK_LEAVING;
    return lock_plan_locked(l, move);
}

static void on_created(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    enum lock_move move = LOCK_MOVE_NONE;
    int err = 0;
    fs_lock(l->fs);
    l->calls--;
    if (result->rc == ZOK) {
        note_created(l, result);
    }
    bool is_unknown = zkc_is_unknown(result->rc);
    bool may_retry = !l->is_dir && l->tries++ < TRIES_MAX;
    if (l->leaves && (result->rc == ZOK || is_unknown)) {
        move = lock_leave_locked(l);
    } else if (l->leaves) {
        move = end_locked(l, LOCK_MOVE_FREE);
    } else if (result->rc == ZOK || result->rc == ZCONNECTIONLOSS) {
        l->phase = LOCK_LOOKING;
        move = lock_plan_locked(l, LOCK_MOVE_LOOK);
    } else if (result->rc == ZNONODE && may_retry) {
        move = lock_plan_locked(l, LOCK_MOVE_MAKE_QUEUE);
    } else {
        err = result->rc == ZNONODE ? ESTALE : errno_from_zk(result->rc);
        move = end_locked(l, is_unknown ? LOCK_MOVE_SWEEP : LOCK_MOVE_FREE);
    }
    fs_unlock(l->fs);
    lock_go_on(l, move, err);
}

void lock_send_make_queue(struct lock *l)
{
    int mode = l->fs->locks.has_no_containers ? 0 : ZOO_CONTAINER;
    zkc_create_mode(l->fs->zkc, l->queue, NULL, -1, mode, on_queue_made, l);
}

static void on_queue_made(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    enum lock_move move = LOCK_MOVE_NONE;
    int err = 0;
    fs_lock(l->fs);
    l->calls--;
    bool is_there = result->rc == ZOK || result->rc == ZNODEEXISTS || result->rc == ZCONNECTIONLOSS;
    if (l->leaves) {
        move = end_locked(l, LOCK_MOVE_FREE);
    } else if (is_there) {
        move = lock_plan_locked(l, LOCK_MOVE_CREATE);
    } else if (result->rc == ZUNIMPLEMENTED && !l->fs->locks.has_no_containers) {
        l->fs->locks.has_no_containers = true;
        move = lock_plan_locked(l, LOCK_MOVE_MAKE_QUEUE);
    } else {
        err = result->rc == ZNONODE ? ESTALE : errno_from_zk(result->rc);
        move = end_locked(l, LOCK_MOVE_FREE);
    }
    fs_unlock(l->fs);
    lock_go_on(l, move, err);
}

/* ---- its turn ------------------------------------------------------------------------------------------------ */

static char *own_path(const struct lock *l)
{
    return name_join(l->queue, l->names[LOCK_FORM_KAZOO]);
}

void lock_send_check(struct lock *l, unsigned flags)
{
    fs_lock(l->fs);
    char *path = own_path(l);
    fs_unlock(l->fs);
    zkc_get(l->fs->zkc, path, ZKC_WATCH | flags, on_own, l);
    free(path);
}

/* What other clients have changed before, under this lock or another, has been told to the kernel by now: a
 * process that gets the lock sees it. */
static void on_granted(struct fusefs *fs, uint64_t id)
{
    enum lock_move old_move = LOCK_MOVE_NONE;
    struct lock *old = NULL;
    fs_lock(fs);
    struct lock *l = lock_find_locked(fs, id);
    bool is_granted = l && l->phase == LOCK_HELD && l->ask == LOCK_ASK_LOCK && !l->leaves;
    if (is_granted) {
        old = lock_find_held_locked(fs, l->inode, l->owner, l->is_flock);
        lock_plan_locked(l, LOCK_MOVE_NONE);
        l->ask = LOCK_ASK_NOTHING;
        if (l->handle) {
            l->handle->is_locked = true;
        }
        old_move = old ? lock_leave_locked(old) : LOCK_MOVE_NONE;
    }
    fs_unlock(fs);
    if (!is_granted) {
        return;
    }
    lock_carry_out(old, old_move);
    bool is_taken = request_claim(&l->r) && fuse_reply_err(l->r.req, 0) == 0;
    fs_lock(fs);
    l->leaves = l->leaves || !is_taken;
    enum lock_move move = lock_unpin_locked(l);
    fs_unlock(fs);
    lock_carry_out(l, move);
}

/* Its turn has come. All that the last holder did is known by now, since whatever a watch has told of since was
 * read again before this answer. */
static void hold_locked(struct lock *l)
{
    l->phase = LOCK_HELD;
    if (l->handle && handle_start_over(l->handle)) {
        notify_pages_locked(l->fs, l->handle->inode);
    }
    notify_after_locked(l->fs, on_granted, l->id);
}

/* The token, and a watch: an entry that somebody else deletes is a lock that is lost. */
static void on_own(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    int err = 0;
    fs_lock(l->fs);
    bool is_ours = result->rc == ZOK && result->stat->ephemeralOwner == l->session_id;
    bool is_gone = result->rc == ZNONODE || (result->rc == ZOK && !is_ours);
    enum lock_move move = lock_unpin_locked(l);
    bool is_idle = l->calls == 0 && !l->leaves;
    if (is_idle && l->phase == LOCK_CHECKING) {
        if (is_ours) {
            l->fence = result->stat->czxid;
            hold_locked(l);
        } else if (is_gone && !l->holds_shared) {
            move = lock_start_locked(l);
        } else {
            err = is_gone ? EIO : errno_from_zk(result->rc);
            move = lock_leave_locked(l);
        }
    } else if (is_idle && l->phase == LOCK_HELD && is_gone) {
        move = l->ask == LOCK_ASK_LOCK ? lock_start_locked(l) : lock_lose_locked(l);
    }
    fs_unlock(l->fs);
    lock_go_on(l, move, err);
}

void lock_send_look(struct lock *l)
{
    zkc_children(l->fs->zkc, l->queue, read_flags(l), on_listed, l);
}

/* The GUIDs of the owner's locks of this file. */
enum { MINE_MAX = 16 };

static size_t collect_mine(const struct lock *l, const char *mine[MINE_MAX])
{
    size_t count = 0;
    list_for_each (i, &l->fs->locks.all) {
        const struct lock *other = list_entry(i, struct lock, link);
        if (other->inode == l->inode && other->owner == l->owner &&
            other->is_flock == l->is_flock && count < MINE_MAX) {
            mine[count++] = other->guid;
        }
    }
    return count;
}

static void on_extra_deleted(void *arg, const struct zkc_result *result)
{
    (void)arg;
    (void)result; /* what is left of it ends with the session */
}

/* Their paths, since the lock may be gone when they are deleted; the lock is held. */
static size_t collect_extra(const struct lock *l, const struct lock_judgement *j,
                            char *paths[LOCK_EXTRA_MAX])
{
    for (size_t i = 0; i < j->extra_count; i++) {
        paths[i] = name_join(l->queue, j->extra[i]);
    }
    return j->extra_count;
}

static void delete_extra(struct fusefs *fs, char *paths[LOCK_EXTRA_MAX], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        zkc_delete(fs->zkc, paths[i], -1, on_extra_deleted, NULL);
        free(paths[i]);
    }
}

/* Where the judgement sends it; an errno is why it ends. The lock is held. */
static enum lock_move follow_judgement(struct lock *l, const struct lock_judgement *j, int *err)
{
    switch (j->place) {
    case LOCK_FIRST:
        l->phase = LOCK_CHECKING;
        return lock_plan_locked(l, LOCK_MOVE_CHECK);
    case LOCK_BEHIND:
        if (!l->blocks) {
            *err = EWOULDBLOCK;
            return LOCK_MOVE_NONE;
        }
        free(l->watched);
        l->watched = name_join(l->queue, j->predecessor);
        l->phase = LOCK_WAITING;
        l->tries = 0;
        return lock_plan_locked(l, LOCK_MOVE_WATCH);
    case LOCK_DEADLOCK:
        *err = EDEADLK;
        return LOCK_MOVE_NONE;
    default:
        if (l->holds_shared || l->tries++ >= TRIES_MAX) {
            *err = EIO;
            return LOCK_MOVE_NONE;
        }
        return lock_start_locked(l);
    }
}

static enum lock_move judge_locked(struct lock *l, const struct zkc_result *result,
                                   struct lock_judgement *j, int *err)
{
    static const struct String_vector nothing = { 0, NULL };
    const struct String_vector *names = result->rc == ZOK ? result->names : &nothing;
    const char *mine[MINE_MAX];
    struct lock_claim claim = { l->guid, l->mode, mine, collect_mine(l, mine), l->holds_shared };
    lock_queue_judge((const char *const *)names->data, (size_t)names->count, &claim, j);
    if (lock_has_names(l) && !lock_is_of_this_session(l)) {
        j->place = LOCK_ABSENT; /* of a session that has ended */
    } else if (!lock_has_names(l) && j->place != LOCK_ABSENT) {
        /* The create did arrive. */
        lock_keep_names(l, j->names);
        l->session_id = zkc_session_id(l->fs->zkc);
    }
    return follow_judgement(l, j, err);
}

static void on_listed(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    struct fusefs *fs = l->fs;
    struct lock_judgement j = { .extra_count = 0 };
    char *extra[LOCK_EXTRA_MAX];
    int err = 0;
    fs_lock(fs);
    enum lock_move move = lock_unpin_locked(l);
    if (!l->leaves && l->phase == LOCK_LOOKING) {
        if (result->rc == ZOK || result->rc == ZNONODE) {
            move = judge_locked(l, result, &j, &err);
        } else {
            err = errno_from_zk(result->rc);
        }
    }
    size_t extra_count = collect_extra(l, &j, extra);
    if (err) {
        move = lock_leave_locked(l);
    }
    if (err == EWOULDBLOCK) {
        l->refusal = err; /* told when the entry is gone, so that it refuses nobody after that */
        err = 0;
    }
    fs_unlock(fs);
    lock_go_on(l, move, err);
    delete_extra(fs, extra, extra_count);
}

void lock_send_watch(struct lock *l)
{
    fs_lock(l->fs);
    char *path = xstrdup(l->watched);
    fs_unlock(l->fs);
    /* Not exists, which would leave a watch behind for a predecessor that has just gone. */
    zkc_get(l->fs->zkc, path, ZKC_WATCH | ZKC_PATIENT, on_watched, l);
    free(path);
}

static void on_watched(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    int err = 0;
    fs_lock(l->fs);
    enum lock_move move = lock_unpin_locked(l);
    if (l->phase == LOCK_WAITING && !l->leaves) {
        if (!lock_is_of_this_session(l)) {
            move = lock_start_locked(l);
        } else if (result->rc == ZNONODE) {
            l->phase = LOCK_LOOKING;
            move = lock_plan_locked(l, LOCK_MOVE_LOOK);
        } else {
            err = errno_from_zk(result->rc);
        }
    }
    move = err ? lock_leave_locked(l) : move;
    fs_unlock(l->fs);
    lock_go_on(l, move, err);
}
