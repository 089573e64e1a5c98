/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/perms.h"

/* A changed value up to this size is fetched with its stat, for the readers that its event will bring. */
enum { EAGER_VALUE_BYTES = 65536 };

/* See relist_delay. */
enum { RELIST_NAMES_PER_MS = 50, RELIST_PAUSE_MS_MAX = 1000 };

/* Several reads that end in one call of done. */
struct batch {
    struct fusefs *fs;
    int pending; /* atomic */
    int rc;      /* ZOK, or why the read that decides failed; by fs->lock */
    fetch_done_fn done;
    void *arg;
    struct inode *arming; /* referenced; the directory that is armed when the batch ends */
};

/* One read of one znode. */
struct read {
    struct fusefs *fs;
    struct inode *inode; /* referenced, so that the node is not forgotten meanwhile */
    char *path;          /* owned; what was asked for, whatever has become of the inode */
    struct batch *batch; /* NULL: in the background, repeated until there is an answer */
    bool decides;        /* its rc is the batch's */
    bool arms;           /* the children are read too */
    bool is_alone;       /* nothing else is to be read because of the answer */
    bool is_unreadable;  /* the data was refused: the stat is all there is */
};

struct fetch_waiter {
    struct list link; /* in inode->arm_waiters */
    fetch_done_fn done;
    void *arg;
};

struct fetch_item {
    struct list link;    /* in fs->to_read */
    struct inode *inode; /* referenced */
};

static void on_value(void *arg, const struct zkc_result *result);
static void on_stat(void *arg, const struct zkc_result *result);
static void on_kids(void *arg, const struct zkc_result *result);
static void on_perms(void *arg, const struct zkc_result *result);

static struct batch *batch_new(struct fusefs *fs, fetch_done_fn done, void *arg)
{
    struct batch *b = xcalloc(1, sizeof(*b));
    b->fs = fs;
    b->pending = 1;
    b->done = done;
    b->arg = arg;
    return b;
}

static void finish_arming(struct batch *b)
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

static void batch_leave(struct batch *b)
{
    if (!b || __atomic_sub_fetch(&b->pending, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    if (b->arming) {
        finish_arming(b);
    }
    if (b->done) {
        b->done(b->arg, b->rc);
    }
    free(b);
}

/* A read of the inode as part of the batch; the lock is held. */
static struct read *read_new(struct fusefs *fs, struct inode *inode, struct batch *batch)
{
    struct read *r = xcalloc(1, sizeof(*r));
    r->fs = fs;
    r->inode = inode_ref(inode);
    r->path = xstrdup(inode->path);
    r->batch = batch;
    if (batch) {
        __atomic_add_fetch(&batch->pending, 1, __ATOMIC_RELAXED);
    }
    return r;
}

static void read_end(struct read *r)
{
    struct batch *batch = r->batch;
    fs_lock(r->fs);
    inode_unref(&r->fs->cache.table, r->inode);
    fs_unlock(r->fs);
    free(r->path);
    free(r);
    batch_leave(batch);
}

static unsigned read_flags(const struct read *r)
{
    return ZKC_WATCH | (r->batch ? 0 : ZKC_PATIENT);
}

static void send_value(struct read *r)
{
    zkc_get(r->fs->zkc, r->path, read_flags(r), on_value, r);
}

static void send_stat(struct read *r)
{
    zkc_exists(r->fs->zkc, r->path, read_flags(r), on_stat, r);
}

static void send_kids(struct read *r)
{
    zkc_children(r->fs->zkc, r->path, read_flags(r), on_kids, r);
}

static void send_perms(struct read *r)
{
    zkc_get_acl(r->fs->zkc, r->path, on_perms, r);
}

/* Takes an answer's outcome into the batch. Returns the inode that the answer is about, if it says that
 * there is a znode; the lock is held. A local rename may have moved r->inode away from the path. */
static struct inode *note_rc(struct read *r, int rc)
{
    /* A directory is not armed if any of its children could not be looked at. */
    bool is_answer = rc == ZOK || rc == ZNONODE || rc == ZNOAUTH;
    bool counts = r->batch && (r->decides || (r->batch->arming && !is_answer));
    if (counts && rc != ZOK) {
        r->batch->rc = rc;
    }
    struct inode *inode = inode_find_path(&r->fs->cache.table, r->path);
    if (inode && rc == ZNONODE) {
        cache_learn_gone(&r->fs->cache, inode);
    } else if (inode && rc == ZNOAUTH) {
        cache_learn_unreadable(&r->fs->cache, inode);
    }
    return rc == ZOK ? inode : NULL;
}

/* What is still missing of a node whose stat is known; the lock is held. */
struct follow_up {
    struct read *value;
    struct read *kids;
};

static struct follow_up plan_follow_up(struct read *r, struct inode *live)
{
    struct follow_up next = { NULL, NULL };
    if (r->is_alone || !inode_is_needed(live)) {
        return next;
    }
    if (live->kind == INODE_UNKNOWN) {
        next.value = read_new(r->fs, live, r->batch);
        next.value->is_alone = true;
    }
    if (live->kind != INODE_DIR && !live->kids_watched) {
        next.kids = read_new(r->fs, live, r->batch);
        next.kids->is_alone = true;
    }
    return next;
}

static void send_follow_up(struct follow_up next)
{
    if (next.kids) {
        send_kids(next.kids);
    }
    if (next.value) {
        send_value(next.value);
    }
}

static void on_value(void *arg, const struct zkc_result *result)
{
    struct read *r = arg;
    struct read *stat = NULL;
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
        stat = read_new(r->fs, r->inode, r->batch);
        stat->is_alone = true;
        stat->is_unreadable = true;
    } else if (result->rc == ZNONODE && !r->inode->parent) {
        /* The mount's root has been deleted: this read, of nothing, leaves a watch for its return. */
        stat = read_new(r->fs, r->inode, NULL);
        stat->is_alone = true;
    }
    fs_unlock(r->fs);
    if (stat) {
        send_stat(stat);
    }
    send_follow_up(next);
    fetch_pump(r->fs);
    read_end(r);
}

static void on_stat(void *arg, const struct zkc_result *result)
{
    struct read *r = arg;
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
    fetch_pump(r->fs);
    read_end(r);
}

/* The children of a directory that is being armed, each to be read as part of its batch; the lock is
 * held. NULL-terminated array, to be freed; NULL if there are too many. */
static struct read **plan_children(struct fusefs *fs, struct inode *dir, struct batch *batch)
{
    const struct listing *names = dir->listing;
    dir->partial = names->count > (size_t)fs->options.child_watches;
    if (dir->partial) {
        stats_add(&fs->stats.partial_dirs);
        return NULL;
    }
    struct read **reads = xcalloc(names->count + 1, sizeof(struct read *));
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct inode *child = inode_find_child(&fs->cache.table, dir, names->names[i]);
        if (!child) {
            char *path = name_join(dir->path, names->names[i]);
            child = inode_add(&fs->cache.table, dir, path, INODE_UNKNOWN);
            free(path);
        }
        if (!child->stat_known || !child->data_watched) {
            reads[count++] = read_new(fs, child, batch);
        }
    }
    return reads;
}

static void on_kids(void *arg, const struct zkc_result *result)
{
    struct read *r = arg;
    struct read **children = NULL;
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode) {
        inode = cache_learn_kids(&r->fs->cache, inode, result->stat,
                                 (const char *const *)result->names->data,
                                 (size_t)result->names->count, clock_now_ms());
        inode->kids_watched = true;
        inode->listed_ms = clock_now_ms();
        if (r->arms && inode == r->inode && inode->listing) {
            children = plan_children(r->fs, inode, r->batch);
        }
    }
    fs_unlock(r->fs);
    for (size_t i = 0; children && children[i]; i++) {
        send_stat(children[i]);
    }
    free(children);
    fetch_pump(r->fs);
    read_end(r);
}

static void on_perms(void *arg, const struct zkc_result *result)
{
    struct read *r = arg;
    const struct fusefs_options *o = &r->fs->options;
    fs_lock(r->fs);
    struct inode *inode = note_rc(r, result->rc);
    if (inode && result->acl && result->stat) {
        cache_learn_perms(&r->fs->cache, inode, perms_granted(result->acl, o->auths, o->auth_count),
                          result->stat->aversion);
    } else if (result->rc == ZNOAUTH && !r->inode->dead) {
        /* Who may not read may not see the ACL either; what else is granted cannot be told. */
        cache_learn_perms(&r->fs->cache, r->inode, PERMS_ALL & ~(unsigned)ZOO_PERM_READ,
                          r->inode->stat.aversion);
    }
    fs_unlock(r->fs);
    read_end(r);
}

/* ---- what the operations ask for ---------------------------------------------------------------------- */

void fetch_node(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    struct batch *b = batch_new(fs, done, arg);
    fs_lock(fs);
    struct read *kids = read_new(fs, inode, b);
    struct read *value = read_new(fs, inode, b);
    kids->is_alone = true;
    value->is_alone = true;
    value->decides = true;
    struct read *perms = inode->perms_known ? NULL : read_new(fs, inode, b);
    fs_unlock(fs);
    send_kids(kids);
    send_value(value);
    if (perms) {
        send_perms(perms); /* last: it is of no use before the stat is known */
    }
    batch_leave(b);
}

void fetch_value(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    struct batch *b = batch_new(fs, done, arg);
    fs_lock(fs);
    struct read *value = read_new(fs, inode, b);
    value->decides = true;
    fs_unlock(fs);
    send_value(value);
    batch_leave(b);
}

void fetch_perms(struct fusefs *fs, struct inode *inode, fetch_done_fn done, void *arg)
{
    struct batch *b = batch_new(fs, done, arg);
    fs_lock(fs);
    struct read *perms = read_new(fs, inode, b);
    perms->decides = true;
    fs_unlock(fs);
    send_perms(perms);
    batch_leave(b);
}

void fetch_arm(struct fusefs *fs, struct inode *dir, fetch_done_fn done, void *arg)
{
    struct batch *b = NULL;
    struct read *kids = NULL;
    struct read *value = NULL;
    fs_lock(fs);
    bool is_armed = dir->armed;
    if (!is_armed) {
        struct fetch_waiter *w = xcalloc(1, sizeof(*w));
        w->done = done;
        w->arg = arg;
        list_push_back(&dir->arm_waiters, &w->link);
    }
    if (!is_armed && !dir->arming) {
        dir->arming = true;
        b = batch_new(fs, NULL, NULL);
        b->arming = inode_ref(dir);
        kids = read_new(fs, dir, b);
        kids->arms = true;
        kids->decides = true;
        if (!dir->data_watched) {
            value = read_new(fs, dir, b);
            value->is_alone = true;
        }
    }
    fs_unlock(fs);
    if (is_armed) {
        done(arg, ZOK);
    }
    if (b) {
        if (value) {
            send_value(value);
        }
        send_kids(kids);
        batch_leave(b);
    }
}

void fetch_inodes(struct fusefs *fs, struct inode *const *inodes, size_t count, fetch_done_fn done,
                  void *arg)
{
    struct batch *b = batch_new(fs, done, arg);
    struct read **stats = xcalloc(count + 1, sizeof(struct read *));
    struct read **perms = xcalloc(count + 1, sizeof(struct read *));
    fs_lock(fs);
    for (size_t i = 0; i < count; i++) {
        if (!inodes[i]->stat_known || inodes[i]->kind == INODE_UNKNOWN) {
            stats[i] = read_new(fs, inodes[i], b);
        }
        if (!inodes[i]->perms_known) {
            perms[i] = read_new(fs, inodes[i], b);
        }
    }
    fs_unlock(fs);
    for (size_t i = 0; i < count; i++) {
        if (stats[i]) {
            send_stat(stats[i]);
        }
        if (perms[i]) {
            send_perms(perms[i]);
        }
    }
    free(stats);
    free(perms);
    batch_leave(b);
}

/* ---- changes made elsewhere ---------------------------------------------------------------------------- */

void fetch_note_listed(struct fusefs *fs, struct inode *inode)
{
    struct fetch_item *item = xcalloc(1, sizeof(*item));
    item->inode = inode_ref(inode);
    list_push_back(&fs->to_read, &item->link);
}

void fetch_pump(struct fusefs *fs)
{
    for (;;) {
        struct read *r = NULL;
        fs_lock(fs);
        struct list *l = list_pop_front(&fs->to_read);
        if (l) {
            struct fetch_item *item = list_entry(l, struct fetch_item, link);
            r = read_new(fs, item->inode, NULL);
            inode_unref(&fs->cache.table, item->inode);
            free(item);
        }
        fs_unlock(fs);
        if (!r) {
            return;
        }
        send_stat(r);
    }
}

/* Whether the value is worth its transfer along with the stat: somebody will read it, or has the file open
 * and may go on in it. The lock is held. */
static bool wants_value(const struct inode *inode)
{
    return inode->kind == INODE_UNKNOWN || !list_is_empty(&inode->handles) ||
           (inode->nlookup > 0 && inode->stat.dataLength <= EAGER_VALUE_BYTES);
}

/* Reads the node again after its data watch is gone; the lock is held. */
static void plan_refresh(struct fusefs *fs, struct inode *inode, struct read **value,
                         struct read **stat)
{
    struct read *r = read_new(fs, inode, NULL);
    *(wants_value(inode) ? value : stat) = r;
}

/* How long to put off reading the names again. A watch fires once and tells no name, so each change of a
 * directory costs as much as the directory is long; a large one in which much goes on is read a few times
 * a second, the first change at once. The lock is held. */
static int relist_delay(const struct inode *dir)
{
    size_t count = dir->listing ? dir->listing->count : 0;
    int64_t pause_ms = (int64_t)(count / RELIST_NAMES_PER_MS);
    if (pause_ms > RELIST_PAUSE_MS_MAX) {
        pause_ms = RELIST_PAUSE_MS_MAX;
    }
    int64_t since_ms = clock_now_ms() - dir->listed_ms;
    return since_ms < pause_ms ? (int)(pause_ms - since_ms) : 0;
}

void fetch_on_watch(void *owner, int type, const char *path)
{
    struct fusefs *fs = owner;
    struct read *value = NULL;
    struct read *stat = NULL;
    struct read *kids = NULL;
    int delay_ms = 0;
    stats_add(&fs->stats.watches_fired);
    fs_lock(fs);
    struct inode *inode = inode_find_path(&fs->cache.table, path);
    if (inode && type == ZOO_CHILD_EVENT) {
        inode->kids_watched = false;
    } else if (inode) {
        inode->data_watched = false;
        inode->kids_watched = inode->kids_watched && type == ZOO_CHANGED_EVENT;
    }
    if (inode && inode_is_needed(inode)) {
        if (type == ZOO_CHANGED_EVENT) {
            plan_refresh(fs, inode, &value, &stat);
        } else if (type == ZOO_CHILD_EVENT) {
            kids = read_new(fs, inode, NULL);
            kids->is_alone = true;
            delay_ms = relist_delay(inode);
        } else {
            /* Gone, or back: never believed before ZooKeeper was asked again. */
            value = read_new(fs, inode, NULL);
            if (type == ZOO_CREATED_EVENT && !inode->parent) {
                kids = read_new(fs, inode, NULL);
                kids->is_alone = true;
            }
        }
    }
    fs_unlock(fs);
    if (value) {
        send_value(value);
    }
    if (stat) {
        send_stat(stat);
    }
    if (kids && delay_ms > 0) {
        zkc_children_later(fs->zkc, kids->path, read_flags(kids), delay_ms, on_kids, kids);
    } else if (kids) {
        send_kids(kids);
    }
}

/* The reads for one inode after its watches were lost; the lock is held. */
struct reread {
    struct read *value;
    struct read *stat;
    struct read *kids;
};

static struct reread plan_reread(struct fusefs *fs, struct inode *inode)
{
    struct reread next = { NULL, NULL, NULL };
    inode->data_watched = false;
    inode->kids_watched = false;
    if (inode_is_control(inode) || !inode_is_needed(inode) || !inode->stat_known) {
        return next;
    }
    plan_refresh(fs, inode, &next.value, &next.stat);
    struct read *first = next.value ? next.value : next.stat;
    first->is_alone = true;
    if (inode->kind == INODE_FILE || inode->listing) {
        next.kids = read_new(fs, inode, NULL);
        next.kids->is_alone = true;
    }
    return next;
}

void fetch_everything(struct fusefs *fs)
{
    fs_lock(fs);
    struct reread *plan = xcalloc(fs->cache.table.count + 1, sizeof(*plan));
    size_t count = 0;
    list_for_each (l, &fs->cache.table.all) {
        plan[count++] = plan_reread(fs, list_entry(l, struct inode, all));
    }
    fs_unlock(fs);
    for (size_t i = 0; i < count; i++) {
        if (plan[i].value) {
            send_value(plan[i].value);
        }
        if (plan[i].stat) {
            send_stat(plan[i].stat);
        }
        if (plan[i].kids) {
            send_kids(plan[i].kids);
        }
    }
    free(plan);
}

size_t fetch_watch_bytes(void *owner)
{
    struct fusefs *fs = owner;
    size_t bytes = 0;
    fs_lock(fs);
    list_for_each (l, &fs->cache.table.all) {
        const struct inode *inode = list_entry(l, struct inode, all);
        size_t watches = (size_t)inode->data_watched + inode->kids_watched;
        bytes += watches > 0 ? watches * (strlen(inode->path) + 4) : 0;
    }
    fs_unlock(fs);
    return bytes;
}
