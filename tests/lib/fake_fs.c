/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_fs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/prng.h"
#include "common/xalloc.h"

enum { FD_BASE = 1000, FD_MAX = 64, SECTOR_BYTES = 512, PAGE_BYTES = 4096 };

struct bytes {
    uint8_t *data; /* owned */
    size_t len;
};

struct inode {
    struct bytes now;
    struct bytes synced;
    struct bytes passed; /* what the cache takes for synced; unlike synced only where has_lost */
    bool has_lost;       /* a sync has failed */
    bool is_dir;
    bool is_locked; /* a directory with an open lock */
    size_t refs;    /* names, durable names and descriptors */
};

struct name {
    char *path;          /* owned */
    struct inode *inode; /* counted */
};

struct name_table {
    struct name *names; /* owned; in order of creation */
    size_t count;
};

struct fake_fs {
    struct fsops ops;
    pthread_mutex_t lock;
    struct name_table now;
    struct name_table synced;
    struct inode *open[FD_MAX]; /* counted; NULL: free */
    uint64_t calls;
    uint64_t syncs;
    uint64_t fail_at; /* number of the call; 0: none */
    uint64_t changes; /* calls that change the disk */
    uint64_t fail_change_at;
    int fail_err;
    bool has_failed;
    bool fails_sync; /* the next one */
    bool is_full;
};

/* ---- bytes, inodes, names -------------------------------------------------------------------- */

static void bytes_resize(struct bytes *b, size_t len)
{
    b->data = xrealloc(b->data, len + 1);
    if (len > b->len) {
        memset(b->data + b->len, 0, len - b->len);
    }
    b->len = len;
}

static void bytes_copy(struct bytes *dst, const struct bytes *src)
{
    bytes_resize(dst, src->len);
    if (src->len > 0) {
        memcpy(dst->data, src->data, src->len);
    }
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

static void inode_unref(struct inode *inode)
{
    if (--inode->refs == 0) {
        free(inode->now.data);
        free(inode->synced.data);
        free(inode->passed.data);
        free(inode);
    }
}

static struct name *table_find(const struct name_table *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->names[i].path, path) == 0) {
            return &t->names[i];
        }
    }
    return NULL;
}

static void table_remove(struct name_table *t, struct name *n)
{
    free(n->path);
    inode_unref(n->inode);
    size_t index = (size_t)(n - t->names);
    memmove(n, n + 1, (t->count - index - 1) * sizeof(*n));
    t->count--;
}

static void table_set(struct name_table *t, const char *path, struct inode *inode)
{
    inode_ref(inode);
    struct name *old = table_find(t, path);
    if (old != NULL) {
        inode_unref(old->inode);
        old->inode = inode;
        return;
    }
    t->names = xrealloc(t->names, (t->count + 1) * sizeof(*t->names));
    t->names[t->count++] = (struct name){ xstrdup(path), inode };
}

static void table_clear(struct name_table *t)
{
    while (t->count > 0) {
        table_remove(t, &t->names[t->count - 1]);
    }
    free(t->names);
    t->names = NULL;
}

/* The name inside dir if path stands directly in it, else NULL. */
static const char *name_in(const char *dir, const char *path)
{
    size_t len = strlen(dir);
    if (strncmp(path, dir, len) != 0) {
        return NULL;
    }
    const char *rest = path + len;
    if (len == 0 || dir[len - 1] != '/') {
        if (*rest != '/') {
            return NULL;
        }
        rest++;
    }
    return *rest == '\0' || strchr(rest, '/') != NULL ? NULL : rest;
}

/* Makes the names of one directory in dst equal to those in src. */
static void table_copy_dir(struct name_table *dst, const struct name_table *src, const char *dir)
{
    for (size_t i = dst->count; i > 0; i--) {
        if (name_in(dir, dst->names[i - 1].path) != NULL) {
            table_remove(dst, &dst->names[i - 1]);
        }
    }
    for (size_t i = 0; i < src->count; i++) {
        if (name_in(dir, src->names[i].path) != NULL) {
            table_set(dst, src->names[i].path, src->names[i].inode);
        }
    }
}

static bool has_parent(const struct fake_fs *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return true;
    }
    char *parent = xstrndup(path, (size_t)(slash - path));
    struct name *n = table_find(&f->now, parent);
    free(parent);
    return n != NULL && n->inode->is_dir;
}

/* ---- the calls ------------------------------------------------------------------------------- */

/* Starts a call: takes the lock and says whether this one must fail. */
static int enter(struct fake_fs *f)
{
    pthread_mutex_lock(&f->lock);
    f->calls++;
    if (f->calls == f->fail_at) {
        f->has_failed = true;
        return -f->fail_err;
    }
    return 0;
}

/* The same for a call that changes something. */
static int enter_change(struct fake_fs *f)
{
    int rc = enter(f);
    f->changes++;
    if (rc == 0 && f->changes == f->fail_change_at) {
        f->has_failed = true;
        rc = -f->fail_err;
    }
    return rc;
}

static int leave(struct fake_fs *f, int rc)
{
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static struct inode *inode_of(struct fake_fs *f, int fd)
{
    zk_assert(fd >= FD_BASE);
    zk_assert(fd < FD_BASE + FD_MAX);
    zk_assert(f->open[fd - FD_BASE] != NULL);
    return f->open[fd - FD_BASE];
}

static int take_fd(struct fake_fs *f, struct inode *inode)
{
    for (int i = 0; i < FD_MAX; i++) {
        if (f->open[i] == NULL) {
            f->open[i] = inode_ref(inode);
            return FD_BASE + i;
        }
    }
    return -EMFILE;
}

static void release_fd(struct fake_fs *f, int index)
{
    f->open[index]->is_locked = false; /* only the descriptor of a lock is one of a directory */
    inode_unref(f->open[index]);
    f->open[index] = NULL;
}

static int open_locked(struct fake_fs *f, const char *path, enum fs_mode mode)
{
    struct name *n = table_find(&f->now, path);
    if (n != NULL && n->inode->is_dir) {
        return -EISDIR;
    }
    if (n == NULL && (mode == FS_READ || mode == FS_WRITE || !has_parent(f, path))) {
        return -ENOENT;
    }
    if (n != NULL && mode == FS_CREATE_NEW) {
        return -EEXIST;
    }
    if (n == NULL && f->is_full) {
        return -ENOSPC;
    }
    if (n == NULL) {
        struct inode *inode = xcalloc(1, sizeof(*inode));
        table_set(&f->now, path, inode);
        return take_fd(f, inode);
    }
    if (mode == FS_CREATE) {
        bytes_resize(&n->inode->now, 0);
    }
    return take_fd(f, n->inode);
}

static int fake_open(void *ctx, const char *path, enum fs_mode mode)
{
    int rc = enter(ctx);
    return leave(ctx, rc != 0 ? rc : open_locked(ctx, path, mode));
}

static int fake_close(void *ctx, int fd)
{
    struct fake_fs *f = ctx;
    int rc = enter(f);
    (void)inode_of(f, fd); /* it is open */
    release_fd(f, fd - FD_BASE);
    return leave(f, rc);
}

static ssize_t fake_pread(void *ctx, int fd, void *dst, size_t len, int64_t offset)
{
    struct fake_fs *f = ctx;
    int rc = enter(f);
    if (rc != 0) {
        return leave(f, rc);
    }
    struct bytes *b = &inode_of(f, fd)->now;
    size_t left = (uint64_t)offset < b->len ? b->len - (size_t)offset : 0;
    size_t got = len < left ? len : left;
    if (got > 0) {
        memcpy(dst, b->data + offset, got);
    }
    leave(f, 0);
    return (ssize_t)got;
}

/* The pages are to be written, also where their bytes have not changed. */
static void mark_dirty(struct inode *inode, size_t from, size_t until)
{
    if (!inode->has_lost) {
        return;
    }
    bytes_resize(&inode->passed, inode->now.len);
    size_t end = (until + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    for (size_t i = from / PAGE_BYTES * PAGE_BYTES; i < end && i < inode->now.len; i++) {
        inode->passed.data[i] = (uint8_t)~inode->now.data[i];
    }
}

static ssize_t fake_pwrite(void *ctx, int fd, const void *src, size_t len, int64_t offset)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    struct bytes *b = &inode_of(f, fd)->now;
    if (rc == 0 && f->is_full && (size_t)offset + len > b->len) {
        rc = -ENOSPC;
    }
    size_t put = rc == 0 ? len : len / 2;
    if ((size_t)offset + put > b->len) {
        bytes_resize(b, (size_t)offset + put);
    }
    if (put > 0) {
        memcpy(b->data + offset, src, put);
        mark_dirty(inode_of(f, fd), (size_t)offset, (size_t)offset + put);
    }
    leave(f, 0);
    return rc != 0 ? rc : (ssize_t)put;
}

/* Brings to the disk what has changed since the cache last took it for written. */
static void sync_changed(struct inode *inode)
{
    if (!inode->has_lost) {
        bytes_copy(&inode->synced, &inode->now);
        return;
    }
    bytes_resize(&inode->synced, inode->now.len);
    bytes_resize(&inode->passed, inode->now.len);
    for (size_t i = 0; i < inode->now.len; i++) {
        if (inode->now.data[i] != inode->passed.data[i]) {
            inode->synced.data[i] = inode->now.data[i];
        }
    }
    bytes_copy(&inode->passed, &inode->now);
}

static int fake_fdatasync(void *ctx, int fd)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    struct inode *inode = inode_of(f, fd);
    f->syncs++;
    if (rc == 0 && f->fails_sync) {
        f->fails_sync = false;
        f->has_failed = true;
        inode->has_lost = true;
        bytes_copy(&inode->passed, &inode->now);
        rc = -EIO;
    } else if (rc == 0) {
        sync_changed(inode);
    }
    return leave(f, rc);
}

static int fake_truncate(void *ctx, int fd, int64_t size)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    if (rc == 0 && f->is_full && (size_t)size > inode_of(f, fd)->now.len) {
        rc = -ENOSPC;
    }
    if (rc == 0) {
        struct inode *inode = inode_of(f, fd);
        bytes_resize(&inode->now, (size_t)size);
        if (inode->has_lost) {
            bytes_resize(&inode->passed, (size_t)size);
        }
    }
    return leave(f, rc);
}

static int fake_size(void *ctx, int fd, int64_t *size)
{
    struct fake_fs *f = ctx;
    int rc = enter(f);
    if (rc == 0) {
        *size = (int64_t)inode_of(f, fd)->now.len;
    }
    return leave(f, rc);
}

static int fake_rename(void *ctx, const char *from, const char *to)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    struct name *n = table_find(&f->now, from);
    if (rc == 0 && n == NULL) {
        rc = -ENOENT;
    }
    if (rc == 0) {
        table_set(&f->now, to, n->inode);
        table_remove(&f->now, table_find(&f->now, from));
    }
    return leave(f, rc);
}

static int fake_unlink(void *ctx, const char *path)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    struct name *n = table_find(&f->now, path);
    if (rc == 0 && n == NULL) {
        rc = -ENOENT;
    }
    if (rc == 0) {
        table_remove(&f->now, n);
    }
    return leave(f, rc);
}

static int fake_mkdir(void *ctx, const char *path)
{
    struct fake_fs *f = ctx;
    int rc = enter(f);
    if (rc == 0 && table_find(&f->now, path) != NULL) {
        rc = -EEXIST;
    }
    if (rc == 0 && !has_parent(f, path)) {
        rc = -ENOENT;
    }
    if (rc == 0) {
        struct inode *inode = xcalloc(1, sizeof(*inode));
        inode->is_dir = true;
        table_set(&f->now, path, inode);
    }
    return leave(f, rc);
}

static int fake_list_dir(void *ctx, const char *path, fs_name_fn *fn, void *arg)
{
    struct fake_fs *f = ctx;
    int rc = enter(f);
    struct name *dir = table_find(&f->now, path);
    if (rc == 0 && (dir == NULL || !dir->inode->is_dir)) {
        rc = -ENOENT;
    }
    for (size_t i = 0; rc == 0 && i < f->now.count; i++) {
        const char *name = name_in(path, f->now.names[i].path);
        if (name != NULL) {
            fn(arg, name);
        }
    }
    return leave(f, rc);
}

static int fake_fsync_dir(void *ctx, const char *path)
{
    struct fake_fs *f = ctx;
    int rc = enter_change(f);
    if (rc == 0) {
        table_copy_dir(&f->synced, &f->now, path);
    }
    return leave(f, rc);
}

static int lock_dir_locked(struct fake_fs *f, const char *path)
{
    struct name *n = table_find(&f->now, path);
    if (n == NULL || !n->inode->is_dir) {
        return -ENOENT;
    }
    if (n->inode->is_locked) {
        return -EBUSY;
    }
    int fd = take_fd(f, n->inode);
    n->inode->is_locked = fd >= 0;
    return fd;
}

static int fake_lock_dir(void *ctx, const char *path)
{
    int rc = enter(ctx);
    return leave(ctx, rc != 0 ? rc : lock_dir_locked(ctx, path));
}

/* ---- control --------------------------------------------------------------------------------- */

struct fake_fs *fake_fs_new(void)
{
    struct fake_fs *f = xcalloc(1, sizeof(*f));
    f->ops = (struct fsops){
        .ctx = f,
        .open = fake_open,
        .close = fake_close,
        .pread = fake_pread,
        .pwrite = fake_pwrite,
        .fdatasync = fake_fdatasync,
        .truncate = fake_truncate,
        .size = fake_size,
        .rename = fake_rename,
        .unlink = fake_unlink,
        .mkdir = fake_mkdir,
        .list_dir = fake_list_dir,
        .fsync_dir = fake_fsync_dir,
        .lock_dir = fake_lock_dir,
    };
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void fake_fs_free(struct fake_fs *f)
{
    for (int i = 0; i < FD_MAX; i++) {
        zk_assert(f->open[i] == NULL);
    }
    table_clear(&f->now);
    table_clear(&f->synced);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const struct fsops *fake_fs_ops(struct fake_fs *f)
{
    return &f->ops;
}

void fake_fs_fail_at(struct fake_fs *f, uint64_t nth, int err)
{
    pthread_mutex_lock(&f->lock);
    f->fail_at = nth == 0 ? 0 : f->calls + nth;
    f->fail_change_at = 0;
    f->fail_err = err;
    f->has_failed = false;
    f->fails_sync = false;
    pthread_mutex_unlock(&f->lock);
}

void fake_fs_fail_change_at(struct fake_fs *f, uint64_t nth, int err)
{
    fake_fs_fail_at(f, 0, err);
    pthread_mutex_lock(&f->lock);
    f->fail_change_at = f->changes + nth;
    pthread_mutex_unlock(&f->lock);
}

void fake_fs_fail_sync(struct fake_fs *f)
{
    pthread_mutex_lock(&f->lock);
    f->fails_sync = true;
    pthread_mutex_unlock(&f->lock);
}

void fake_fs_set_full(struct fake_fs *f, bool is_full)
{
    pthread_mutex_lock(&f->lock);
    f->is_full = is_full;
    pthread_mutex_unlock(&f->lock);
}

bool fake_fs_has_failed(struct fake_fs *f)
{
    pthread_mutex_lock(&f->lock);
    bool failed = f->has_failed || f->is_full;
    pthread_mutex_unlock(&f->lock);
    return failed;
}

uint64_t fake_fs_calls(struct fake_fs *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t calls = f->calls;
    pthread_mutex_unlock(&f->lock);
    return calls;
}

uint64_t fake_fs_syncs(struct fake_fs *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t syncs = f->syncs;
    pthread_mutex_unlock(&f->lock);
    return syncs;
}

/* Nothing will ever write this byte. */
static bool is_lost(const struct inode *inode, size_t at)
{
    return inode->has_lost && at < inode->passed.len &&
           inode->passed.data[at] == inode->now.data[at];
}

static void tear_content(struct inode *inode, struct prng *p)
{
    struct bytes *now = &inode->now;
    struct bytes *synced = &inode->synced;
    size_t len = prng_below(p, 2) ? now->len : synced->len;
    bytes_resize(now, len);
    for (size_t at = 0; at < len; at += SECTOR_BYTES) {
        size_t end = at + SECTOR_BYTES < len ? at + SECTOR_BYTES : len;
        bool is_there = prng_below(p, 2);
        for (size_t i = at; i < end; i++) {
            if (!is_there || is_lost(inode, i)) {
                now->data[i] = i < synced->len ? synced->data[i] : 0;
            }
        }
    }
}

void fake_fs_crash(struct fake_fs *f, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    for (int i = 0; i < FD_MAX; i++) {
        if (f->open[i] != NULL) {
            release_fd(f, i);
        }
    }
    if (seed == 0 || prng_below(&p, 2)) {
        struct name_table survivors = { NULL, 0 };
        for (size_t i = 0; i < f->synced.count; i++) {
            table_set(&survivors, f->synced.names[i].path, f->synced.names[i].inode);
        }
        table_clear(&f->now);
        f->now = survivors;
    } else {
        table_clear(&f->synced);
        for (size_t i = 0; i < f->now.count; i++) {
            table_set(&f->synced, f->now.names[i].path, f->now.names[i].inode);
        }
    }
    for (size_t i = 0; i < f->now.count; i++) {
        struct inode *inode = f->now.names[i].inode;
        if (seed != 0) {
            tear_content(inode, &p);
        } else {
            bytes_copy(&inode->now, &inode->synced);
        }
        bytes_copy(&inode->synced, &inode->now);
        inode->has_lost = false; /* the cache is gone with what it had */
    }
}

/* ---- straight access ------------------------------------------------------------------------- */

void fake_fs_put(struct fake_fs *f, const char *path, const void *data, size_t len)
{
    zk_assert(has_parent(f, path));
    struct name *n = table_find(&f->now, path);
    struct inode *inode = n != NULL ? n->inode : xcalloc(1, sizeof(*inode));
    struct bytes content = { (uint8_t *)(uintptr_t)data, len };
    bytes_copy(&inode->now, &content);
    bytes_copy(&inode->synced, &content);
    table_set(&f->now, path, inode);
    table_set(&f->synced, path, inode);
}

const uint8_t *fake_fs_get(struct fake_fs *f, const char *path, size_t *len)
{
    struct name *n = table_find(&f->now, path);
    if (n == NULL || n->inode->is_dir) {
        return NULL;
    }
    *len = n->inode->now.len;
    return n->inode->now.data;
}

bool fake_fs_has(struct fake_fs *f, const char *path)
{
    return table_find(&f->now, path) != NULL;
}

void fake_fs_remove(struct fake_fs *f, const char *path)
{
    table_remove(&f->now, table_find(&f->now, path));
    struct name *n = table_find(&f->synced, path);
    if (n != NULL) {
        table_remove(&f->synced, n);
    }
}

void fake_fs_make_dir(struct fake_fs *f, const char *path)
{
    struct inode *inode = xcalloc(1, sizeof(*inode));
    inode->is_dir = true;
    table_set(&f->now, path, inode);
    table_set(&f->synced, path, inode);
}

struct import {
    struct fake_fs *f;
    const char *real_dir;
    const char *path;
};

static void import_file(void *arg, const char *name)
{
    struct import *import = arg;
    char *from = fs_join(import->real_dir, name);
    char *to = fs_join(import->path, name);
    struct buf content = BUF_EMPTY;
    int rc = fs_read_file(&fsops_posix, from, 1 << 24, &content);
    zk_assert(rc == 0 || rc == -EISDIR);
    if (rc == 0) {
        fake_fs_put(import->f, to, buf_head(&content), buf_readable(&content));
    }
    buf_fini(&content);
    free(to);
    free(from);
}

void fake_fs_import(struct fake_fs *f, const char *real_dir, const char *path)
{
    struct import import = { f, real_dir, path };
    zk_assert(fsops_posix.list_dir(NULL, real_dir, import_file, &import) == 0);
}

size_t fake_fs_count(struct fake_fs *f, const char *path)
{
    size_t count = 0;
    for (size_t i = 0; i < f->now.count; i++) {
        count += name_in(path, f->now.names[i].path) != NULL;
    }
    return count;
}
