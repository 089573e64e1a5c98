/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/commit_kind.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"

enum { TRIES_MAX = 20 };

struct turn {
    struct fusefs *fs;
    struct inode *inode; /* the caller holds it */
    char *path;          /* owned */
    int64_t czxid;       /* of the life that is meant; 0: not known yet */
    enum inode_kind kind;
    int tries;
    commit_kind_done_fn done;
    void *arg;
};

static void turn_end(struct turn *t, int err)
{
    t->done(t->arg, err);
    free(t->path);
    free(t);
}

static void turn_read(struct turn *t);

/* The live inode of the znode that was meant; NULL: it is gone. The lock is held. */
static struct inode *find_live(struct turn *t)
{
    struct inode *live = inode_find_path(&t->fs->cache.table, t->path);
    bool is_known = live && live->stat_known && live->kind != INODE_UNKNOWN;
    if (is_known && t->czxid == 0) {
        t->czxid = live->stat.czxid;
    }
    return is_known && live->stat.czxid == t->czxid ? live : NULL;
}

/* What the new data do to the cache; the lock is held. */
static void learn(struct turn *t, struct inode *live, const struct Stat *stat)
{
    struct cache *c = &t->fs->cache;
    if (live->kind == INODE_DIR && t->kind == INODE_FILE) {
        cache_turn_into_file(c, live, stat, "", 0, clock_now_ms());
    } else {
        cache_learn_value(c, live, stat, NULL, -1, clock_now_ms());
    }
}

static void on_set(void *arg, const struct zkc_result *result)
{
    struct turn *t = arg;
    bool is_open = result->rc == ZCONNECTIONLOSS || result->rc == ZBADVERSION;
    if (is_open && ++t->tries < TRIES_MAX) {
        turn_read(t);
        return;
    }
    if (result->rc == ZOK) {
        fs_lock(t->fs);
        struct inode *live = find_live(t);
        if (live) {
            learn(t, live, result->stat);
        }
        fs_unlock(t->fs);
    }
    turn_end(t, is_open ? EIO : errno_from_zk(result->rc));
}

/* Whether the znode has to be set to become what is wanted; *err: why it cannot. The lock is held. */
static bool must_set(struct turn *t, struct inode *live, int *err)
{
    const struct Stat *stat = &live->stat;
    if (live->kind == t->kind) {
        return false;
    }
    if (!live->parent) {
        *err = EBUSY;
        return false;
    }
    bool has_data = stat->dataLength > 0;
    if (t->kind == INODE_FILE ? stat->numChildren > 0 : has_data) {
        *err = ENOTEMPTY;
        return false;
    }
    if (has_data) {
        cache_turn_into_file(&t->fs->cache, live, stat, NULL, -1, clock_now_ms());
    }
    return !has_data;
}

static void on_read(void *arg, int rc)
{
    struct turn *t = arg;
    int err = errno_from_zk(rc);
    bool sets = false;
    int32_t version = 0;
    fs_lock(t->fs);
    struct inode *live = err ? NULL : find_live(t);
    if (live) {
        version = live->stat.version;
        sets = must_set(t, live, &err);
    }
    fs_unlock(t->fs);
    if (sets) {
        zkc_set(t->fs->zkc, t->path, "", t->kind == INODE_DIR ? -1 : 0, version, on_set, t);
    } else {
        turn_end(t, !err && !live ? ESTALE : err == ENOENT ? ESTALE : err);
    }
}

static void turn_read(struct turn *t)
{
    fetch_value(t->fs, t->inode, on_read, t);
}

void commit_kind(struct fusefs *fs, struct inode *inode, enum inode_kind kind,
                 commit_kind_done_fn done, void *arg)
{
    struct turn *t = xcalloc(1, sizeof(*t));
    t->fs = fs;
    t->inode = inode;
    t->kind = kind;
    t->done = done;
    t->arg = arg;
    fs_lock(fs);
    t->path = xstrdup(inode->path);
    t->czxid = inode->stat_known ? inode->stat.czxid : 0;
    fs_unlock(fs);
    turn_read(t);
}
