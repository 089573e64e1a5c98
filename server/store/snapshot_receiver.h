/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPSHOT_RECEIVER_H
#define SERVER_STORE_SNAPSHOT_RECEIVER_H

/*
 * Builds a tree from the raw snapshot that a leader sends behind SNAP, piece by piece as it arrives, so
 * that the largest tree neither stops the loop nor stands in memory twice (quorum-protocol 6):
 *
 *      [sessions] [ACL map] [node] [node] ... ["/"] ["BenWasHere"]
 *
 * The tree that it replaces is untouched until the caller takes the new one. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/store/session_map.h"
#include "server/tree/data_tree.h"

struct snapshot_receiver;

/* field_bytes_max: a path or data above this is refused, before memory is taken. */
struct snapshot_receiver *snapshot_receiver_new(const struct data_tree_config *config,
                                                size_t field_bytes_max);
/* NULL is fine. */
void snapshot_receiver_free(struct snapshot_receiver *r);

/* Returns how many of the bytes it took: whole elements only, so the rest is to be given again with what
 * follows. -EBADMSG: this is no snapshot. */
ssize_t snapshot_receiver_feed(struct snapshot_receiver *r, const uint8_t *bytes, size_t len);
/* All of it has come, signature included. */
bool snapshot_receiver_is_done(const struct snapshot_receiver *r);

/* When it is done: the tree, at zxid, and the sessions, ascending by id; both are the caller's. -EBADMSG:
 * there is no root. */
int snapshot_receiver_take(struct snapshot_receiver *r, int64_t zxid, struct data_tree **tree,
                           struct saved_session **sessions, size_t *session_count);

#endif
