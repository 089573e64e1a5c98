/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/inode.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/scratch.h"
#include "fusefs/value.h"

static struct inode *from_ino_link(struct hlink *l)
{
    return list_entry(l, struct inode, by_ino);
}

static struct inode *from_path_link(struct hlink *l)
{
    return list_entry(l, struct inode, by_path);
}

static uint64_t path_hash(const struct inode_table *t, const char *path)
{
    return hash_bytes(path, strlen(path), t->seed);
}

static void put_in_path_table(struct inode_table *t, struct inode *inode)
{
    htable_insert(&t->by_path, &inode->by_path, path_hash(t, inode->path));
    inode->in_path_table = true;
}

static void take_from_path_table(struct inode_table *t, struct inode *inode)
{
    if (inode->in_path_table) {
        htable_remove(&t->by_path, &inode->by_path);
        inode->in_path_table = false;
    }
}

void inode_table_init(struct inode_table *t, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    htable_init(&t->by_ino);
    htable_init(&t->by_path);
    list_init(&t->all);
    list_init(&t->lru);
    t->seed = seed;
    t->next_ino = INODE_ROOT;
    t->root = inode_add(t, NULL, "/", INODE_DIR);
    inode_ref(t->root);
}

static void destroy(struct inode_table *t, struct inode *inode)
{
    scratch_free(t, inode);
    value_unref(inode->value);
    listing_unref(inode->listing);
    free(inode->path);
    free(inode);
}

void inode_table_fini(struct inode_table *t)
{
    for (struct list *l = list_pop_front(&t->all); l; l = list_pop_front(&t->all)) {
        destroy(t, list_entry(l, struct inode, all));
    }
    htable_fini(&t->by_ino);
    htable_fini(&t->by_path);
}

struct inode *inode_add(struct inode_table *t, struct inode *parent, const char *path,
                        enum inode_kind kind)
{
    struct inode *inode = xcalloc(1, sizeof(*inode));
    inode->ino = t->next_ino++;
    inode->path = xstrdup(path);
    inode->parent = parent;
    list_init(&inode->sibling);
    list_init(&inode->kids);
    list_init(&inode->lru);
    list_init(&inode->arm_waiters);
    list_init(&inode->handles);
    if (parent) {
        list_push_back(&parent->kids, &inode->sibling);
    }
    list_push_back(&t->all, &inode->all);
    htable_insert(&t->by_ino, &inode->by_ino, hash_u64(inode->ino, t->seed));
    t->count++;
    inode_set_kind(inode, kind);
    if (!inode_is_control(inode)) {
        put_in_path_table(t, inode); /* a znode may have the same path */
    }
    return inode;
}

struct inode *inode_find(const struct inode_table *t, uint64_t ino)
{
    uint64_t hash = hash_u64(ino, t->seed);
    for (struct hlink *l = htable_first(&t->by_ino, hash); l; l = hlink_next(l, hash)) {
        if (from_ino_link(l)->ino == ino) {
            return from_ino_link(l);
        }
    }
    return NULL;
}

struct inode *inode_find_path(const struct inode_table *t, const char *path)
{
    uint64_t hash = path_hash(t, path);
    for (struct hlink *l = htable_first(&t->by_path, hash); l; l = hlink_next(l, hash)) {
        if (strcmp(from_path_link(l)->path, path) == 0) {
            return from_path_link(l);
        }
    }
    return NULL;
}

struct inode *inode_find_child(const struct inode_table *t, const struct inode *dir,
                               const char *name)
{
    char *path = name_join(dir->path, name);
    struct inode *inode = inode_find_path(t, path);
    free(path);
    return inode;
}

void inode_set_kind(struct inode *inode, enum inode_kind kind)
{
    if (inode->parent && !inode->dead) {
        inode->parent->subdirs +=
            (unsigned)(kind == INODE_DIR) - (unsigned)(inode->kind == INODE_DIR);
        inode->parent->scratches +=
            (unsigned)(kind == INODE_SCRATCH) - (unsigned)(inode->kind == INODE_SCRATCH);
    }
    inode->kind = kind;
}

static void kill_one(struct inode_table *t, struct inode *inode)
{
    if (inode->dead) {
        return;
    }
    if (inode->parent) {
        inode->parent->subdirs -= inode->kind == INODE_DIR;
        inode->parent->scratches -= inode->kind == INODE_SCRATCH;
    }
    take_from_path_table(t, inode);
    inode->dead = true;
    if (list_is_empty(&inode->handles)) {
        scratch_free(t, inode); /* the kernel may remember the inode for long */
    }
    inode->data_watched = false;
    inode->kids_watched = false;
    inode->armed = false;
}

/* The next inode of a walk that visits what is below a node after the node itself; NULL at its end. */
static struct inode *next_below(struct inode *at, const struct inode *top)
{
    if (!list_is_empty(&at->kids)) {
        return list_entry(at->kids.next, struct inode, sibling);
    }
    while (at != top) {
        if (at->sibling.next != &at->parent->kids) {
            return list_entry(at->sibling.next, struct inode, sibling);
        }
        at = at->parent;
    }
    return NULL;
}

void inode_kill(struct inode_table *t, struct inode *inode)
{
    zk_assert(inode);
    struct list orphans; /* scratch files that nothing holds any more */
    list_init(&orphans);
    for (struct inode *i = inode; i; i = next_below(i, inode)) {
        kill_one(t, i);
        if (i != inode && i->kind == INODE_SCRATCH) {
            list_push_back(&orphans, &i->lru);
        }
    }
    inode->refs++;
    for (struct list *l = list_pop_front(&orphans); l; l = list_pop_front(&orphans)) {
        inode_reap(t, list_entry(l, struct inode, lru));
    }
    inode->refs--;
}

/* The paths below a moved directory follow it. */
static void set_path(struct inode_table *t, struct inode *inode, const char *path)
{
    bool was_found = inode->in_path_table;
    take_from_path_table(t, inode);
    free(inode->path);
    inode->path = xstrdup(path);
    if (was_found) {
        put_in_path_table(t, inode);
    }
}

void inode_move(struct inode_table *t, struct inode *inode, struct inode *dir, const char *path)
{
    struct inode *old_parent = inode->parent;
    enum inode_kind kind = inode->kind;
    inode_set_kind(inode, INODE_UNKNOWN);
    list_remove(&inode->sibling);
    list_push_back(&dir->kids, &inode->sibling);
    inode->parent = dir;
    inode_set_kind(inode, kind);
    set_path(t, inode, path);
    for (struct inode *i = next_below(inode, inode); i; i = next_below(i, inode)) {
        char *below = name_join(i->parent->path, name_base(i->path));
        set_path(t, i, below);
        free(below);
    }
    inode_reap(t, old_parent);
}

void inode_exchange(struct inode_table *t, struct inode *a, struct inode *b)
{
    struct inode *a_dir = a->parent;
    struct inode *b_dir = b->parent;
    char *a_path = xstrdup(a->path);
    char *b_path = xstrdup(b->path);
    a_dir->refs++;
    b_dir->refs++;
    take_from_path_table(t, a);
    take_from_path_table(t, b);
    inode_move(t, a, b_dir, b_path);
    inode_move(t, b, a_dir, a_path);
    put_in_path_table(t, a);
    put_in_path_table(t, b);
    inode_unref(t, a_dir);
    inode_unref(t, b_dir);
    free(a_path);
    free(b_path);
}

struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

void inode_unref(struct inode_table *t, struct inode *inode)
{
    zk_assert(inode->refs > 0);
    inode->refs--;
    inode_reap(t, inode);
}

void inode_forget(struct inode_table *t, struct inode *inode, uint64_t count)
{
    zk_assert(inode->nlookup >= count);
    inode->nlookup -= count;
    inode_reap(t, inode);
}

static bool is_held(const struct inode *inode)
{
    bool is_only_copy = inode->kind == INODE_SCRATCH && !inode->dead;
    return inode->nlookup > 0 || inode->refs > 0 || is_only_copy;
}

bool inode_is_needed(const struct inode *inode)
{
    if (inode->dead) {
        return false;
    }
    if (is_held(inode) || !inode->parent) {
        return true;
    }
    const struct inode *dir = inode->parent;
    return inode_is_znode(inode) && (dir->armed || dir->arming) && !dir->partial;
}

/* Nobody looks at the directory any more: its children need not be watched for its sake. */
static void disarm(struct inode_table *t, struct inode *dir)
{
    if (!dir->armed && !dir->listing) {
        return;
    }
    dir->armed = false;
    listing_unref(dir->listing);
    dir->listing = NULL;
    dir->kids_watched = false;
    dir->refs++; /* reaping the last child must not take the list's head away */
    list_for_each_safe (l, next, &dir->kids) {
        inode_reap(t, list_entry(l, struct inode, sibling));
    }
    dir->refs--;
}

static bool is_free(const struct inode *inode)
{
    return !is_held(inode) && list_is_empty(&inode->kids) && inode->parent &&
           !inode_is_needed(inode);
}

void inode_reap(struct inode_table *t, struct inode *inode)
{
    if (!is_held(inode) && inode_is_dir(inode)) {
        disarm(t, inode);
    }
    while (inode && is_free(inode)) {
        struct inode *parent = inode->parent;
        kill_one(t, inode);
        list_remove(&inode->sibling);
        list_remove(&inode->all);
        list_remove(&inode->lru);
        htable_remove(&t->by_ino, &inode->by_ino);
        t->count--;
        t->value_bytes -= inode->value ? inode->value->len : 0;
        destroy(t, inode);
        inode = parent;
    }
}

bool inode_is_znode(const struct inode *inode)
{
    return inode->kind < INODE_SCRATCH;
}

bool inode_is_control(const struct inode *inode)
{
    return inode->kind >= INODE_CONTROL_DIR;
}

bool inode_is_maker(const struct inode *inode)
{
    return inode->kind >= INODE_CONTROL_EPHEMERAL && inode->kind <= INODE_CONTROL_TTL_SECONDS;
}

struct inode *inode_owner(struct inode *control)
{
    while (inode_is_control(control)) {
        control = control->parent;
    }
    return control;
}

bool inode_is_dir(const struct inode *inode)
{
    return inode->kind == INODE_DIR || inode->kind == INODE_CONTROL_DIR || inode_is_maker(inode) ||
           inode->kind == INODE_CONTROL_TTL;
}
