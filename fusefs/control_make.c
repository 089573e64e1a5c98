/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control_make.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/control.h"
#include "fusefs/control_gone.h"
#include "fusefs/control_made.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/name.h"
#include "fusefs/ops.h"
#include "fusefs/request.h"

/* How often a request that did not get through is sent again. */
enum { RESEND_MAX = 3 };

static bool is_sequential(enum inode_kind kind)
{
    return kind == INODE_CONTROL_SEQUENTIAL || kind == INODE_CONTROL_EPHEMERAL_SEQUENTIAL;
}

static bool is_ephemeral(enum inode_kind kind)
{
    return kind == INODE_CONTROL_EPHEMERAL || kind == INODE_CONTROL_EPHEMERAL_SEQUENTIAL;
}

static int create_mode(enum inode_kind kind)
{
    switch (kind) {
    case INODE_CONTROL_EPHEMERAL:
        return ZOO_EPHEMERAL;
    case INODE_CONTROL_SEQUENTIAL:
        return ZOO_PERSISTENT_SEQUENTIAL;
    case INODE_CONTROL_EPHEMERAL_SEQUENTIAL:
        return ZOO_EPHEMERAL_SEQUENTIAL;
    case INODE_CONTROL_CONTAINER:
        return ZOO_CONTAINER;
    default:
        return ZOO_PERSISTENT_WITH_TTL;
    }
}

struct making {
    struct request r;
    struct inode *maker; /* referenced */
    struct inode *dir;   /* referenced; where the znode is made */
    struct inode *node;  /* referenced; the znode's, once it is made */
    bool holds;          /* the node, until a handle does */
    char *name;          /* owned; as it was given */
    char *path;          /* owned; in dir */
    enum inode_kind kind;
    int64_t ttl_ms; /* -1: none */
    struct fuse_file_info fi;
    int resends;
};

static void make_send(struct making *m);

/* The lock is held. */
static void drop_hold(struct making *m)
{
    m->node->holders -= m->holds;
    m->holds = false;
}

static void make_free(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    fs_lock(fs);
    if (m->node) {
        drop_hold(m);
        inode_unref(&fs->cache.table, m->node);
    }
    inode_unref(&fs->cache.table, m->maker);
    inode_unref(&fs->cache.table, m->dir);
    fs_unlock(fs);
    free(m->name);
    free(m->path);
    free(m);
}

static void make_fail(struct making *m, int err)
{
    request_reply_err(&m->r, err);
    make_free(m);
}

static int64_t session_of(const struct making *m)
{
    return is_ephemeral(m->kind) ? m->node->stat.ephemeralOwner : 0;
}

static struct value *name_line(const struct inode *node)
{
    char *line = xasprintf("%s\n", inode_name(node));
    struct value *text = value_new(line, strlen(line), 0, 0);
    free(line);
    return text;
}

static void reply_made(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    struct fuse_entry_param e;
    fs_lock(fs);
    char *path = name_join(m->maker->path, inode_name(m->node));
    struct inode *made = inode_add(&fs->cache.table, m->maker, path, INODE_CONTROL_MADE);
    free(path);
    struct handle *h = control_made_open(made, m->node, session_of(m), name_line(m->node), &m->fi);
    drop_hold(m); /* to the handle, which may be closed at any moment from the reply on */
    attr_fill_entry(fs, made, &e);
    fs_unlock(fs);
    int err = fuse_reply_create(m->r.req, &e, &m->fi);
    ops_entry_sent(fs, &e, err);
    if (err) {
        control_made_release(fs, h);
        fs_lock(fs);
        handle_release(&fs->cache, h);
        fs_unlock(fs);
    }
}

static void on_made_known(void *arg, int rc)
{
    struct making *m = arg;
    bool is_shown = rc == ZOK || rc == ZNOAUTH;
    if (is_shown && request_claim(&m->r)) {
        reply_made(m);
        make_free(m);
        return;
    }
    /* Nobody is going to hold it. */
    if (is_ephemeral(m->kind)) {
        control_gone(m->r.fs, m->node, session_of(m));
    }
    make_fail(m, rc == ZNONODE ? ESTALE : errno_from_zk(rc));
}

/* The znode of that name exists, and is ours. */
static void learn_made(struct making *m, const char *name, const struct Stat *stat)
{
    struct fusefs *fs = m->r.fs;
    enum inode_kind kind = m->kind == INODE_CONTROL_CONTAINER ? INODE_DIR : INODE_FILE;
    fs_lock(fs);
    m->node = inode_ref(cache_made(&fs->cache, m->dir, name, stat, kind));
    m->holds = true;
    m->node->holders++; /* before any later answer of the session can find it unheld */
    fs_unlock(fs);
    fetch_node(fs, m->node, on_made_known, m);
}

static void make_again(struct making *m)
{
    if (m->resends++ < RESEND_MAX) {
        make_send(m);
    } else {
        make_fail(m, EIO);
    }
}

static void on_swept(void *arg, int rc)
{
    struct making *m = arg;
    if (rc == ZOK) {
        make_again(m);
    } else {
        make_fail(m, errno_from_zk(rc));
    }
}

static void on_remains_deleted(void *arg, const struct zkc_result *result)
{
    struct making *m = arg;
    bool is_gone = result->rc == ZOK || result->rc == ZNONODE;
    if (is_gone || result->rc == ZBADVERSION || result->rc == ZCONNECTIONLOSS) {
        make_again(m);
    } else {
        make_fail(m, errno_from_zk(result->rc));
    }
}

/* The name is taken, or may be: by the remains of an earlier try, or of a descriptor that was closed a moment
 * ago. What this session owns and nobody holds makes way; adopting it instead would hand it to a deletion
 * that is on its way. */
static void on_looked_for(void *arg, const struct zkc_result *result)
{
    struct making *m = arg;
    struct zkc *z = m->r.fs->zkc;
    if (result->rc == ZNONODE) {
        make_again(m);
    } else if (result->rc != ZOK) {
        make_fail(m, errno_from_zk(result->rc));
    } else if (!is_ephemeral(m->kind)) {
        make_fail(m, EIO); /* nothing tells whether we made it */
    } else if (result->stat->ephemeralOwner != zkc_session_id(z) ||
               control_is_held(m->r.fs, m->path)) {
        make_fail(m, EEXIST);
    } else {
        zkc_delete(z, m->path, result->stat->version, on_remains_deleted, m);
    }
}

static void settle(struct making *m)
{
    struct fusefs *fs = m->r.fs;
    if (!is_sequential(m->kind)) {
        zkc_exists(fs->zkc, m->path, 0, on_looked_for, m);
    } else if (is_ephemeral(m->kind)) {
        control_sweep(fs, m->dir, m->name, on_swept, m);
    } else {
        make_fail(m, EIO);
    }
}

static void on_created(void *arg, const struct zkc_result *result)
{
    struct making *m = arg;
    bool may_make_way = result->rc == ZNODEEXISTS && (m->resends > 0 || is_ephemeral(m->kind));
    if (result->rc == ZCONNECTIONLOSS || may_make_way) {
        settle(m);
    } else if (result->rc != ZOK) {
        make_fail(m, errno_from_zk(result->rc));
    } else {
        learn_made(m, name_base(result->name), result->stat);
    }
}

static void make_send(struct making *m)
{
    int len = m->kind == INODE_CONTROL_CONTAINER ? -1 : 0;
    zkc_create_ttl(m->r.fs->zkc, m->path, "", len, create_mode(m->kind), m->ttl_ms, on_created, m);
}

/* ---- create ------------------------------------------------------------------------------------------------- */

/* Digits that ZooKeeper adds. */
enum { SEQUENCE_BYTES = 10 };

static int check_name(const struct fusefs *fs, enum inode_kind kind, const struct inode *dir,
                      const char *name)
{
    int err = name_check(name);
    if (!err && is_sequential(kind)) {
        return strlen(name) > NAME_MAX - SEQUENCE_BYTES ? ENAMETOOLONG : 0;
    }
    return !err && control_is_name(fs, dir, name) ? EEXIST : err;
}

bool control_make(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *fi)
{
    int err = 0;
    struct inode *maker = ops_get_inode(fs, parent, &err);
    if (!maker) {
        return false;
    }
    if (!inode_is_maker(maker)) {
        ops_put_inode(fs, maker);
        return false;
    }
    struct making *m = xcalloc(1, sizeof(*m));
    m->r.fs = fs;
    m->maker = maker;
    m->kind = maker->kind;
    m->ttl_ms = m->kind == INODE_CONTROL_TTL_SECONDS ? control_ttl_ms(inode_name(maker)) : -1;
    m->name = xstrdup(name);
    m->fi = *fi;
    fs_lock(fs);
    m->dir = inode_ref(inode_owner(maker));
    m->path = name_join(m->dir->path, name);
    fs_unlock(fs);
    err = ops_open_write_gate(fs);
    err = err ? err : check_name(fs, m->kind, m->dir, name);
    if (err) {
        fuse_reply_err(req, err);
        make_free(m);
    } else if (request_begin(&m->r, fs, req)) {
        make_send(m);
    } else {
        make_free(m);
    }
    return true;
}
