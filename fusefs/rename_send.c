/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/rename.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/notify.h"
#include "fusefs/scratch.h"
#include "fusefs/subtree.h"

/* ---- what is here now --------------------------------------------------------------------------------------- */

/* Open handles go on from the version that the same bytes have under the new name; the lock is held. */
static void rebase_handles(struct inode *inode)
{
    struct value *now = inode->value;
    list_for_each (l, &inode->handles) {
        struct handle *h = list_entry(l, struct handle, link);
        bool is_same =
            now && h->value && h->value->len == now->len && value_is_prefix(h->value, now);
        if (is_same) {
            value_unref(h->value);
            h->value = value_ref(now);
        }
    }
}

/* One inode that stands for another znode since the rename, and is read again. */
struct moved {
    struct renamed *renamed;
    struct inode *inode; /* referenced */
    bool was_armed;
};

struct renamed {
    struct rename *rename;
    struct moved *moved; /* owned */
    size_t count;
    size_t pending; /* by fs->lock; one more while the reads are being sent */
};

static void renamed_leave(struct renamed *rn)
{
    struct rename *n = rn->rename;
    struct fusefs *fs = n->r.fs;
    fs_lock(fs);
    bool is_last = --rn->pending == 0;
    for (size_t i = 0; is_last && i < rn->count; i++) {
        rebase_handles(rn->moved[i].inode);
        inode_unref(&fs->cache.table, rn->moved[i].inode);
    }
    fs_unlock(fs);
    if (is_last) {
        free(rn->moved);
        free(rn);
        rename_end(n, 0);
    }
}

static void on_moved_known(void *arg, int rc)
{
    struct moved *m = arg;
    (void)rc; /* the rename has happened; otherwise what it shows now is learned at the next look */
    renamed_leave(m->renamed);
}

/* The lock is held. */
static void add_moved(struct renamed *rn, struct inode *inode)
{
    rn->moved = xrealloc(rn->moved, (rn->count + 1) * sizeof(*rn->moved));
    rn->moved[rn->count++] = (struct moved){ rn, inode_ref(inode), inode->armed };
    rn->pending++;
}

/* All that was below a directory has its new path already, but stands for new znodes; the lock is held. */
static void forget_below(struct fusefs *fs, struct renamed *rn, struct inode *dir)
{
    list_for_each (l, &dir->kids) {
        struct inode *kid = list_entry(l, struct inode, sibling);
        if (inode_is_znode(kid) && !kid->dead) {
            add_moved(rn, kid);
            notify_on_change(fs, CHANGE_ATTR, kid);
            cache_forget(&fs->cache, kid);
        }
    }
}

static void read_moved(struct fusefs *fs, struct renamed *rn)
{
    for (size_t i = 0; i < rn->count; i++) {
        struct moved *m = &rn->moved[i];
        if (m->inode->kind == INODE_DIR && (m->was_armed || i == 0)) {
            fetch_arm(fs, m->inode, on_moved_known, m);
        } else {
            fetch_node(fs, m->inode, on_moved_known, m);
        }
    }
    renamed_leave(rn);
}

/* The multi is through. */
static void rename_apply(struct rename *n)
{
    struct fusefs *fs = n->r.fs;
    struct renamed *rn = xcalloc(1, sizeof(*rn));
    rn->rename = n;
    rn->pending = 1;
    fs_lock(fs);
    add_moved(rn, n->from);
    if (n->flags & RENAME_EXCHANGE) {
        cache_exchanged(&fs->cache, n->from, n->to);
        add_moved(rn, n->to);
    } else {
        if (n->from_scratch) {
            scratch_end(&fs->cache.table, n->from);
        }
        cache_renamed(&fs->cache, n->from, n->to_dir, n->to_name);
    }
    for (size_t i = 0; n->is_dir && i < rn->count; i++) {
        forget_below(fs, rn, rn->moved[i].inode);
    }
    fs_unlock(fs);
    read_moved(fs, rn);
}

/* ---- after a lost connection: has it happened? ---------------------------------------------------------------- */

static bool has_bytes(const struct zkc_result *result, const struct value *v)
{
    if (!v || !result->value) {
        return !v && !result->value;
    }
    return (size_t)result->value_len == v->len && memcmp(result->value, v->bytes, v->len) == 0;
}

static void on_target_read_back(void *arg, const struct zkc_result *result)
{
    struct rename *n = arg;
    int64_t mzxid = result->rc == ZOK ? result->stat->mzxid : 0;
    bool is_ours = result->rc == ZOK && mzxid != n->to_mzxid && has_bytes(result, n->from_value);
    bool is_untouched = (result->rc == ZOK || result->rc == ZNONODE) && mzxid == n->to_mzxid;
    bool is_exchange = n->flags & RENAME_EXCHANGE;
    bool source_agrees = is_exchange ? n->source_swapped : n->source_gone || n->from_scratch;
    if (source_agrees && is_ours) {
        rename_apply(n);
    } else if (n->source_untouched && is_untouched && ++n->tries < RENAME_TRIES_MAX) {
        n->was_resent = true;
        rename_read(n);
    } else {
        rename_end(n, EIO);
    }
}

static void read_target_back(struct rename *n)
{
    zkc_get(n->r.fs->zkc, n->to->path, 0, on_target_read_back, n);
}

static void on_source_read_back(void *arg, const struct zkc_result *result)
{
    struct rename *n = arg;
    if (result->rc != ZOK && result->rc != ZNONODE) {
        rename_end(n, EIO);
        return;
    }
    n->source_gone = result->rc == ZNONODE;
    n->source_untouched = result->rc == ZOK && result->stat->mzxid == n->from_mzxid;
    n->source_swapped = result->rc == ZOK && !n->source_untouched && has_bytes(result, n->to_value);
    read_target_back(n);
}

static void rename_settle(struct rename *n)
{
    n->source_gone = false;
    n->source_swapped = false;
    n->source_untouched = n->from_scratch;
    if (n->from_scratch) {
        read_target_back(n);
    } else {
        zkc_get(n->r.fs->zkc, n->from->path, 0, on_source_read_back, n);
    }
}

/* ---- the multi -------------------------------------------------------------------------------------------------- */

static int rename_errno(const struct rename *n, int rc)
{
    if (rc == ZNOTEMPTY) {
        return n->is_dir ? ENOTEMPTY : EBUSY; /* got children meanwhile: no file any more */
    }
    if (rc == ZKC_TOO_LARGE) {
        return n->is_dir ? EXDEV : EFBIG;
    }
    return rc == ZNODEEXISTS && (n->flags & RENAME_NOREPLACE) ? EEXIST : errno_from_zk(rc);
}

static void on_refused(struct rename *n, int rc)
{
    bool is_race = rc == ZBADVERSION || rc == ZNONODE || (rc == ZNOTEMPTY && n->is_dir) ||
                   (rc == ZNODEEXISTS && !(n->flags & RENAME_NOREPLACE));
    if (is_race && n->was_resent) {
        rename_settle(n); /* by ourselves, perhaps */
    } else if (is_race && ++n->tries < RENAME_TRIES_MAX) {
        rename_read(n);
    } else {
        rename_end(n, rename_errno(n, rc));
    }
}

static void on_multi(void *arg, const struct zkc_result *result)
{
    struct rename *n = arg;
    if (result->rc == ZOK) {
        rename_apply(n);
    } else if (result->rc == ZCONNECTIONLOSS) {
        rename_settle(n);
    } else {
        on_refused(n, result->rc);
    }
}

static struct zkc_step set_step(const char *path, const struct value *v, int32_t version)
{
    return (struct zkc_step){
        .type = ZKC_STEP_SET, .path = path, .data = v->bytes, .len = (int)v->len, .version = version
    };
}

static struct zkc_step delete_step(const char *path, int32_t version)
{
    return (
        struct zkc_step){ .type = ZKC_STEP_DELETE, .path = path, .len = -1, .version = version };
}

static void send_exchange(struct rename *n)
{
    zk_assert(n->to_value && n->from_value); /* ops_rename.c has seen them */
    struct zkc_step steps[] = {
        set_step(n->to->path, n->from_value, n->to_value->version),
        set_step(n->from->path, n->to_value, n->from_version),
    };
    zkc_multi(n->r.fs->zkc, steps, 2, on_multi, n);
}

/* The target keeps its znode, or what was in memory gets one. */
static void send_value(struct rename *n)
{
    struct zkc_step steps[2];
    int count = 0;
    steps[count] = set_step(n->to->path, n->from_value, -1);
    if (!n->to_exists) {
        steps[count].type = ZKC_STEP_CREATE;
    }
    count++;
    if (!n->from_scratch) {
        steps[count++] = delete_step(n->from->path, n->from_version);
    }
    zkc_multi(n->r.fs->zkc, steps, count, on_multi, n);
}

static void send_tree(struct rename *n)
{
    size_t moves = 0;
    struct zkc_step *tree_steps = subtree_move_steps(n->tree, n->to->path, &moves);
    struct zkc_step *steps = xcalloc(moves + 1, sizeof(*steps));
    size_t count = 0;
    if (n->to_exists) {
        steps[count++] = delete_step(n->to->path, -1);
    }
    memcpy(steps + count, tree_steps, moves * sizeof(*steps));
    zkc_multi(n->r.fs->zkc, steps, (int)(count + moves), on_multi, n);
    free(steps);
    subtree_free_steps(tree_steps, moves);
}

static void on_tree(void *arg, int rc, struct subtree *take_tree)
{
    struct rename *n = arg;
    subtree_free(n->tree);
    n->tree = take_tree;
    if (rc == ZOK && take_tree->nodes[0]->stat.mzxid != n->from_mzxid) {
        rc = ZBADVERSION;
    }
    if (rc == ZOK) {
        send_tree(n);
    } else {
        on_refused(n, rc);
    }
}

void rename_send(struct rename *n)
{
    if (n->flags & RENAME_EXCHANGE) {
        send_exchange(n);
    } else if (n->from_scratch || (n->to_exists && !n->is_dir)) {
        send_value(n);
    } else {
        size_t from_len = strlen(n->from->path);
        size_t to_len = strlen(n->to->path);
        size_t longer = to_len > from_len ? to_len - from_len : 0;
        subtree_read(n->r.fs, n->from->path, longer, on_tree, n);
    }
}
