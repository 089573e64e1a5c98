/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_MOUNT_REF_H
#define FUSEFS_MOUNT_REF_H

/*
 * The event helper's way into the mount. Two forms:
 *
 *   clone  a detached copy of the mount (open_tree): keeps the mount point free for umount(8), is
 *          not affected by what is mounted over it, and stays writable when the visible mount is
 *          made read-only. It keeps the file system alive, though, so it must be dropped when the
 *          last visible mount is gone: mount_ref_watch_fd() tells when to look. Needs CAP_SYS_ADMIN.
 *   path   without that privilege: the mount point is opened anew for each event. A descriptor kept
 *          open would make every `fusermount3 -u` fail with EBUSY. The price is one more path walk
 *          an event, and no events while something else is mounted over the mount point.
 *
 * For the single thread of the helper process.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mount_ref {
    int clone_fd;     /* -1: not in clone form */
    int mountinfo_fd; /* -1: not in clone form */
    char *device;     /* owned; "major:minor" of the file system, as mountinfo has it */
    char *path;       /* owned; the mount point in path form, else NULL */
    dev_t path_dev;   /* st_dev at path when it was attached */
};

void mount_ref_init(struct mount_ref *ref);
/* 0 or -errno; replaces what was attached before. */
int mount_ref_attach(struct mount_ref *ref, const char *mountpoint);
void mount_ref_detach(struct mount_ref *ref);

/* Descriptor that polls POLLPRI when mounts have changed, or -1 when there is nothing to look
 * for. */
int mount_ref_watch_fd(const struct mount_ref *ref);
/* True if the file system is still mounted somewhere in this mount namespace. */
bool mount_ref_is_visible(const struct mount_ref *ref);

/* Opens (O_PATH) the directory that holds the last component of path, relative to the mount's
 * root, and points *name at that component; "" gives the root and ".". Never follows a
 * symbolic link, never leaves the mount. The caller closes the descriptor. -ENOTCONN if
 * nothing is attached, or -errno. */
int mount_ref_open_parent(const struct mount_ref *ref, const char *path, const char **name);

/* openat2 of one component with the same confinement. A descriptor or -errno. */
int mount_ref_open_at(int dir_fd, const char *name, int flags, mode_t mode);

#endif
