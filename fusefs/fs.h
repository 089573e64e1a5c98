/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_FS_H
#define FUSEFS_FS_H

/*
 * What one mount consists of; private to fusefs/.
 *
 *   thread            works on
 *   FUSE workers      ops_*.c: answer from the cache, or ask zkc and return; never wait
 *   zkc completion    fetch_read.c, refetch.c, commit.c, rest of ops_*.c: update the cache, reply
 *   zkc keeper        deadlines, offline, a new session
 *   notify            notify.c: kernel notices, event helper
 *   away              away.c: files renamed away that no editor has written again
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "common/list.h"
#include "common/thread_queue.h"
#include "fusefs/cache.h"
#include "fusefs/lock.h"
#include "fusefs/options.h"
#include "fusefs/readahead.h"
#include "fusefs/stats.h"
#include "fusefs/zkc.h"

struct event_helper;
struct fuse_session;

enum { HELPER_PATH_MAX = 256 };

/* The event that the helper is making: the inodes from the root to the node, so that its requests can be
 * answered even if the node, or a directory above it, is gone. */
struct helper_view {
    struct inode *chain[HELPER_PATH_MAX]; /* referenced */
    size_t count;                         /* 0: none yet */
    bool creates;                         /* the last name is to be shown as absent until created */
};

/* See away.h. */
struct aways {
    struct list all;     /* by fs->lock: struct away */
    struct list waiters; /* by fs->lock: struct away_waiter */
    pthread_cond_t wake; /* of the thread */
    pthread_t thread;
    bool runs;
    bool stopping; /* by fs->lock */
};

struct fusefs {
    struct fusefs_options options; /* owned copy */
    pthread_mutex_t lock;          /* see inode.h for the order */
    struct cache cache;            /* by lock */
    struct list to_read;           /* by lock: struct refetch_item, new names to be read */
    struct readahead readahead;    /* by lock */
    struct helper_view view;       /* by lock; written by the notify thread */
    struct aways aways;
    struct lock_table locks;       /* by lock */
    struct zkc *zkc;
    struct event_helper *helper;
    atomic_int helper_pid; /* 0: none; its requests are told by it from everybody else's */
    struct fuse_session *se; /* NULL until mounted */
    char *mountpoint;        /* owned */
    struct stats stats;
    struct thread_queue notices;
    pthread_t notify_thread;
    bool notify_runs;
    int stop_fd; /* eventfd, readable when serving is to end */
    atomic_bool stopping;
    atomic_bool init_answered; /* session_io.h */
    _Atomic int64_t session_changes;    /* of the session's state, so far */
    _Atomic int64_t expired_session_id; /* the last session that is known to be lost; 0: none */
    int64_t started_ms; /* wall; times of files that are no znodes */
};

static inline void fs_lock(struct fusefs *fs)
{
    pthread_mutex_lock(&fs->lock);
}

static inline void fs_unlock(struct fusefs *fs)
{
    pthread_mutex_unlock(&fs->lock);
}

/* Bytes of a request that are neither path nor value (measured on ZooKeeper 3.8.0). */
enum { REQUEST_OVERHEAD_BYTES = 20 };

/* The longest value that fits one request for this path, so that the server is never given cause to close
 * the connection. */
static inline size_t fs_value_limit(const struct fusefs *fs, const char *path)
{
    size_t used = REQUEST_OVERHEAD_BYTES + strlen(path);
    size_t max = (size_t)fs->options.max_data;
    return max > used ? max - used : 0;
}

#endif
