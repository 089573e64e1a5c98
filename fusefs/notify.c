/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/event_helper.h"
#include "fusefs/refetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/name.h"
#include "fusefs/ops.h"
#include "fusefs/ops_poll.h"

enum notice_type {
    NOTICE_CREATED,
    NOTICE_DELETED,
    NOTICE_DATA,
    NOTICE_ACL,
    NOTICE_ATTR,
    NOTICE_FORGET,
    NOTICE_PAGES,
    NOTICE_AFTER, /* nothing for the kernel */
};

struct notice {
    struct queue_item item; /* first: the queue hands it back */
    enum notice_type type;
    struct inode *inode; /* referenced; NULL: NOTICE_AFTER */
    void (*after)(struct fusefs *fs, uint64_t id);
    uint64_t id;
};

_Static_assert(STATS_EVENT_COUNT == EVENT_ATTRIB + 1, "one counter for each kind of event");

/* ---- queueing ------------------------------------------------------------------------------------------ */

static void push_locked(struct fusefs *fs, enum notice_type type, struct inode *inode)
{
    struct notice *n = xcalloc(1, sizeof(*n));
    n->type = type;
    n->inode = inode_ref(inode);
    thread_queue_push(&fs->notices, &n->item);
}

static bool is_known(const struct inode *inode)
{
    return inode->nlookup > 0 || !inode->parent;
}

/* Somebody may watch the node, or its directory. */
static bool may_be_watched(const struct inode *inode)
{
    return is_known(inode) || is_known(inode->parent);
}

static struct inode *find_control(const struct inode *dir, enum inode_kind kind)
{
    list_for_each (l, &dir->kids) {
        struct inode *control = list_entry(l, struct inode, sibling);
        if (control->kind != INODE_CONTROL_DIR) {
            continue;
        }
        list_for_each (k, &control->kids) {
            struct inode *file = list_entry(k, struct inode, sibling);
            if (file->kind == kind && file->nlookup > 0) {
                return file;
            }
        }
    }
    return NULL;
}

/* One that waits covers all changes until it is taken. */
static void push_attr_locked(struct fusefs *fs, struct inode *inode)
{
    if (!inode->attr_queued) {
        inode->attr_queued = true;
        push_locked(fs, NOTICE_ATTR, inode);
    }
}

static void push_data_locked(struct fusefs *fs, struct inode *inode)
{
    if (inode->kind == INODE_DIR) {
        struct inode *file = find_control(inode, INODE_CONTROL_DATA);
        if (file && !file->event_queued) {
            file->event_queued = true;
            push_locked(fs, NOTICE_DATA, file);
        }
        push_attr_locked(fs, inode);
    } else if (!inode->event_queued) {
        /* Changes that come faster than events leave become one, and its reader sees the last. */
        inode->event_queued = true;
        push_locked(fs, NOTICE_DATA, inode);
    }
}

void notify_on_change(void *owner, enum change change, struct inode *inode)
{
    struct fusefs *fs = owner;
    if (change == CHANGE_LISTED) {
        refetch_note_listed(fs, inode);
        return;
    }
    if (!may_be_watched(inode)) {
        return;
    }
    switch (change) {
    case CHANGE_CREATED:
        push_locked(fs, NOTICE_CREATED, inode);
        break;
    case CHANGE_DELETED:
        push_locked(fs, NOTICE_DELETED, inode);
        break;
    case CHANGE_DATA:
        push_data_locked(fs, inode);
        break;
    case CHANGE_ACL:
        push_locked(fs, NOTICE_ACL, inode);
        break;
    default:
        if (is_known(inode)) {
            push_attr_locked(fs, inode);
        }
    }
}

void notify_session_changed(struct fusefs *fs)
{
    fs_lock(fs);
    struct inode *file = find_control(fs->cache.table.root, INODE_CONTROL_SESSION);
    if (file && !file->event_queued) {
        file->event_queued = true;
        push_locked(fs, NOTICE_DATA, file);
    }
    fs_unlock(fs);
}

void notify_pages_locked(struct fusefs *fs, struct inode *inode)
{
    push_locked(fs, NOTICE_PAGES, inode);
}

void notify_after_locked(struct fusefs *fs, void (*fn)(struct fusefs *fs, uint64_t id), uint64_t id)
{
    struct notice *n = xcalloc(1, sizeof(*n));
    n->type = NOTICE_AFTER;
    n->after = fn;
    n->id = id;
    thread_queue_push(&fs->notices, &n->item);
}

void notify_forget_everything(struct fusefs *fs)
{
    fs_lock(fs);
    list_for_each (l, &fs->cache.table.all) {
        struct inode *inode = list_entry(l, struct inode, all);
        if (is_known(inode)) {
            push_locked(fs, NOTICE_FORGET, inode);
        }
    }
    fs_unlock(fs);
}

/* ---- the view of the event at hand ------------------------------------------------------------------------ */

static void clear_view_locked(struct fusefs *fs)
{
    for (size_t i = 0; i < fs->view.count; i++) {
        inode_unref(&fs->cache.table, fs->view.chain[i]);
    }
    fs->view.count = 0;
}

/* Until the next event: a call that timed out may still reach us later. */
static bool set_view_locked(struct fusefs *fs, struct inode *inode, bool creates)
{
    size_t count = 0;
    for (struct inode *i = inode; i; i = i->parent) {
        count++;
    }
    if (count > HELPER_PATH_MAX) {
        return false;
    }
    struct helper_view old = fs->view;
    fs->view.count = count;
    fs->view.creates = creates;
    for (struct inode *i = inode; i; i = i->parent) {
        fs->view.chain[--count] = inode_ref(i);
    }
    for (size_t i = 0; i < old.count; i++) {
        inode_unref(&fs->cache.table, old.chain[i]);
    }
    return true;
}

/* The inode that the helper means by a name, and whether it is the event's own; NULL: none of the view. */
static struct inode *view_find_locked(const struct fusefs *fs, fuse_ino_t parent, const char *name,
                                      bool *is_last)
{
    for (size_t i = 0; i + 1 < fs->view.count; i++) {
        struct inode *next = fs->view.chain[i + 1];
        if (fs->view.chain[i]->ino == parent && strcmp(inode_name(next), name) == 0) {
            *is_last = i + 2 == fs->view.count;
            return next;
        }
    }
    return NULL;
}

bool notify_is_helper(const struct fusefs *fs, fuse_req_t req)
{
    int pid = atomic_load(&fs->helper_pid);
    return pid > 0 && fuse_req_ctx(req)->pid == pid;
}

void notify_helper_lookup(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    bool is_last = false;
    fs_lock(fs);
    struct inode *inode = view_find_locked(fs, parent, name, &is_last);
    bool is_absent = !inode || (is_last && fs->view.creates);
    if (!is_absent) {
        attr_fill_entry(fs, inode, &e);
        e.entry_timeout = inode->dead ? 0 : e.entry_timeout;
    }
    fs_unlock(fs);
    if (is_absent) {
        fuse_reply_err(req, ENOENT);
    } else {
        ops_reply_entry(fs, req, &e);
    }
}

void notify_helper_create(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                          struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    bool is_last = false;
    fs_lock(fs);
    struct inode *inode = view_find_locked(fs, parent, name, &is_last);
    bool is_ours = inode && is_last && fs->view.creates;
    if (is_ours) {
        attr_fill_entry(fs, inode, &e);
        fs->view.creates = false;
    }
    fs_unlock(fs);
    if (!is_ours) {
        fuse_reply_err(req, EEXIST);
        return;
    }
    if (fi) {
        fi->fh = HANDLE_HELPER_FH;
        fi->keep_cache = 1;
        fi->noflush = 1;
    }
    ops_entry_sent(fs, &e, fi ? fuse_reply_create(req, &e, fi) : fuse_reply_entry(req, &e));
}

void notify_helper_getattr(struct fusefs *fs, fuse_req_t req, fuse_ino_t ino)
{
    struct stat attr;
    double timeout = 0;
    fs_lock(fs);
    struct inode *inode = inode_find(&fs->cache.table, ino);
    if (inode) {
        attr_fill(fs, inode, NULL, &attr);
        timeout = attr_timeout(inode);
    }
    fs_unlock(fs);
    if (inode) {
        fuse_reply_attr(req, &attr, timeout);
    } else {
        fuse_reply_err(req, ESTALE);
    }
}

void notify_helper_open(fuse_req_t req, struct fuse_file_info *fi)
{
    fi->fh = HANDLE_HELPER_FH;
    fi->keep_cache = 1;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

/* ---- carrying out --------------------------------------------------------------------------------------- */

/* What a notice comes to, taken from the inode under the lock. */
struct task {
    uint64_t ino;        /* of what is invalidated */
    uint64_t parent_ino; /* 0: the root has none */
    char *path;          /* owned; below the mount point, for the helper */
    bool is_known;       /* the kernel has the inode */
    bool is_dir;
    bool keeps_pages; /* cached readers still use the old version's */
    bool is_void;     /* nothing to do after all */
};

static char *mount_path(const struct inode *inode)
{
    return xstrdup(inode->path + 1);
}

static struct task take_task(struct fusefs *fs, const struct notice *n)
{
    struct inode *inode = n->inode;
    struct task t = { .ino = inode->ino, .keeps_pages = n->type == NOTICE_ATTR };
    fs_lock(fs);
    if (n->type == NOTICE_DATA) {
        inode->event_queued = false;
    }
    /* A change made here leaves readers where they are, but for those who wait for news. */
    if (n->type == NOTICE_DATA || (n->type == NOTICE_ATTR && handle_any_polled(inode))) {
        handle_advance_readers(inode);
        t.keeps_pages = handle_any_behind(inode);
    }
    if (n->type == NOTICE_ATTR) {
        inode->attr_queued = false;
    }
    if (n->type == NOTICE_CREATED && inode->dead) {
        inode->create_skipped = true;
    }
    t.is_void = n->type == NOTICE_DELETED ? inode->create_skipped : inode->dead;
    t.parent_ino = inode->parent ? inode->parent->ino : 0;
    t.path = mount_path(inode);
    t.is_known = is_known(inode);
    t.is_dir = inode_is_dir(inode);
    if (!t.is_void && !set_view_locked(fs, inode, n->type == NOTICE_CREATED)) {
        t.is_void = true;
    }
    fs_unlock(fs);
    return t;
}

/* The helper has been killed. Until it is reaped nobody else can have its process id; from then on a stranger
 * may, whose requests must not be taken for events: so we forget it before. */
static int revive_helper(struct fusefs *fs)
{
    log_warn("notify", "the event helper has ended, starting another one");
    atomic_store(&fs->helper_pid, 0);
    int err = event_helper_restart(fs->helper);
    if (err == 0) {
        atomic_store(&fs->helper_pid, event_helper_pid(fs->helper));
        err = event_helper_attach(fs->helper, fs->mountpoint);
    }
    return err;
}

static int raise_event(struct fusefs *fs, enum event_kind kind, const struct task *t)
{
    if (!fs->helper) {
        return -ENOTCONN;
    }
    int err = event_helper_raise(fs->helper, kind, t->path);
    if (err == -EPIPE && !atomic_load(&fs->stopping)) {
        err = revive_helper(fs);
        /* Made twice, if it died behind it, an event does no harm; left out it would. */
        err = err ? err : event_helper_raise(fs->helper, kind, t->path);
    }
    stats_add(err ? &fs->stats.events_failed : &fs->stats.events[kind]);
    if (err) {
        log_debug("notify", "event not raised kind=%s path=/%s: %s", stats_event_name(kind),
                  t->path, strerror(-err));
    }
    return err;
}

static void invalidate_inode(struct fusefs *fs, const struct task *t, bool keep_pages)
{
    if (fs->se && t->is_known) {
        stats_add(&fs->stats.invalidations);
        fuse_lowlevel_notify_inval_inode(fs->se, t->ino, keep_pages ? -1 : 0, 0);
    }
}

/* For a name whose event could not be raised, the raising of which would have done it. */
static void drop_entry(struct fusefs *fs, const struct task *t)
{
    if (fs->se && t->parent_ino) {
        const char *name = name_base(t->path);
        stats_add(&fs->stats.invalidations);
        fuse_lowlevel_notify_inval_entry(fs->se, t->parent_ino, name, strlen(name));
    }
}

static void carry_out(struct fusefs *fs, enum notice_type type, const struct task *t)
{
    switch (type) {
    case NOTICE_CREATED:
        if (raise_event(fs, t->is_dir ? EVENT_DIR_CREATED : EVENT_FILE_CREATED, t) != 0) {
            drop_entry(fs, t);
        }
        break;
    case NOTICE_DELETED:
        if (raise_event(fs, t->is_dir ? EVENT_DIR_DELETED : EVENT_FILE_DELETED, t) != 0) {
            drop_entry(fs, t);
        }
        break;
    case NOTICE_DATA:
        invalidate_inode(fs, t, t->keeps_pages);
        raise_event(fs, EVENT_FILE_CHANGED, t);
        break;
    case NOTICE_ACL:
        invalidate_inode(fs, t, true);
        raise_event(fs, EVENT_ATTRIB, t);
        break;
    case NOTICE_ATTR:
        invalidate_inode(fs, t, t->keeps_pages);
        break;
    case NOTICE_FORGET:
        invalidate_inode(fs, t, false);
        if (!t->is_dir) {
            drop_entry(fs, t);
        }
        break;
    case NOTICE_PAGES:
        invalidate_inode(fs, t, false);
        break;
    case NOTICE_AFTER:
        break;
    }
}

static void finish(struct fusefs *fs, struct notice *n)
{
    if (n->type == NOTICE_AFTER) {
        n->after(fs, n->id);
        free(n);
        return;
    }
    fs_lock(fs);
    inode_unref(&fs->cache.table, n->inode);
    fs_unlock(fs);
    free(n);
}

static void *notify_main(void *arg)
{
    struct fusefs *fs = arg;
    struct queue_item *next;
    while ((next = thread_queue_pop_wait(&fs->notices, -1)) != NULL) {
        while (next) {
            struct notice *n = (struct notice *)next;
            next = next->next;
            if (n->type != NOTICE_AFTER && !atomic_load(&fs->stopping)) {
                struct task t = take_task(fs, n);
                if (!t.is_void) {
                    carry_out(fs, n->type, &t);
                }
                free(t.path);
                poll_wake(fs, n->inode);
            }
            finish(fs, n);
        }
    }
    return NULL;
}

int notify_start(struct fusefs *fs)
{
    int err = pthread_create(&fs->notify_thread, NULL, notify_main, fs);
    fs->notify_runs = err == 0;
    return -err;
}

void notify_stop(struct fusefs *fs)
{
    thread_queue_close(&fs->notices);
    if (fs->notify_runs) {
        pthread_join(fs->notify_thread, NULL);
        fs->notify_runs = false;
    }
    /* What requests have still queued since. */
    for (struct queue_item *next = thread_queue_pop_all(&fs->notices); next;) {
        struct notice *n = (struct notice *)next;
        next = next->next;
        finish(fs, n);
    }
    fs_lock(fs);
    clear_view_locked(fs);
    fs_unlock(fs);
}
