/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock.h"
#include "fusefs/request.h"

/* A conditional write that loses this often in a row gives up; each loss is somebody else's success. */
enum { EDIT_TRIES_MAX = 1000, RESEND_MAX = 3 };

/* ---- one setData ----------------------------------------------------------------------------------------- */

struct write {
    struct fusefs *fs;
    struct inode *inode; /* the caller holds it */
    char *path;          /* owned */
    char *data;          /* owned; NULL: null data */
    char *guard;         /* owned; only while this znode exists; NULL: in any case */
    int len;
    int32_t version;
    int64_t before_mzxid; /* of the copy when the write was sent; 0: not known */
    bool is_announced;    /* watchers of the inode do not know */
    int resends;
    commit_done_fn done;
    void *arg;
};

static void on_write(void *arg, const struct zkc_result *result);

static void on_guarded(void *arg, const struct zkc_result *result)
{
    struct zkc_result set = *result;
    if (result->rc == ZOK) {
        set.stat = result->results[1].stat;
    } else if (result->rc == ZNONODE && result->results[0].err == ZNONODE) {
        set.rc = ZSYSTEMERROR; /* the lock is lost */
    }
    on_write(arg, &set);
}

static void write_send(struct write *w)
{
    if (w->guard) {
        const struct zkc_step steps[] = {
            { .type = ZKC_STEP_CHECK, .path = w->guard, .version = -1 },
            { .type = ZKC_STEP_SET,
              .path = w->path,
              .data = w->data,
              .len = w->len,
              .version = w->version },
        };
        zkc_multi(w->fs->zkc, steps, 2, on_guarded, w);
        return;
    }
    zkc_set(w->fs->zkc, w->path, w->data, w->len, w->version, on_write, w);
}

static void write_end(struct write *w, int rc, const struct Stat *stat)
{
    if (rc == ZOK) {
        struct cache *c = &w->fs->cache;
        fs_lock(w->fs);
        if (!w->is_announced) {
            cache_wrote(c, w->inode, stat, w->data, w->len, clock_now_ms());
            handle_advance_readers(w->inode);
        } else if (!w->inode->dead) {
            cache_learn_value(c, w->inode, stat, w->data, w->len, clock_now_ms());
        }
        fs_unlock(w->fs);
    }
    w->done(w->arg, rc);
    free(w->guard);
    free(w->path);
    free(w->data);
    free(w);
}

/* Our bytes are there, perhaps with more appended to them since. */
static bool contains_ours(const struct write *w, const struct zkc_result *now)
{
    if (w->len < 0 || !now->value) {
        return w->len < 0 && !now->value;
    }
    return now->value_len >= w->len && memcmp(now->value, w->data, (size_t)w->len) == 0 &&
           (now->value_len == w->len || w->version >= 0);
}

static void on_read_back(void *arg, const struct zkc_result *result)
{
    struct write *w = arg;
    if (result->rc != ZOK) {
        write_end(w, result->rc == ZNONODE ? ZNONODE : ZSYSTEMERROR, NULL);
    } else if (result->stat->mzxid == w->before_mzxid && w->resends++ < RESEND_MAX) {
        /* Nothing has happened to the znode. If the lost request still arrives, this one fails. */
        w->version = result->stat->version;
        write_send(w);
    } else if (result->stat->mzxid != w->before_mzxid && contains_ours(w, result)) {
        write_end(w, ZOK, result->stat);
    } else if (w->version >= 0 && result->stat->version == w->version + 1) {
        /* The one change since was somebody else's: ours can only have failed, and still can only fail. */
        write_end(w, ZBADVERSION, NULL);
    } else {
        write_end(w, ZSYSTEMERROR, NULL);
    }
}

static void on_write(void *arg, const struct zkc_result *result)
{
    struct write *w = arg;
    if (result->rc == ZCONNECTIONLOSS || (result->rc == ZBADVERSION && w->resends > 0)) {
        zkc_get(w->fs->zkc, w->path, 0, on_read_back, w);
        return;
    }
    write_end(w, result->rc, result->stat);
}

/* h NULL: not through a handle. */
static void write_start(struct fusefs *fs, struct inode *inode, const struct handle *h,
                        const void *data, int len, int32_t version, bool is_announced,
                        commit_done_fn done, void *arg)
{
    struct write *w = xcalloc(1, sizeof(*w));
    w->is_announced = is_announced;
    w->fs = fs;
    w->inode = inode;
    w->len = len;
    w->data = len < 0 ? NULL : xmemdup(len ? data : "", len ? (size_t)len : 1);
    w->version = version;
    w->done = done;
    w->arg = arg;
    fs_lock(fs);
    w->path = xstrdup(inode->path);
    w->before_mzxid = inode->stat_known ? inode->stat.mzxid : 0;
    w->guard = h ? lock_guard_locked(fs, h) : NULL;
    fs_unlock(fs);
    write_send(w);
}

void commit_value(struct fusefs *fs, struct inode *inode, const void *data, int len,
                  int32_t version, commit_done_fn done, void *arg)
{
    write_start(fs, inode, NULL, data, len, version, false, done, arg);
}

void commit_announced(struct fusefs *fs, struct inode *inode, const void *data, int len,
                      commit_done_fn done, void *arg)
{
    write_start(fs, inode, NULL, data, len, -1, true, done, arg);
}

/* ---- read, change, write, until nobody was faster ----------------------------------------------------------- */

struct edit {
    struct fusefs *fs;
    struct inode *inode; /* the caller holds it */
    commit_edit_fn edit;
    int64_t param;
    int tries;
    commit_done_fn done;
    void *arg;
};

static void edit_read(struct edit *e);

static void edit_end(struct edit *e, int rc)
{
    e->done(e->arg, rc);
    free(e);
}

static void on_edit_written(void *arg, int rc)
{
    struct edit *e = arg;
    if (rc == ZBADVERSION && ++e->tries < EDIT_TRIES_MAX) {
        edit_read(e);
    } else {
        edit_end(e, rc);
    }
}

static void on_edit_read(void *arg, int rc)
{
    struct edit *e = arg;
    if (rc != ZOK) {
        edit_end(e, rc);
        return;
    }
    char *bytes = NULL;
    size_t len = 0;
    int32_t version = -1;
    fs_lock(e->fs);
    struct value *v = e->inode->value;
    if (v) {
        bytes = e->edit(v->bytes, v->len, &len, e->param);
        version = v->version;
    }
    fs_unlock(e->fs);
    if (bytes) {
        commit_value(e->fs, e->inode, bytes, (int)len, version, on_edit_written, e);
        free(bytes);
    } else {
        edit_end(e, v ? ZSYSTEMERROR : ZNONODE);
    }
}

static void edit_read(struct edit *e)
{
    fetch_value(e->fs, e->inode, on_edit_read, e);
}

void commit_edit(struct fusefs *fs, struct inode *inode, commit_edit_fn edit, int64_t param,
                 commit_done_fn done, void *arg)
{
    struct edit *e = xcalloc(1, sizeof(*e));
    e->fs = fs;
    e->inode = inode;
    e->edit = edit;
    e->param = param;
    e->done = done;
    e->arg = arg;
    edit_read(e);
}

/* ---- handles ------------------------------------------------------------------------------------------------- */

struct commit {
    struct list link; /* in handle->waiters */
    struct request r; /* without req: the file is closed, nobody waits */
    bool is_release;
    commit_done_fn done; /* instead of an answer; NULL: see r */
    void *arg;
    struct handle *handle; /* referenced */
    size_t sent;           /* append: how much of the handle's data is in this setData */
    int tries;
};

static void commit_run(struct commit *c);

static int commit_errno(int rc)
{
    /* The file is still open; only its name is gone. */
    return rc == ZNONODE ? ESTALE : errno_from_zk(rc);
}

/* Hands the handle on to the next in line, answers, and frees. */
static void commit_end(struct commit *c, int rc)
{
    struct fusefs *fs = c->r.fs;
    struct handle *h = c->handle;
    fs_lock(fs);
    h->committing = false;
    h->is_dirty = h->is_dirty || rc != ZOK;
    struct list *next = list_pop_front(&h->waiters);
    h->node->closing -= c->is_release;
    fs_unlock(fs);
    if (next) {
        commit_run(list_entry(next, struct commit, link));
    }
    if (c->done) {
        c->done(c->arg, rc);
    } else if (!c->is_release) {
        request_reply_err(&c->r, commit_errno(rc));
    } else if (rc != ZOK) {
        log_warn("commit", "truncation of a closed file failed: %s", zerror(rc));
    }
    fs_lock(fs);
    handle_unref(&fs->cache, h);
    fs_unlock(fs);
    free(c);
}

/* The handle goes on from the version that it has just written; the lock is held. */
static void adopt_written(struct commit *c)
{
    struct handle *h = c->handle;
    if (h->node->value) {
        value_unref(h->value);
        h->value = value_ref(h->node->value);
    }
    if (h->is_at_end && h->len == c->sent && !h->is_dirty) {
        h->is_append = true; /* as it was opened: what others add from now on stays */
        h->is_at_end = false;
        h->any_version = false;
    }
    if (h->is_append && c->sent > 0) {
        memmove(h->data, h->data + c->sent, h->len - c->sent);
        h->len -= c->sent;
    }
}

static void on_committed(void *arg, int rc)
{
    struct commit *c = arg;
    struct fusefs *fs = c->r.fs;
    if (rc == ZBADVERSION && c->handle->is_append && ++c->tries < EDIT_TRIES_MAX) {
        commit_run(c);
        return;
    }
    if (rc == ZOK) {
        fs_lock(fs);
        adopt_written(c);
        fs_unlock(fs);
    }
    commit_end(c, rc);
}

static void on_append_base(void *arg, int rc)
{
    struct commit *c = arg;
    struct fusefs *fs = c->r.fs;
    struct handle *h = c->handle;
    if (rc != ZOK) {
        commit_end(c, rc);
        return;
    }
    char *bytes = NULL;
    size_t len = 0;
    int32_t version = 0;
    fs_lock(fs);
    struct value *base = h->node->value;
    if (base) {
        c->sent = h->len;
        len = base->len + h->len;
        bytes = xmalloc(len + 1);
        memcpy(bytes, base->bytes, base->len);
        memcpy(bytes + base->len, h->data, h->len);
        version = base->version;
        h->is_dirty = false;
    }
    fs_unlock(fs);
    if (!bytes) {
        commit_end(c, ZNONODE);
    } else if (len > handle_limit(fs, h)) {
        commit_end(c, ZKC_TOO_LARGE);
    } else {
        write_start(fs, h->node, h, bytes, (int)len, version, false, on_committed, c);
    }
    free(bytes);
}

static void commit_replace(struct commit *c)
{
    struct fusefs *fs = c->r.fs;
    struct handle *h = c->handle;
    fs_lock(fs);
    size_t len = c->sent = h->len;
    char *bytes = xmemdup(len ? h->data : "", len ? len : 1);
    int32_t version = h->any_version || !h->value ? -1 : h->value->version;
    h->is_dirty = false;
    fs_unlock(fs);
    write_start(fs, h->node, h, bytes, (int)len, version, false, on_committed, c);
    free(bytes);
}

static void commit_run(struct commit *c)
{
    struct fusefs *fs = c->r.fs;
    struct handle *h = c->handle;
    fs_lock(fs);
    bool must_wait = h->committing && c->tries == 0;
    bool is_clean = !must_wait && c->tries == 0 && !h->is_dirty;
    bool is_forbidden = !must_wait && !is_clean && !handle_is_lock_in_order(h);
    if (must_wait) {
        list_push_back(&h->waiters, &c->link);
    } else if (!is_clean) {
        h->committing = true;
    }
    fs_unlock(fs);
    if (is_clean || is_forbidden) {
        commit_end(c, is_clean ? ZOK : ZSYSTEMERROR);
    } else if (!must_wait && h->is_append) {
        fetch_value(fs, h->node, on_append_base, c);
    } else if (!must_wait) {
        commit_replace(c);
    }
}

void commit_handle(struct fusefs *fs, fuse_req_t req, struct handle *h)
{
    fs_lock(fs);
    bool is_spoiled = h->is_spoiled;
    bool is_at_once = is_spoiled || (!h->is_dirty && !h->committing);
    if (!is_at_once) {
        handle_ref(h);
    }
    fs_unlock(fs);
    if (is_at_once) {
        fuse_reply_err(req, is_spoiled ? EFBIG : 0);
        return;
    }
    struct commit *c = xcalloc(1, sizeof(*c));
    c->handle = h;
    if (request_begin(&c->r, fs, req)) {
        commit_run(c);
        return;
    }
    fs_lock(fs);
    handle_unref(&fs->cache, h);
    fs_unlock(fs);
    free(c);
}

void commit_before(struct fusefs *fs, struct handle *h, commit_done_fn done, void *arg)
{
    fs_lock(fs);
    bool is_needed = h->is_dirty && !h->only_truncated && !h->is_spoiled;
    if (is_needed) {
        handle_ref(h);
    }
    fs_unlock(fs);
    if (!is_needed) {
        done(arg, ZOK);
        return;
    }
    struct commit *c = xcalloc(1, sizeof(*c));
    c->handle = h;
    c->r.fs = fs;
    c->done = done;
    c->arg = arg;
    commit_run(c);
}

void commit_flush(struct fusefs *fs, fuse_req_t req, struct handle *h)
{
    fs_lock(fs);
    bool waits = h->is_dirty && h->only_truncated && !h->is_spoiled;
    fs_unlock(fs);
    if (waits) {
        fuse_reply_err(req, 0);
    } else {
        commit_handle(fs, req, h);
    }
}

void commit_release(struct fusefs *fs, struct handle *h)
{
    fs_lock(fs);
    bool is_needed = h->is_dirty && h->only_truncated && !h->is_spoiled && !h->node->dead;
    if (is_needed) {
        h->node->closing++;
        handle_ref(h);
    }
    fs_unlock(fs);
    if (is_needed) {
        struct commit *c = xcalloc(1, sizeof(*c));
        c->handle = h;
        c->is_release = true;
        c->r.fs = fs;
        commit_run(c);
    }
}
