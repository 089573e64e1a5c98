/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/data_tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/tree/containers.h"
#include "server/tree/ephemerals.h"
#include "server/tree/image.h"
#include "server/tree/path.h"
#include "server/tree/quota.h"

/* ---- finding ------------------------------------------------------------------------------------- */

static uint64_t path_hash(const struct data_tree *t, struct slice path)
{
    return hash_bytes(path.data, slice_size(path), t->hash_seed);
}

static bool has_path(const struct znode *n, struct slice path)
{
    size_t left = slice_size(path);
    for (; n->parent; n = n->parent) {
        size_t name_len = (size_t)n->name_len;
        if (left < name_len + 1 || memcmp(path.data + left - name_len, n->name, name_len) != 0) {
            return false;
        }
        left -= name_len + 1;
        if (path.data[left] != '/') {
            return false;
        }
    }
    return left == 0;
}

struct znode *data_tree_find(const struct data_tree *t, struct slice path)
{
    if (slice_is_null(path)) {
        return NULL;
    }
    path = path_normal(path);
    uint64_t hash = path_hash(t, path);
    for (struct hlink *l = htable_first(&t->by_path, hash); l; l = hlink_next(l, hash)) {
        struct znode *n = list_entry(l, struct znode, by_path);
        if (has_path(n, path)) {
            return n;
        }
    }
    return NULL;
}

struct znode_stat data_tree_stat(const struct data_tree *t, const struct znode *n)
{
    return znode_stat_derive(&n->stat, n->data_len, n->num_children, t->extended_types);
}

/* ---- changing one node --------------------------------------------------------------------------- */

/* Every change of a node's data, stat or ACL stands between these two. */
static void begin_change(struct data_tree *t, struct znode *n)
{
    if (t->image) {
        tree_image_before_change(t->image, n);
    }
    if (!n->undigested) {
        t->digest -= znode_digest(n->body_crc, &n->stat);
    }
}

static void end_change(struct data_tree *t, struct znode *n)
{
    if (!n->undigested) {
        t->digest += znode_digest(n->body_crc, &n->stat);
    }
}

/* It and all above it have that many more nodes below. */
static void count_descendants(struct znode *n, int32_t more)
{
    for (; n; n = n->parent) {
        n->num_descendants += more;
    }
}

static void link_child(struct znode *parent, struct znode *n)
{
    n->parent = parent;
    n->next_sibling = NULL;
    struct znode *first = parent->first_child;
    if (first) {
        n->prev_sibling = first->prev_sibling;
        first->prev_sibling->next_sibling = n;
        first->prev_sibling = n;
    } else {
        n->prev_sibling = n;
        parent->first_child = n;
    }
    parent->num_children++;
    count_descendants(parent, 1);
}

static void unlink_child(struct znode *n)
{
    struct znode *parent = n->parent;
    struct znode *first = parent->first_child;
    if (n == first) {
        parent->first_child = n->next_sibling;
    } else {
        n->prev_sibling->next_sibling = n->next_sibling;
    }
    if (n->next_sibling) {
        n->next_sibling->prev_sibling = n->prev_sibling;
    } else if (parent->first_child) {
        parent->first_child->prev_sibling = n->prev_sibling;
    }
    parent->num_children--;
    count_descendants(parent, -1);
}

static void copy_data(struct znode *n, struct slice data)
{
    n->data = data.len > 0 ? xmemdup(data.data, (size_t)data.len) : NULL;
    n->data_len = data.len;
}

/* "/zookeeper" itself is digested, what is below it is not. */
static bool is_undigested(const struct znode *parent)
{
    static const char system[] = "zookeeper";
    return parent->undigested ||
           (parent->parent && !parent->parent->parent &&
            parent->name_len == (int32_t)strlen(system) &&
            memcmp(parent->name, system, strlen(system)) == 0);
}

/* Where nodes of this kind are found without looking at all others. */
static void file_by_kind(struct data_tree *t, struct znode *n)
{
    switch (znode_kind(n->stat.ephemeral_owner, t->extended_types)) {
    case ZNODE_EPHEMERAL:
        ephemerals_add(t, n);
        break;
    case ZNODE_CONTAINER:
    case ZNODE_TTL:
        containers_add(t, n);
        break;
    case ZNODE_PERSISTENT:
        break;
    }
}

static void unfile(struct data_tree *t, struct znode *n)
{
    switch (znode_kind(n->stat.ephemeral_owner, t->extended_types)) {
    case ZNODE_EPHEMERAL:
        ephemerals_remove(t, n);
        break;
    case ZNODE_CONTAINER:
    case ZNODE_TTL:
        containers_remove(t, n);
        break;
    case ZNODE_PERSISTENT:
        break;
    }
}

/* Makes a node and links it everywhere; takes the ACL reference over. parent is NULL for the root. */
static struct znode *add_node(struct data_tree *t, struct znode *parent, struct slice path,
                              struct slice name, struct slice data, int64_t acl_id,
                              const struct persisted_stat *stat)
{
    struct znode *n = xcalloc(1, sizeof(*n) + slice_size(name));
    n->name_len = name.len;
    if (name.len > 0) {
        memcpy(n->name, name.data, (size_t)name.len);
    }
    copy_data(n, data);
    n->stat = *stat;
    n->acl_id = acl_id;
    n->image_mark = t->image_mark;
    n->body_crc = znode_body_crc(path, data);
    list_init(&n->by_owner);
    if (parent) {
        link_child(parent, n);
        n->undigested = is_undigested(parent);
    } else {
        t->root = n;
    }
    htable_insert(&t->by_path, &n->by_path, path_hash(t, path));
    file_by_kind(t, n);
    t->data_size += (int64_t)(slice_size(path) + slice_size(data));
    end_change(t, n);
    return n;
}

static void remove_node(struct data_tree *t, struct znode *n, struct slice path)
{
    zk_assert(n->first_child == NULL);
    if (t->image) {
        tree_image_before_delete(t->image, n);
    }
    begin_change(t, n);
    unfile(t, n);
    t->data_size -= (int64_t)(slice_size(path) + slice_size(znode_data(n)));
    htable_remove(&t->by_path, &n->by_path);
    unlink_child(n);
    acl_table_unref(&t->acls, n->acl_id);
    free(n->data);
    free(n);
}

/* Between begin_change and end_change. */
static void set_data_of(struct data_tree *t, struct znode *n, struct slice path, struct slice data)
{
    t->data_size += (int64_t)slice_size(data) - (int64_t)slice_size(znode_data(n));
    uint8_t *old = n->data;
    copy_data(n, data);
    free(old);
    n->body_crc = znode_body_crc(path, data);
}

void data_tree_replace_data(struct data_tree *t, struct znode *n, struct slice data)
{
    buf_reset(&t->scratch);
    znode_append_path(n, &t->scratch);
    struct slice path = { t->scratch.data, (int32_t)t->scratch.len };
    begin_change(t, n);
    set_data_of(t, n, path, data);
    end_change(t, n);
}

void data_tree_set_config(struct data_tree *t, struct slice text, int64_t zxid, int64_t wall_ms)
{
    struct slice path = slice_of_str("/zookeeper/config");
    struct znode *n = data_tree_find(t, path);
    if (!n) {
        return; /* a tree that is only being loaded */
    }
    begin_change(t, n);
    set_data_of(t, n, path, text);
    n->stat.version = -1;
    n->stat.mzxid = zxid;
    n->stat.mtime_ms = wall_ms;
    end_change(t, n);
}

static void notify(struct data_tree *t, enum watch_event_type type, struct slice path,
                   int64_t acl_id, const struct znode *parent)
{
    if (t->observer.changed) {
        const struct tree_change change = {
            .type = type,
            .path = path,
            .acl = acl_table_get(&t->acls, acl_id),
            .parent_acl = parent ? data_tree_acl(t, parent) : VEC_NULL,
        };
        t->observer.changed(t->observer.arg, &change);
    }
}

/* ---- applying ops --------------------------------------------------------------------------------- */

/* What create, create2, createContainer and createTTL have in common. */
struct create_op {
    struct slice path;
    struct slice data;
    struct vec acl;
    int32_t parent_cversion;
    int64_t ephemeral_owner;
};

static void raise_parent(struct data_tree *t, struct znode *parent, int32_t cversion, int64_t zxid)
{
    if (cversion == -1) { /* logs from before 3.4 do not say */
        cversion = parent->stat.cversion + 1;
    }
    if (cversion > parent->stat.cversion) {
        begin_change(t, parent);
        parent->stat.cversion = cversion;
        parent->stat.pzxid = zxid;
        end_change(t, parent);
    }
}

static enum zk_err apply_create(struct data_tree *t, const struct txn_header *hdr,
                                const struct create_op *op, struct txn_result *r)
{
    struct slice parent_path;
    struct slice name;
    struct znode *parent = NULL;
    if (path_split(op->path, &parent_path, &name)) {
        parent = data_tree_find(t, parent_path);
    }
    if (!parent) {
        return ZK_NO_NODE;
    }
    struct znode *n = data_tree_find(t, op->path);
    if (n) {
        /* Replay over a fuzzy snapshot: the node is newer than this txn, the ACL and the parent's
         * counter may not be (disk-formats 5). */
        int64_t acl_id = acl_table_ref(&t->acls, op->acl);
        begin_change(t, n);
        acl_table_unref(&t->acls, n->acl_id);
        n->acl_id = acl_id;
        end_change(t, n);
        raise_parent(t, parent, op->parent_cversion, hdr->zxid);
        return ZK_NODE_EXISTS;
    }
    raise_parent(t, parent, op->parent_cversion, hdr->zxid);
    struct persisted_stat stat = {
        .czxid = hdr->zxid,
        .mzxid = hdr->zxid,
        .pzxid = hdr->zxid,
        .ctime_ms = hdr->time_ms,
        .mtime_ms = hdr->time_ms,
        .ephemeral_owner = op->ephemeral_owner,
    };
    n = add_node(t, parent, op->path, name, op->data, acl_table_ref(&t->acls, op->acl), &stat);
    r->stat = data_tree_stat(t, n);
    quota_node_created(t, op->path, n);
    notify(t, EVENT_NODE_CREATED, op->path, n->acl_id, parent);
    return ZK_OK;
}

/* Deletes a node that has no children; the parent's pzxid moves (W8). */
static void delete_node(struct data_tree *t, struct znode *n, struct slice path, int64_t zxid)
{
    struct znode *parent = n->parent;
    int32_t data_len = n->data_len;
    int64_t acl_id = n->acl_id;
    acl_table_ref_id(&t->acls, acl_id); /* until the watchers have heard */
    remove_node(t, n, path);
    if (zxid > parent->stat.pzxid) {
        begin_change(t, parent);
        parent->stat.pzxid = zxid;
        end_change(t, parent);
    }
    quota_node_deleted(t, path, data_len);
    notify(t, EVENT_NODE_DELETED, path, acl_id, parent);
    acl_table_unref(&t->acls, acl_id);
}

static enum zk_err apply_delete(struct data_tree *t, int64_t zxid, struct slice path)
{
    struct znode *n = data_tree_find(t, path);
    if (n == t->root) {
        return ZK_BAD_ARGUMENTS;
    }
    if (n && n->first_child) {
        return ZK_NOT_EMPTY;
    }
    if (n) {
        delete_node(t, n, path, zxid);
        return ZK_OK;
    }
    /* Already gone in a fuzzy snapshot: the parent may still show an older pzxid. */
    struct slice parent_path;
    struct slice name;
    if (path_split(path, &parent_path, &name)) {
        struct znode *parent = data_tree_find(t, parent_path);
        if (parent && zxid > parent->stat.pzxid) {
            begin_change(t, parent);
            parent->stat.pzxid = zxid;
            end_change(t, parent);
        }
    }
    return ZK_NO_NODE;
}

static enum zk_err apply_set_data(struct data_tree *t, const struct txn_header *hdr,
                                  const struct set_data_txn *op, struct txn_result *r)
{
    struct znode *n = data_tree_find(t, op->path);
    if (!n) {
        return ZK_NO_NODE;
    }
    struct slice path = path_normal(op->path);
    int64_t byte_diff = (int64_t)slice_size(op->data) - (int64_t)slice_size(znode_data(n));
    begin_change(t, n);
    set_data_of(t, n, path, op->data);
    n->stat.version = op->version;
    n->stat.mzxid = hdr->zxid;
    n->stat.mtime_ms = hdr->time_ms;
    end_change(t, n);
    r->stat = data_tree_stat(t, n);
    quota_data_changed(t, path, byte_diff);
    notify(t, EVENT_NODE_DATA_CHANGED, path_for_client(path), n->acl_id, NULL);
    return ZK_OK;
}

static enum zk_err apply_set_acl(struct data_tree *t, const struct set_acl_txn *op,
                                 struct txn_result *r)
{
    struct znode *n = data_tree_find(t, op->path);
    if (!n) {
        return ZK_NO_NODE;
    }
    int64_t acl_id = acl_table_ref(&t->acls, op->acl);
    begin_change(t, n);
    acl_table_unref(&t->acls, n->acl_id);
    n->acl_id = acl_id;
    n->stat.aversion = op->version;
    end_change(t, n);
    r->stat = data_tree_stat(t, n);
    return ZK_OK;
}

/* The listed paths, then whatever else the session still owns here (W1). */
static void apply_close_session(struct data_tree *t, const struct txn_header *hdr, struct vec paths)
{
    struct wire w;
    wire_init_vec(&w, paths);
    for (int32_t i = 0; i < paths.count; i++) {
        apply_delete(t, hdr->zxid, wire_slice(&w));
    }
    struct buf path = BUF_EMPTY;
    struct ephemeral_owner *o;
    while ((o = ephemerals_find(t, hdr->session_id)) != NULL) {
        struct znode *n = list_entry(o->nodes.next, struct znode, by_owner);
        if (n->first_child) { /* only a damaged snapshot has this; an ephemeral has no children */
            break;
        }
        buf_reset(&path);
        znode_append_path(n, &path);
        delete_node(t, n, (struct slice){ path.data, (int32_t)path.len }, hdr->zxid);
    }
    buf_fini(&path);
}

/* One op: a whole txn other than multi, or one entry of a multi. */
static void apply_op(struct data_tree *t, const struct txn_header *hdr, int32_t type,
                     const union txn_body *body, struct txn_result *r)
{
    *r = (struct txn_result){ .type = type, .err = ZK_OK, .path = SLICE_NULL };
    struct create_op op = { .ephemeral_owner = 0 };
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
        op = (struct create_op){ body->create.path, body->create.data, body->create.acl,
                                 body->create.parent_cversion,
                                 body->create.ephemeral ? hdr->session_id : 0 };
        r->path = op.path;
        r->err = apply_create(t, hdr, &op, r);
        break;
    case OP_CREATE_CONTAINER:
        op = (struct create_op){ body->container.path, body->container.data, body->container.acl,
                                 body->container.parent_cversion, EPHEMERAL_OWNER_CONTAINER };
        r->path = op.path;
        r->err = apply_create(t, hdr, &op, r);
        break;
    case OP_CREATE_TTL:
        op = (struct create_op){ body->ttl.path, body->ttl.data, body->ttl.acl,
                                 body->ttl.parent_cversion,
                                 ephemeral_owner_of_ttl(body->ttl.ttl_ms) };
        r->path = op.path;
        r->err = apply_create(t, hdr, &op, r);
        break;
    case OP_DELETE:
    case OP_DELETE_CONTAINER:
        r->path = body->delete.path;
        r->err = apply_delete(t, hdr->zxid, r->path);
        break;
    case OP_SET_DATA:
    case OP_RECONFIG:
        r->path = body->set_data.path;
        r->err = apply_set_data(t, hdr, &body->set_data, r);
        break;
    case OP_SET_ACL:
        r->path = body->set_acl.path;
        r->err = apply_set_acl(t, &body->set_acl, r);
        break;
    case OP_CHECK:
        r->path = body->check.path;
        break;
    case OP_CLOSE_SESSION:
        apply_close_session(t, hdr, body->close_session.paths);
        break;
    case OP_ERROR:
        r->err = (enum zk_err)body->error.err;
        break;
    default: /* createSession changes no node */
        break;
    }
}

/* ---- multi ----------------------------------------------------------------------------------------- */

static bool has_failed_op(struct vec txns)
{
    struct wire w;
    wire_init_vec(&w, txns);
    for (int32_t i = 0; i < txns.count; i++) {
        struct sub_txn sub;
        sub_txn_decode(&w, &sub);
        if (sub.type == OP_ERROR) {
            return true;
        }
    }
    return false;
}

static struct txn_result *push_sub(struct apply_result *r)
{
    if (r->sub_count == r->sub_cap) {
        r->sub_cap = r->sub_cap ? 2 * r->sub_cap : 16;
        r->subs = xrealloc(r->subs, (size_t)r->sub_cap * sizeof(*r->subs));
    }
    return &r->subs[r->sub_count++];
}

/* Entry by entry, or not at all if any entry is an error. */
static void apply_multi(struct data_tree *t, const struct txn_header *hdr, struct vec txns,
                        struct apply_result *result)
{
    bool failed = has_failed_op(txns);
    struct wire w;
    wire_init_vec(&w, txns);
    for (int32_t i = 0; i < txns.count; i++) {
        struct sub_txn sub;
        sub_txn_decode(&w, &sub);
        struct wire body_wire;
        wire_init(&body_wire, sub.data.data, slice_size(sub.data));
        union txn_body body;
        struct txn_result *r = push_sub(result);
        *r = (struct txn_result){ .type = sub.type, .path = SLICE_NULL };
        if (!txn_body_decode(sub.type, &body_wire, &body)) {
            r->err = ZK_MARSHALLING_ERROR; /* a damaged log; our own encoder does not do this */
        } else if (sub.type == OP_ERROR) {
            r->err = (enum zk_err)body.error.err;
        } else if (!failed) {
            apply_op(t, hdr, sub.type, &body, r);
        }
    }
}

void data_tree_apply(struct data_tree *t, const struct txn *txn, struct apply_result *result)
{
    struct apply_result unwanted = { .subs = NULL };
    struct apply_result *r = result ? result : &unwanted;
    zk_assert(txn->hdr.zxid >= t->last_zxid);
    r->sub_count = 0;
    if (txn->hdr.type == OP_MULTI) {
        r->top = (struct txn_result){ .type = OP_MULTI, .path = SLICE_NULL };
        apply_multi(t, &txn->hdr, txn->body.multi.txns, r);
    } else {
        apply_op(t, &txn->hdr, txn->hdr.type, &txn->body, &r->top);
    }
    t->last_zxid = txn->hdr.zxid;
    apply_result_fini(&unwanted);
}

void apply_result_fini(struct apply_result *r)
{
    free(r->subs);
    *r = (struct apply_result){ .subs = NULL };
}

/* ---- life ------------------------------------------------------------------------------------------ */

static const struct {
    const char *path;
    bool read_only;
} builtin_nodes[] = {
    { "", false },
    { "/zookeeper", false },
    { "/zookeeper/quota", false },
    { "/zookeeper/config", true },
};

static void add_builtin(struct data_tree *t, const char *text, bool read_only)
{
    struct slice path = slice_of_str(text);
    struct slice parent_path = SLICE_EMPTY;
    struct slice name = SLICE_EMPTY;
    struct znode *parent = NULL;
    if (path_split(path, &parent_path, &name)) {
        parent = data_tree_find(t, parent_path);
    }
    struct persisted_stat stat = { .aversion = read_only ? -1 : 0 };
    int64_t acl_id = read_only ? acl_table_ref(&t->acls, acl_read_only()) : ACL_ID_OPEN;
    add_node(t, parent, path, name, SLICE_EMPTY, acl_id, &stat);
}

static void add_missing_builtins(struct data_tree *t)
{
    for (size_t i = 0; i < sizeof(builtin_nodes) / sizeof(builtin_nodes[0]); i++) {
        if (!data_tree_find(t, slice_of_str(builtin_nodes[i].path))) {
            add_builtin(t, builtin_nodes[i].path, builtin_nodes[i].read_only);
        }
    }
}

static void init_tables(struct data_tree *t)
{
    htable_init(&t->by_path);
    htable_init(&t->owners);
    list_init(&t->containers);
    t->containers_count = 0;
    acl_table_init(&t->acls, t->hash_seed);
    t->root = NULL;
    t->last_zxid = 0;
    t->digest = 0;
    t->data_size = 0;
    t->quota_count = 0;
}

struct data_tree *data_tree_new(const struct data_tree_config *config)
{
    struct data_tree *t = xcalloc(1, sizeof(*t));
    t->hash_seed = config->hash_seed;
    t->extended_types = config->extended_types;
    init_tables(t);
    add_missing_builtins(t);
    return t;
}

static void free_node(struct hlink *link, void *arg)
{
    (void)arg;
    struct znode *n = list_entry(link, struct znode, by_path);
    free(n->data);
    free(n);
}

static void fini_tables(struct data_tree *t)
{
    zk_assert(t->image == NULL);
    ephemerals_clear(t);
    htable_drain(&t->by_path, free_node, NULL);
    htable_fini(&t->by_path);
    htable_fini(&t->owners);
    acl_table_fini(&t->acls);
}

void data_tree_free(struct data_tree *t)
{
    if (t) {
        fini_tables(t);
        buf_fini(&t->scratch);
        free(t);
    }
}

void data_tree_clear(struct data_tree *t)
{
    fini_tables(t);
    init_tables(t);
}

/* ---- loading --------------------------------------------------------------------------------------- */

bool data_tree_load_acl(struct data_tree *t, int64_t acl_id, struct vec acl)
{
    return acl_table_load(&t->acls, acl_id, acl);
}

bool data_tree_load_node(struct data_tree *t, struct slice path, struct slice data, int64_t acl_id,
                         const struct persisted_stat *stat)
{
    struct slice parent_path;
    struct slice name = SLICE_EMPTY;
    struct znode *parent = NULL;
    if (path.len > 0 && path_split(path, &parent_path, &name)) {
        parent = data_tree_find(t, parent_path);
    }
    bool is_root = path.len == 0;
    if (is_root ? t->root != NULL : (parent == NULL || data_tree_find(t, path) != NULL)) {
        return false;
    }
    if (!acl_table_ref_id(&t->acls, acl_id)) {
        /* A fuzzy snapshot may miss the list of a node made while it was written; the replay of that
         * create brings it. Until then nobody may anything. */
        acl_id = acl_table_ref(&t->acls, acl_none());
    }
    add_node(t, parent, path, name, data, acl_id, stat);
    return true;
}

bool data_tree_load_done(struct data_tree *t, int64_t last_zxid)
{
    if (!t->root) {
        return false;
    }
    add_missing_builtins(t);
    acl_table_sweep(&t->acls);
    t->last_zxid = last_zxid;
    return true;
}

void data_tree_recovered(struct data_tree *t)
{
    quota_recount_all(t);
}

int64_t data_tree_kill_orphans(struct data_tree *t, bool (*is_alive)(void *arg, int64_t session_id),
                               void *arg)
{
    struct buf dead = BUF_EMPTY;
    for (struct znode *n = t->root; n; n = znode_next_preorder(n)) {
        if (znode_kind(n->stat.ephemeral_owner, t->extended_types) == ZNODE_EPHEMERAL &&
            !is_alive(arg, n->stat.ephemeral_owner)) {
            buf_append(&dead, &n->stat.ephemeral_owner, sizeof(int64_t));
        }
    }
    int64_t before = t->ephemerals_count;
    for (size_t at = 0; at < dead.len; at += sizeof(int64_t)) {
        struct txn_header hdr = { .zxid = t->last_zxid };
        memcpy(&hdr.session_id, dead.data + at, sizeof(int64_t));
        apply_close_session(t, &hdr, VEC_NULL);
    }
    buf_fini(&dead);
    return before - t->ephemerals_count;
}
