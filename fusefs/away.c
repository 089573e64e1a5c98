/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/away.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/commit.h"
#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"
#include "fusefs/refetch.h"
#include "fusefs/scratch.h"

/* No editor takes this long between the two, and between two looks at whether it still runs. */
enum { PATIENCE_MS = 5000, LOOK_MS = 50 };

enum { RESEND_MAX = 3 };

struct away {
    struct list link; /* in fs->aways.all */
    struct fusefs *fs;
    char *path;    /* owned */
    int64_t czxid; /* of the znode, and what it was when it was renamed */
    int64_t mzxid;
    int32_t version;
    struct inode *copy;  /* the scratch file; NULL: gone, or the multi has made it */
    char *copy_path;     /* owned; what the multi makes; NULL: nothing */
    uint64_t copied;     /* scratch.changes of what it sends */
    pid_t pid;           /* thread that renamed it */
    int64_t deadline_ms; /* monotonic */
    bool is_settling;    /* the multi is on its way */
    bool sets_copy;      /* somebody has made a znode of the copy's name */
    bool has_source;     /* the znode is still to be deleted */
    int resends;
};

struct away_waiter {
    struct list link; /* in fs->aways.waiters */
    char *path;       /* owned */
    void (*done)(void *arg);
    void *arg;
};

/* ---- what is away ------------------------------------------------------------------------------------------- */

static struct away *find(const struct fusefs *fs, const char *path)
{
    list_for_each (l, &fs->aways.all) {
        struct away *a = list_entry(l, struct away, link);
        if (strcmp(a->path, path) == 0) {
            return a;
        }
    }
    return NULL;
}

void away_add(struct fusefs *fs, const char *path, const struct Stat *stat, struct inode *copy,
              pid_t pid)
{
    struct away *a = xcalloc(1, sizeof(*a));
    a->fs = fs;
    a->path = xstrdup(path);
    a->czxid = stat->czxid;
    a->mzxid = stat->mzxid;
    a->version = stat->version;
    a->copy = copy;
    a->pid = pid;
    a->deadline_ms = clock_now_ms() + PATIENCE_MS;
    a->has_source = true;
    copy->scratch->away = a;
    list_push_back(&fs->aways.all, &a->link);
    pthread_cond_signal(&fs->aways.wake);
}

static void drop(struct away *a)
{
    list_remove(&a->link);
    if (a->copy) {
        a->copy->scratch->away = NULL;
    }
    free(a->copy_path);
    free(a->path);
    free(a);
}

void away_lose_copy(struct away *away)
{
    if (away) {
        away->copy->scratch->away = NULL;
        away->copy = NULL;
    }
}

bool away_is(const struct fusefs *fs, const struct inode *dir, const char *name)
{
    if (list_is_empty(&fs->aways.all)) {
        return false;
    }
    char *path = name_join(dir->path, name);
    bool is_away = find(fs, path) != NULL;
    free(path);
    return is_away;
}

bool away_take(struct fusefs *fs, const char *path)
{
    struct away *a = find(fs, path);
    if (!a || a->is_settling) {
        return false;
    }
    drop(a);
    return true;
}

void away_hide_names(const struct fusefs *fs, const struct inode *dir, struct listing **names)
{
    list_for_each (l, &fs->aways.all) {
        const char *path = list_entry(l, struct away, link)->path;
        const char *name = name_base(path);
        char *here = name_join(dir->path, name);
        if (strcmp(here, path) == 0) {
            listing_remove(names, name);
        }
        free(here);
    }
}

/* ---- waiting for their end ------------------------------------------------------------------------------------ */

static bool is_below(const char *path, const char *top)
{
    size_t len = strlen(top);
    return strncmp(path, top, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool any_below(const struct fusefs *fs, const char *top)
{
    list_for_each (l, &fs->aways.all) {
        if (is_below(list_entry(l, struct away, link)->path, top)) {
            return true;
        }
    }
    return false;
}

bool away_settle(struct fusefs *fs, const char *path, void (*done)(void *arg), void *arg)
{
    fs_lock(fs);
    bool is_settled = !any_below(fs, path);
    if (!is_settled) {
        struct away_waiter *w = xcalloc(1, sizeof(*w));
        w->path = xstrdup(path);
        w->done = done;
        w->arg = arg;
        list_push_back(&fs->aways.waiters, &w->link);
        list_for_each (l, &fs->aways.all) {
            struct away *a = list_entry(l, struct away, link);
            a->deadline_ms = is_below(a->path, path) ? 0 : a->deadline_ms;
        }
        pthread_cond_signal(&fs->aways.wake);
    }
    fs_unlock(fs);
    return is_settled;
}

/* Those that wait for nothing any more, or, at the end, all. */
static void wake_waiters(struct fusefs *fs, bool all)
{
    struct list ready;
    list_init(&ready);
    fs_lock(fs);
    list_for_each_safe (l, next, &fs->aways.waiters) {
        if (all || !any_below(fs, list_entry(l, struct away_waiter, link)->path)) {
            list_remove(l);
            list_push_back(&ready, l);
        }
    }
    fs_unlock(fs);
    for (struct list *l = list_pop_front(&ready); l; l = list_pop_front(&ready)) {
        struct away_waiter *w = list_entry(l, struct away_waiter, link);
        w->done(w->arg);
        free(w->path);
        free(w);
    }
}

/* ---- the rename after all ---------------------------------------------------------------------------------------- */

static void send_multi(struct away *a);

/* The znode of the copy's name is there: the scratch file becomes it. What has been written to it since goes
 * there too. The lock is held. */
static struct inode *turn_into_znode(struct away *a, struct value **newer)
{
    struct fusefs *fs = a->fs;
    struct inode *copy = a->copy;
    *newer = copy->scratch->changes != a->copied ? scratch_value(copy) : NULL;
    away_lose_copy(a);
    char *name = xstrdup(inode_name(copy));
    scratch_end(&fs->cache.table, copy);
    cache_renamed(&fs->cache, inode_ref(copy), copy->parent, name);
    free(name);
    return copy;
}

struct turned {
    struct fusefs *fs;
    struct inode *inode; /* referenced */
};

static void on_turned_known(void *arg, int rc)
{
    struct turned *t = arg;
    (void)rc; /* otherwise the next look asks again */
    fs_lock(t->fs);
    inode_unref(&t->fs->cache.table, t->inode);
    fs_unlock(t->fs);
    free(t);
}

static void read_turned(struct fusefs *fs, struct inode *take_inode, struct value *newer)
{
    struct turned *t = xcalloc(1, sizeof(*t));
    t->fs = fs;
    t->inode = take_inode;
    if (newer) {
        commit_value(fs, take_inode, newer->bytes, (int)newer->len, -1, on_turned_known, t);
        value_unref(newer);
    } else {
        fetch_node(fs, take_inode, on_turned_known, t);
    }
}

/* The directory that it was in, if that is known; the lock is held. */
static struct inode *find_dir(const struct away *a)
{
    size_t len = (size_t)(name_base(a->path) - a->path);
    char *path = xstrndup(a->path, len > 1 ? len - 1 : len);
    struct inode *dir = inode_find_path(&a->fs->cache.table, path);
    free(path);
    return dir;
}

static void forget_source(struct away *a)
{
    struct inode *dir = find_dir(a);
    if (dir && dir->listing) {
        listing_remove(&dir->listing, name_base(a->path));
    }
}

static void on_deleted(void *arg, const struct zkc_result *result)
{
    (void)arg;
    (void)result; /* without an answer the bytes stay, which is the lesser evil */
}

static void on_done(struct away *a)
{
    struct fusefs *fs = a->fs;
    struct inode *turned = NULL;
    struct value *newer = NULL;
    fs_lock(fs);
    forget_source(a);
    char *made = a->copy_path;
    a->copy_path = NULL;
    if (made && a->copy && strcmp(a->copy->path, made) == 0) {
        turned = turn_into_znode(a, &newer);
    }
    drop(a);
    fs_unlock(fs);
    if (turned) {
        read_turned(fs, turned, newer);
    } else if (made) {
        /* The scratch file was deleted, or renamed, after the multi had been sent. */
        zkc_delete(fs->zkc, made, -1, on_deleted, NULL);
    }
    free(made);
    wake_waiters(fs, false);
}

/* Somebody else has written it, or it cannot be deleted: it is back, as if made anew. */
static void on_refused(struct away *a, int rc)
{
    struct fusefs *fs = a->fs;
    log_info("away", "shown again, although it was renamed here path=%s: %s", a->path, zerror(rc));
    fs_lock(fs);
    struct inode *dir = find_dir(a);
    if (dir && dir->armed && !inode_find_path(&fs->cache.table, a->path)) {
        struct inode *inode = inode_add(&fs->cache.table, dir, a->path, INODE_UNKNOWN);
        inode->announce = true;
        refetch_note_listed(fs, inode);
    }
    drop(a);
    fs_unlock(fs);
    refetch_pump(fs);
    wake_waiters(fs, false);
}

static void on_source_read(void *arg, const struct zkc_result *result)
{
    struct away *a = arg;
    bool is_untouched = result->rc == ZOK && result->stat->mzxid == a->mzxid;
    if (result->rc == ZNONODE) {
        on_done(a);
    } else if (is_untouched && a->resends++ < RESEND_MAX) {
        send_multi(a);
    } else {
        on_refused(a, result->rc == ZOK ? ZBADVERSION : result->rc);
    }
}

static void on_multi(void *arg, const struct zkc_result *result)
{
    struct away *a = arg;
    int rc = result->rc;
    if (rc == ZOK) {
        on_done(a);
    } else if (rc == ZCONNECTIONLOSS) {
        zkc_exists(a->fs->zkc, a->path, 0, on_source_read, a);
    } else if (rc == ZNODEEXISTS && !a->sets_copy) {
        a->sets_copy = true;
        send_multi(a);
    } else if (rc == ZNONODE && a->sets_copy) {
        a->sets_copy = false;
        on_refused(a, rc);
    } else if (rc == ZNONODE && a->has_source) {
        a->has_source = false; /* deleted elsewhere; the copy is still to be made */
        send_multi(a);
    } else {
        on_refused(a, rc);
    }
}

static void send_multi(struct away *a)
{
    struct fusefs *fs = a->fs;
    struct zkc_step steps[2];
    int count = 0;
    struct value *bytes = NULL;
    fs_lock(fs);
    free(a->copy_path);
    a->copy_path = a->copy ? xstrdup(a->copy->path) : NULL;
    if (a->copy) {
        bytes = scratch_value(a->copy);
        a->copied = a->copy->scratch->changes;
        steps[count++] = (struct zkc_step){ .type = a->sets_copy ? ZKC_STEP_SET : ZKC_STEP_CREATE,
                                            .path = a->copy_path,
                                            .data = bytes->bytes,
                                            .len = (int)bytes->len,
                                            .version = -1 };
    }
    fs_unlock(fs);
    if (a->has_source) {
        steps[count++] = (struct zkc_step){
            .type = ZKC_STEP_DELETE, .path = a->path, .len = -1, .version = a->version
        };
    }
    if (count > 0) {
        zkc_multi(fs->zkc, steps, count, on_multi, a);
    } else {
        on_done(a);
    }
    value_unref(bytes);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

static bool is_alive(pid_t pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* One whose time has come; the lock is held. */
static struct away *next_due(struct fusefs *fs)
{
    if (!zkc_is_connected(fs->zkc)) {
        return NULL;
    }
    int64_t now_ms = clock_now_ms();
    list_for_each (l, &fs->aways.all) {
        struct away *a = list_entry(l, struct away, link);
        bool is_due = now_ms >= a->deadline_ms || fs->aways.stopping || !is_alive(a->pid);
        if (!a->is_settling && is_due) {
            return a;
        }
    }
    return NULL;
}

static void *away_main(void *arg)
{
    struct fusefs *fs = arg;
    fs_lock(fs);
    for (;;) {
        struct away *a = next_due(fs);
        if (a) {
            a->is_settling = true;
            fs_unlock(fs);
            send_multi(a);
            fs_lock(fs);
        } else if (fs->aways.stopping) {
            break;
        } else if (list_is_empty(&fs->aways.all)) {
            pthread_cond_wait(&fs->aways.wake, &fs->lock);
        } else {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += LOOK_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            pthread_cond_timedwait(&fs->aways.wake, &fs->lock, &until);
        }
    }
    fs_unlock(fs);
    return NULL;
}

int away_start(struct fusefs *fs)
{
    list_init(&fs->aways.all);
    list_init(&fs->aways.waiters);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&fs->aways.wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&fs->aways.thread, NULL, away_main, fs);
    fs->aways.runs = err == 0;
    return -err;
}

void away_stop(struct fusefs *fs)
{
    fs_lock(fs);
    fs->aways.stopping = true;
    pthread_cond_signal(&fs->aways.wake);
    fs_unlock(fs);
    if (fs->aways.runs) {
        pthread_join(fs->aways.thread, NULL);
        fs->aways.runs = false;
    }
}

void away_fini(struct fusefs *fs)
{
    wake_waiters(fs, true);
    while (!list_is_empty(&fs->aways.all)) {
        drop(list_entry(fs->aways.all.next, struct away, link));
    }
    pthread_cond_destroy(&fs->aways.wake);
}
