/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/notify.h"

/* ---- its state, with the lock held ------------------------------------------------------------------------ */

enum lock_move lock_plan_locked(struct lock *l, enum lock_move move)
{
    l->calls++;
    return move;
}

void lock_forget_entries(struct lock *l)
{
    for (int i = 0; i < LOCK_FORM_COUNT; i++) {
        free(l->names[i]);
        l->names[i] = NULL;
    }
    free(l->watched);
    l->watched = NULL;
    l->fence = 0;
    l->session_id = 0;
}

bool lock_has_names(const struct lock *l)
{
    return l->names[LOCK_FORM_KAZOO] || l->names[LOCK_FORM_MUTEX] || l->names[LOCK_FORM_READ_WRITE];
}

void lock_keep_names(struct lock *l, const char *const names[LOCK_FORM_COUNT])
{
    for (int i = 0; i < LOCK_FORM_COUNT; i++) {
        free(l->names[i]);
        l->names[i] = names[i] ? xstrdup(names[i]) : NULL;
    }
}

/* The shared lock that it is to replace goes by the same GUID, by which others can tell a deadlock. */
enum lock_move lock_start_locked(struct lock *l)
{
    if (!l->holds_shared) {
        uint8_t random[16];
        if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
            zk_assert(false); /* it is only interrupted beyond 256 bytes */
        }
        lock_name_guid(random, l->guid);
    }
    lock_forget_entries(l);
    l->phase = LOCK_CREATING;
    return lock_plan_locked(l, LOCK_MOVE_CREATE);
}

/* Whether its owner holds it, or another lock through the same handle. */
static void unmark_handle(struct lock *l)
{
    if (!l->handle) {
        return;
    }
    bool is_locked = false;
    list_for_each (i, &l->fs->locks.all) {
        const struct lock *other = list_entry(i, struct lock, link);
        is_locked = is_locked || (other != l && other->handle == l->handle &&
                                  other->phase == LOCK_HELD && other->ask != LOCK_ASK_LOCK);
    }
    l->handle->is_locked = is_locked;
    l->handle->is_lock_doubtful = is_locked && l->handle->is_lock_doubtful;
}

enum lock_move lock_leave_locked(struct lock *l)
{
    if (l->phase == LOCK_LEAVING) {
        return LOCK_MOVE_NONE;
    }
    unmark_handle(l);
    if (l->calls > 0) {
        l->leaves = true;
        return LOCK_MOVE_NONE;
    }
    l->leaves = false;
    l->phase = LOCK_LEAVING;
    return lock_plan_locked(l, lock_has_names(l) ? LOCK_MOVE_DELETE : LOCK_MOVE_SWEEP);
}

enum lock_move lock_unpin_locked(struct lock *l)
{
    l->calls--;
    return l->leaves && l->calls == 0 ? lock_leave_locked(l) : LOCK_MOVE_NONE;
}

enum lock_move lock_lose_locked(struct lock *l)
{
    if (l->handle && !l->leaves) {
        log_warn("lock", "lost queue=%s pid=%d", l->queue, (int)l->pid);
        l->handle->is_lock_lost = true;
        notify_on_change(l->fs, CHANGE_ATTR, l->handle->inode);
    }
    return lock_leave_locked(l);
}

bool lock_is_of_this_session(const struct lock *l)
{
    return l->session_id == zkc_session_id(l->fs->zkc);
}

void lock_print_identity(const struct lock *l, char *out, size_t size)
{
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    snprintf(out, size, "%s:%d", host, (int)l->pid);
}

struct zkc_step lock_create_step(const char *path, const char *identity, int mode)
{
    return (struct zkc_step){
        .type = ZKC_STEP_CREATE,
        .path = path,
        .data = identity,
        .len = (int)strlen(identity),
        .version = -1,
        .mode = mode,
    };
}

struct zkc_step lock_delete_step(const char *path)
{
    return (struct zkc_step){ .type = ZKC_STEP_DELETE, .path = path, .len = -1, .version = -1 };
}

bool lock_uses_form(const struct lock *l, enum lock_mode mode, enum lock_form form)
{
    return lock_name_has_form(mode, form) && (l->is_dir || form == LOCK_FORM_KAZOO);
}

/* ---- answering --------------------------------------------------------------------------------------------- */

void lock_answer(struct lock *l, int err)
{
    fs_lock(l->fs);
    enum lock_ask ask = l->ask;
    l->ask = LOCK_ASK_NOTHING;
    fs_unlock(l->fs);
    if (ask != LOCK_ASK_NOTHING) {
        request_reply_err(&l->r, err);
    }
}

void lock_go_on(struct lock *l, enum lock_move move, int err)
{
    if (err) {
        lock_answer(l, err);
    }
    lock_carry_out(l, move);
}

void lock_carry_out(struct lock *l, enum lock_move move)
{
    switch (move) {
    case LOCK_MOVE_NONE:
        break;
    case LOCK_MOVE_CREATE:
        lock_send_create(l);
        break;
    case LOCK_MOVE_MAKE_QUEUE:
        lock_send_make_queue(l);
        break;
    case LOCK_MOVE_LOOK:
        lock_send_look(l);
        break;
    case LOCK_MOVE_WATCH:
        lock_send_watch(l);
        break;
    case LOCK_MOVE_CHECK:
        lock_send_check(l, ZKC_PATIENT);
        break;
    case LOCK_MOVE_LESS:
        lock_send_less(l);
        break;
    case LOCK_MOVE_LESS_CHECK:
        lock_send_less_check(l);
        break;
    case LOCK_MOVE_DELETE:
        lock_send_delete(l);
        break;
    case LOCK_MOVE_SWEEP:
        lock_send_sweep(l);
        break;
    case LOCK_MOVE_FREE:
        lock_free(l);
        break;
    }
}

void lock_plan_add(struct lock_plan *p, struct lock *l, enum lock_move move)
{
    if (move == LOCK_MOVE_NONE) {
        return;
    }
    if (p->count == p->cap) {
        p->cap = 2 * p->cap + 8;
        p->moves = xrealloc(p->moves, p->cap * sizeof(*p->moves));
    }
    p->moves[p->count].lock = l;
    p->moves[p->count++].move = move;
}

void lock_plan_carry_out(struct lock_plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        lock_carry_out(p->moves[i].lock, p->moves[i].move);
    }
    free(p->moves);
}
