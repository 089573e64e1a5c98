/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_FAKE_FS_H
#define TESTS_LIB_FAKE_FS_H

/*
 * A disk in memory behind the store's table of file calls (server/store/fsops.h). It knows what was
 * synced and what was not, can lose and tear the rest in a crash, and can make any one call fail.
 * A mutex makes it usable from several threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"

struct fake_fs;

struct fake_fs *fake_fs_new(void);
/* Every descriptor must have been closed: a leak in the code under test stops the test here. */
void fake_fs_free(struct fake_fs *f);
const struct fsops *fake_fs_ops(struct fake_fs *f);

/* Makes the nth call from now on (1: the next) fail once with -err; 0: none. A write that fails has
 * written half of its bytes. */
void fake_fs_fail_at(struct fake_fs *f, uint64_t nth, int err);
/* The same, of the calls that change something: writes, cuts, syncs, renames, removals. */
void fake_fs_fail_change_at(struct fake_fs *f, uint64_t nth, int err);
/* Makes the next fdatasync fail once with -EIO. As with Linux's page cache, what it should have written stays
 * readable and is never written: later syncs pass over it, until it is written anew. */
void fake_fs_fail_sync(struct fake_fs *f);
/* A full disk: nothing can be made or grow, until there is room again. What is there can be overwritten,
 * synced, renamed and removed. */
void fake_fs_set_full(struct fake_fs *f, bool is_full);
/* True if the call chosen by fake_fs_fail_at() or fake_fs_fail_sync() has come and failed, or if the disk
 * is full. */
bool fake_fs_has_failed(struct fake_fs *f);
uint64_t fake_fs_calls(struct fake_fs *f);
uint64_t fake_fs_syncs(struct fake_fs *f); /* fdatasync calls */

/*
 * Loss of power. Seed 0: everything that was not synced is gone. Other seeds: each unsynced sector
 * of 512 bytes is there or not by chance, each file has an old or new length, the unsynced names of
 * a directory are all there or none. Open descriptors are closed.
 */
void fake_fs_crash(struct fake_fs *f, uint64_t seed);

/* ---- for tests: straight access, durable at once, never failing ------------------------------ */

void fake_fs_put(struct fake_fs *f, const char *path, const void *data, size_t len);
/* Content of a file, valid until it changes; NULL: no such file. */
const uint8_t *fake_fs_get(struct fake_fs *f, const char *path, size_t *len);
bool fake_fs_has(struct fake_fs *f, const char *path);
void fake_fs_remove(struct fake_fs *f, const char *path);
void fake_fs_make_dir(struct fake_fs *f, const char *path);
/* Copies the files of a real directory, relative to the root of the repository, into path. */
void fake_fs_import(struct fake_fs *f, const char *real_dir, const char *path);
/* Number of files and directories directly in path. */
size_t fake_fs_count(struct fake_fs *f, const char *path);

#endif
