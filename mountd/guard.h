/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_GUARD_H
#define MOUNTD_GUARD_H

/*
 * Takes the mount away when the daemon is killed: a small process that waits for the end of a
 * pipe. Else every call in the mount would fail with ENOTCONN until somebody unmounts it by hand.
 *
 * libfuse has an auto_unmount of its own, in fusermount3. It looks whether the mount is dead when
 * its pipe ends, and the pipe of a dying process may end a moment before /dev/fuse does: then it
 * leaves the mount alone for good (seen with a slow daemon under use). We unmount whatever is
 * still there with the id of our mount. As root that is one system call; ordinary users need
 * fusermount3 to mount anyhow.
 */
struct guard;

/* Forks the process; before there are threads. 0 or -errno. */
int guard_start(struct guard **out);

/* From now on the mount at this absolute path is taken away when we die. 0 or -errno. */
int guard_arm(struct guard *g, const char *mountpoint);

/* Ends the process and leaves the mount alone. NULL is fine. */
void guard_stop(struct guard *g);

#endif
