/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/commit_acl.h"

#include <errno.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/errno_map.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"

enum { TRIES_MAX = 20 };

struct acl_write {
    struct fusefs *fs;
    struct inode *inode; /* the caller holds it */
    char *path;          /* owned */
    struct ACL_vector acl;
    int32_t aversion; /* of the ACL that is replaced */
    bool announces;
    int tries;
    commit_acl_done_fn done;
    void *arg;
};

static void acl_write_end(struct acl_write *w, int err)
{
    w->done(w->arg, err);
    acl_free(&w->acl);
    free(w->path);
    free(w);
}

static void on_known(void *arg, int rc)
{
    (void)rc; /* the ACL is set; what cannot be read now is read at the next look */
    acl_write_end(arg, 0);
}

static void acl_write_start(struct acl_write *w);

static void on_acl_set(void *arg, const struct zkc_result *result)
{
    struct acl_write *w = arg;
    bool is_open = result->rc == ZCONNECTIONLOSS || result->rc == ZBADVERSION;
    if (is_open && ++w->tries < TRIES_MAX) {
        acl_write_start(w);
    } else if (result->rc != ZOK) {
        acl_write_end(w, is_open ? EIO : errno_from_zk(result->rc));
    } else {
        if (!w->announces) {
            fs_lock(w->fs);
            cache_acl_was_set(&w->fs->cache, w->inode, w->aversion);
            fs_unlock(w->fs);
        }
        fetch_node(w->fs, w->inode, on_known, w); /* no watch tells of a new ACL */
    }
}

static void on_acl_read(void *arg, const struct zkc_result *result)
{
    struct acl_write *w = arg;
    if (result->rc != ZOK || !result->acl || !result->stat) {
        acl_write_end(w, result->rc == ZNONODE ? ESTALE : errno_from_zk(result->rc));
    } else if (acl_is_equal(result->acl, &w->acl)) {
        fetch_node(w->fs, w->inode, on_known, w);
    } else {
        w->aversion = result->stat->aversion;
        zkc_set_acl(w->fs->zkc, w->path, &w->acl, w->aversion, on_acl_set, w);
    }
}

static void acl_write_start(struct acl_write *w)
{
    zkc_get_acl(w->fs->zkc, w->path, on_acl_read, w);
}

void commit_acl(struct fusefs *fs, struct inode *inode, const char *text, size_t len,
                bool announces, commit_acl_done_fn done, void *arg)
{
    struct acl_write *w = xcalloc(1, sizeof(*w));
    w->fs = fs;
    w->inode = inode;
    w->announces = announces;
    w->done = done;
    w->arg = arg;
    fs_lock(fs);
    w->path = xstrdup(inode->path);
    fs_unlock(fs);
    if (acl_parse(text, len, &w->acl) != 0) {
        acl_write_end(w, EINVAL);
    } else {
        acl_write_start(w);
    }
}
