/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tree_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "server/tree/image.h"

struct lines {
    char **lines; /* owned, and each */
    size_t count;
};

static void add(struct lines *l, char *line)
{
    l->lines = xrealloc(l->lines, (l->count + 1) * sizeof(*l->lines));
    l->lines[l->count++] = line;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_acl_text(struct buf *b, struct vec list)
{
    struct wire w;
    wire_init_vec(&w, list);
    for (int32_t i = 0; i < list.count; i++) {
        struct acl acl;
        acl_decode(&w, &acl);
        buf_printf(b, "%s%.*s:%.*s:%d", i > 0 ? "," : "", acl.scheme.len,
                   (const char *)acl.scheme.data, acl.id.len, (const char *)acl.id.data, acl.perms);
    }
}

static void put_data_text(struct buf *b, struct slice data)
{
    buf_append_str(b, slice_is_null(data) ? "null" : "x");
    for (int32_t i = 0; i < data.len; i++) {
        buf_printf(b, "%02x", data.data[i]);
    }
}

static char *node_line(const struct data_tree *tree, const struct znode *n)
{
    struct buf b = BUF_EMPTY;
    struct znode_stat s = data_tree_stat(tree, n);
    znode_append_path(n, &b);
    if (b.len == 0) {
        buf_append_str(&b, "/");
    }
    buf_printf(
        &b, " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %" PRId64 " %d %d %" PRId64,
        s.czxid, s.mzxid, s.ctime_ms, s.mtime_ms, s.version, s.cversion, s.aversion,
        s.ephemeral_owner, s.data_length, s.num_children, s.pzxid);
    buf_printf(&b, " %" PRIx64 " %d ", (uint64_t)n->stat.ephemeral_owner, n->stat.cversion);
    put_acl_text(&b, data_tree_acl(tree, n));
    buf_append_str(&b, " ");
    put_data_text(&b, znode_data(n));
    return buf_take_str(&b);
}

char *tree_text(const struct data_tree *tree, const struct saved_session *sessions, size_t count)
{
    struct lines l = { NULL, 0 };
    for (struct znode *n = tree->root; n != NULL; n = znode_next_preorder(n)) {
        add(&l, node_line(tree, n));
    }
    for (size_t i = 0; i < count; i++) {
        add(&l, xasprintf("session %" PRIx64 " %d", (uint64_t)sessions[i].session_id,
                          sessions[i].timeout_ms));
    }
    add(&l, xasprintf("zxid %" PRIx64, (uint64_t)tree->last_zxid));
    add(&l, xasprintf("digest %" PRIu64, tree->digest));
    qsort(l.lines, l.count, sizeof(*l.lines), compare);
    struct buf b = BUF_EMPTY;
    for (size_t i = 0; i < l.count; i++) {
        buf_printf(&b, "%s\n", l.lines[i]);
        free(l.lines[i]);
    }
    free(l.lines);
    return buf_take_str(&b);
}
