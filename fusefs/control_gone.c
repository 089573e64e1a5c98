/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control_gone.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/fs.h"
#include "fusefs/name.h"

#define MODULE "control"

/* ---- one znode --------------------------------------------------------------------------------------------- */

struct gone {
    struct fusefs *fs;
    char *path;    /* owned */
    int64_t czxid; /* 0: not known */
    int64_t session_id;
};

static void gone_free(struct gone *g)
{
    free(g->path);
    free(g);
}

/* Local watchers are told now rather than when the watch has been answered. */
static void learn_gone(struct gone *g)
{
    fs_lock(g->fs);
    struct inode *node = inode_find_path(&g->fs->cache.table, g->path);
    if (node && node->stat_known && node->stat.czxid == g->czxid) {
        inode_ref(node);
        cache_learn_gone(&g->fs->cache, node);
        inode_unref(&g->fs->cache.table, node);
    }
    fs_unlock(g->fs);
}

static void gone_check(struct gone *g);

static void on_deleted(void *arg, const struct zkc_result *result)
{
    struct gone *g = arg;
    switch (result->rc) {
    case ZOK:
        learn_gone(g);
        gone_free(g);
        break;
    case ZNOAUTH:
        log_warn(MODULE,
                 "ephemeral stays until the session ends, its directory denies deletion path=%s",
                 g->path);
        gone_free(g);
        break;
    case ZNONODE:
    case ZCLOSING:
        gone_free(g);
        break;
    default: /* a lost connection, or another version by now */
        gone_check(g);
    }
}

static void on_checked(void *arg, const struct zkc_result *result)
{
    struct gone *g = arg;
    bool is_ours = result->rc == ZOK && result->stat->ephemeralOwner == g->session_id &&
                   (g->czxid == 0 || result->stat->czxid == g->czxid);
    if (!is_ours) {
        gone_free(g);
        return;
    }
    g->czxid = result->stat->czxid;
    zkc_delete(g->fs->zkc, g->path, result->stat->version, on_deleted, g);
}

static void gone_check(struct gone *g)
{
    zkc_exists(g->fs->zkc, g->path, ZKC_PATIENT, on_checked, g);
}

void control_gone(struct fusefs *fs, struct inode *node, int64_t session_id)
{
    struct gone *g = xcalloc(1, sizeof(*g));
    g->fs = fs;
    g->session_id = session_id;
    fs_lock(fs);
    bool is_gone = node->dead;
    g->path = xstrdup(node->path);
    g->czxid = node->stat_known ? node->stat.czxid : 0;
    fs_unlock(fs);
    if (is_gone) {
        gone_free(g);
    } else {
        gone_check(g);
    }
}

bool control_is_held(struct fusefs *fs, const char *path)
{
    fs_lock(fs);
    const struct inode *node = inode_find_path(&fs->cache.table, path);
    bool is_held = node && node->holders > 0;
    fs_unlock(fs);
    return is_held;
}

/* ---- the remains of a lost create --------------------------------------------------------------------------- */

struct sweep {
    struct fusefs *fs;
    char *dir_path; /* owned, as the next ones */
    char *prefix;
    char **paths; /* candidates */
    size_t count;
    size_t at;
    void (*done)(void *arg, int rc);
    void *arg;
};

static void sweep_end(struct sweep *s, int rc)
{
    s->done(s->arg, rc);
    for (size_t i = 0; i < s->count; i++) {
        free(s->paths[i]);
    }
    free(s->paths);
    free(s->dir_path);
    free(s->prefix);
    free(s);
}

static void sweep_next(struct sweep *s);

static void on_remains_deleted(void *arg, const struct zkc_result *result)
{
    struct sweep *s = arg;
    if (result->rc == ZOK || result->rc == ZNONODE) {
        s->at++;
        sweep_next(s);
    } else if (result->rc == ZCONNECTIONLOSS || result->rc == ZBADVERSION) {
        sweep_next(s);
    } else {
        sweep_end(s, result->rc);
    }
}

static void on_remains_checked(void *arg, const struct zkc_result *result)
{
    struct sweep *s = arg;
    const char *path = s->paths[s->at];
    if (result->rc != ZOK && result->rc != ZNONODE) {
        sweep_end(s, result->rc);
        return;
    }
    bool is_remains = result->rc == ZOK &&
                      result->stat->ephemeralOwner == zkc_session_id(s->fs->zkc) &&
                      !control_is_held(s->fs, path);
    if (is_remains) {
        zkc_delete(s->fs->zkc, path, result->stat->version, on_remains_deleted, s);
    } else {
        s->at++;
        sweep_next(s);
    }
}

static void sweep_next(struct sweep *s)
{
    if (s->at == s->count) {
        sweep_end(s, ZOK);
    } else {
        zkc_exists(s->fs->zkc, s->paths[s->at], 0, on_remains_checked, s);
    }
}

static bool has_sequence_number(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 && strlen(name + len) == 10 &&
           strspn(name + len, "0123456789") == 10;
}

static void on_names(void *arg, const struct zkc_result *result)
{
    struct sweep *s = arg;
    if (result->rc != ZOK) {
        sweep_end(s, result->rc);
        return;
    }
    s->paths = xcalloc((size_t)result->names->count + 1, sizeof(*s->paths));
    for (int i = 0; i < result->names->count; i++) {
        if (has_sequence_number(result->names->data[i], s->prefix)) {
            s->paths[s->count++] = name_join(s->dir_path, result->names->data[i]);
        }
    }
    sweep_next(s);
}

void control_sweep(struct fusefs *fs, struct inode *dir, const char *name,
                   void (*done)(void *arg, int rc), void *arg)
{
    struct sweep *s = xcalloc(1, sizeof(*s));
    s->fs = fs;
    s->prefix = xstrdup(name);
    s->done = done;
    s->arg = arg;
    fs_lock(fs);
    s->dir_path = xstrdup(dir->path);
    fs_unlock(fs);
    zkc_children(fs->zkc, s->dir_path, 0, on_names, s);
}
