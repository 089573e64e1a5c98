/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_OVERLAY_H
#define SERVER_CORE_OVERLAY_H

/*
 * What the nodes will look like once everything proposed so far is applied (ZooKeeper's outstanding
 * changes). Prep validates each request against the tree seen through this overlay (W2).
 *
 *      fifo: change(zxid 7, /a) - change(7, /) - change(8, /a) - change(8, /)      oldest first
 *      by_path: /a -> change(8), whose older is change(7)
 *
 * A change leaves when its zxid is applied, or all changes of a multi at once when it fails. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "common/list.h"
#include "server/tree/data_tree.h"

/* What prep needs to know of a node. */
struct node_view {
    bool exists;
    struct persisted_stat stat;
    int32_t num_children;
    int32_t data_len;
    uint32_t body_crc;
    struct vec acl; /* points into the tree, the overlay or the request */
};

struct overlay {
    struct htable by_path; /* newest change of each path */
    struct list fifo;
    int64_t count;
    uint64_t hash_seed;
};

/* One pending state of one path. */
struct change {
    struct hlink by_path;
    struct list fifo;
    struct change *older; /* hidden by this one and still pending; or NULL */
    struct change *newer; /* hides this one; or NULL */
    int64_t zxid;
    struct node_view view; /* acl.raw points behind path */
    int32_t path_len;
    uint8_t path[];
};

void overlay_init(struct overlay *o, uint64_t hash_seed);
void overlay_fini(struct overlay *o);

/* The node as it will be; "" and "/" are the root. */
void overlay_get(const struct overlay *o, const struct data_tree *t, struct slice path,
                 struct node_view *out);
/* Copies the view. zxid must not be below that of the last put. */
void overlay_put(struct overlay *o, int64_t zxid, struct slice path, const struct node_view *view);
/* Forgets what is now in the tree. */
void overlay_applied(struct overlay *o, int64_t zxid);
/* Takes back all puts of this zxid, which is the newest. */
void overlay_rollback(struct overlay *o, int64_t zxid);

#endif
