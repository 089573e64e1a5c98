/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fusefs/fs.h"
#include "fusefs/name.h"

static const struct {
    const char *name;
    enum inode_kind kind;
    bool root_only;
} files[] = {
    { "acl", INODE_CONTROL_ACL, false },
    { "container", INODE_CONTROL_CONTAINER, false },
    { "data", INODE_CONTROL_DATA, false },
    { "ephemeral", INODE_CONTROL_EPHEMERAL, false },
    { "ephemeral-sequential", INODE_CONTROL_EPHEMERAL_SEQUENTIAL, false },
    { "lock", INODE_CONTROL_LOCK, false },
    { "sequential", INODE_CONTROL_SEQUENTIAL, false },
    { "stat", INODE_CONTROL_STAT, false },
    { "ttl", INODE_CONTROL_TTL, false },
    { "session", INODE_CONTROL_SESSION, true },
    { "stats", INODE_CONTROL_STATS, true },
};

/* The most that ZooKeeper's encoding of a TTL has room for. */
#define TTL_MS_MAX INT64_C(0xffffffffff)

enum { FILE_COUNT = sizeof(files) / sizeof(files[0]) };

const char *control_file_name(const struct inode *dir, size_t index)
{
    if (dir->kind != INODE_CONTROL_DIR) {
        return NULL;
    }
    bool is_root = !dir->parent->parent;
    return index < FILE_COUNT && (is_root || !files[index].root_only) ? files[index].name : NULL;
}

bool control_is_name(const struct fusefs *fs, const struct inode *dir, const char *name)
{
    return dir->kind == INODE_DIR && fs->options.control != FUSEFS_CONTROL_OFF &&
           strcmp(name, fs->options.control_name) == 0;
}

static struct inode *get_child(struct fusefs *fs, struct inode *dir, const char *name,
                               enum inode_kind kind)
{
    list_for_each (l, &dir->kids) {
        struct inode *kid = list_entry(l, struct inode, sibling);
        if (kid->kind == kind && !kid->dead && strcmp(inode_name(kid), name) == 0) {
            return kid;
        }
    }
    char *path = name_join(dir->path, name);
    struct inode *kid = inode_add(&fs->cache.table, dir, path, kind);
    free(path);
    return kid;
}

struct inode *control_get_dir(struct fusefs *fs, struct inode *dir)
{
    return get_child(fs, dir, fs->options.control_name, INODE_CONTROL_DIR);
}

int64_t control_ttl_ms(const char *name)
{
    int64_t seconds = 0;
    for (const char *p = name; *p; p++) {
        if (*p < '0' || *p > '9' || *name == '0' || seconds > TTL_MS_MAX / 1000) {
            return 0;
        }
        seconds = seconds * 10 + (*p - '0');
    }
    return seconds <= TTL_MS_MAX / 1000 ? seconds * 1000 : 0;
}

struct inode *control_get_file(struct fusefs *fs, struct inode *control_dir, const char *name)
{
    if (control_dir->kind == INODE_CONTROL_TTL && control_ttl_ms(name) > 0) {
        return get_child(fs, control_dir, name, INODE_CONTROL_TTL_SECONDS);
    }
    if (control_dir->kind != INODE_CONTROL_DIR) {
        return NULL;
    }
    bool is_root = !control_dir->parent->parent;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        if (strcmp(files[i].name, name) == 0 && (is_root || !files[i].root_only)) {
            return get_child(fs, control_dir, name, files[i].kind);
        }
    }
    return NULL;
}

/* ---- stat ------------------------------------------------------------------------------------------------ */

/* As Java's Date.toString() has it, in the local time zone. */
static void print_date(struct buf *out, const char *label, int64_t ms)
{
    char text[64];
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%a %b %d %H:%M:%S %Z %Y", &tm);
    buf_printf(out, "%s = %s\n", label, text);
}

void control_print_stat(const struct Stat *stat, struct buf *out)
{
    buf_printf(out, "cZxid = 0x%" PRIx64 "\n", stat->czxid);
    print_date(out, "ctime", stat->ctime);
    buf_printf(out, "mZxid = 0x%" PRIx64 "\n", stat->mzxid);
    print_date(out, "mtime", stat->mtime);
    buf_printf(out, "pZxid = 0x%" PRIx64 "\n", stat->pzxid);
    buf_printf(out, "cversion = %d\n", stat->cversion);
    buf_printf(out, "dataVersion = %d\n", stat->version);
    buf_printf(out, "aclVersion = %d\n", stat->aversion);
    buf_printf(out, "ephemeralOwner = 0x%" PRIx64 "\n", stat->ephemeralOwner);
    buf_printf(out, "dataLength = %d\n", stat->dataLength);
    buf_printf(out, "numChildren = %d\n", stat->numChildren);
}

/* ---- session and stats ------------------------------------------------------------------------------------- */

static void print_session(struct fusefs *fs, struct buf *out)
{
    struct zkc_info info;
    zkc_get_info(fs->zkc, &info);
    buf_printf(out, "session 0x%" PRIx64 "\n", info.session_id);
    buf_printf(out, "state %s\n", info.state);
    buf_printf(out, "server %s\n", info.server[0] ? info.server : "-");
    buf_printf(out, "timeout_ms %d\n", info.timeout_ms);
    buf_printf(out, "last_zxid 0x%" PRIx64 "\n", info.last_zxid);
}

static void print_metric(struct buf *out, const char *name, const char *type, uint64_t value)
{
    buf_printf(out, "# TYPE %s %s\n%s %" PRIu64 "\n", name, type, name, value);
}

struct gauges {
    uint64_t inodes;
    uint64_t value_bytes;
    uint64_t scratch_files;
    uint64_t scratch_bytes;
    uint64_t data_watches;
    uint64_t child_watches;
    uint64_t handles;
};

static void count_inodes(struct fusefs *fs, struct gauges *g)
{
    memset(g, 0, sizeof(*g));
    fs_lock(fs);
    g->inodes = fs->cache.table.count;
    g->value_bytes = fs->cache.table.value_bytes;
    g->scratch_files = fs->cache.table.scratch_count;
    g->scratch_bytes = fs->cache.table.scratch_bytes;
    list_for_each (l, &fs->cache.table.all) {
        const struct inode *inode = list_entry(l, struct inode, all);
        g->data_watches += inode->data_watched;
        g->child_watches += inode->kids_watched;
        list_for_each (k, &inode->handles) {
            g->handles++;
        }
    }
    fs_unlock(fs);
}

static void print_counters(struct fusefs *fs, struct buf *out)
{
    buf_append_str(out, "# TYPE zkfs_fuse_requests_total counter\n");
    for (int i = 0; i < STATS_OP_COUNT; i++) {
        buf_printf(out, "zkfs_fuse_requests_total{op=\"%s\"} %" PRIu64 "\n", stats_op_name(i),
                   stats_get(&fs->stats.ops[i]));
    }
    buf_append_str(out, "# TYPE zkfs_zookeeper_requests_total counter\n");
    for (int i = 0; zkc_request_name(i); i++) {
        buf_printf(out, "zkfs_zookeeper_requests_total{op=\"%s\"} %" PRIu64 "\n",
                   zkc_request_name(i), zkc_request_count(fs->zkc, i));
    }
    buf_append_str(out, "# TYPE zkfs_events_raised_total counter\n");
    for (int i = 0; i < STATS_EVENT_COUNT; i++) {
        buf_printf(out, "zkfs_events_raised_total{kind=\"%s\"} %" PRIu64 "\n", stats_event_name(i),
                   stats_get(&fs->stats.events[i]));
    }
}

static void print_stats(struct fusefs *fs, struct buf *out)
{
    struct gauges g;
    struct zkc_info info;
    count_inodes(fs, &g);
    zkc_get_info(fs->zkc, &info);
    print_counters(fs, out);
    print_metric(out, "zkfs_events_failed_total", "counter", stats_get(&fs->stats.events_failed));
    print_metric(out, "zkfs_invalidations_total", "counter", stats_get(&fs->stats.invalidations));
    print_metric(out, "zkfs_watches_fired_total", "counter", stats_get(&fs->stats.watches_fired));
    print_metric(out, "zkfs_partially_watched_directories_total", "counter",
                 stats_get(&fs->stats.partial_dirs));
    print_metric(out, "zkfs_inodes", "gauge", g.inodes);
    print_metric(out, "zkfs_open_files", "gauge", g.handles);
    print_metric(out, "zkfs_cached_value_bytes", "gauge", g.value_bytes);
    print_metric(out, "zkfs_scratch_files", "gauge", g.scratch_files);
    print_metric(out, "zkfs_scratch_bytes", "gauge", g.scratch_bytes);
    print_metric(out, "zkfs_data_watches", "gauge", g.data_watches);
    print_metric(out, "zkfs_child_watches", "gauge", g.child_watches);
    print_metric(out, "zkfs_pending_events", "gauge", thread_queue_count(&fs->notices));
    print_metric(out, "zkfs_requests_in_flight", "gauge", info.in_flight);
    print_metric(out, "zkfs_requests_waiting_for_connection", "gauge", info.parked);
    print_metric(out, "zkfs_reconnects_total", "counter", info.reconnects);
    print_metric(out, "zkfs_sessions_expired_total", "counter", info.expiries);
}

void control_print(struct fusefs *fs, const struct inode *file, struct buf *out)
{
    struct Stat stat;
    switch (file->kind) {
    case INODE_CONTROL_STAT:
        fs_lock(fs);
        stat = file->parent->parent->stat;
        fs_unlock(fs);
        control_print_stat(&stat, out);
        break;
    case INODE_CONTROL_SESSION:
        print_session(fs, out);
        break;
    default:
        print_stats(fs, out);
    }
}
