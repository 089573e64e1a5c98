/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/refetch.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/fetch_read.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"

/* See relist_delay. */
enum { RELIST_NAMES_PER_MS = 50, RELIST_PAUSE_MS_MAX = 1000 };

/* ---- new names ---------------------------------------------------------------------------------------- */

struct refetch_item {
    struct list link;    /* in fs->to_read */
    struct inode *inode; /* referenced */
};

void refetch_note_listed(struct fusefs *fs, struct inode *inode)
{
    struct refetch_item *item = xcalloc(1, sizeof(*item));
    item->inode = inode_ref(inode);
    list_push_back(&fs->to_read, &item->link);
}

void refetch_pump(struct fusefs *fs)
{
    for (;;) {
        struct fetch_read *r = NULL;
        fs_lock(fs);
        struct list *l = list_pop_front(&fs->to_read);
        if (l) {
            struct refetch_item *item = list_entry(l, struct refetch_item, link);
            r = fetch_read_new(fs, item->inode, NULL);
            inode_unref(&fs->cache.table, item->inode);
            free(item);
        }
        fs_unlock(fs);
        if (!r) {
            return;
        }
        fetch_send_stat(r);
    }
}

/* ---- watches ------------------------------------------------------------------------------------------ */

/* Whether the value is worth its transfer along with the stat: somebody will read it, or has the file open
 * and may go on in it. The lock is held. */
static bool wants_value(const struct inode *inode)
{
    return inode->kind == INODE_UNKNOWN || !list_is_empty(&inode->handles) ||
           (inode->nlookup > 0 && inode->stat.dataLength <= FETCH_EAGER_BYTES);
}

/* Reads the node again after its data watch is gone; the lock is held. */
static struct fetch_read *plan_refresh(struct fusefs *fs, struct inode *inode,
                                       struct fetch_read **value, struct fetch_read **stat)
{
    struct fetch_read *r = fetch_read_new(fs, inode, NULL);
    *(wants_value(inode) ? value : stat) = r;
    return r;
}

/* How long to put off reading the names again. A watch fires once and tells no name, so each change of a
 * directory costs as much as the directory is long; a large one in which much goes on is read a few times
 * a second, the first change at once. So is one whose lock is taken and given back: nobody is to hear of each
 * time but those in the line. The lock is held. */
static int relist_delay(const struct inode *dir)
{
    size_t count = dir->listing ? dir->listing->count : 0;
    int64_t pause_ms = (int64_t)(count / RELIST_NAMES_PER_MS);
    bool is_lock_traffic = dir->listing && dir->listing->is_lock_traffic;
    if (is_lock_traffic || pause_ms > RELIST_PAUSE_MS_MAX) {
        pause_ms = RELIST_PAUSE_MS_MAX;
    }
    int64_t since_ms = clock_now_ms() - dir->listed_ms;
    return since_ms < pause_ms ? (int)(pause_ms - since_ms) : 0;
}

void refetch_on_watch(void *owner, int type, const char *path)
{
    struct fusefs *fs = owner;
    struct fetch_read *value = NULL;
    struct fetch_read *stat = NULL;
    struct fetch_read *kids = NULL;
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
    if (inode && inode_is_znode(inode) && inode_is_needed(inode)) {
        if (type == ZOO_CHANGED_EVENT) {
            plan_refresh(fs, inode, &value, &stat);
        } else if (type == ZOO_DELETED_EVENT && inode->deleting > 0) {
            /* By ourselves; should it be otherwise, who deletes looks again. */
        } else if (type == ZOO_CHILD_EVENT) {
            kids = fetch_read_new(fs, inode, NULL);
            kids->is_alone = true;
            delay_ms = relist_delay(inode);
        } else {
            /* Gone, or back: never believed before ZooKeeper was asked again. */
            value = fetch_read_new(fs, inode, NULL);
            if (type == ZOO_CREATED_EVENT && !inode->parent) {
                kids = fetch_read_new(fs, inode, NULL);
                kids->is_alone = true;
            }
        }
    }
    fs_unlock(fs);
    if (value) {
        fetch_send_value(value);
    }
    if (stat) {
        fetch_send_stat(stat);
    }
    if (kids && delay_ms > 0) {
        fetch_send_kids_later(kids, delay_ms);
    } else if (kids) {
        fetch_send_kids(kids);
    }
}

/* The reads for one inode after its watches were lost; the lock is held. */
struct reread {
    struct fetch_read *value;
    struct fetch_read *stat;
    struct fetch_read *kids;
};

static struct reread plan_reread(struct fusefs *fs, struct inode *inode)
{
    struct reread next = { NULL, NULL, NULL };
    inode->data_watched = false;
    inode->kids_watched = false;
    if (!inode_is_znode(inode) || !inode_is_needed(inode) || !inode->stat_known) {
        return next;
    }
    plan_refresh(fs, inode, &next.value, &next.stat)->is_alone = true;
    if (inode->kind == INODE_FILE || inode->listing) {
        next.kids = fetch_read_new(fs, inode, NULL);
        next.kids->is_alone = true;
    }
    return next;
}

void refetch_everything(struct fusefs *fs)
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
            fetch_send_value(plan[i].value);
        }
        if (plan[i].stat) {
            fetch_send_stat(plan[i].stat);
        }
        if (plan[i].kids) {
            fetch_send_kids(plan[i].kids);
        }
    }
    free(plan);
}

size_t refetch_watch_bytes(void *owner)
{
    struct fusefs *fs = owner;
    size_t bytes = 0;
    fs_lock(fs);
    list_for_each (l, &fs->cache.table.all) {
        const struct inode *inode = list_entry(l, struct inode, all);
        size_t watches = (size_t)inode->data_watched + inode->kids_watched;
        bytes += watches > 0 ? watches * (strlen(inode->path) + 4) : 0;
    }
    bytes += lock_watch_bytes_locked(fs);
    fs_unlock(fs);
    return bytes;
}
