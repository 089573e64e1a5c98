/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount is measured against: a file system that passes everything through to a directory, in the
 * plain way in which libfuse's own example does, with a second of caching. passthrough SOURCE MNT stays
 * in the foreground until it is unmounted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Seconds for which names and attributes are cached. */
#define TIMEOUT 1.0

/* A node id is a struct node's address, but for the root. A hash chain by inode number finds it again. */
enum { BUCKETS = 65536 };
struct node {
    struct node *next;
    int fd; /* O_PATH */
    ino_t ino;
    uint64_t nlookup; /* by lock */
};

static struct node root = { .fd = -1 };
static struct node *table[BUCKETS]; /* by lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct node *node_of(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)ino;
}

static int fd_of(fuse_ino_t ino)
{
    return node_of(ino)->fd;
}

static void proc_name(fuse_ino_t ino, char out[64])
{
    snprintf(out, 64, "/proc/self/fd/%d", fd_of(ino));
}

/* Takes fd; a known node keeps its own. */
static struct node *remember(int fd, ino_t ino)
{
    pthread_mutex_lock(&lock);
    struct node **bucket = &table[ino % BUCKETS];
    struct node *n = *bucket;
    while (n && n->ino != ino) {
        n = n->next;
    }
    if (n) {
        close(fd);
    } else {
        n = calloc(1, sizeof(*n));
        if (!n) {
            abort();
        }
        *n = (struct node){ .next = *bucket, .fd = fd, .ino = ino };
        *bucket = n;
    }
    n->nlookup++;
    pthread_mutex_unlock(&lock);
    return n;
}

static void forget_one(fuse_ino_t ino, uint64_t count)
{
    struct node *n = node_of(ino);
    pthread_mutex_lock(&lock);
    n->nlookup -= count;
    bool is_free = n != &root && n->nlookup == 0;
    for (struct node **at = &table[n->ino % BUCKETS]; is_free && *at; at = &(*at)->next) {
        if (*at == n) {
            *at = n->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    if (is_free) {
        close(n->fd);
        free(n);
    }
}

/* 0 or an errno. */
static int look_up(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
    memset(e, 0, sizeof(*e));
    int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    if (fstatat(fd, "", &e->attr, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
        int err = errno;
        close(fd);
        return err;
    }
    e->ino = (uintptr_t)remember(fd, e->attr.st_ino);
    e->attr_timeout = TIMEOUT;
    e->entry_timeout = TIMEOUT;
    return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    int err = look_up(parent, name, &e);
    if (err) {
        fuse_reply_err(req, err);
    } else {
        fuse_reply_entry(req, &e);
    }
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    forget_one(ino, count);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct stat st;
    if (fstatat(fd_of(ino), "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_attr(req, &st, TIMEOUT);
    }
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    char name[64];
    proc_name(ino, name);
    if ((to_set & FUSE_SET_ATTR_SIZE) && truncate(name, attr->st_size) != 0) {
        fuse_reply_err(req, errno);
    } else {
        op_getattr(req, ino, fi);
    }
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    char name[64];
    proc_name(ino, name);
    int fd = open(name, (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uint64_t)fd;
    fuse_reply_open(req, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    int fd = openat(fd_of(parent), name, (fi->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW, mode);
    int err = fd < 0 ? errno : look_up(parent, name, &e);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    fi->fh = (uint64_t)fd;
    fuse_reply_create(req, &e, fi);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_reply_err(req, unlinkat(fd_of(parent), name, 0) == 0 ? 0 : errno);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);
    buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buf.buf[0].fd = (int)fi->fh;
    buf.buf[0].pos = offset;
    fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)ino;
    ssize_t done = pwrite((int)fi->fh, bytes, size, offset);
    if (done < 0) {
        fuse_reply_err(req, errno);
    } else {
        fuse_reply_write(req, (size_t)done);
    }
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_reply_err(req, close(dup((int)fi->fh)) == 0 ? 0 : errno);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    close((int)fi->fh);
    fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = openat(fd_of(ino), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uintptr_t)dir;
    fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    closedir((DIR *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    DIR *dir = (DIR *)(uintptr_t)fi->fh;
    char *buf = calloc(1, size);
    size_t used = 0;
    if (!buf) {
        abort();
    }
    if (telldir(dir) != offset) {
        seekdir(dir, offset);
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        struct fuse_entry_param e = { .attr = { .st_ino = entry->d_ino } };
        bool is_dot = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!is_dot && look_up(ino, entry->d_name, &e) != 0) {
            continue;
        }
        size_t need =
            fuse_add_direntry_plus(req, buf + used, size - used, entry->d_name, &e, telldir(dir));
        if (need > size - used) {
            if (!is_dot) {
                forget_one(e.ino, 1);
            }
            break; /* the kernel asks again from the last offset that it has */
        }
        used += need;
    }
    fuse_reply_buf(req, buf, used);
    free(buf);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = op_lookup,
    .forget = op_forget,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .open = op_open,
    .create = op_create,
    .unlink = op_unlink,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .opendir = op_opendir,
    .releasedir = op_releasedir,
    .readdirplus = op_readdirplus,
};

int main(int argc, char **argv)
{
    if (argc != 3 || (root.fd = open(argv[1], O_PATH | O_DIRECTORY)) < 0) {
        fprintf(stderr, "usage: passthrough SOURCE MNT\n");
        return 2;
    }
    char *fuse_argv[] = { argv[0] };
    struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    if (!se || fuse_session_mount(se, argv[2]) != 0) {
        return 1;
    }
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int err = fuse_session_loop_mt(se, config);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(se);
    fuse_session_destroy(se);
    return err != 0;
}
