/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/handle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/cache.h"
#include "fusefs/fs.h"
#include "fusefs/scratch.h"

/* A file changed this recently is taken to be changing still. */
enum { CALM_MS = 300 };

struct handle *handle_new(struct inode *inode, struct inode *node, int flags, pid_t opener)
{
    struct handle *h = xcalloc(1, sizeof(*h));
    h->refs = 1;
    h->opener = opener;
    h->is_fresh = true;
    h->inode = inode_ref(inode);
    h->node = inode_ref(node);
    h->is_writable = (flags & O_ACCMODE) != O_RDONLY;
    h->is_append = h->is_writable && (flags & O_APPEND);
    h->seen = node->stat.mzxid;
    inode->told = list_is_empty(&inode->handles) ? h->seen : inode->told;
    list_init(&h->waiters);
    list_push_back(&inode->handles, &h->link);
    inode->writers += h->is_writable;
    return h;
}

void handle_release(struct cache *c, struct handle *h)
{
    list_remove(&h->link);
    h->inode->writers -= h->is_writable;
    if (h->inode->dead && list_is_empty(&h->inode->handles)) {
        scratch_free(&c->table, h->inode);
    }
    handle_unref(c, h);
}

void handle_release_all(struct cache *c)
{
    for (struct list *l = c->table.all.next; l != &c->table.all;) {
        struct inode *inode = inode_ref(list_entry(l, struct inode, all));
        while (!list_is_empty(&inode->handles)) {
            handle_release(c, list_entry(inode->handles.next, struct handle, link));
        }
        l = l->next;
        inode->refs--; /* not freed here: the table's end frees it, and the walk goes on from it */
    }
}

struct handle *handle_ref(struct handle *h)
{
    h->refs++;
    return h;
}

void handle_unref(struct cache *c, struct handle *h)
{
    if (--h->refs > 0) {
        return;
    }
    if (h->poll) {
        fuse_pollhandle_destroy(h->poll);
    }
    value_unref(h->value);
    inode_unref(&c->table, h->node);
    inode_unref(&c->table, h->inode);
    free(h->data);
    free(h);
}

/* ---- readers ------------------------------------------------------------------------------------------- */

bool handle_is_behind(const struct handle *h)
{
    return h->is_cached && h->value && h->value->mzxid != h->node->stat.mzxid;
}

bool handle_any_behind(const struct inode *inode)
{
    list_for_each (l, &inode->handles) {
        if (handle_is_behind(list_entry(l, struct handle, link))) {
            return true;
        }
    }
    return false;
}

bool handle_any_lock_failed(const struct inode *inode)
{
    list_for_each (l, &inode->handles) {
        if (!handle_is_lock_in_order(list_entry(l, struct handle, link))) {
            return true;
        }
    }
    return false;
}

bool handle_start_over(struct handle *h)
{
    struct value *now = h->node->value;
    if (h->is_text || h->is_dirty || h->committing) {
        return false;
    }
    h->has_data = false; /* what has been committed */
    h->len = 0;
    h->any_version = false;
    if (!h->value || h->value == now || h->value->mzxid == h->node->stat.mzxid) {
        return false;
    }
    value_unref(h->value);
    h->value = now ? value_ref(now) : NULL;
    h->was_read = false;
    if (h->is_cached) {
        h->inode->page_mzxid = h->node->stat.mzxid;
    }
    return h->is_cached;
}

bool handle_any_cached(const struct inode *inode)
{
    list_for_each (l, &inode->handles) {
        if (list_entry(l, struct handle, link)->is_cached) {
            return true;
        }
    }
    return false;
}

bool handle_any_polled(const struct inode *inode)
{
    list_for_each (l, &inode->handles) {
        if (list_entry(l, struct handle, link)->is_polled) {
            return true;
        }
    }
    return false;
}

bool handle_may_cache(const struct inode *inode, int64_t now_ms)
{
    bool is_calm = inode->changed_ms == 0 || now_ms - inode->changed_ms > CALM_MS;
    return inode->kind == INODE_FILE && cache_is_covered(inode) && inode->writers == 0 && is_calm &&
           !handle_any_behind(inode) && !handle_any_polled(inode);
}

void handle_open_reader(struct cache *c, struct handle *h, struct fuse_file_info *fi,
                        int64_t now_ms)
{
    struct inode *inode = h->inode;
    zk_assert(h->node->value);
    h->value = value_ref(h->node->value);
    cache_touch_value(c, h->node);
    h->is_cached = handle_may_cache(inode, now_ms);
    fi->direct_io = !h->is_cached;
    /* A direct reader leaves the pages of the cached ones alone. */
    fi->keep_cache = !h->is_cached || inode->page_mzxid == h->value->mzxid;
    fi->noflush = 1;
    if (h->is_cached) {
        inode->page_mzxid = h->value->mzxid;
    } else if (inode->page_mzxid != h->value->mzxid && !handle_any_cached(inode)) {
        inode->page_mzxid = 0; /* its private mappings fill pages with this version */
    }
}

void handle_advance_readers(struct inode *inode)
{
    if (!inode->value) {
        return;
    }
    list_for_each (l, &inode->handles) {
        struct handle *h = list_entry(l, struct handle, link);
        if (handle_is_behind(h) && (h->is_polled || value_is_prefix(h->value, inode->value))) {
            value_unref(h->value);
            h->value = value_ref(inode->value);
            inode->page_mzxid = inode->value->mzxid;
        }
    }
}

/* A reader that starts over, or has read all of a value that now continues, goes to the kept one. */
static void move_on(struct handle *h, off_t offset)
{
    struct value *now = h->node->value;
    if (h->is_cached || h->is_text || h->is_writable || !now || now == h->value) {
        return;
    }
    if (offset == 0 || value_is_prefix(h->value, now)) {
        value_unref(h->value);
        h->value = value_ref(now);
    }
}

const char *handle_read(struct handle *h, off_t offset, size_t *len)
{
    if (scratch_is(h->inode)) {
        *len = h->inode->scratch->len;
        return *len ? h->inode->scratch->data : "";
    }
    if (h->has_data && !h->is_append) {
        *len = h->len;
        return h->data ? h->data : "";
    }
    if (!h->value) {
        return NULL;
    }
    h->was_read = true;
    h->is_fresh = false;
    move_on(h, offset);
    if (!h->is_text) {
        h->seen = h->value->mzxid;
        h->poll_reports = 0;
    }
    *len = h->value->len;
    return h->value->bytes;
}

/* ---- writers ------------------------------------------------------------------------------------------- */

static void reserve(struct handle *h, size_t len)
{
    if (len > h->cap) {
        h->cap = len + len / 2 + 64;
        h->data = xrealloc(h->data, h->cap);
    }
}

struct handle *handle_find_opened(const struct inode *inode, pid_t opener)
{
    for (struct list *l = inode->handles.prev; l != &inode->handles; l = l->prev) {
        struct handle *h = list_entry(l, struct handle, link);
        if (h->is_writable && h->is_fresh && h->opener == opener) {
            return h;
        }
    }
    return NULL;
}

struct handle *handle_find_changed(const struct inode *inode, pid_t changer)
{
    list_for_each (l, &inode->handles) {
        struct handle *h = list_entry(l, struct handle, link);
        if (h->is_dirty && h->changer == changer) {
            return h;
        }
    }
    return NULL;
}

bool handle_make_private(struct handle *h)
{
    h->is_fresh = false;
    if (h->has_data || h->is_append) {
        h->has_data = true;
        return true;
    }
    if (!h->value) {
        return false;
    }
    reserve(h, h->value->len);
    if (h->value->len > 0) {
        memcpy(h->data, h->value->bytes, h->value->len);
    }
    h->len = h->value->len;
    h->has_data = true;
    return true;
}

bool handle_make_whole(struct handle *h)
{
    if (!h->is_append) {
        return handle_make_private(h);
    }
    if (!h->value) {
        return false;
    }
    size_t old = h->value->len;
    reserve(h, old + h->len);
    memmove(h->data + old, h->data, h->len);
    memcpy(h->data, h->value->bytes, old);
    h->len += old;
    h->has_data = true;
    h->is_append = false;
    h->is_at_end = true;
    return true;
}

static void extend(struct handle *h, size_t len)
{
    reserve(h, len);
    if (len > h->len) {
        memset(h->data + h->len, 0, len - h->len);
        h->len = len;
    }
}

void handle_write(struct handle *h, const char *bytes, size_t len, off_t offset)
{
    size_t at = h->is_append || h->is_at_end ? h->len : (size_t)offset;
    extend(h, at + len);
    if (len > 0) {
        memcpy(h->data + at, bytes, len);
    }
    h->is_dirty = true;
    h->only_truncated = false;
}

void handle_truncate(struct handle *h, size_t len)
{
    h->is_fresh = false;
    h->is_spoiled = false;
    if (len == 0) {
        /* Who has not looked at the old value replaces it; who has, changes it. */
        h->any_version = !h->was_read;
        h->only_truncated = true;
        h->has_data = true;
        h->is_at_end = h->is_at_end || h->is_append;
        h->is_append = false;
        h->len = 0;
    } else {
        extend(h, len);
        h->len = len;
        h->only_truncated = false;
    }
    h->is_dirty = true;
}

bool handle_has_own_size(const struct handle *h)
{
    bool has_changed = h->is_dirty || (h->has_data && !h->is_append);
    return handle_is_behind(h) || (has_changed && !handle_any_cached(h->inode));
}

size_t handle_size(const struct handle *h)
{
    if (h->has_data && !h->is_append) {
        return h->len;
    }
    size_t base = h->value ? h->value->len : (size_t)h->node->stat.dataLength;
    return base + h->len;
}

size_t handle_limit(const struct fusefs *fs, const struct handle *h)
{
    return fs_value_limit(fs, h->node->path);
}
