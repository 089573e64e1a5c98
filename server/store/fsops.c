/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/fsops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "server/tree/mutant.h"

/* ---- POSIX ----------------------------------------------------------------------------------- */

static int posix_open(void *ctx, const char *path, enum fs_mode mode)
{
    static const int flags_of[] = {
        [FS_READ] = O_RDONLY,
        [FS_WRITE] = O_RDWR,
        [FS_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
        [FS_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL,
    };
    (void)ctx;
    int fd;
    do {
        fd = open(path, flags_of[mode] | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int posix_close(void *ctx, int fd)
{
    (void)ctx;
    /* On Linux the descriptor is closed even after EINTR; closing again could hit another file. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t posix_pread(void *ctx, int fd, void *dst, size_t len, int64_t offset)
{
    (void)ctx;
    ssize_t got;
    do {
        got = pread(fd, dst, len, offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t posix_pwrite(void *ctx, int fd, const void *src, size_t len, int64_t offset)
{
    (void)ctx;
    ssize_t put;
    do {
        put = pwrite(fd, src, len, offset);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
}

static int posix_fdatasync(void *ctx, int fd)
{
    (void)ctx;
    /* Not repeated on EINTR or anything else: after a failure the pages may be gone (rule L1). */
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int posix_truncate(void *ctx, int fd, int64_t size)
{
    (void)ctx;
    int rc;
    do {
        rc = ftruncate(fd, size);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int posix_size(void *ctx, int fd, int64_t *size)
{
    (void)ctx;
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    *size = st.st_size;
    return 0;
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) < 0 ? -errno : 0;
}

static int posix_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    return mkdir(path, 0755) < 0 ? -errno : 0;
}

static int posix_list_dir(void *ctx, const char *path, fs_name_fn *fn, void *arg)
{
    (void)ctx;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -errno;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fn(arg, entry->d_name);
        }
    }
    int rc = -errno;
    closedir(dir);
    return rc;
}

static int posix_fsync_dir(void *ctx, const char *path)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int posix_lock_dir(void *ctx, const char *path)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
        close(fd);
        return rc;
    }
    return fd;
}

const struct fsops fsops_posix = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .fdatasync = posix_fdatasync,
    .truncate = posix_truncate,
    .size = posix_size,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .list_dir = posix_list_dir,
    .fsync_dir = posix_fsync_dir,
    .lock_dir = posix_lock_dir,
};

/* ---- built on the table ---------------------------------------------------------------------- */

ssize_t fs_read_full(const struct fsops *fs, int fd, void *dst, size_t len, int64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got =
            fs->pread(fs->ctx, fd, (char *)dst + done, len - done, offset + (int64_t)done);
        if (got < 0) {
            return got;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int fs_write_full(const struct fsops *fs, int fd, const void *src, size_t len, int64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t put =
            fs->pwrite(fs->ctx, fd, (const char *)src + done, len - done, offset + (int64_t)done);
        if (put < 0) {
            return (int)put;
        }
        if (put == 0) {
            return -EIO;
        }
        done += (size_t)put;
    }
    return 0;
}

int fs_read_file(const struct fsops *fs, const char *path, size_t bytes_max, struct buf *dst)
{
    int fd = fs->open(fs->ctx, path, FS_READ);
    if (fd < 0) {
        return fd;
    }
    int64_t size;
    int rc = fs->size(fs->ctx, fd, &size);
    if (rc == 0 && (uint64_t)size > bytes_max) {
        rc = -EFBIG;
    }
    if (rc == 0) {
        ssize_t got = fs_read_full(fs, fd, buf_reserve(dst, (size_t)size), (size_t)size, 0);
        if (got < 0) {
            rc = (int)got;
        } else {
            dst->len += (size_t)got;
        }
    }
    fs->close(fs->ctx, fd); /* nothing was written: nothing to lose */
    return rc;
}

static int write_new_file(const struct fsops *fs, const char *path, const void *src, size_t len)
{
    int fd = fs->open(fs->ctx, path, FS_CREATE);
    if (fd < 0) {
        return fd;
    }
    int rc = fs_write_full(fs, fd, src, len, 0);
    if (rc == 0) {
        rc = fs->fdatasync(fs->ctx, fd);
    }
    int close_rc = fs->close(fs->ctx, fd);
    return rc != 0 ? rc : close_rc;
}

int fs_replace_file(const struct fsops *fs, const char *dir, const char *name, const void *src,
                    size_t len)
{
    char *path = fs_join(dir, name);
    char *tmp = xasprintf("%s.tmp", path);
    int rc = write_new_file(fs, tmp, src, len);
    if (rc == 0) {
        rc = fs->rename(fs->ctx, tmp, path);
    }
    if (rc == 0 && !MUTANT(E3)) {
        rc = fs->fsync_dir(fs->ctx, dir);
    }
    free(tmp);
    free(path);
    return rc;
}

/* Makes one directory whose parent exists. */
static int make_dir(const struct fsops *fs, const char *path, const char *parent)
{
    int rc = fs->mkdir(fs->ctx, path);
    if (rc == -EEXIST) {
        return 0;
    }
    return rc != 0 ? rc : fs->fsync_dir(fs->ctx, parent);
}

int fs_make_dirs(const struct fsops *fs, const char *dir)
{
    int rc = 0;
    char *path = xstrdup(dir);
    size_t len = strlen(path);
    size_t parent_len = 0;
    /* Cut at each slash in turn: "/a", "/a/b", and last the whole. */
    for (size_t i = 1; i <= len && rc == 0; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        char *prefix = xstrndup(path, i);
        char *parent =
            parent_len > 0 ? xstrndup(path, parent_len) : xstrdup(path[0] == '/' ? "/" : ".");
        rc = make_dir(fs, prefix, parent);
        free(parent);
        free(prefix);
        parent_len = i;
    }
    free(path);
    return rc;
}

char *fs_join(const char *dir, const char *name)
{
    return xasprintf("%s/%s", dir, name);
}
