/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/commit.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock_run.h"

void lock_table_init(struct lock_table *t)
{
    list_init(&t->all);
}

struct lock *lock_find_locked(struct fusefs *fs, uint64_t id)
{
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        if (l->id == id) {
            return l;
        }
    }
    return NULL;
}

bool lock_is_granted(const struct lock *l)
{
    return l->phase == LOCK_HELD && l->ask != LOCK_ASK_LOCK && !l->leaves;
}

struct lock *lock_find_held_locked(struct fusefs *fs, const struct inode *inode, uint64_t owner,
                                   bool is_flock)
{
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        if (lock_is_granted(l) && l->inode == inode && l->owner == owner &&
            l->is_flock == is_flock) {
            return l;
        }
    }
    return NULL;
}

struct lock *lock_find_wished(struct fusefs *fs, const struct lock_wish *wish)
{
    return lock_find_held_locked(fs, wish->handle->node, wish->owner, wish->is_flock);
}

/* ---- acquire --------------------------------------------------------------------------------------------------- */

/* The process has been told EINTR, or is dead. */
static void on_interrupted(struct fusefs *fs, uint64_t id)
{
    fs_lock(fs);
    struct lock *l = lock_find_locked(fs, id);
    enum lock_move move = l ? lock_leave_locked(l) : LOCK_MOVE_NONE;
    fs_unlock(fs);
    lock_carry_out(l, move);
}

static struct lock *lock_new_locked(struct fusefs *fs, const struct lock_wish *wish)
{
    struct lock *l = xcalloc(1, sizeof(*l));
    struct inode *inode = wish->handle->node;
    l->id = ++fs->locks.last_id;
    l->fs = fs;
    l->inode = inode_ref(inode);
    l->handle = wish->handle;
    l->owner = wish->owner;
    l->is_flock = wish->is_flock;
    l->blocks = wish->blocks;
    l->pid = wish->pid;
    l->mode = wish->mode;
    l->is_dir = inode->kind == INODE_DIR;
    l->queue = l->is_dir ? xstrdup(inode->path) : lock_name_queue(inode->path);
    list_push_back(&fs->locks.all, &l->link);
    return l;
}

static void start(struct fusefs *fs, fuse_req_t req, struct lock *l)
{
    l->r.on_interrupted = on_interrupted;
    l->r.id = l->id;
    bool is_asked = request_begin(&l->r, fs, req);
    fs_lock(fs);
    l->ask = is_asked ? LOCK_ASK_LOCK : LOCK_ASK_NOTHING;
    enum lock_move move = LOCK_MOVE_FREE;
    if (is_asked && !l->leaves) {
        l->calls--; /* nobody could free it until now */
        move = lock_start_locked(l);
    } else {
        l->phase = LOCK_LEAVING;
    }
    fs_unlock(fs);
    lock_carry_out(l, move);
}

/* Gives its place in the queue to a shared lock. */
static void start_less(struct fusefs *fs, fuse_req_t req, struct lock *l)
{
    l->r.on_interrupted = NULL;
    bool is_asked = request_begin(&l->r, fs, req);
    fs_lock(fs);
    l->ask = is_asked ? LOCK_ASK_LESS : LOCK_ASK_NOTHING;
    enum lock_move move = is_asked ? LOCK_MOVE_LESS : lock_unpin_locked(l);
    fs_unlock(fs);
    lock_carry_out(l, move);
}

void lock_acquire(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish)
{
    struct lock *l = NULL;
    struct lock *given_up = NULL;
    enum lock_move move = LOCK_MOVE_NONE;
    int err = 0;
    fs_lock(fs);
    struct lock *held = lock_find_wished(fs, wish);
    bool has_it = held && held->mode == wish->mode;
    bool is_less = held && held->mode == LOCK_EXCLUSIVE && !has_it;
    if (is_less && held->ask != LOCK_ASK_NOTHING) {
        err = EAGAIN; /* another thread is just doing that, or unlocking it */
    } else if (is_less) {
        lock_plan_locked(held, LOCK_MOVE_NONE);
    } else if (!has_it) {
        l = lock_new_locked(fs, wish);
        lock_plan_locked(l, LOCK_MOVE_NONE);
        if (held && wish->is_flock) {
            /* flock(2): the shared lock is given up first, so two who do this do not wait for each other. */
            given_up = held;
            move = lock_leave_locked(held);
        } else if (held) {
            l->holds_shared = true;
            memcpy(l->guid, held->guid, sizeof(l->guid));
        }
    }
    fs_unlock(fs);
    if (err || has_it) {
        fuse_reply_err(req, err);
    } else if (is_less) {
        start_less(fs, req, held);
    } else {
        lock_carry_out(given_up, move);
        start(fs, req, l);
    }
}

/* ---- release ----------------------------------------------------------------------------------------------------- */

/* Without success the lock ends too, but whoever ends it is told that what he wrote is not there. */
static void on_unlock_committed(void *arg, int rc)
{
    struct lock *l = arg; /* it was planned */
    if (rc != ZOK) {
        lock_answer(l, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
    }
    fs_lock(l->fs);
    enum lock_move move = lock_unpin_locked(l);
    fs_unlock(l->fs);
    lock_carry_out(l, move);
}

void lock_release(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish)
{
    fs_lock(fs);
    struct lock *l = lock_find_wished(fs, wish);
    bool is_ours = l && l->ask == LOCK_ASK_NOTHING;
    if (is_ours) {
        lock_plan_locked(l, LOCK_MOVE_NONE);
    }
    fs_unlock(fs);
    if (!is_ours) {
        fuse_reply_err(req, 0);
        return;
    }
    l->r.on_interrupted = NULL;
    bool is_asked = request_begin(&l->r, fs, req);
    fs_lock(fs);
    l->ask = is_asked ? LOCK_ASK_UNLOCK : LOCK_ASK_NOTHING;
    l->leaves = true;
    fs_unlock(fs);
    commit_before(fs, wish->handle, on_unlock_committed, l);
}

bool lock_is_held(struct fusefs *fs, const struct lock_wish *wish)
{
    fs_lock(fs);
    bool is_held = lock_find_wished(fs, wish) != NULL;
    fs_unlock(fs);
    return is_held;
}

void lock_drop_owner(struct fusefs *fs, const struct handle *h, uint64_t owner)
{
    struct lock_plan plan = { 0 };
    fs_lock(fs);
    struct lock *l = lock_find_held_locked(fs, h->node, owner, false);
    if (l) {
        lock_plan_add(&plan, l, lock_leave_locked(l));
    }
    fs_unlock(fs);
    lock_plan_carry_out(&plan);
}

void lock_drop_handle(struct fusefs *fs, const struct handle *h)
{
    struct lock_plan plan = { 0 };
    fs_lock(fs);
    list_for_each (i, &fs->locks.all) {
        struct lock *l = list_entry(i, struct lock, link);
        if (l->handle == h) {
            lock_plan_add(&plan, l, lock_leave_locked(l));
            l->handle = NULL;
        }
    }
    fs_unlock(fs);
    lock_plan_carry_out(&plan);
}
