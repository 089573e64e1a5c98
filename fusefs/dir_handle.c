/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/dir_handle.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "fusefs/away.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/scratch.h"

enum {
    BURST_NAMES = 512,
    AHEAD_NAMES = 1024, /* from the buffer to be filled to the end of the last burst */
    HELD_NAMES = AHEAD_NAMES + BURST_NAMES,
};

struct burst {
    struct fusefs *fs;
    struct dir_handle *d; /* referenced */
    size_t end;           /* index behind its last name */
    unsigned round;
    struct inode *inodes[BURST_NAMES]; /* held by d */
    size_t count;
};

static struct listing *names_now(struct fusefs *fs, struct inode *dir)
{
    if (dir->kind != INODE_DIR) {
        return NULL;
    }
    struct listing *names = dir->listing ? listing_ref(dir->listing) : listing_new(NULL, 0);
    scratch_add_names(dir, &names);
    away_hide_names(fs, dir, &names);
    return names;
}

struct dir_handle *dir_handle_new(struct fusefs *fs, struct inode *take_dir)
{
    struct dir_handle *d = xcalloc(1, sizeof(*d));
    d->refs = 1;
    d->dir = take_dir;
    list_init(&d->waiters);
    fs_lock(fs);
    d->names = names_now(fs, take_dir);
    d->shows_control = d->names && fs->options.control == FUSEFS_CONTROL_VISIBLE;
    fs_unlock(fs);
    return d;
}

void dir_handle_renew(struct fusefs *fs, struct dir_handle *d)
{
    fs_lock(fs);
    struct listing *old = d->names;
    d->names = names_now(fs, d->dir);
    listing_unref(old);
    d->at = SIZE_MAX; /* whatever is wanted next, what was known is not any more */
    fs_unlock(fs);
}

struct dir_handle *dir_handle_ref(struct fusefs *fs, struct dir_handle *d)
{
    fs_lock(fs);
    d->refs++;
    fs_unlock(fs);
    return d;
}

void dir_handle_unref(struct fusefs *fs, struct dir_handle *d)
{
    fs_lock(fs);
    bool is_last = --d->refs == 0;
    if (is_last) {
        for (size_t i = 0; d->held && i < HELD_NAMES; i++) {
            if (d->held[i]) {
                inode_unref(&fs->cache.table, d->held[i]);
            }
        }
        listing_unref(d->names);
        inode_unref(&fs->cache.table, d->dir);
    }
    fs_unlock(fs);
    if (is_last) {
        free(d->held);
        free(d);
    }
}

static void hold(struct fusefs *fs, struct dir_handle *d, struct inode *inode)
{
    if (!d->held) {
        d->held = xcalloc(HELD_NAMES, sizeof(*d->held));
    }
    struct inode *oldest = d->held[d->next_held];
    d->held[d->next_held] = inode_ref(inode);
    d->next_held = (d->next_held + 1) % HELD_NAMES;
    if (oldest) {
        inode_unref(&fs->cache.table, oldest);
    }
}

/* The inode of a name of which something is still to be read, or NULL. */
static struct inode *find_unread(struct fusefs *fs, struct dir_handle *d, const char *name)
{
    struct inode *inode = inode_find_child(&fs->cache.table, d->dir, name);
    if (!inode) {
        char *path = name_join(d->dir->path, name);
        inode = inode_add(&fs->cache.table, d->dir, path, INODE_UNKNOWN);
        free(path);
    }
    bool is_read = inode->stat_known && inode->kind != INODE_UNKNOWN && inode->perms_known;
    return is_read || !inode_is_znode(inode) ? NULL : inode;
}

/* The names from d->asked on, up to the end of a burst. */
static void collect(struct fusefs *fs, struct dir_handle *d, struct burst *b)
{
    b->end = d->asked + BURST_NAMES < d->names->count ? d->asked + BURST_NAMES : d->names->count;
    for (size_t i = d->asked; i < b->end; i++) {
        struct inode *inode = find_unread(fs, d, d->names->names[i]);
        if (inode) {
            hold(fs, d, inode);
            b->inodes[b->count++] = inode;
        }
    }
    d->asked = b->end;
}

/* The next burst, if one is due; NULL: none. The lock is held. */
static struct burst *plan(struct fusefs *fs, struct dir_handle *d)
{
    if (!d->names || d->is_reading) {
        return NULL;
    }
    if (d->dir->dead || !zkc_is_connected(fs->zkc)) {
        /* What is not known is listed without attributes. */
        d->known = d->asked = d->names->count;
        return NULL;
    }
    struct burst *b = xcalloc(1, sizeof(*b));
    while (b->count == 0 && d->asked < d->names->count && d->asked < d->at + AHEAD_NAMES) {
        d->known = d->asked;
        collect(fs, d, b);
    }
    if (b->count == 0) {
        d->known = d->asked;
        free(b);
        return NULL;
    }
    b->fs = fs;
    b->d = d;
    b->round = d->round;
    d->refs++;
    d->is_reading = true;
    return b;
}

/* Moves the waiters whose entries are known to ready; all, if the reader has gone elsewhere. */
static void take_ready(struct dir_handle *d, bool all, struct list *ready)
{
    list_for_each_safe (l, next, &d->waiters) {
        const struct dir_waiter *w = list_entry(l, struct dir_waiter, link);
        if (all || !d->names || w->end <= d->known) {
            list_remove(l);
            list_push_back(ready, l);
        }
    }
}

static void let_go_on(struct list *ready)
{
    for (struct list *l = list_pop_front(ready); l; l = list_pop_front(ready)) {
        struct dir_waiter *w = list_entry(l, struct dir_waiter, link);
        w->go_on(w);
    }
}

static void on_burst(void *arg, int rc);

static void send_burst(struct burst *b)
{
    if (b) {
        fetch_inodes(b->fs, b->inodes, b->count, on_burst, b);
    }
}

static void on_burst(void *arg, int rc)
{
    struct burst *b = arg;
    struct fusefs *fs = b->fs;
    struct dir_handle *d = b->d;
    struct burst *next = NULL;
    struct list ready;
    (void)rc; /* an entry that could not be read is listed without attributes */
    list_init(&ready);
    fs_lock(fs);
    if (b->round == d->round) {
        d->is_reading = false;
        d->known = b->end;
        next = plan(fs, d);
        take_ready(d, false, &ready);
    }
    fs_unlock(fs);
    let_go_on(&ready);
    send_burst(next);
    dir_handle_unref(fs, d);
    free(b);
}

void dir_handle_want(struct fusefs *fs, struct dir_handle *d, size_t index, size_t count,
                     struct dir_waiter *w)
{
    struct list ready;
    list_init(&ready);
    fs_lock(fs);
    if (index < d->at || index > d->asked) {
        take_ready(d, true, &ready);
        d->known = d->asked = index;
        d->is_reading = false;
        d->round++;
    }
    d->at = index;
    w->end = d->names && index + count > d->names->count ? d->names->count : index + count;
    list_push_back(&d->waiters, &w->link);
    struct burst *next = plan(fs, d);
    take_ready(d, false, &ready);
    fs_unlock(fs);
    let_go_on(&ready);
    send_burst(next);
}
