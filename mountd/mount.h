/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_MOUNT_H
#define MOUNTD_MOUNT_H

/*
 * The life of one mount, from the moment the process is where it will stay (daemonise.h).
 *
 *                start the server,        mount, serve         the root answers
 *                wait for the ensemble    until then           through the mount
 *          WAIT ---------------------> MOUNT -------------> READY
 *           | |                         | |                   |
 *           | |  a signal, at any time  | |                   |  a signal, or umount(8)
 *           | +-----------+-------------+-|---------+---------+
 *           |             |               |         |
 *           | an error    |      an error |         v
 *           +-------------|----------> FAILED     DRAIN    requests under way are finished
 *                         |               |         ^ |
 *                         +---------------|---------+ |
 *                                         +--> UNMOUNT    unmount, close the session, stop the
 *                                                 |       server
 *                                             UNMOUNTED
 *
 * Threads: the main thread walks through the states; a watcher thread turns signals and the end
 * of the embedded server into transitions; the file system's own thread reports READY.
 */
#include <stdbool.h>

struct daemonise;
struct mountd_options;

enum mount_state {
    MOUNT_WAIT,
    MOUNT_MOUNT,
    MOUNT_READY,
    MOUNT_DRAIN,
    MOUNT_FAILED,
    MOUNT_UNMOUNT,
    MOUNT_UNMOUNTED,
    MOUNT_STATE_COUNT,
};

const char *mount_state_name(enum mount_state state);
bool mount_state_may_follow(enum mount_state from, enum mount_state to);

/* Mounts, serves until the end, cleans up. mountpoint is absolute and checked. Reports to d as
 * soon as the outcome is known. Returns the exit code. */
int mount_run(struct mountd_options *o, const char *mountpoint, struct daemonise *d);

#endif
