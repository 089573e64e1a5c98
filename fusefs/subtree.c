/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/subtree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/errno_map.h"
#include "fusefs/fs.h"
#include "fusefs/lock_name.h"
#include "fusefs/name.h"

/* Of a create and a delete in a multi: two headers, lengths, flags, versions. */
enum { MOVE_OVERHEAD_BYTES = 64, ACL_OVERHEAD_BYTES = 16 };

/* ---- reading: on zkc's completion thread, one answer after the other ----------------------------------------- */

struct reading {
    struct fusefs *fs;
    struct subtree *tree;
    size_t longer;
    size_t limit;
    size_t pending;       /* answers still to come, and one while reads are being sent */
    int rc;               /* the first that is not ZOK */
    pthread_mutex_t lock; /* a read that cannot be sent is answered by the thread that sends it */
    subtree_done_fn done;
    void *arg;
};

struct node_read {
    struct reading *reading;
    struct subtree_node *node;
};

static void read_node(struct reading *r, const char *path);

static void leave(struct reading *r)
{
    pthread_mutex_lock(&r->lock);
    bool is_last = --r->pending == 0;
    pthread_mutex_unlock(&r->lock);
    if (!is_last) {
        return;
    }
    if (r->rc != ZOK) {
        subtree_free(r->tree);
        r->tree = NULL;
    }
    r->done(r->arg, r->rc, r->tree);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool is_ephemeral(const struct Stat *stat)
{
    /* Containers and TTL nodes have the sign bit, where a server tells of them at all. */
    return stat->ephemeralOwner > 0;
}

/* Takes the answer's outcome, and what it adds to the multi and announces; whether to go on. */
static bool note(struct reading *r, const struct zkc_result *result, size_t bytes, size_t to_come)
{
    pthread_mutex_lock(&r->lock);
    r->tree->bytes += bytes;
    int rc = result->rc;
    if (rc == ZOK && result->stat && is_ephemeral(result->stat)) {
        rc = ZKC_EPHEMERAL;
    } else if (rc == ZOK && r->tree->bytes + to_come > r->limit) {
        rc = ZKC_TOO_LARGE;
    }
    if (r->rc == ZOK) {
        r->rc = rc;
    }
    bool goes_on = r->rc == ZOK;
    pthread_mutex_unlock(&r->lock);
    return goes_on;
}

static void on_data(void *arg, const struct zkc_result *result)
{
    struct node_read *n = arg;
    bool has_data = result->rc == ZOK && result->value;
    if (note(n->reading, result, has_data ? (size_t)result->value_len : 0, 0)) {
        n->node->stat = *result->stat;
        n->node->len = has_data ? result->value_len : -1;
        n->node->data = has_data ? xstrndup(result->value, (size_t)result->value_len) : NULL;
    }
    leave(n->reading);
    free(n);
}

/* Who may not change an ACL is shown no hashes. With what is shown nobody could be let in. */
static bool is_masked(const struct Id *id)
{
    const char *colon = strrchr(id->id, ':');
    return strcmp(id->scheme, "digest") == 0 && colon && strcmp(colon, ":x") == 0;
}

static void on_acl(void *arg, const struct zkc_result *result)
{
    struct node_read *n = arg;
    struct zkc_result seen = *result;
    size_t bytes = 0;
    for (int i = 0; result->rc == ZOK && i < result->acl->count; i++) {
        const struct Id *id = &result->acl->data[i].id;
        bytes += ACL_OVERHEAD_BYTES + strlen(id->scheme) + strlen(id->id);
        seen.rc = is_masked(id) ? ZNOAUTH : seen.rc;
    }
    if (note(n->reading, &seen, bytes, 0)) {
        n->node->acl = acl_copy(result->acl);
    }
    leave(n->reading);
    free(n);
}

static void on_names(void *arg, const struct zkc_result *result)
{
    struct node_read *n = arg;
    size_t count = result->rc == ZOK ? (size_t)result->names->count : 0;
    if (note(n->reading, result, 0, count * MOVE_OVERHEAD_BYTES)) {
        for (size_t i = 0; i < count; i++) {
            char *path = name_join(n->node->path, result->names->data[i]);
            read_node(n->reading, path);
            free(path);
        }
    }
    leave(n->reading);
    free(n);
}

static struct node_read *node_read_new(struct reading *r, struct subtree_node *node)
{
    struct node_read *n = xcalloc(1, sizeof(*n));
    n->reading = r;
    n->node = node;
    return n;
}

static void read_node(struct reading *r, const char *path)
{
    struct subtree *t = r->tree;
    struct subtree_node *node = xcalloc(1, sizeof(*node));
    node->path = xstrdup(path);
    node->len = -1;
    pthread_mutex_lock(&r->lock);
    t->nodes = xrealloc(t->nodes, (t->count + 1) * sizeof(struct subtree_node *));
    t->nodes[t->count++] = node;
    t->bytes += MOVE_OVERHEAD_BYTES + 2 * strlen(path) + r->longer;
    r->pending += 3;
    pthread_mutex_unlock(&r->lock);
    struct zkc *z = r->fs->zkc;
    zkc_get(z, path, 0, on_data, node_read_new(r, node));
    zkc_get_acl(z, path, on_acl, node_read_new(r, node));
    zkc_children(z, path, 0, on_names, node_read_new(r, node));
}

void subtree_read(struct fusefs *fs, const char *path, size_t longer, subtree_done_fn done,
                  void *arg)
{
    struct reading *r = xcalloc(1, sizeof(*r));
    r->fs = fs;
    r->tree = xcalloc(1, sizeof(*r->tree));
    r->longer = longer;
    r->limit = fs_value_limit(fs, "");
    r->pending = 1;
    r->done = done;
    r->arg = arg;
    pthread_mutex_init(&r->lock, NULL);
    read_node(r, path);
    leave(r);
}

void subtree_free(struct subtree *t)
{
    for (size_t i = 0; t && i < t->count; i++) {
        acl_free(&t->nodes[i]->acl);
        free(t->nodes[i]->path);
        free(t->nodes[i]->data);
        free(t->nodes[i]);
    }
    if (t) {
        free(t->nodes);
        free(t);
    }
}

/* ---- moving ------------------------------------------------------------------------------------------------------ */

struct zkc_step *subtree_move_steps(const struct subtree *t, const char *to, size_t *count)
{
    struct zkc_step *steps = xcalloc(2 * t->count, sizeof(*steps));
    size_t top_len = strlen(t->nodes[0]->path);
    size_t at = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct subtree_node *node = t->nodes[i];
        if (!lock_name_is_queue(name_base(node->path))) {
            steps[at++] = (struct zkc_step){ .type = ZKC_STEP_CREATE,
                                             .path = xasprintf("%s%s", to, node->path + top_len),
                                             .data = node->data,
                                             .len = node->len,
                                             .acl = &node->acl };
        }
    }
    for (size_t i = t->count; i > 0; i--) {
        const struct subtree_node *node = t->nodes[i - 1];
        steps[at++] = (struct zkc_step){
            .type = ZKC_STEP_DELETE, .path = node->path, .len = -1, .version = node->stat.version
        };
    }
    *count = at;
    return steps;
}

void subtree_free_steps(struct zkc_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (steps[i].type == ZKC_STEP_CREATE) {
            free((char *)steps[i].path);
        }
    }
    free(steps);
}
