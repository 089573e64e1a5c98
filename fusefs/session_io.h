/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_SESSION_IO_H
#define FUSEFS_SESSION_IO_H

/*
 * How the session reads and writes /dev/fuse: as libfuse itself would, but for one bit.
 *
 * libfuse 3.14.0 (Debian 12) takes FUSE_CAP_PARALLEL_DIROPS for wanted and never tells the kernel,
 * which then lets one LOOKUP or READDIR of a directory run at a time, under a lock that no signal
 * interrupts. One process that waits for the ensemble would put everybody else who names a file in
 * that directory into D state. So the bit is set in the answer to INIT as it passes. With a libfuse
 * that sets it itself nothing changes.
 *
 * Replies and requests are copied rather than spliced, which for values of at most a megabyte is no
 * loss.
 */
struct fuse_session;

/* After fuse_session_mount and before the first request is read; the session's userdata is a struct
 * fusefs. 0 or -errno. */
int session_io_attach(struct fuse_session *se);

#endif
