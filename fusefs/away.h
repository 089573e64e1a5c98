/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_AWAY_H
#define FUSEFS_AWAY_H

/*
 * Files that were renamed onto a scratch file's name: f -> f~. An editor does that to write f anew in the next
 * moment, and means the same file. So ZooKeeper is not told yet: the bytes go to the scratch file, and f
 * is away, that is, not shown in this mount.
 *
 *   f is created again, or something is renamed to it    the first znode takes it, as one setData; it has
 *                                                        kept its czxid, ACL and watchers
 *   the process that renamed it ends, or 5 s pass        it was no editor: f~ is created and f deleted in one
 *                                                        multi, as any rename; of f alone if f~ is gone
 *
 * The second is away.c's thread's work. If f was changed elsewhere meanwhile, it is shown again.
 */
#include <stdbool.h>
#include <sys/types.h>

struct fusefs;
struct inode;
struct listing;
struct away;
struct Stat;

/* 0 or -errno. */
int away_start(struct fusefs *fs);
/* Deletes what is still away, as far as the ensemble answers. Without the lock. */
void away_stop(struct fusefs *fs);
void away_fini(struct fusefs *fs);

/* ---- fs->lock is held --------------------------------------------------------------------------------------- */

/* The znode at path is away from now on; copy is the scratch file with its bytes. */
void away_add(struct fusefs *fs, const char *path, const struct Stat *stat, struct inode *copy,
              pid_t pid);
/* Whether the name is away. */
bool away_is(const struct fusefs *fs, const struct inode *dir, const char *name);
/* The same, and it is back now. */
bool away_take(struct fusefs *fs, const char *path);
/* Takes what is away out of a directory's names; *names is replaced. */
void away_hide_names(const struct fusefs *fs, const struct inode *dir, struct listing **names);
/* The scratch file is gone. NULL is fine. */
void away_lose_copy(struct away *away);

/* ---- without the lock ----------------------------------------------------------------------------------------- */

/* Calls done once nothing at path and below is away any more: before what ZooKeeper would refuse for its sake.
 * True: there was nothing, and done is not called. */
bool away_settle(struct fusefs *fs, const char *path, void (*done)(void *arg), void *arg);

#endif
