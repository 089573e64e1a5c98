/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_FUSEFS_H
#define FUSEFS_FUSEFS_H

/*
 * START HERE: the file system as a library. It shows a ZooKeeper tree as directories and files
 * (docs/fuse-mapping.md) and turns changes made elsewhere into inotify events (docs/inotify.md). It
 * speaks to any ZooKeeper 3.5+ through libzookeeper_mt. It is not a program: the process around it,
 * daemonising, the pid file and the embedded server are mountd's.
 *
 * Life, all calls from one thread unless said otherwise:
 *
 *      fusefs_new -> [fusefs_connect] -> fusefs_mount -> fusefs_serve (blocks) -> fusefs_free
 *
 * fusefs_new forks the event helper, so it must run before the process has threads or holds /dev/fuse,
 * and after it has become a daemon.
 */
#include <stdbool.h>

struct fusefs;
struct fusefs_options;

/* Takes a copy of what it needs of the options. Starts the event helper and the ZooKeeper client; does
 * not wait for the connection. 0 or -errno. */
int fusefs_new(const struct fusefs_options *options, struct fusefs **out);

/* Waits until the ensemble has given a session and the root znode (the chroot) was seen, so that a
 * mount at boot neither shows an empty place nor fails because the servers start a little later.
 * 0; -ETIMEDOUT when no server answered within timeout_ms; -ENOENT when the chroot does not exist;
 * -EACCES when the ensemble refused the identity; -EINTR when fusefs_stop was called meanwhile. */
int fusefs_connect(struct fusefs *fs, int timeout_ms);

/* Opens /dev/fuse and mounts; the mount does not answer before fusefs_serve runs. 0 or -errno, with one
 * line in the log that says why. */
int fusefs_mount(struct fusefs *fs, const char *mountpoint);

/* Serves until the file system is unmounted or fusefs_stop is called. When the root directory answers a
 * stat made through the mount, calls on_ready(arg) once, from another thread. 0 or -errno. */
int fusefs_serve(struct fusefs *fs, void (*on_ready)(void *arg), void *arg);

/* Ends fusefs_serve soon. Any thread, and safe in a signal handler. */
void fusefs_stop(struct fusefs *fs);

/* Unmounts if still mounted, closes the ZooKeeper session, ends the event helper. NULL is fine. */
void fusefs_free(struct fusefs *fs);

#endif
