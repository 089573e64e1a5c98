/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CONTROL_GONE_H
#define FUSEFS_CONTROL_GONE_H

/*
 * The end of ephemeral znodes that were made through the control directory (control_make.h): deleting them
 * once nobody holds them, however long the ensemble takes, and never one that somebody else has made in
 * their place.
 */
#include <stdbool.h>
#include <stdint.h>

struct fusefs;
struct inode;

/* Deletes the node's znode in the background, if it still is one of that session. */
void control_gone(struct fusefs *fs, struct inode *node, int64_t session_id);

/* Whether an open file holds the znode at this path. */
bool control_is_held(struct fusefs *fs, const char *path);

/* After a sequential create whose outcome is not known: deletes every znode in dir of this name and a sequence
 * number that belongs to this session and is held by nobody. Answers of a session arrive in order, so whoever
 * got his answer holds his by now, and what is deleted can only be the remains of such a create, whose maker
 * then makes another. rc: ZOK or libzookeeper's. The caller holds dir until done. */
void control_sweep(struct fusefs *fs, struct inode *dir, const char *name,
                   void (*done)(void *arg, int rc), void *arg);

#endif
