/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/quota.h"

#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "server/tree/image.h"
#include "server/tree/path.h"

#define QUOTA_ROOT  "/zookeeper/quota"
#define LIMITS_NAME "zookeeper_limits"
#define STATS_NAME  "zookeeper_stats"

/* The node /zookeeper/quota<path>/<name>. */
static struct znode *find_quota_node(const struct data_tree *t, struct slice path, const char *name)
{
    struct buf b = BUF_EMPTY;
    buf_append_str(&b, QUOTA_ROOT);
    buf_append(&b, path.data, slice_size(path));
    buf_append_str(&b, "/");
    buf_append_str(&b, name);
    struct znode *n = data_tree_find(t, (struct slice){ b.data, (int32_t)b.len });
    buf_fini(&b);
    return n;
}

/* If path is /zookeeper/quota<P>/<name>: P. */
static bool is_quota_node(struct slice path, const char *name, struct slice *governed)
{
    size_t prefix = strlen(QUOTA_ROOT);
    size_t suffix = strlen(name) + 1;
    size_t len = slice_size(path);
    if (!path_is_below(path, QUOTA_ROOT) || len < prefix + suffix) {
        return false;
    }
    const uint8_t *tail = path.data + len - suffix;
    if (tail[0] != '/' || memcmp(tail + 1, name, suffix - 1) != 0) {
        return false;
    }
    *governed = (struct slice){ path.data + prefix, (int32_t)(len - prefix - suffix) };
    return governed->len > 0; /* a quota on "/" is ignored */
}

/* The deepest path at or above path that has limits. */
static bool find_governed(const struct data_tree *t, struct slice path, struct slice *governed)
{
    while (path.len > 0) {
        if (find_quota_node(t, path, LIMITS_NAME)) {
            *governed = path;
            return true;
        }
        struct slice name;
        if (!path_split(path, &path, &name)) {
            return false;
        }
    }
    return false;
}

static void write_usage(struct data_tree *t, struct znode *stats, struct quota_usage u)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "count=%" PRId64 ",bytes=%" PRId64, u.count, u.bytes);
    data_tree_replace_data(t, stats, (struct slice){ (uint8_t *)text, len });
}

enum { QUOTA_TEXT_MAX = 256 };

/* The text of a limits or statistics node; what is longer is none. */
static void read_text(const struct znode *n, char out[QUOTA_TEXT_MAX])
{
    size_t len = slice_size(znode_data(n));
    len = len < QUOTA_TEXT_MAX ? len : 0;
    if (len > 0) {
        memcpy(out, n->data, len);
    }
    out[len] = '\0';
}

/* The number behind key= in the text; -1 if it is not there, as ZooKeeper reads it. */
static int64_t parse_field(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    char *end;
    long long value = at ? strtoll(at + strlen(key), &end, 10) : -1;
    return at && end == at + strlen(key) ? -1 : value;
}

static struct quota_usage read_usage(const struct znode *stats)
{
    char text[QUOTA_TEXT_MAX];
    read_text(stats, text);
    return (struct quota_usage){ parse_field(text, "count="), parse_field(text, "bytes=") };
}

static bool is_within(int64_t used, int64_t more, int64_t limit)
{
    return more == 0 || limit < 0 || used + more <= limit;
}

bool quota_allows(const struct data_tree *t, struct slice path, struct quota_usage more)
{
    struct slice governed;
    if (t->quota_count == 0 || !find_governed(t, path, &governed)) {
        return true;
    }
    const struct znode *stats = find_quota_node(t, governed, STATS_NAME);
    if (!stats) {
        return true;
    }
    char limits[QUOTA_TEXT_MAX];
    read_text(find_quota_node(t, governed, LIMITS_NAME), limits);
    struct quota_usage used = read_usage(stats);
    return is_within(used.count, more.count, parse_field(limits, "countHardLimit=")) &&
           is_within(used.bytes, more.bytes, parse_field(limits, "byteHardLimit="));
}

static void add_usage(struct data_tree *t, struct slice path, struct quota_usage diff)
{
    struct slice governed;
    if (t->quota_count == 0 || !find_governed(t, path, &governed)) {
        return;
    }
    struct znode *stats = find_quota_node(t, governed, STATS_NAME);
    if (stats) {
        struct quota_usage u = read_usage(stats);
        write_usage(t, stats, (struct quota_usage){ u.count + diff.count, u.bytes + diff.bytes });
    }
}

static void recount(struct data_tree *t, struct slice governed)
{
    struct znode *stats = find_quota_node(t, governed, STATS_NAME);
    struct znode *top = data_tree_find(t, governed);
    if (!stats) {
        return;
    }
    struct quota_usage u = { 0, 0 };
    for (struct znode *n = top; n;) {
        u.count++;
        u.bytes += (int64_t)slice_size(znode_data(n));
        if (n->first_child) {
            n = n->first_child;
            continue;
        }
        while (n != top && !n->next_sibling) {
            n = n->parent;
        }
        n = n == top ? NULL : n->next_sibling;
    }
    /* Nothing, if the path is not there. */
    write_usage(t, stats, u);
}

void quota_node_created(struct data_tree *t, struct slice path, const struct znode *n)
{
    struct slice governed;
    if (is_quota_node(path, LIMITS_NAME, &governed)) {
        t->quota_count++;
    } else if (is_quota_node(path, STATS_NAME, &governed)) {
        recount(t, governed);
    }
    add_usage(t, path, (struct quota_usage){ 1, (int64_t)slice_size(znode_data(n)) });
}

void quota_node_deleted(struct data_tree *t, struct slice path, int32_t data_len)
{
    struct slice governed;
    if (is_quota_node(path, LIMITS_NAME, &governed)) {
        t->quota_count--;
    }
    add_usage(t, path, (struct quota_usage){ -1, data_len > 0 ? -(int64_t)data_len : 0 });
}

void quota_data_changed(struct data_tree *t, struct slice path, int64_t byte_diff)
{
    add_usage(t, path, (struct quota_usage){ 0, byte_diff });
}

void quota_recount_all(struct data_tree *t)
{
    t->quota_count = 0;
    struct buf path = BUF_EMPTY;
    struct znode *root = data_tree_find(t, slice_of_str(QUOTA_ROOT));
    for (struct znode *n = root; n; n = znode_next_preorder(n)) {
        buf_reset(&path);
        znode_append_path(n, &path);
        struct slice p = { path.data, (int32_t)path.len };
        struct slice governed;
        if (n != root && !path_is_below(p, QUOTA_ROOT)) {
            break;
        }
        if (is_quota_node(p, LIMITS_NAME, &governed)) {
            t->quota_count++;
            if (n->num_children == 0) {
                recount(t, governed);
            }
        }
    }
    buf_fini(&path);
}
