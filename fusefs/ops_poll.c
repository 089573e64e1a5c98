/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops_poll.h"

#include <poll.h>

#include "fusefs/control_made.h"
#include "fusefs/fs.h"
#include "fusefs/notify.h"
#include "fusefs/ops.h"

enum { REPORTS_MAX = 2 };

/* After every other state. */
#define STATE_GONE INT64_MAX

/* What grows when the file changes; the lock is held. */
static int64_t state_of(struct fusefs *fs, struct inode *inode)
{
    if (inode->kind == INODE_CONTROL_SESSION) {
        return atomic_load(&fs->session_changes);
    }
    if (inode->kind == INODE_CONTROL_MADE) {
        bool is_open = !list_is_empty(&inode->handles);
        const struct handle *h = list_entry(inode->handles.next, struct handle, link);
        return is_open && control_made_is_lost(fs, h) ? STATE_GONE : 0;
    }
    if (inode->kind == INODE_FILE || inode->kind == INODE_CONTROL_DATA) {
        const struct inode *node = inode_owner(inode);
        return node->dead ? STATE_GONE : node->stat.mzxid;
    }
    return 0;
}

void poll_mark_seen(struct fusefs *fs, struct handle *h)
{
    h->seen = state_of(fs, h->inode);
    h->poll_reports = 0;
}

/* The lock is held. */
static bool has_news(const struct handle *h)
{
    int64_t told = h->inode->told;
    bool is_own = h->is_writable && h->value && h->value->mzxid >= told;
    /* Nothing new could be read yet: the notice that moves it on will wake it. */
    bool is_early = told != STATE_GONE && handle_is_behind(h);
    return told > h->seen && !is_own && !is_early;
}

static void ops_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                     struct fuse_pollhandle *ph)
{
    (void)ino;
    struct fusefs *fs = ops_begin(req, STATS_POLL);
    struct handle *h = handle_from_fh(fi->fh);
    unsigned events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    fs_lock(fs);
    struct fuse_pollhandle *old = ph ? h->poll : NULL;
    h->poll = ph ? ph : h->poll;
    if (!h->is_polled && handle_is_behind(h)) {
        notify_on_change(fs, CHANGE_ATTR, h->inode);
    }
    h->is_polled = true;
    if (has_news(h)) {
        events |= POLLPRI | (h->inode->told == STATE_GONE ? POLLERR : 0);
        h->poll_reports++;
        if (h->is_cached && h->poll_reports >= REPORTS_MAX) {
            h->seen = h->inode->told;
            h->poll_reports = 0;
        }
    }
    fs_unlock(fs);
    if (old) {
        fuse_pollhandle_destroy(old);
    }
    fuse_reply_poll(req, events);
}

/* Takes the poll handle of a descriptor that has to be woken; NULL: none is left. */
static struct fuse_pollhandle *take_poll(struct fusefs *fs, const struct inode *inode)
{
    struct fuse_pollhandle *ph = NULL;
    fs_lock(fs);
    list_for_each (l, &inode->handles) {
        struct handle *h = list_entry(l, struct handle, link);
        if (!ph && h->poll && has_news(h)) {
            ph = h->poll;
            h->poll = NULL;
        }
    }
    fs_unlock(fs);
    return ph;
}

void poll_wake(struct fusefs *fs, struct inode *inode)
{
    struct fuse_pollhandle *ph;
    fs_lock(fs);
    inode->told = state_of(fs, inode);
    fs_unlock(fs);
    while ((ph = take_poll(fs, inode)) != NULL) {
        fuse_lowlevel_notify_poll(ph);
        fuse_pollhandle_destroy(ph);
    }
}

void poll_wake_made(struct fusefs *fs)
{
    fs_lock(fs);
    for (struct list *l = fs->cache.table.all.next; l != &fs->cache.table.all;) {
        struct inode *inode = list_entry(l, struct inode, all);
        if (inode->kind != INODE_CONTROL_MADE) {
            l = l->next;
            continue;
        }
        inode_ref(inode);
        fs_unlock(fs);
        poll_wake(fs, inode);
        fs_lock(fs);
        l = l->next;
        inode_unref(&fs->cache.table, inode);
    }
    fs_unlock(fs);
}

void ops_poll_fill(struct fuse_lowlevel_ops *ops)
{
    ops->poll = ops_poll;
}
