/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/mount_ref.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"

enum { READ_CHUNK = 16 * 1024 };

void mount_ref_init(struct mount_ref *ref)
{
    *ref = (struct mount_ref){ .clone_fd = -1, .mountinfo_fd = -1 };
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void mount_ref_detach(struct mount_ref *ref)
{
    close_fd(&ref->clone_fd);
    close_fd(&ref->mountinfo_fd);
    free(ref->device);
    free(ref->path);
    mount_ref_init(ref);
}

/* The whole table from its beginning, or NULL. The caller frees it. */
static char *mountinfo_read(int fd)
{
    struct buf text = BUF_EMPTY;
    off_t at = 0;
    for (;;) {
        uint8_t *room = buf_reserve(&text, READ_CHUNK);
        ssize_t got = pread(fd, room, READ_CHUNK, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            buf_fini(&text);
            return NULL;
        }
        if (got == 0) {
            return buf_take_str(&text);
        }
        text.len += (size_t)got;
        at += got;
    }
}

/* Each line is `id parent major:minor root mount-point ...`. Finds the line by its id, or by
 * its device if that is given, and sets device to a copy of the third field; false if there is
 * none. */
static bool mountinfo_find(int fd, uint64_t id, const char *device, char **found)
{
    char *text = mountinfo_read(fd);
    bool is_found = false;
    char *save = NULL;
    for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL && !is_found;
         line = strtok_r(NULL, "\n", &save)) {
        uint64_t line_id;
        char line_device[32];
        if (sscanf(line, "%" SCNu64 " %*u %31s", &line_id, line_device) != 2) {
            continue;
        }
        is_found = device != NULL ? strcmp(device, line_device) == 0 : line_id == id;
        if (is_found && found != NULL) {
            *found = xstrdup(line_device);
        }
    }
    free(text);
    return is_found;
}

static int attach_clone(struct mount_ref *ref, const char *mountpoint)
{
    /* Mount ids are only to be had from the visible mount: a clone gets one of its own. No
     * request goes to the file system for this, whatever is cached. */
    struct statx stx;
    if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) != 0) {
        return -errno;
    }
    ref->mountinfo_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (ref->mountinfo_fd < 0) {
        return -errno;
    }
    ref->clone_fd = open_tree(AT_FDCWD, mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (ref->clone_fd < 0) {
        return -errno;
    }
    /* Missing from the table: unmounted in this moment, or outside our chroot where we cannot
     * watch it. */
    if ((stx.stx_mask & STATX_MNT_ID) == 0 ||
        !mountinfo_find(ref->mountinfo_fd, stx.stx_mnt_id, NULL, &ref->device)) {
        return -ENOENT;
    }
    return 0;
}

static int path_open(const char *path, dev_t *dev)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) != 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    return fd;
}

static int attach_path(struct mount_ref *ref, const char *mountpoint)
{
    int fd = path_open(mountpoint, &ref->path_dev);
    if (fd < 0) {
        return fd;
    }
    close(fd);
    ref->path = xstrdup(mountpoint);
    return 0;
}

int mount_ref_attach(struct mount_ref *ref, const char *mountpoint)
{
    mount_ref_detach(ref);
    if (attach_clone(ref, mountpoint) == 0) {
        return 0;
    }
    mount_ref_detach(ref);
    return attach_path(ref, mountpoint);
}

int mount_ref_watch_fd(const struct mount_ref *ref)
{
    return ref->mountinfo_fd;
}

bool mount_ref_is_visible(const struct mount_ref *ref)
{
    return ref->device == NULL || mountinfo_find(ref->mountinfo_fd, 0, ref->device, NULL);
}

/* A descriptor of the root that the caller closes. */
static int root_open(const struct mount_ref *ref)
{
    if (ref->clone_fd >= 0) {
        int fd = fcntl(ref->clone_fd, F_DUPFD_CLOEXEC, 0);
        return fd >= 0 ? fd : -errno;
    }
    if (ref->path == NULL) {
        return -ENOTCONN;
    }
    dev_t dev;
    int fd = path_open(ref->path, &dev);
    if (fd >= 0 && dev != ref->path_dev) {
        close(fd); /* unmounted, or something else is mounted over it */
        return -EXDEV;
    }
    return fd;
}

int mount_ref_open_at(int dir_fd, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
    };
    long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
    return fd >= 0 ? (int)fd : -errno;
}

int mount_ref_open_parent(const struct mount_ref *ref, const char *path, const char **name)
{
    int root_fd = root_open(ref);
    const char *slash = strrchr(path, '/');
    if (root_fd < 0 || slash == NULL) {
        *name = *path != '\0' ? path : ".";
        return root_fd;
    }
    char parent[PATH_MAX];
    size_t len = (size_t)(slash - path);
    if (len >= sizeof(parent)) {
        close(root_fd);
        return -ENAMETOOLONG;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    int fd = mount_ref_open_at(root_fd, parent, O_PATH | O_DIRECTORY, 0);
    close(root_fd);
    *name = slash + 1;
    return fd;
}
