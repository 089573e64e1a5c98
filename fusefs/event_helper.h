/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_EVENT_HELPER_H
#define FUSEFS_EVENT_HELPER_H

/*
 * The event helper: a process of its own that makes system calls *through the mount*, so that the
 * VFS raises the inotify events a local writer would have caused. FUSE has no notification that
 * does this. It never holds /dev/fuse: if the daemon dies while the helper waits for an answer,
 * the connection aborts and nothing hangs (field note: the SIGKILL trap).
 *
 *      notify thread --- socketpair ---> helper --- open/fallocate/mkdir/... ---> VFS ---> /dev/fuse
 *            ^                                                                            |
 *            |  file system recognises the helper by its pid, answers from memory <-------+
 *
 * The helper reaches the mount through fusefs/mount_ref.h, which neither keeps the mount point busy
 * nor follows something mounted on top of it. Beside the calls that make an event it looks up and
 * stats the names on the way, and all of these are to be answered from memory: a helper that waits
 * for the ensemble holds up every user of that directory, whose lock it holds.
 */
#include <stdint.h>
#include <sys/types.h>

enum event_kind {
    EVENT_FILE_CHANGED, /* OPEN, MODIFY, CLOSE_WRITE */
    EVENT_FILE_CREATED, /* CREATE, OPEN, MODIFY, CLOSE_WRITE */
    EVENT_FILE_DELETED, /* DELETE, and DELETE_SELF on the file */
    EVENT_DIR_CREATED,  /* CREATE,ISDIR */
    EVENT_DIR_DELETED,  /* DELETE,ISDIR, and DELETE_SELF on the directory */
    EVENT_ATTRIB,       /* ATTRIB: the ACL changed */
};

struct event_helper;

/* Forks the helper. Call before the process has threads and before it opens /dev/fuse, from the
 * thread that lives as long as the process: the kernel ends the helper with that thread. 0 or
 * -errno. */
int event_helper_start(struct event_helper **out);

/* Tells the helper where the mount is. The mount must be answering, since this walks into it;
 * call from a thread that serves no request. 0 or -errno. */
int event_helper_attach(struct event_helper *h, const char *mountpoint);

/* Lets go of the mount, from any thread, without waiting; raising then gives -ENOTCONN. The
 * helper does so by itself when the file system is mounted nowhere any more, so that its last
 * user can end it. */
void event_helper_detach(struct event_helper *h);

/* Process id of the helper; it is single-threaded, so this is what fuse_req_ctx()->pid shows. */
pid_t event_helper_pid(const struct event_helper *h);

/* Makes the system call for one event and waits until it has returned; from the notify thread
 * only, no lock held. path is relative to the mount point, without a leading slash, in file
 * names; "" is the root, which only knows EVENT_ATTRIB. A file that cannot be opened for
 * write (EACCES, ETXTBSY) gets MODIFY alone, by a SETATTR of the mtime that it has. Returns 0;
 * -EPIPE when the helper is gone; -ENOTCONN when nothing is attached; -ETIMEDOUT after 10 s (a
 * user's request holds the directory), and then the call may still happen later; or the -errno
 * of the system call. */
int event_helper_raise(struct event_helper *h, enum event_kind kind, const char *path);

/* Reaps a helper that was killed and forks another one, which has to attach; from the notify thread only. Its
 * process id is a new one, and the old one is anybody's. 0 or -errno. */
int event_helper_restart(struct event_helper *h);

/* Ends the helper and reaps it. NULL is fine. */
void event_helper_stop(struct event_helper *h);

#endif
