/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_OPS_POLL_H
#define FUSEFS_OPS_POLL_H

/*
 * poll(2), select(2) and epoll(7) on open files. POLLPRI says that what the descriptor has read, or was opened
 * on, is not what the file is now, as kernfs has it: read again from offset 0. POLLERR comes with it if the
 * znode is gone, or the session in which an ephemeral lived. A regular file is always ready for POLLIN and
 * POLLOUT.
 *
 * A descriptor that reads through the page cache may do so without our hearing of it. So there a change is
 * reported until a READ comes, at most REPORTS_MAX times: epoll asks once more than it tells its caller. Who
 * has polled moves on to the new version, and while he has the file open, new readers read directly, so that
 * none of them keeps the pages of an old version for him to find.
 */
#include "fusefs/handle.h"

struct fusefs;

/* h, a file of the control directory, has seen the state of this moment; the lock is held. */
void poll_mark_seen(struct fusefs *fs, struct handle *h);
/* From now on the inode's state is told, to who polls already at once. Without the lock, after the kernel's
 * copies have been brought up to it: at the news one reads what is new. */
void poll_wake(struct fusefs *fs, struct inode *inode);
/* The same for the descriptors of control_make.h, after their session was lost. */
void poll_wake_made(struct fusefs *fs);

#endif
