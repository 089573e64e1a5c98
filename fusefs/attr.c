/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/attr.h"

#include <fuse3/fuse_lowlevel.h>
#include <string.h>

#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/perms.h"

/* Seconds; the kernel's way to say "until told otherwise". */
#define FOREVER 1e9

enum { BLOCK_BYTES = 4096, STAT_BLOCK_BYTES = 512 };

static struct timespec from_ms(int64_t ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    return t;
}

static mode_t control_mode(const struct fusefs *fs, enum inode_kind kind)
{
    mode_t umask_bits = (mode_t)fs->options.umask;
    switch (kind) {
    case INODE_CONTROL_DIR:
    case INODE_CONTROL_TTL:
        return S_IFDIR | (0555 & ~umask_bits);
    case INODE_CONTROL_EPHEMERAL:
    case INODE_CONTROL_SEQUENTIAL:
    case INODE_CONTROL_EPHEMERAL_SEQUENTIAL:
    case INODE_CONTROL_CONTAINER:
    case INODE_CONTROL_TTL_SECONDS:
        return S_IFDIR | (0777 & ~umask_bits);
    case INODE_CONTROL_DATA:
    case INODE_CONTROL_ACL:
    case INODE_CONTROL_MADE:
    case INODE_CONTROL_LOCK:
        return S_IFREG | (0666 & ~umask_bits);
    default:
        return S_IFREG | (0444 & ~umask_bits);
    }
}

static nlink_t dir_links(const struct inode *dir)
{
    /* 1 is how file systems say that they do not count. */
    return dir->armed && !dir->partial ? 2 + dir->subdirs : 1;
}

static void set_size(struct stat *out, size_t len)
{
    out->st_size = (off_t)len;
    out->st_blocks = (blkcnt_t)((len + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES);
}

static void fill_control(const struct fusefs *fs, const struct inode *inode, struct stat *out)
{
    out->st_mode = control_mode(fs, inode->kind);
    out->st_nlink = 1;
    out->st_mtim = from_ms(fs->started_ms);
    if (inode->kind == INODE_CONTROL_DATA) {
        const struct inode *node = inode->parent->parent;
        out->st_mtim = from_ms(node->stat.mtime);
        set_size(out, (size_t)node->stat.dataLength);
    }
    out->st_ctim = out->st_mtim;
}

/* vim creates "4913" to see whether a new file gets the mode of the one that is edited. It must not: vim would
 * rename the original away and write a new znode, which has lost its ACL, version and watchers; as it is,
 * vim writes in place. */
static bool is_probe(const struct inode *inode)
{
    return strcmp(inode_name(inode), "4913") == 0;
}

static void fill_znode(const struct fusefs *fs, const struct inode *inode, struct stat *out)
{
    mode_t umask_bits = (mode_t)fs->options.umask;
    unsigned perms = inode->perms_known ? inode->perms : PERMS_ALL;
    out->st_mtim = from_ms(inode->stat.mtime);
    out->st_ctim = from_ms(inode->stat.ctime);
    if (inode->kind == INODE_DIR) {
        out->st_mode = perms_mask_mode(S_IFDIR | (0777 & ~umask_bits), perms);
        out->st_nlink = dir_links(inode);
        return;
    }
    out->st_mode = S_IFREG | (0666 & ~umask_bits);
    out->st_mode = is_probe(inode) ? S_IFREG | 0400 : perms_mask_mode(out->st_mode, perms);
    out->st_nlink = inode->dead ? 0 : 1;
    set_size(out, (size_t)inode->stat.dataLength);
}

void attr_fill(const struct fusefs *fs, const struct inode *inode, const struct handle *h,
               struct stat *out)
{
    memset(out, 0, sizeof(*out));
    out->st_ino = inode->ino;
    out->st_uid = (uid_t)fs->options.uid;
    out->st_gid = (gid_t)fs->options.gid;
    out->st_blksize = BLOCK_BYTES;
    if (inode_is_control(inode)) {
        fill_control(fs, inode, out);
    } else {
        fill_znode(fs, inode, out);
        if (h && handle_has_own_size(h)) {
            set_size(out, handle_size(h));
        }
    }
    out->st_atim = out->st_mtim;
}

double attr_timeout(const struct inode *inode)
{
    bool is_settled = cache_is_covered(inode) && inode->writers == 0 && !inode->closing &&
                      !handle_any_behind(inode) && !handle_any_lock_failed(inode);
    bool is_complete = inode->perms_known && (inode->kind != INODE_DIR || inode->armed);
    return is_settled && is_complete ? FOREVER : 0;
}

/* A name stays valid as long as its directory's watch, or the node's own, would tell of its end. A
 * directory that is not armed is looked up each time, so that whoever wants to watch it arms it. */
static double entry_timeout(const struct inode *inode)
{
    bool is_told = inode->data_watched && !inode->dead && !inode_is_control(inode);
    return is_told && (inode->kind != INODE_DIR || inode->armed) ? FOREVER : 0;
}

void attr_fill_entry(const struct fusefs *fs, struct inode *inode, struct fuse_entry_param *out)
{
    memset(out, 0, sizeof(*out));
    out->ino = inode->ino;
    out->generation = 1;
    attr_fill(fs, inode, NULL, &out->attr);
    out->attr_timeout = attr_timeout(inode);
    out->entry_timeout = entry_timeout(inode);
    inode->nlookup++;
}
