/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/fetch.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "fusefs/fetch_read.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"

struct fetch_waiter {
    struct list link; /* in inode->arm_waiters */
    fetch_done_fn done;
    void *arg;
};

void fetch_node(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    struct fetch_batch *b = fetch_batch_new(fs, done, arg);
    fs_lock(fs);
    struct fetch_read *kids = fetch_read_new(fs, inode, b);
    struct fetch_read *value = fetch_read_new(fs, inode, b);
    kids->is_alone = true;
    value->is_alone = true;
    value->decides = true;
    struct fetch_read *perms = inode->perms_known ? NULL : fetch_read_new(fs, inode, b);
    fs_unlock(fs);
    fetch_send_kids(kids);
    fetch_send_value(value);
    if (perms) {
        fetch_send_perms(perms); /* last: it is of no use before the stat is known */
    }
    fetch_batch_leave(b);
}

/* One read of the node, whose result is that of the whole. */
static void fetch_one(struct fusefs *fs, struct inode *inode, void (*send)(struct fetch_read *r),
                      fetch_done_fn done, void *arg)
{
    struct fetch_batch *b = fetch_batch_new(fs, done, arg);
    fs_lock(fs);
    struct fetch_read *read = fetch_read_new(fs, inode, b);
    read->decides = true;
    fs_unlock(fs);
    send(read);
    fetch_batch_leave(b);
}

void fetch_value(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    fetch_one(fs, inode, fetch_send_value, done, arg);
}

void fetch_perms(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    fetch_one(fs, inode, fetch_send_perms, done, arg);
}

/* ---- arming ------------------------------------------------------------------------------------------- */

struct fetch_read **fetch_plan_children(struct fusefs *fs, struct inode *dir,
                                        struct fetch_batch *batch)
{
    const struct listing *names = dir->listing;
    dir->partial = names->count > (size_t)fs->options.child_watches;
    if (dir->partial) {
        stats_add(&fs->stats.partial_dirs);
        return NULL;
    }
    struct fetch_read **reads = xcalloc(names->count + 1, sizeof(struct fetch_read *));
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct inode *child = inode_find_child(&fs->cache.table, dir, names->names[i]);
        if (!child) {
            char *path = name_join(dir->path, names->names[i]);
            child = inode_add(&fs->cache.table, dir, path, INODE_UNKNOWN);
            free(path);
        }
        if (inode_is_znode(child) && (!child->stat_known || !child->data_watched)) {
            reads[count++] = fetch_read_new(fs, child, batch);
        }
    }
    return reads;
}

void fetch_finish_arming(struct fetch_batch *b)
{
    struct fusefs *fs = b->fs;
    struct inode *dir = b->arming;
    struct list waiters;
    list_init(&waiters);
    fs_lock(fs);
    dir->arming = false;
    dir->armed = b->rc == ZOK && !dir->dead;
    for (struct list *l = list_pop_front(&dir->arm_waiters); l;
         l = list_pop_front(&dir->arm_waiters)) {
        list_push_back(&waiters, l);
    }
    inode_unref(&fs->cache.table, dir);
    fs_unlock(fs);
    for (struct list *l = list_pop_front(&waiters); l; l = list_pop_front(&waiters)) {
        struct fetch_waiter *w = list_entry(l, struct fetch_waiter, link);
        w->done(w->arg, b->rc);
        free(w);
    }
}

void fetch_arm(struct fusefs *fs, struct inode *dir, fetch_done_fn done, void *arg)
{
    struct fetch_batch *b = NULL;
    struct fetch_read *kids = NULL;
    struct fetch_read *value = NULL;
    fs_lock(fs);
    bool is_armed = dir->armed;
    if (!is_armed && done) {
        struct fetch_waiter *w = xcalloc(1, sizeof(*w));
        w->done = done;
        w->arg = arg;
        list_push_back(&dir->arm_waiters, &w->link);
    }
    if (!is_armed && !dir->arming) {
        dir->arming = true;
        b = fetch_batch_new(fs, NULL, NULL);
        b->arming = inode_ref(dir);
        kids = fetch_read_new(fs, dir, b);
        kids->arms = true;
        kids->decides = true;
        if (!dir->data_watched) {
            value = fetch_read_new(fs, dir, b);
            value->is_alone = true;
        }
    }
    fs_unlock(fs);
    if (is_armed && done) {
        done(arg, ZOK);
    }
    if (b) {
        if (value) {
            fetch_send_value(value);
        }
        fetch_send_kids(kids);
        fetch_batch_leave(b);
    }
}

void fetch_inodes(struct fusefs *fs, struct inode *const *inodes, size_t count, fetch_done_fn done,
                  void *arg)
{
    struct fetch_batch *b = fetch_batch_new(fs, done, arg);
    struct fetch_read **stats = xcalloc(count + 1, sizeof(struct fetch_read *));
    struct fetch_read **perms = xcalloc(count + 1, sizeof(struct fetch_read *));
    fs_lock(fs);
    for (size_t i = 0; i < count; i++) {
        if (!inodes[i]->stat_known || inodes[i]->kind == INODE_UNKNOWN) {
            stats[i] = fetch_read_new(fs, inodes[i], b);
        }
        if (!inodes[i]->perms_known) {
            perms[i] = fetch_read_new(fs, inodes[i], b);
        }
    }
    fs_unlock(fs);
    for (size_t i = 0; i < count; i++) {
        if (stats[i]) {
            fetch_send_stat(stats[i]);
        }
        if (perms[i]) {
            fetch_send_perms(perms[i]);
        }
    }
    free(stats);
    free(perms);
    fetch_batch_leave(b);
}
