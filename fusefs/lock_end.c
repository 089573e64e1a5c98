/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_run.h"

#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/lock_queue.h"
#include "fusefs/name.h"
static void on_deleted(void *arg, const struct zkc_result *result);
static void on_swept(void *arg, const struct zkc_result *result);

static void on_queue_deleted(void *arg, const struct zkc_result *result)
{
    (void)arg;
    (void)result; /* most likely somebody else has entries in it */
}

void lock_free(struct lock *l)
{
    struct fusefs *fs = l->fs;
    lock_answer(l, l->refusal ? l->refusal : EIO); /* nobody, but for a mount that ends */
    fs_lock(fs);
    list_remove(&l->link);
    lock_forget_entries(l);
    inode_unref(&fs->cache.table, l->inode);
    bool is_litter = !l->is_dir && fs->locks.has_no_containers;
    fs_unlock(fs);
    if (is_litter) {
        zkc_delete(fs->zkc, l->queue, -1, on_queue_deleted, NULL);
    }
    free(l->queue);
    free(l);
}

void lock_send_delete(struct lock *l)
{
    struct zkc_step steps[LOCK_FORM_COUNT];
    char *paths[LOCK_FORM_COUNT];
    int count = 0;
    fs_lock(l->fs);
    for (int i = 0; i < LOCK_FORM_COUNT; i++) {
        if (l->names[i]) {
            paths[count] = name_join(l->queue, l->names[i]);
            steps[count] = lock_delete_step(paths[count]);
            count++;
        }
    }
    fs_unlock(l->fs);
    zkc_multi(l->fs->zkc, steps, count, on_deleted, l);
    for (int i = 0; i < count; i++) {
        free(paths[i]);
    }
}

/* Whoever unlocks or was refused is told at the first answer; if that was no success the rest is not his to wait for. */
static void on_deleted(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    lock_answer(l, l->refusal);
    fs_lock(l->fs);
    l->calls--;
    bool is_open = result->rc == ZNONODE || result->rc == ZKC_OFFLINE || zkc_is_unknown(result->rc);
    if (result->rc != ZOK && !is_open && result->rc != ZCLOSING) {
        log_warn("lock", "cannot delete the entries, which end with the session queue=%s: %s",
                 l->queue, zerror(result->rc));
    }
    enum lock_move move = lock_plan_locked(l, is_open ? LOCK_MOVE_SWEEP : LOCK_MOVE_FREE);
    fs_unlock(l->fs);
    lock_carry_out(l, move);
}

void lock_send_sweep(struct lock *l)
{
    zkc_children(l->fs->zkc, l->queue, ZKC_PATIENT, on_swept, l);
}

static void on_swept(void *arg, const struct zkc_result *result)
{
    struct lock *l = arg;
    enum lock_move move = LOCK_MOVE_FREE;
    fs_lock(l->fs);
    l->calls--;
    if (result->rc == ZOK) {
        struct lock_claim claim = { l->guid, l->mode, NULL, 0, false };
        struct lock_judgement j;
        lock_queue_judge((const char *const *)result->names->data, (size_t)result->names->count,
                         &claim, &j);
        lock_keep_names(l, j.names);
        bool is_over = l->session_id && !lock_is_of_this_session(l);
        move = j.place == LOCK_ABSENT || is_over ? LOCK_MOVE_FREE : LOCK_MOVE_DELETE;
    }
    lock_plan_locked(l, move);
    fs_unlock(l->fs);
    lock_carry_out(l, move);
}
