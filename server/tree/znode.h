/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_ZNODE_H
#define SERVER_TREE_ZNODE_H

/*
 * One node of the tree, and the arithmetic of its Stat (client-protocol 7). Everybody may read the
 * fields; only data_tree.c changes them.
 *
 *      parent <---- first_child ----> next_sibling ----> ... ----> NULL
 *                   prev_sibling of the first child is the last one, so that appending is O(1)
 *
 * A node keeps its name, not its path: 1,000,000 nodes must fit into 250 bytes of overhead each.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "common/list.h"
#include "server/jute/records.h"

struct znode {
    struct hlink by_path; /* hash of the whole path */
    struct znode *parent; /* NULL for the root */
    struct znode *first_child;
    struct znode *next_sibling;
    struct znode *prev_sibling;
    struct list by_owner; /* among the ephemerals of one session, or containers and TTL nodes; else alone */
    uint8_t *data;        /* owned; may be NULL when data_len <= 0 */
    struct persisted_stat stat;
    int64_t acl_id;
    int32_t data_len;      /* -1: null, which is not the same as empty */
    int32_t num_children;
    int32_t num_descendants;
    uint32_t body_crc;     /* CRC-32 of path and data: the start of the node's digest */
    uint32_t image_mark;   /* the last image that holds this node, see image.h */
    int32_t name_len;
    bool undigested;       /* below /zookeeper: not part of the tree digest */
    char name[];           /* not terminated; empty for the root */
};

/* Who a stored ephemeralOwner belongs to. */
enum znode_kind { ZNODE_PERSISTENT, ZNODE_EPHEMERAL, ZNODE_CONTAINER, ZNODE_TTL };

/* extended_types: extendedTypesEnabled; without it a TTL mark reads as a session id. */
enum znode_kind znode_kind(int64_t ephemeral_owner, bool extended_types);

#define EPHEMERAL_OWNER_CONTAINER INT64_MIN
#define TTL_MS_MAX 0xffffffffff
/* TTL in ms, 1 to TTL_MS_MAX, as a stored ephemeralOwner, and back. */
int64_t ephemeral_owner_of_ttl(int64_t ttl_ms);
int64_t ephemeral_owner_ttl(int64_t ephemeral_owner);

/* What a client is shown: cversion is 2 * stored - children, marks of containers and TTLs are hidden. */
struct znode_stat znode_stat_derive(const struct persisted_stat *p, int32_t data_len,
                                    int32_t num_children, bool extended_types);

struct slice znode_data(const struct znode *n);

/* CRC-32 over path and data; the digest of the node continues it over the stored stat. */
uint32_t znode_body_crc(struct slice path, struct slice data);
/* A node's share of the tree digest (quorum-protocol 10). */
uint64_t znode_digest(uint32_t body_crc, const struct persisted_stat *p);

/* Appends the full path; the root's is "". */
void znode_append_path(const struct znode *n, struct buf *out);

#endif
