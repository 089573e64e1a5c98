/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPSHOT_TREE_H
#define SERVER_STORE_SNAPSHOT_TREE_H

/*
 * Snapshot file <-> data tree and sessions, in one go. A running server writes its snapshots in
 * pieces through the snapshot thread instead (snap_thread.h); this is for the start, for a learner
 * and for tools.
 */
#include "server/store/session_map.h"
#include "server/store/snapshot_reader.h"
#include "server/tree/data_tree.h"

/*
 * Fills tree, whatever it held, and sessions, which must be empty. 0; -EBADMSG (see info->reason)
 * or another -errno: both are then good for fini only, or for another load after
 * session_map_fini/init.
 */
int snapshot_load_tree(const struct fsops *fs, const char *dir, const struct version_file *file,
                       struct data_tree *tree, struct session_map *sessions,
                       struct snapshot_info *info);

/* Writes snapshot.<tree->last_zxid> durably. The tree must not have an image in progress. */
int snapshot_write_tree(const struct fsops *fs, const char *dir, struct data_tree *tree,
                        const struct saved_session *sessions, size_t session_count);

#endif
