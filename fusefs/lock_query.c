/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/handle.h"
#include "fusefs/lock_queue.h"
#include "fusefs/lock_run.h"
#include "fusefs/name.h"

struct query {
    struct request r;
    char *queue; /* owned */
    enum lock_mode mode;
    char mine[LOCK_GUID_SIZE]; /* "": none */
};

/* Who it is, if it is a process of this host. */
static pid_t pid_of(struct fusefs *fs, const char *name)
{
    struct lock_entry entry;
    pid_t pid = 0;
    fs_lock(fs);
    list_for_each (i, &fs->locks.all) {
        const struct lock *l = list_entry(i, struct lock, link);
        if (lock_name_parse(name, &entry) && strcmp(l->guid, entry.guid) == 0) {
            pid = l->pid;
        }
    }
    fs_unlock(fs);
    return pid;
}

static void on_queried(void *arg, const struct zkc_result *result)
{
    struct query *q = arg;
    struct flock answer = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    struct lock_entry entry;
    const char *mine = q->mine;
    const char *other = NULL;
    if (result->rc == ZOK) {
        other = lock_queue_conflict((const char *const *)result->names->data,
                                    (size_t)result->names->count, q->mode, &mine, 1);
    }
    if (other && lock_name_parse(other, &entry)) {
        answer.l_type = entry.mode == LOCK_SHARED ? F_RDLCK : F_WRLCK;
        answer.l_pid = pid_of(q->r.fs, other);
    }
    if (request_claim(&q->r)) {
        if (result->rc == ZOK || result->rc == ZNONODE) {
            fuse_reply_lock(q->r.req, &answer);
        } else {
            fuse_reply_err(q->r.req, errno_from_zk(result->rc));
        }
    }
    free(q->queue);
    free(q);
}

void lock_query(struct fusefs *fs, fuse_req_t req, const struct lock_wish *wish)
{
    struct query *q = xcalloc(1, sizeof(*q));
    const struct inode *inode = wish->handle->node;
    q->mode = wish->mode;
    fs_lock(fs);
    q->queue = inode->kind == INODE_DIR ? xstrdup(inode->path) : lock_name_queue(inode->path);
    struct lock *held = lock_find_wished(fs, wish);
    if (held) {
        memcpy(q->mine, held->guid, sizeof(q->mine));
    }
    fs_unlock(fs);
    if (request_begin(&q->r, fs, req)) {
        zkc_children(fs->zkc, q->queue, 0, on_queried, q);
    } else {
        free(q->queue);
        free(q);
    }
}

int64_t lock_fence(struct fusefs *fs, const struct inode *inode, pid_t pid)
{
    int64_t fence = 0;
    bool is_own = false;
    fs_lock(fs);
    list_for_each (i, &fs->locks.all) {
        const struct lock *l = list_entry(i, struct lock, link);
        if (lock_is_granted(l) && l->inode == inode && !is_own) {
            is_own = l->pid == pid;
            fence = is_own || l->fence > fence ? l->fence : fence;
        }
    }
    fs_unlock(fs);
    return fence;
}

char *lock_guard_locked(const struct fusefs *fs, const struct handle *h)
{
    list_for_each (i, &fs->locks.all) {
        const struct lock *l = list_entry(i, struct lock, link);
        if (l->handle == h && l->phase == LOCK_HELD && l->ask != LOCK_ASK_LOCK) {
            return name_join(l->queue, l->names[LOCK_FORM_KAZOO]);
        }
    }
    return NULL;
}
