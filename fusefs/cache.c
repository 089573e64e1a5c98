/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/perms.h"

void cache_init(struct cache *c, uint64_t seed, size_t value_bytes_max,
                void (*on_change)(void *owner, enum change change, struct inode *inode),
                void *owner)
{
    inode_table_init(&c->table, seed);
    c->value_bytes_max = value_bytes_max;
    c->new_perms = PERMS_ALL;
    c->on_change = on_change;
    c->owner = owner;
}

void cache_fini(struct cache *c)
{
    inode_table_fini(&c->table);
}

static void report(struct cache *c, enum change change, struct inode *inode)
{
    c->on_change(c->owner, change, inode);
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void drop_value(struct cache *c, struct inode *inode)
{
    if (inode->value) {
        c->table.value_bytes -= inode->value->len;
        value_unref(inode->value);
        inode->value = NULL;
        list_remove(&inode->lru);
    }
}

void cache_touch_value(struct cache *c, struct inode *inode)
{
    zk_assert(inode->value);
    list_remove(&inode->lru);
    list_push_back(&c->table.lru, &inode->lru);
}

static void keep_value(struct cache *c, struct inode *inode, const void *data, int len)
{
    drop_value(c, inode);
    if (len < 0) {
        return;
    }
    inode->value = value_new(data, (size_t)len, inode->stat.mzxid, inode->stat.version);
    c->table.value_bytes += inode->value->len;
    list_push_back(&c->table.lru, &inode->lru);
    while (c->table.value_bytes > c->value_bytes_max && c->table.lru.next != &inode->lru) {
        drop_value(c, list_entry(c->table.lru.next, struct inode, lru));
    }
}

/* ---- comparing --------------------------------------------------------------------------------------- */

enum inode_kind cache_kind_of(const struct Stat *stat)
{
    if (stat->numChildren > 0) {
        return INODE_DIR;
    }
    return stat->dataLength > 0 ? INODE_FILE : INODE_UNKNOWN;
}

/* Within one life of a znode its numbers only grow. */
static bool is_older(const struct Stat *stat, const struct Stat *known)
{
    return stat->czxid < known->czxid ||
           (stat->czxid == known->czxid &&
            (stat->mzxid < known->mzxid || stat->pzxid < known->pzxid ||
             stat->aversion < known->aversion));
}

/* The znode at the path is not the one that the inode stood for: end its life, start another. */
static struct inode *replace(struct cache *c, struct inode *inode)
{
    struct inode *dir = inode->parent;
    zk_assert(dir);
    bool was_announced = !inode->announce;
    inode_kill(&c->table, inode);
    if (was_announced) {
        report(c, CHANGE_DELETED, inode);
    }
    struct inode *next = inode_add(&c->table, dir, inode->path, INODE_UNKNOWN);
    next->announce = true;
    return next;
}

static void report_differences(struct cache *c, struct inode *inode, const struct Stat *old,
                               int64_t now_ms)
{
    const struct Stat *now = &inode->stat;
    if (now->mzxid != old->mzxid) {
        inode->changed_ms = now_ms;
        if (inode->value && inode->value->mzxid != now->mzxid) {
            drop_value(c, inode);
        }
        report(c, CHANGE_DATA, inode);
    }
    if (now->aversion != old->aversion) {
        inode->perms_known = false;
        report(c, CHANGE_ACL, inode);
    }
    if (now->pzxid != old->pzxid) {
        report(c, CHANGE_ATTR, inode);
    }
}

static struct inode *apply_stat(struct cache *c, struct inode *inode, const struct Stat *stat,
                                int64_t now_ms)
{
    zk_assert(!inode->dead);
    if (!inode->stat_known) {
        inode->stat = *stat;
        inode->stat_known = true;
        return inode;
    }
    if (is_older(stat, &inode->stat)) {
        return inode;
    }
    if (stat->czxid != inode->stat.czxid && inode->parent) {
        inode = replace(c, inode);
        inode->stat = *stat;
        inode->stat_known = true;
        return inode;
    }
    struct Stat old = inode->stat;
    inode->stat = *stat;
    if (!inode->announce) {
        report_differences(c, inode, &old, now_ms);
    } else if (inode->value && inode->value->mzxid != stat->mzxid) {
        drop_value(c, inode);
    }
    return inode;
}

static void announce(struct cache *c, struct inode *inode)
{
    inode->announce = false;
    report(c, CHANGE_CREATED, inode);
}

/* A directory stays one for as long as the inode lives, even when its last child goes: an ls or an inotify
 * watch on a service directory must survive the moment when no instance is left. */
static struct inode *apply_kind(struct cache *c, struct inode *inode, enum inode_kind kind)
{
    if (kind == INODE_UNKNOWN || inode->kind == INODE_DIR || kind == inode->kind) {
        return inode;
    }
    if (inode->kind == INODE_FILE) {
        struct inode *next = replace(c, inode);
        next->stat = inode->stat;
        next->stat_known = true;
        inode = next;
    }
    inode_set_kind(inode, kind);
    if (kind == INODE_FILE) {
        listing_unref(inode->listing);
        inode->listing = NULL;
    } else if (inode->parent && inode->parent->stat_known) {
        report(c, CHANGE_ATTR, inode->parent); /* one more link */
    }
    if (inode->announce) {
        announce(c, inode);
    }
    return inode;
}

struct inode *cache_learn_stat(struct cache *c, struct inode *inode, const struct Stat *stat,
                               int64_t now_ms)
{
    inode = apply_stat(c, inode, stat, now_ms);
    return apply_kind(c, inode, cache_kind_of(stat));
}

static enum inode_kind kind_of_value(const struct Stat *stat, int len)
{
    enum inode_kind kind = cache_kind_of(stat);
    if (kind == INODE_UNKNOWN) {
        kind = len < 0 ? INODE_DIR : INODE_FILE;
    }
    return kind;
}

struct inode *cache_learn_value(struct cache *c, struct inode *inode, const struct Stat *stat,
                                const void *data, int len, int64_t now_ms)
{
    struct inode *live = apply_stat(c, inode, stat, now_ms);
    if (live->stat.mzxid != stat->mzxid) {
        return live;
    }
    live = apply_kind(c, live, kind_of_value(stat, len));
    if (!live->value || live->value->mzxid != stat->mzxid) {
        keep_value(c, live, data, len);
    }
    return live;
}

void cache_learn_perms(struct cache *c, struct inode *inode, unsigned perms, int32_t aversion)
{
    if (!inode->stat_known || inode->dead || inode->stat.aversion != aversion) {
        return;
    }
    bool differs = inode->perms_known && inode->perms != perms;
    inode->perms_known = true;
    inode->perms = perms;
    if (differs) {
        report(c, CHANGE_ATTR, inode);
    }
}

struct inode *cache_learn_unreadable(struct cache *c, struct inode *inode)
{
    if (inode->stat_known && inode->kind == INODE_UNKNOWN) {
        return apply_kind(c, inode, INODE_FILE);
    }
    return inode;
}

/* ---- names ------------------------------------------------------------------------------------------- */

struct name_diff {
    struct cache *c;
    struct inode *dir;
};

static void on_name_removed(void *arg, const char *name)
{
    struct name_diff *diff = arg;
    struct inode *child = inode_find_child(&diff->c->table, diff->dir, name);
    if (child && !inode_is_znode(child)) {
        return; /* hides it */
    }
    if (!child) {
        /* One of too many to have been watched; what it was is not known any more. */
        char *path = name_join(diff->dir->path, name);
        child = inode_add(&diff->c->table, diff->dir, path, INODE_FILE);
        free(path);
    }
    inode_ref(child);
    inode_kill(&diff->c->table, child);
    if (!child->announce) {
        report(diff->c, CHANGE_DELETED, child);
    }
    inode_unref(&diff->c->table, child);
}

static void on_name_added(void *arg, const char *name)
{
    struct name_diff *diff = arg;
    struct inode *child = inode_find_child(&diff->c->table, diff->dir, name);
    if (!child) {
        char *path = name_join(diff->dir->path, name);
        child = inode_add(&diff->c->table, diff->dir, path, INODE_UNKNOWN);
        free(path);
    }
    if (!inode_is_znode(child)) {
        return; /* hides it */
    }
    child->announce = true;
    if (child->kind != INODE_UNKNOWN) {
        announce(diff->c, child);
    } else {
        report(diff->c, CHANGE_LISTED, child);
    }
}

struct inode *cache_learn_kids(struct cache *c, struct inode *inode, const struct Stat *stat,
                               const char *const *names, size_t count, int64_t now_ms)
{
    struct inode *live = apply_stat(c, inode, stat, now_ms);
    if (live->stat.pzxid != stat->pzxid) {
        return live;
    }
    live = apply_kind(c, live, count > 0 ? INODE_DIR : cache_kind_of(stat));
    if (live->kind == INODE_FILE) {
        return live;
    }
    struct listing *old = live->listing;
    live->listing = listing_new(names, count);
    if (old) {
        bool has_locks = old->lock_entries + live->listing->lock_entries > 0;
        live->listing->is_lock_traffic = has_locks && listing_is_equal(old, live->listing);
        struct name_diff diff = { c, live };
        inode_ref(live);
        listing_diff(old, live->listing, on_name_removed, on_name_added, &diff);
        listing_unref(old);
        live->refs--;
    }
    return live;
}

void cache_learn_gone(struct cache *c, struct inode *inode)
{
    if (inode->dead || !inode->parent) {
        return;
    }
    struct inode *dir = inode->parent;
    const char *name = inode_name(inode);
    bool was_shown = inode->nlookup > 0 || (dir->listing && listing_has(dir->listing, name));
    if (dir->listing) {
        listing_remove(&dir->listing, name);
    }
    inode_kill(&c->table, inode);
    if (was_shown && !inode->announce) {
        report(c, CHANGE_DELETED, inode);
    }
}

/* ---- what this mount did ------------------------------------------------------------------------------ */

void cache_wrote(struct cache *c, struct inode *inode, const struct Stat *stat, const void *data,
                 int len, int64_t now_ms)
{
    if (inode->dead || (inode->stat_known && is_older(stat, &inode->stat))) {
        return;
    }
    inode->stat = *stat;
    inode->stat_known = true;
    inode->changed_ms = now_ms;
    keep_value(c, inode, data, len);
    report(c, CHANGE_ATTR, inode);
}

struct inode *cache_created(struct cache *c, struct inode *dir, const char *name,
                            const struct Stat *stat, enum inode_kind kind)
{
    struct inode *inode = inode_find_child(&c->table, dir, name);
    if (inode && inode->stat_known && inode->stat.czxid != stat->czxid) {
        inode_kill(&c->table, inode);
        inode = NULL;
    }
    if (!inode) {
        char *path = name_join(dir->path, name);
        inode = inode_add(&c->table, dir, path, INODE_UNKNOWN);
        free(path);
    }
    inode->announce = false;
    inode->stat = *stat;
    inode->stat_known = true;
    inode->perms_known = true;
    inode->perms = c->new_perms;
    if (inode->kind == INODE_UNKNOWN) {
        inode_set_kind(inode, kind);
    }
    if (dir->listing) {
        listing_add(&dir->listing, name);
    }
    return inode;
}

struct inode *cache_made(struct cache *c, struct inode *dir, const char *name,
                         const struct Stat *stat, enum inode_kind kind)
{
    const struct inode *known = inode_find_child(&c->table, dir, name);
    bool was_announced = known && known->stat_known && !known->announce &&
                         known->kind != INODE_UNKNOWN && known->stat.czxid == stat->czxid;
    struct inode *inode = cache_created(c, dir, name, stat, kind);
    if (!was_announced) {
        report(c, CHANGE_CREATED, inode);
    }
    return inode;
}

void cache_acl_was_set(struct cache *c, struct inode *inode, int32_t aversion)
{
    if (inode->stat_known && !inode->dead && inode->stat.aversion == aversion) {
        inode->stat.aversion = aversion + 1;
        inode->perms_known = false;
        report(c, CHANGE_ATTR, inode);
    }
}

struct inode *cache_turn_into_file(struct cache *c, struct inode *inode, const struct Stat *stat,
                                   const void *data, int len, int64_t now_ms)
{
    return cache_learn_value(c, replace(c, inode), stat, data, len, now_ms);
}

void cache_removed(struct cache *c, struct inode *inode)
{
    if (inode->dead) {
        return;
    }
    if (inode->parent->listing) {
        listing_remove(&inode->parent->listing, inode_name(inode));
    }
    inode_kill(&c->table, inode);
}

void cache_forget(struct cache *c, struct inode *inode)
{
    drop_value(c, inode);
    inode->stat_known = false;
    inode->announce = false;
    inode->data_watched = false;
    inode->kids_watched = false;
    inode->page_mzxid = 0;
    inode->perms_known = false;
    inode->armed = false;
    listing_unref(inode->listing);
    inode->listing = NULL;
}

void cache_moved(struct cache *c, struct inode *inode, struct inode *dir, const char *name)
{
    struct inode *target = inode_find_child(&c->table, dir, name);
    if (target && target != inode) {
        inode_kill(&c->table, target);
        inode_reap(&c->table, target);
    }
    char *path = name_join(dir->path, name);
    inode_move(&c->table, inode, dir, path);
    free(path);
}

void cache_renamed(struct cache *c, struct inode *inode, struct inode *dir, const char *name)
{
    if (inode->parent->listing) {
        listing_remove(&inode->parent->listing, inode_name(inode));
    }
    if (dir->listing) {
        listing_add(&dir->listing, name);
    }
    cache_moved(c, inode, dir, name);
    cache_forget(c, inode);
}

void cache_exchanged(struct cache *c, struct inode *a, struct inode *b)
{
    if (a->dead || b->dead) {
        return;
    }
    inode_exchange(&c->table, a, b);
    cache_forget(c, a);
    cache_forget(c, b);
}

bool cache_is_covered(const struct inode *inode)
{
    if (inode_is_control(inode)) {
        return false;
    }
    return inode->stat_known && !inode->dead && inode->data_watched && inode->kids_watched;
}
