/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/commit_acl.h"
#include "fusefs/commit_kind.h"
#include "fusefs/control_made.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/lock.h"
#include "fusefs/request.h"

static const char prefix[] = "user.zk.";

/* What follows the prefix, in listing order. */
static const char *const attributes[] = { "czxid",      "mzxid",       "pzxid",          "ctime",
                                          "mtime",      "version",     "cversion",       "aversion",
                                          "dataLength", "numChildren", "ephemeralOwner", "acl",
                                          "kind",       "path" };
enum { ATTRIBUTE_COUNT = sizeof(attributes) / sizeof(attributes[0]) };

/* Not among the attributes of a znode: only who holds a lock through this mount has it. */
static const char fence_attribute[] = "user.zk.fence";

/* The part after user.zk., or NULL if it is none of ours. */
static const char *attribute_of(const char *name)
{
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
        return NULL;
    }
    const char *attribute = name + sizeof(prefix) - 1;
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (strcmp(attributes[i], attribute) == 0) {
            return attribute;
        }
    }
    return NULL;
}

/* ZooKeeper's numbers: zxids and sessions in hex, as zkCli prints them, the rest in decimal. */
static void print_attribute(const struct inode *inode, const char *attribute, struct buf *out)
{
    const struct Stat *s = &inode->stat;
    const struct {
        const char *name;
        int64_t value;
        bool hex;
    } numbers[] = {
        { "czxid", s->czxid, true },
        { "mzxid", s->mzxid, true },
        { "pzxid", s->pzxid, true },
        { "ephemeralOwner", s->ephemeralOwner, true },
        { "ctime", s->ctime, false },
        { "mtime", s->mtime, false },
        { "version", s->version, false },
        { "cversion", s->cversion, false },
        { "aversion", s->aversion, false },
        { "dataLength", s->dataLength, false },
        { "numChildren", s->numChildren, false },
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(numbers[i].name, attribute) == 0) {
            if (numbers[i].hex) {
                buf_printf(out, "0x%" PRIx64, (uint64_t)numbers[i].value);
            } else {
                buf_printf(out, "%" PRId64, numbers[i].value);
            }
        }
    }
    if (strcmp(attribute, "kind") == 0) {
        buf_append_str(out, inode->kind == INODE_DIR ? "directory" : "file");
    } else if (strcmp(attribute, "path") == 0) {
        buf_append_str(out, inode->path);
    }
}

/* The three ways in which getxattr and listxattr answer. */
static void reply_bytes(fuse_req_t req, const struct buf *text, size_t size)
{
    size_t len = buf_readable(text);
    if (size == 0) {
        fuse_reply_xattr(req, len);
    } else if (len > size) {
        fuse_reply_err(req, ERANGE);
    } else {
        fuse_reply_buf(req, (const char *)buf_head(text), len);
    }
}

struct getxattr {
    struct request r;
    struct inode *inode;   /* referenced */
    const char *attribute; /* in the request's name; a constant of the table */
    size_t size;
};

static void getxattr_end(struct getxattr *g, int err, const struct buf *text)
{
    struct fusefs *fs = g->r.fs;
    if (request_claim(&g->r)) {
        if (err) {
            fuse_reply_err(g->r.req, err);
        } else {
            reply_bytes(g->r.req, text, g->size);
        }
    }
    ops_put_inode(fs, g->inode);
    free(g);
}

static void on_acl(void *arg, const struct zkc_result *result)
{
    struct getxattr *g = arg;
    struct buf text;
    buf_init(&text);
    acl_print(result->acl, &text);
    getxattr_end(g, errno_from_zk(result->rc), &text);
    buf_fini(&text);
}

static void print_current(struct fusefs *fs, const struct inode *inode, const char *attribute,
                          struct buf *text)
{
    fs_lock(fs);
    print_attribute(inode, attribute, text);
    fs_unlock(fs);
}

static void on_stat_known(void *arg, int rc)
{
    struct getxattr *g = arg;
    struct buf text;
    buf_init(&text);
    print_current(g->r.fs, g->inode, g->attribute, &text);
    getxattr_end(g, rc == ZNONODE ? ESTALE : errno_from_zk(rc), &text);
    buf_fini(&text);
}

/* An attribute of ours; takes the reference on inode. */
static void get_attribute(struct fusefs *fs, fuse_req_t req, struct inode *inode,
                          const char *attribute, size_t size)
{
    bool is_acl = strcmp(attribute, "acl") == 0;
    fs_lock(fs);
    bool is_current = ops_is_current(fs, inode) && inode->data_watched;
    char *path = xstrdup(inode->path);
    fs_unlock(fs);
    if (is_current && !is_acl) {
        struct buf text;
        buf_init(&text);
        print_current(fs, inode, attribute, &text);
        reply_bytes(req, &text, size);
        buf_fini(&text);
        ops_put_inode(fs, inode);
        free(path);
        return;
    }
    struct getxattr *g = xcalloc(1, sizeof(*g));
    g->inode = inode;
    g->size = size;
    for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (strcmp(attributes[i], attribute) == 0) {
            g->attribute = attributes[i];
        }
    }
    if (!request_begin(&g->r, fs, req)) {
        getxattr_end(g, EINTR, NULL);
    } else if (is_acl) {
        zkc_get_acl(fs->zkc, path, on_acl, g);
    } else {
        fetch_value(fs, inode, on_stat_known, g);
    }
    free(path);
}

static void reply_fence(struct fusefs *fs, fuse_req_t req, fuse_ino_t ino, size_t size)
{
    int err = 0;
    struct inode *inode = ops_get_inode(fs, ino, &err);
    if (!inode) {
        fuse_reply_err(req, err);
        return;
    }
    bool stands_for_dir =
        inode->kind == INODE_CONTROL_LOCK || inode->kind == INODE_CONTROL_DATA;
    const struct inode *node = stands_for_dir ? inode->parent->parent : inode;
    int64_t fence = lock_fence(fs, node, fuse_req_ctx(req)->pid);
    ops_put_inode(fs, inode);
    if (fence == 0) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "0x%" PRIx64, (uint64_t)fence);
    reply_bytes(req, &text, size);
    buf_fini(&text);
}

/* There are no others. To say so, and not that this file has none, lets ls -l ask once and not for every file
 * (security.selinux, system.posix_acl_access). */
static int no_attribute_errno(const char *name)
{
    return strncmp(name, "user.", strlen("user.")) == 0 ? ENODATA : EOPNOTSUPP;
}

/* The inode whose attributes are asked for, with a reference; NULL: *err. A file of the control directory has
 * those of the znode whose data it is. */
static struct inode *get_bearer(struct fusefs *fs, fuse_ino_t ino, int *err)
{
    struct inode *inode = ops_get_inode(fs, ino, err);
    if (!inode || inode_is_znode(inode)) {
        return inode;
    }
    struct inode *bearer = NULL;
    fs_lock(fs);
    if (inode->kind == INODE_CONTROL_MADE) {
        bearer = control_made_node(inode);
    } else if (inode->kind == INODE_CONTROL_DATA) {
        bearer = inode_owner(inode);
    }
    if (bearer) {
        inode_ref(bearer);
    }
    inode_unref(&fs->cache.table, inode);
    fs_unlock(fs);
    *err = bearer ? 0 : ENODATA;
    return bearer;
}

static void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fusefs *fs = ops_begin(req, STATS_GETXATTR);
    if (strcmp(name, fence_attribute) == 0) {
        reply_fence(fs, req, ino, size);
        return;
    }
    const char *attribute = attribute_of(name);
    if (!attribute) {
        fuse_reply_err(req, no_attribute_errno(name));
        return;
    }
    int err = ops_gate(fs);
    struct inode *inode = err ? NULL : get_bearer(fs, ino, &err);
    if (inode) {
        get_attribute(fs, req, inode, attribute, size);
    } else {
        fuse_reply_err(req, err);
    }
}

static void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct fusefs *fs = ops_begin(req, STATS_LISTXATTR);
    int err = 0;
    struct inode *inode = get_bearer(fs, ino, &err);
    if (err && err != ENODATA) {
        fuse_reply_err(req, err);
        return;
    }
    struct buf names = BUF_EMPTY;
    for (int i = 0; inode && i < ATTRIBUTE_COUNT; i++) {
        buf_append_str(&names, prefix);
        buf_append(&names, attributes[i], strlen(attributes[i]) + 1);
    }
    reply_bytes(req, &names, size);
    buf_fini(&names);
    if (inode) {
        ops_put_inode(fs, inode);
    }
}

/* ---- setting them --------------------------------------------------------------------------- */

struct setxattr {
    struct request r;
    struct inode *inode; /* referenced */
};

static void on_attribute_set(void *arg, int err)
{
    struct setxattr *s = arg;
    struct fusefs *fs = s->r.fs;
    request_reply_err(&s->r, err);
    ops_put_inode(fs, s->inode);
    free(s);
}

static bool is_word(const char *value, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(value, word, size) == 0;
}

/* Starts the change; takes the reference on inode. */
static void set_attribute(struct fusefs *fs, fuse_req_t req, struct inode *take_inode,
                          const char *attribute, const char *value, size_t size)
{
    struct setxattr *s = xcalloc(1, sizeof(*s));
    s->inode = take_inode;
    if (!request_begin(&s->r, fs, req)) {
        on_attribute_set(s, EINTR);
    } else if (strcmp(attribute, "acl") == 0) {
        commit_acl(fs, take_inode, value, size, false, on_attribute_set, s);
    } else if (is_word(value, size, "directory")) {
        commit_kind(fs, take_inode, INODE_DIR, on_attribute_set, s);
    } else if (is_word(value, size, "file")) {
        commit_kind(fs, take_inode, INODE_FILE, on_attribute_set, s);
    } else {
        on_attribute_set(s, EINVAL);
    }
}

static bool is_settable(const char *attribute)
{
    return attribute && (strcmp(attribute, "acl") == 0 || strcmp(attribute, "kind") == 0);
}

static void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                         size_t size, int flags)
{
    struct fusefs *fs = ops_begin(req, STATS_SETXATTR);
    const char *attribute = attribute_of(name);
    if (!is_settable(attribute)) {
        /* Not EPERM: cp -a and mv copy what they find listed, and pass over what is not supported. */
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    int err = flags & XATTR_CREATE ? EEXIST : ops_write_gate(fs);
    struct inode *inode = err ? NULL : ops_get_inode(fs, ino, &err);
    if (inode && !inode_is_znode(inode)) {
        ops_put_inode(fs, inode);
        inode = NULL;
        err = EOPNOTSUPP;
    }
    if (inode) {
        set_attribute(fs, req, inode, attribute, value, size);
    } else {
        fuse_reply_err(req, err);
    }
}

static void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino;
    ops_begin(req, STATS_SETXATTR);
    fuse_reply_err(req, attribute_of(name) ? EOPNOTSUPP : no_attribute_errno(name));
}

void ops_xattr_fill(struct fuse_lowlevel_ops *ops)
{
    ops->getxattr = ops_getxattr;
    ops->listxattr = ops_listxattr;
    ops->setxattr = ops_setxattr;
    ops->removexattr = ops_removexattr;
}
