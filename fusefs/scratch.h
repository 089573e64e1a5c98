/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_SCRATCH_H
#define FUSEFS_SCRATCH_H

/*
 * Scratch files: the swap files, backups and temporary copies of editors and tools. They live in this
 * process's memory, are seen in this mount only and end with it; ZooKeeper never hears of them. Which
 * they are is said by name, scratch_pattern.h. Renamed onto any other name, the bytes become a znode's
 * (ops_rename.c); away.h has the other direction.
 *
 * A scratch file is an inode of kind INODE_SCRATCH, whose Stat holds its size and times. It shadows a znode
 * of the same name that somebody else creates later. fs->lock is held unless said otherwise.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>

#include "fusefs/inode.h"

struct fusefs;
struct listing;
struct handle;
struct value;
struct away;

/* What a file takes beside its bytes, roughly: so that empty ones are limited too. */
enum { SCRATCH_FILE_BYTES = 512 };

struct scratch {
    char *data; /* owned */
    size_t len;
    size_t cap;        /* counted in inode_table.scratch_bytes, with SCRATCH_FILE_BYTES */
    uint64_t changes;  /* how often the bytes were changed */
    struct away *away; /* the znode that it was renamed from, while that still exists; or NULL */
};

/* ---- whole requests, answered from memory; without the lock ----------------------------------------------- */

/* False: the name is none of ours, nothing has been done. Otherwise the request is answered and the reference
 * on dir is taken. mode as create(2) has it; fi NULL: mknod. */
bool scratch_make(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name,
                  mode_t mode, const struct fuse_file_info *fi);
bool scratch_unlink(struct fusefs *fs, fuse_req_t req, struct inode *take_dir, const char *name);

/* ---- parts of them ------------------------------------------------------------------------------------------ */

static inline bool scratch_is(const struct inode *inode)
{
    return inode->kind == INODE_SCRATCH;
}

/* Whether a name that something is renamed to is a scratch file's. Any thread. */
bool scratch_is_name(const struct fusefs *fs, const char *name);
/* The open file; read and written through ops_file.c. */
struct handle *scratch_open(struct inode *inode, struct fuse_file_info *fi, pid_t opener);
/* 0 or an errno: ENOSPC, EFBIG. */
int scratch_write(struct fusefs *fs, struct inode *inode, const char *bytes, size_t len,
                  size_t offset);
int scratch_setattr(struct fusefs *fs, struct inode *inode, const struct stat *attr, int to_set);
/* The names of dir as this mount shows them: with scratch files. *names is replaced. */
void scratch_add_names(const struct inode *dir, struct listing **names);
/* A counted copy of the bytes. */
struct value *scratch_value(const struct inode *inode);

bool scratch_has_room(const struct fusefs *fs, size_t len);
/* Turns an inode without a copy into a scratch file with these bytes. 0 or ENOSPC: then nothing has changed. */
int scratch_start(struct fusefs *fs, struct inode *inode, const char *bytes, size_t len);
/* The inode becomes a znode's again; its bytes are dropped. */
void scratch_end(struct inode_table *t, struct inode *inode);
/* Drops the bytes, from inode.c when the inode is freed. */
void scratch_free(struct inode_table *t, struct inode *inode);

#endif
