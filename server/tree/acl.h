/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_ACL_H
#define SERVER_TREE_ACL_H

/*
 * Access control lists: who may (client-protocol 8), and a table that keeps each distinct list once.
 * Caller identities are a vec of struct id, as QuorumPacket.authinfo carries them. Pure: turning a
 * password into an id is the connection layer's work (server/net/auth.h).
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/htable.h"
#include "common/list.h"
#include "server/jute/records.h"
#include "server/jute/zk_err.h"

/* Does the list give any of perms to a caller with these ids? */
bool acl_permits(struct vec acl, int32_t perms, struct vec ids);

/* (super, "") among the ids passes every check. */
bool acl_is_super(struct vec ids);

/* The list as it is stored: duplicates dropped, scheme "auth" replaced by the caller's authenticated ids,
 * every entry checked. Appends count and entries to out. ZK_INVALID_ACL, or ZK_MARSHALLING_ERROR if an id is
 * null: out is unchanged. */
enum zk_err acl_fix_up(struct vec acl, struct vec ids, struct buf *out);

/* (world, anyone, all permissions), encoded. */
struct vec acl_open(void);
/* (world, anyone, READ), encoded. */
struct vec acl_read_only(void);
/* (world, anyone, nothing), encoded: only super passes. */
struct vec acl_none(void);

/* Id -1 is the open list of the built-in nodes, which no map holds. */
enum { ACL_ID_OPEN = -1 };

struct acl_entry {
    struct hlink by_content;
    struct hlink by_id;
    struct list all;  /* in order of id */
    int64_t id;
    int64_t refcount; /* znodes that use it */
    struct vec acl;   /* raw points behind this struct */
};

struct acl_table {
    struct htable by_content;
    struct list all; /* struct acl_entry.all */
    struct htable by_id;
    int64_t last_id;
    uint64_t hash_seed;
};

void acl_table_init(struct acl_table *t, uint64_t hash_seed);
void acl_table_fini(struct acl_table *t);
/* Id of the list, made if new; one reference is taken. */
int64_t acl_table_ref(struct acl_table *t, struct vec acl);
/* One more reference to a known id; false if the id is unknown. */
bool acl_table_ref_id(struct acl_table *t, int64_t id);
void acl_table_unref(struct acl_table *t, int64_t id);
struct vec acl_table_get(const struct acl_table *t, int64_t id);
/* Puts a list of a snapshot under its id, without a reference. False if the id is absurd or taken. */
bool acl_table_load(struct acl_table *t, int64_t id, struct vec acl);
/* Drops the lists that nothing refers to. */
void acl_table_sweep(struct acl_table *t);
/* The snapshot's ACL map: count, then id and list each. */
void acl_table_encode(const struct acl_table *t, struct buf *out);

#endif
