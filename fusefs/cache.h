/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_CACHE_H
#define FUSEFS_CACHE_H

/*
 * What this mount knows of the tree, and how it learns. Each answer of the ensemble goes through one of
 * the cache_learn_ functions, which compares it with the copy, brings the copy up to date, and reports
 * every difference that somebody else made. A change made through this mount comes in through
 * cache_wrote, cache_created or cache_removed before the re-read that its watch causes, because a session's
 * answers arrive in order; so the re-read finds no difference and nothing is announced twice.
 *
 * No clock, thread or request: the caller holds fs->lock, and on_change only queues.
 */
#include <stdbool.h>
#include <stdint.h>

#include "fusefs/inode.h"
#include "fusefs/value.h"

enum change {
    CHANGE_CREATED, /* a znode of known kind has appeared in a directory whose names were known */
    CHANGE_DELETED, /* the inode is dead */
    CHANGE_DATA,    /* other data, or set again */
    CHANGE_ACL,     /* another ACL */
    CHANGE_ATTR,    /* attributes differ, nothing to announce */
    CHANGE_LISTED,  /* a new name; its inode has to be read */
};

struct cache {
    struct inode_table table;
    size_t value_bytes_max; /* kept at most, one value apart */
    unsigned new_perms;     /* that the ACL of new znodes grants to this session */
    void (*on_change)(void *owner, enum change change, struct inode *inode);
    void *owner;
};

void cache_init(struct cache *c, uint64_t seed, size_t value_bytes_max,
                void (*on_change)(void *owner, enum change change, struct inode *inode),
                void *owner);
void cache_fini(struct cache *c);

/* An answer about the znode at inode->path; the inode is alive. Each returns the live inode at that path,
 * which is another one if the znode was replaced or has become a directory. An answer older than the copy
 * changes nothing. */
struct inode *cache_learn_stat(struct cache *c, struct inode *inode, const struct Stat *stat,
                               int64_t now_ms);
/* len -1 is null data. */
struct inode *cache_learn_value(struct cache *c, struct inode *inode, const struct Stat *stat,
                                const void *data, int len, int64_t now_ms);
struct inode *cache_learn_kids(struct cache *c, struct inode *inode, const struct Stat *stat,
                               const char *const *names, size_t count, int64_t now_ms);
/* What the ACL grants, and the aversion that it was read at. */
void cache_learn_perms(struct cache *c, struct inode *inode, unsigned perms, int32_t aversion);
/* The data may not be read, so null and empty cannot be told apart: a leaf is a file. */
struct inode *cache_learn_unreadable(struct cache *c, struct inode *inode);
/* The ensemble has no such znode. */
void cache_learn_gone(struct cache *c, struct inode *inode);

/* This mount has set the data: nothing to announce. len -1 is null data. */
void cache_wrote(struct cache *c, struct inode *inode, const struct Stat *stat, const void *data,
                 int len, int64_t now_ms);
/* This mount has created the znode; returns its inode. */
struct inode *cache_created(struct cache *c, struct inode *dir, const char *name,
                            const struct Stat *stat, enum inode_kind kind);
/* The same through the control directory: who watches dir in this kernel has to be told. */
struct inode *cache_made(struct cache *c, struct inode *dir, const char *name,
                         const struct Stat *stat, enum inode_kind kind);
/* This mount has replaced the ACL that had this aversion. */
void cache_acl_was_set(struct cache *c, struct inode *inode, int32_t aversion);
/* The directory, a leaf with these data, is a file from now on: another inode, which is announced. */
struct inode *cache_turn_into_file(struct cache *c, struct inode *inode, const struct Stat *stat,
                                   const void *data, int len, int64_t now_ms);
/* This mount has deleted the znode. */
void cache_removed(struct cache *c, struct inode *inode);
/* This mount has renamed a file or an empty directory: the inode now shows the znode at name in dir, and what stood there is dead.
 * The copy must be read again. */
void cache_renamed(struct cache *c, struct inode *inode, struct inode *dir, const char *name);

/* The inode stands for another znode now, which has to be read. */
void cache_forget(struct cache *c, struct inode *inode);
/* The inode goes to name in dir, where nothing else is left; ZooKeeper has not heard of it (scratch.h). */
void cache_moved(struct cache *c, struct inode *inode, struct inode *dir, const char *name);

/* This mount has exchanged the data of two znodes: each inode goes with its data. */
void cache_exchanged(struct cache *c, struct inode *a, struct inode *b);

/* Marks a kept value as just used. */
void cache_touch_value(struct cache *c, struct inode *inode);
/* Everything covered by a watch. */
bool cache_is_covered(const struct inode *inode);

/* What a znode with this stat is, as far as the stat tells; see docs/fuse-mapping.md. */
enum inode_kind cache_kind_of(const struct Stat *stat);

#endif
