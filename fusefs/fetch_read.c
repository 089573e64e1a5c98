/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/fetch_read.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/fs.h"
#include "fusefs/perms.h"
#include "fusefs/refetch.h"

static void on_value(void *arg, const struct zkc_result *result);
static void on_stat(void *arg, const struct zkc_result *result);
static void on_kids(void *arg, const struct zkc_result *result);
static void on_perms(void *arg, const struct zkc_result *result);

struct fetch_batch *fetch_batch_new(struct fusefs *fs, fetch_done_fn done, void *arg)
{
    struct fetch_batch *b = xcalloc(1, sizeof(*b));
    b->fs = fs;
    b->pending = 1;
    b->done = done;
    b->arg = arg;
    return b;
}

void fetch_batch_leave(struct fetch_batch *b)
{
    if (!b || __atomic_sub_fetch(&b->pending, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    if (b->arming) {
        fetch_finish_arming(b);
    }
    if (b->done) {
        b->done(b->arg, b->rc);
    }
    free(b);
}

struct fetch_read *fetch_read_new(struct fusefs *fs, struct inode *inode, struct fetch_batch *batch)
{
    struct fetch_read *r = xcalloc(1, sizeof(*r));
    r->fs = fs;
    r->inode = inode_ref(inode);
    r->path = xstrdup(inode->path);
    r->batch = batch;
    if (batch) {
        __atomic_add_fetch(&batch->pending, 1, __ATOMIC_RELAXED);
    }
    return r;
}

static void read_end(struct fetch_read *r)
{
    struct fetch_batch *batch = r->batch;
    fs_lock(r->fs);
    inode_unref(&r->fs->cache.table, r->inode);
    fs_unlock(r->fs);
    free(r->path);
    free(r);
    fetch_batch_leave(batch);
}

static unsigned read_flags(const struct fetch_read *r)
{
    return ZKC_WATCH | (r->batch ? 0 : ZKC_PATIENT);
}

void fetch_send_value(struct fetch_read *r)
{
    zkc_get(r->fs->zkc, r->path, read_flags(r), on_value, r);
}

void fetch_send_stat(struct fetch_read *r)
{
    zkc_exists(r->fs->zkc, r->path, read_flags(r), on_stat, r);
}

void fetch_send_kids(struct fetch_read *r)
{
    zkc_children(r->fs->zkc, r->path, read_flags(r), on_kids, r);
}

void fetch_send_kids_later(struct fetch_read *r, int delay_ms)
{
    zkc_children_later(r->fs->zkc, r->path, read_flags(r), delay_ms, on_kids, r);
}

void fetch_send_perms(struct fetch_read *r)
{
    zkc_get_acl(r->fs->zkc, r->path, on_perms, r);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* Takes an answer's outcome into the batch. Returns the inode that the answer is about, if it says that
 * there is a znode; the lock is held. A local rename may have moved r->inode away from the path. */
static struct inode *note_rc(struct fetch_read *r, int rc)
{
    /* A directory is not armed if any of its children could not be looked at. */
    bool is_answer = rc == ZOK || rc == ZNONODE || rc == ZNOAUTH;
    bool counts = r->batch && (r->decides || (r->batch->arming && !is_answer));
    if (counts && rc != ZOK) {
        r->batch->rc = rc;
    }
    struct inode *inode = inode_find_path(&r->fs->cache.table, r->path);
    if (inode && !inode_is_znode(inode)) {
        return NULL; /* a scratch file has taken the name */
    }
    if (inode && rc == ZNONODE) {
        cache_learn_gone(&r->fs->cache, inode);
    } else if (inode && rc == ZNOAUTH) {
        cache_learn_unreadable(&r->fs->cache, inode);
    }
    return rc == ZOK ? inode : NULL;
}

/* What is still missing of a node whose stat is known; the lock is held. */
struct follow_up {
    struct fetch_read *value;
    struct fetch_read *kids;
};

static struct follow_up plan_follow_up(struct fetch_read *r, struct inode *live)
{
    struct follow_up next = { NULL, NULL };
    if (r->is_alone || !inode_is_needed(live)) {
        return next;
    }
    if (live->kind == INODE_UNKNOWN) {
        next.value = fetch_read_new(r->fs, live, r->batch);
        next.value->is_alone = true;
    }
    if (live->kind != INODE_DIR && !live->kids_watched) {
        next.kids = fetch_read_new(r->fs, live, r->batch);
        next.kids->is_alone = true;
    }
    return next;
}

static void send_follow_up(struct follow_up next)
{
    if (next.kids) {
        fetch_send_kids(next.kids);
    }
    if (next.value) {
        fetch_send_value(next.value);
    }
}

static void on_value(void *arg, const struct zkc_result *result)
{
    struct fetch_read *r = arg;
    struct fetch_read *stat = NULL;
    struct follow_up next = { NULL, NULL };
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode) {
        int len = result->value ? result->value_len : -1;
        inode = cache_learn_value(&r->fs->cache, inode, result->stat, result->value, len,
                                  clock_now_ms());
        inode->data_watched = true;
        next = plan_follow_up(r, inode);
    } else if (result->rc == ZNOAUTH && !r->inode->stat_known && !r->inode->dead) {
        stat = fetch_read_new(r->fs, r->inode, r->batch);
        stat->is_alone = true;
        stat->is_unreadable = true;
    } else if (result->rc == ZNONODE && !r->inode->parent) {
        /* The mount's root has been deleted: this read, of nothing, leaves a watch for its return. */
        stat = fetch_read_new(r->fs, r->inode, NULL);
        stat->is_alone = true;
    }
    fs_unlock(r->fs);
    if (stat) {
        fetch_send_stat(stat);
    }
    send_follow_up(next);
    refetch_pump(r->fs);
    read_end(r);
}

static void on_stat(void *arg, const struct zkc_result *result)
{
    struct fetch_read *r = arg;
    struct follow_up next = { NULL, NULL };
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode) {
        inode = cache_learn_stat(&r->fs->cache, inode, result->stat, clock_now_ms());
        if (r->is_unreadable) {
            inode = cache_learn_unreadable(&r->fs->cache, inode);
        }
        inode->data_watched = true;
        next = plan_follow_up(r, inode);
    }
    fs_unlock(r->fs);
    send_follow_up(next);
    refetch_pump(r->fs);
    read_end(r);
}

static void on_kids(void *arg, const struct zkc_result *result)
{
    struct fetch_read *r = arg;
    struct fetch_read **children = NULL;
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode) {
        inode = cache_learn_kids(&r->fs->cache, inode, result->stat,
                                 (const char *const *)result->names->data,
                                 (size_t)result->names->count, clock_now_ms());
        inode->kids_watched = true;
        inode->listed_ms = clock_now_ms();
        if (r->arms && inode == r->inode && inode->listing) {
            children = fetch_plan_children(r->fs, inode, r->batch);
        }
    }
    fs_unlock(r->fs);
    for (size_t i = 0; children && children[i]; i++) {
        fetch_send_stat(children[i]);
    }
    free(children);
    refetch_pump(r->fs);
    read_end(r);
}

static void on_perms(void *arg, const struct zkc_result *result)
{
    struct fetch_read *r = arg;
    const struct fusefs_options *o = &r->fs->options;
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode && result->acl && result->stat) {
        cache_learn_perms(&r->fs->cache, inode, perms_granted(result->acl, o->auths, o->auth_count),
                          result->stat->aversion);
    } else if (result->rc == ZNOAUTH && !r->inode->dead && inode_is_znode(r->inode)) {
        /* Who may not read may not see the ACL either; what else is granted cannot be told. */
        cache_learn_perms(&r->fs->cache, r->inode, PERMS_ALL & ~(unsigned)ZOO_PERM_READ,
                          r->inode->stat.aversion);
    }
    fs_unlock(r->fs);
    read_end(r);
}
