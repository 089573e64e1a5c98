/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_LOCK_H
#define FUSEFS_LOCK_H

/*
 * Locks that hold in the whole cluster: flock(2) and whole-file fcntl(2) locks as entries in a queue in
 * ZooKeeper (lock_queue.h). Each lock that a process holds or waits for has its own entries, so processes of
 * one host and of many wait in one line.
 *
 *                     +------------ the session was lost: new entries <-----------+
 *                     v                                                           |
 *      acquire --> CREATING --> LOOKING --first--> CHECKING --> HELD --session lost--> gone, its
 *                     ^            |  ^             own entry     |                    descriptor fails
 *                no queue yet      v  | predecessor gone          v
 *                              WAITING                LEAVING <-- unlock, close, ^C
 *
 * Nothing waits in a thread: a lock moves on when an answer or a watch of zkc arrives. It is freed when it is
 * LEAVING, its entries are gone, and no call of its own is open.
 *
 * The owner of a flock lock is the open file description, that of an fcntl lock the process; the kernel
 * gives a number for either. By fs->lock, all of it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "fusefs/lock_name.h"
#include "fusefs/request.h"
#include "fusefs/zkc.h"

struct fusefs;
struct handle;
struct inode;

struct lock_table {
    struct list all; /* struct lock, oldest first */
    uint64_t last_id;
    bool has_no_containers; /* the server cannot make them: queues are deleted by who leaves last */
};

enum lock_phase {
    LOCK_CREATING,
    LOCK_LOOKING,
    LOCK_WAITING,
    LOCK_CHECKING,
    LOCK_HELD, /* and its owner is told, when the kernel has been told all else */
    LOCK_LEAVING,
};

/* What the process that is to be answered wants. */
enum lock_ask { LOCK_ASK_NOTHING, LOCK_ASK_LOCK, LOCK_ASK_LESS, LOCK_ASK_UNLOCK };

struct lock {
    struct list link; /* in lock_table.all */
    uint64_t id;
    struct fusefs *fs;
    struct request r; /* valid unless LOCK_ASK_NOTHING */
    enum lock_ask ask;
    int refusal;           /* errno that it is answered when its entry is gone; 0: success */
    struct inode *inode;   /* referenced; what is locked */
    struct handle *handle; /* through which; borrowed, NULL once that is released */
    uint64_t owner;
    bool is_flock;
    bool blocks;
    bool is_dir; /* the queue is the znode's own children */
    pid_t pid;
    enum lock_mode mode;
    char *queue; /* owned; path of the znode whose children are the entries */
    char guid[LOCK_GUID_SIZE];
    bool holds_shared; /* the owner's shared lock has the same GUID and ends when this one begins */
    enum lock_phase phase;
    bool leaves;        /* is to leave once its calls are answered */
    unsigned calls;     /* moves that are under way: it is not freed before they have ended */
    int tries;          /* of the create */
    int64_t session_id; /* in which the entries were made; 0: not known */
    int64_t fence;      /* czxid of the entries; 0: not known */
    char *names[LOCK_FORM_COUNT]; /* owned; of the entries; NULL: none, or not known */
    char *watched;                /* owned; path of the predecessor, or NULL */
};

void lock_table_init(struct lock_table *t);

/* What a process asks for, through a descriptor. */
struct lock_wish {
    struct handle *handle;
    uint64_t owner;
    bool is_flock;
    pid_t pid;
    enum lock_mode mode;
    bool blocks; /* else EWOULDBLOCK if it cannot be had at once */
};

/* Each answers req, now or later. */
void lock_acquire(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish);
/* What was written through the handle reaches ZooKeeper first. */
void lock_release(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish);
/* F_GETLK: what would be in the way. */
void lock_query(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish);

/* Whether the owner holds a lock of the handle's file. */
bool lock_is_held(struct fusefs *fs, const struct lock_wish *wish);
/* A descriptor of the process was closed: its fcntl locks of the file end. */
void lock_drop_owner(struct fusefs *fs, const struct handle *h, uint64_t owner);
/* The last descriptor was closed: what was locked through it ends. */
void lock_drop_handle(struct fusefs *fs, const struct handle *h);

/* The token of the lock that this process, or else another of this host, holds of the file; 0: none. It is
 * greater than those of all who held a conflicting lock before. */
int64_t lock_fence(struct fusefs *fs, const struct inode *inode, pid_t pid);
/* Path of an entry that exists for just as long as the lock taken through the handle; NULL: none. The
 * caller frees. The lock is held. */
char *lock_guard_locked(const struct fusefs *fs, const struct handle *h);

/* zkc's callbacks. */
void lock_on_watch(struct fusefs *fs, const char *path);
void lock_on_state(struct fusefs *fs, enum zkc_event event);
size_t lock_watch_bytes_locked(const struct fusefs *fs);
/* After zkc_stop: answers who still waits, and frees everything. */
void lock_stop(struct fusefs *fs);

#endif
