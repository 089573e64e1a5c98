/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_MAKE_H
#define FUSEFS_CONTROL_MAKE_H

/*
 * Files that make znodes of other kinds:
 *
 *      D/.zk/ephemeral/NAME              ephemeral D/NAME
 *      D/.zk/sequential/PREFIX           D/PREFIX0000000042
 *      D/.zk/ephemeral-sequential/PREFIX both
 *      D/.zk/container/NAME              container D/NAME, with null data
 *      D/.zk/ttl/SECONDS/NAME            D/NAME, deleted when nobody has changed it for so long
 *
 * Creating one creates the znode, always a new one: EEXIST if the name is taken. Each write(2) is one setData
 * of its bytes, wherever the descriptor stands. Reading gives the name that was made, a line. An ephemeral
 * znode is deleted when the last descriptor is closed, by exit or kill too: a duplicate, a child's copy and
 * what /proc/PID/fd opens again each hold it. If its session is lost before, every read and write is ESTALE.
 *
 * The znode is announced in this kernel as one that somebody else made: the caller's own system calls have
 * raised their events elsewhere.
 */
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

struct fusefs;

/* create, if parent is one of those directories; answers req then. False: it is not. */
bool control_make(struct fusefs *fs, fuse_req_t req, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *fi);

#endif
