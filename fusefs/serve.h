/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_SERVE_H
#define FUSEFS_SERVE_H

/*
 * The worker threads that take requests from /dev/fuse. libfuse's own loop can only be ended by a signal to
 * the right thread at the right moment; this one has a descriptor for that. A few threads are enough: no
 * operation waits.
 */
struct fuse_session;

/* Serves until the file system is unmounted, or stop_fd is readable. Before it ends it calls wind_down
 * once, in the caller's thread, with requests still being answered unless the kernel has already ended
 * the connection: whatever waits for the mount itself (the event helper, a notice that needs a page
 * which a reader holds) can come to its end there. 0 or -errno. */
int serve_requests(struct fuse_session *se, int stop_fd, void (*wind_down)(void *arg), void *arg);

#endif
