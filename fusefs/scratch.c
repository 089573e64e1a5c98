/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/attr.h"
#include "fusefs/away.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/ops.h"
#include "fusefs/perms.h"
#include "fusefs/scratch_pattern.h"

/* ---- memory ------------------------------------------------------------------------------------------------ */

static bool has_room(const struct fusefs *fs, size_t bytes)
{
    size_t max = (size_t)fs->options.scratch_max;
    size_t used = fs->cache.table.scratch_bytes;
    return used <= max && bytes <= max - used;
}

/* What is asked for and nothing more when the room is nearly used up, else with room to grow. */
static int reserve(struct fusefs *fs, struct scratch *s, size_t len)
{
    if (len <= s->cap) {
        return 0;
    }
    size_t cap = len + len / 2;
    if (!has_room(fs, cap - s->cap)) {
        cap = len;
    }
    if (!has_room(fs, cap - s->cap)) {
        return ENOSPC;
    }
    s->data = xrealloc(s->data, cap);
    fs->cache.table.scratch_bytes += cap - s->cap;
    s->cap = cap;
    return 0;
}

static void note_change(struct inode *inode)
{
    inode->scratch->changes++;
    inode->stat.dataLength = (int32_t)inode->scratch->len;
    inode->stat.mtime = inode->stat.ctime = clock_wall_ms();
}

static int resize(struct fusefs *fs, struct inode *inode, size_t len)
{
    struct scratch *s = inode->scratch;
    int err = len > INT32_MAX ? EFBIG : reserve(fs, s, len);
    if (err) {
        return err;
    }
    if (len > s->len) {
        memset(s->data + s->len, 0, len - s->len);
    }
    s->len = len;
    return 0;
}

int scratch_write(struct fusefs *fs, struct inode *inode, const char *bytes, size_t len,
                  size_t offset)
{
    size_t old = inode->scratch->len;
    size_t end = offset + len;
    int err = end > old && len > 0 ? resize(fs, inode, end) : 0;
    if (!err && len > 0) {
        memcpy(inode->scratch->data + offset, bytes, len);
        note_change(inode);
    }
    return err;
}

bool scratch_has_room(const struct fusefs *fs, size_t len)
{
    return has_room(fs, SCRATCH_FILE_BYTES + len);
}

int scratch_start(struct fusefs *fs, struct inode *inode, const char *bytes, size_t len)
{
    if (!scratch_has_room(fs, len)) {
        return ENOSPC;
    }
    inode->scratch = xcalloc(1, sizeof(*inode->scratch));
    fs->cache.table.scratch_bytes += SCRATCH_FILE_BYTES;
    fs->cache.table.scratch_count++;
    inode_set_kind(inode, INODE_SCRATCH);
    memset(&inode->stat, 0, sizeof(inode->stat));
    inode->stat_known = true;
    inode->perms_known = true;
    inode->perms = PERMS_ALL;
    int err = scratch_write(fs, inode, bytes, len, 0);
    note_change(inode);
    return err;
}

void scratch_free(struct inode_table *t, struct inode *inode)
{
    struct scratch *s = inode->scratch;
    if (s) {
        t->scratch_bytes -= s->cap + SCRATCH_FILE_BYTES;
        t->scratch_count--;
        away_lose_copy(s->away);
        free(s->data);
        free(s);
        inode->scratch = NULL;
    }
}

void scratch_end(struct inode_table *t, struct inode *inode)
{
    scratch_free(t, inode);
    inode_set_kind(inode, INODE_FILE);
}

struct value *scratch_value(const struct inode *inode)
{
    return value_new(inode->scratch->data, inode->scratch->len, 0, 0);
}

/* ---- names --------------------------------------------------------------------------------------------------- */

bool scratch_is_name(const struct fusefs *fs, const char *name)
{
    return scratch_pattern_match(fs->options.scratch, name, false);
}

/* Made as mkstemp(3) does. */
static bool is_mkstemp(mode_t mode, const struct fuse_file_info *fi)
{
    return fi && (fi->flags & O_EXCL) && (mode & 0077) == 0;
}

void scratch_add_names(const struct inode *dir, struct listing **names)
{
    if (dir->scratches == 0) {
        return;
    }
    list_for_each (l, &dir->kids) {
        const struct inode *kid = list_entry(l, struct inode, sibling);
        if (scratch_is(kid) && !kid->dead) {
            listing_add(names, inode_name(kid));
        }
    }
}

/* Whether a znode of that name is known: then it is the one that is meant. The lock is held. */
static bool is_znode(const struct inode *dir, const struct inode *child, const char *name)
{
    return child ? !scratch_is(child) && child->stat_known
                 : dir->listing && listing_has(dir->listing, name);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

struct handle *scratch_open(struct inode *inode, struct fuse_file_info *fi, pid_t opener)
{
    struct handle *h = handle_new(inode, inode, fi->flags, opener);
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->noflush = !h->is_writable; /* by its last close it may have become a znode */
    return h;
}

/* A new file: 0 or an errno. The lock is held. */
static int add_file(struct fusefs *fs, struct inode *dir, const char *name, struct inode **out)
{
    struct inode_table *t = &fs->cache.table;
    struct inode *inode = *out;
    if (!inode) {
        char *path = name_join(dir->path, name);
        inode = inode_add(t, dir, path, INODE_UNKNOWN);
        free(path);
    }
    int err = scratch_start(fs, inode, "", 0);
    if (err) {
        inode_reap(t, inode);
    } else {
        *out = inode;
    }
    return err;
}

static void reply_file(struct fusefs *fs, fuse_req_t req, const struct fuse_entry_param *e,
                       const struct fuse_file_info *opened)
{
    int lost = opened ? fuse_reply_create(req, e, opened) : fuse_reply_entry(req, e);
    ops_entry_sent(fs, e, lost);
    if (lost && opened) {
        fs_lock(fs);
        handle_release(&fs->cache, handle_from_fh(opened->fh));
        fs_unlock(fs);
    }
}

bool scratch_make(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
                  mode_t mode, const struct fuse_file_info *fi)
{
    if (!scratch_pattern_match(fs->options.scratch, name, is_mkstemp(mode, fi))) {
        return false;
    }
    struct fuse_file_info opened = fi ? *fi : (struct fuse_file_info){ 0 };
    struct fuse_entry_param e;
    fs_lock(fs);
    struct inode *inode = inode_find_child(&fs->cache.table, take_dir, name);
    if (is_znode(take_dir, inode, name)) {
        fs_unlock(fs);
        return false;
    }
    bool is_new = !inode || !scratch_is(inode);
    int err = is_new                        ? add_file(fs, take_dir, name, &inode)
              : !fi || (fi->flags & O_EXCL) ? EEXIST
                                            : 0;
    if (!err) {
        attr_fill_entry(fs, inode, &e);
    }
    if (!err && fi) {
        scratch_open(inode, &opened, 0);
    }
    fs_unlock(fs);
    if (err) {
        fuse_reply_err(req, err);
    } else {
        reply_file(fs, req, &e, fi ? &opened : NULL);
    }
    ops_put_inode(fs, take_dir);
    return true;
}

bool scratch_unlink(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name)
{
    fs_lock(fs);
    struct inode *inode = inode_find_child(&fs->cache.table, take_dir, name);
    bool is_ours = inode && scratch_is(inode);
    if (is_ours) {
        inode_kill(&fs->cache.table, inode);
        inode_reap(&fs->cache.table, inode);
        inode_unref(&fs->cache.table, take_dir);
    }
    fs_unlock(fs);
    if (is_ours) {
        fuse_reply_err(req, 0);
    }
    return is_ours;
}

int scratch_setattr(struct fusefs *fs, struct inode *inode, const struct stat *attr, int to_set)
{
    int err = 0;
    if (to_set & FUSE_SET_ATTR_SIZE) {
        err = resize(fs, inode, (size_t)attr->st_size);
    }
    if (!err && (to_set & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME_NOW))) {
        note_change(inode);
    } else if (!err && (to_set & FUSE_SET_ATTR_MTIME)) {
        inode->stat.mtime = attr->st_mtim.tv_sec * 1000 + attr->st_mtim.tv_nsec / 1000000;
    }
    return err;
}
