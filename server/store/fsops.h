/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_FSOPS_H
#define SERVER_STORE_FSOPS_H

/*
 * The dozen file calls that the store needs, as a table. Nothing else in server/store calls the
 * operating system for a file, so that the simulator and the fault tests can put their own disk
 * underneath: one that loses and tears what was not synced, runs full, or fails a chosen call.
 *
 * Every call returns 0 (or what it says) or -errno; none returns EINTR. Descriptors are small
 * integers that mean something only to the table that gave them. Calls may come from several
 * threads at once, for different descriptors.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

enum fs_mode {
    FS_READ,       /* must exist */
    FS_WRITE,      /* must exist; content is kept */
    FS_CREATE,     /* content of an existing file is dropped */
    FS_CREATE_NEW, /* -EEXIST if there is one */
};

/* Called for each name in a directory but "." and ".."; name is borrowed. */
typedef void fs_name_fn(void *arg, const char *name);

struct fsops {
    void *ctx; /* handed to every call */

    int (*open)(void *ctx, const char *path, enum fs_mode mode); /* descriptor >= 0 */
    int (*close)(void *ctx, int fd); /* the descriptor is gone, whatever is returned */
    /* Bytes moved, which may be fewer than asked; reading at the end gives 0. */
    ssize_t (*pread)(void *ctx, int fd, void *dst, size_t len, int64_t offset);
    ssize_t (*pwrite)(void *ctx, int fd, const void *src, size_t len, int64_t offset);
    int (*fdatasync)(void *ctx, int fd);              /* content and length are durable */
    int (*truncate)(void *ctx, int fd, int64_t size); /* shorter, or longer with zeros */
    int (*size)(void *ctx, int fd, int64_t *size);
    int (*rename)(void *ctx, const char *from, const char *to); /* atomic, replaces to */
    int (*unlink)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path);
    int (*list_dir)(void *ctx, const char *path, fs_name_fn *fn, void *arg); /* any order */
    int (*fsync_dir)(void *ctx, const char *path); /* names in it are durable */
    /* Locks a directory against other processes, and against other users of this table, until the
     * descriptor that is returned is closed. -EBUSY: locked already. */
    int (*lock_dir)(void *ctx, const char *path);
};

/* The real thing; ctx is not used. */
extern const struct fsops fsops_posix;

/* ---- built on the table ---------------------------------------------------------------------- */

/* Reads up to len bytes; fewer only at the end of the file. Bytes read or -errno. */
ssize_t fs_read_full(const struct fsops *fs, int fd, void *dst, size_t len, int64_t offset);
/* Writes all of it or fails; on failure any part may have been written. */
int fs_write_full(const struct fsops *fs, int fd, const void *src, size_t len, int64_t offset);
/* Appends a small file to dst; -EFBIG above bytes_max. dst is unchanged on failure. */
int fs_read_file(const struct fsops *fs, const char *path, size_t bytes_max, struct buf *dst);
/*
 * Gives the file dir/name exactly this content, durably and all or nothing (rule E3): written
 * beside it under name.tmp, synced, renamed over it, directory synced. After a failure either
 * content may be found, never a mixture.
 */
int fs_replace_file(const struct fsops *fs, const char *dir, const char *name, const void *src,
                    size_t len);
/* Makes dir and its missing parents, durably. An existing one is fine. */
int fs_make_dirs(const struct fsops *fs, const char *dir);
/* "dir/name"; the caller frees it. */
char *fs_join(const char *dir, const char *name);

#endif
