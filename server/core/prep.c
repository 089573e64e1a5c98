/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/prep.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "server/jute/txn.h"
#include "server/tree/containers.h"
#include "server/tree/ephemerals.h"
#include "server/tree/mutant.h"
#include "server/tree/path.h"
#include "server/tree/quota.h"

/* One request on its way through; what all its ops share. */
struct prep_ctx {
    struct prep *p;
    const struct request *req;
    int64_t zxid;
};

void prep_init(struct prep *p, const struct prep_config *config, const struct data_tree *tree,
               struct session_table *sessions)
{
    memset(p, 0, sizeof(*p));
    p->tree = tree;
    p->sessions = sessions;
    p->digest = tree->digest;
    p->skip_acl = config->skip_acl;
    p->with_digest = config->with_digest;
    p->enforce_quota = config->enforce_quota;
    p->entry_bytes_max = config->entry_bytes_max;
    p->never_used_ms_max = config->never_used_ms_max;
    overlay_init(&p->overlay, tree->hash_seed);
}

void prep_fini(struct prep *p)
{
    overlay_fini(&p->overlay);
    buf_fini(&p->acl_scratch);
    buf_fini(&p->path_scratch);
    buf_fini(&p->multi_scratch);
    buf_fini(&p->body_scratch);
}

void prep_applied(struct prep *p, int64_t zxid)
{
    overlay_applied(&p->overlay, zxid);
}

/* ---- the pending tree -------------------------------------------------------------------------------- */

static void get_node(struct prep_ctx *c, struct slice path, struct node_view *out)
{
    overlay_get(&c->p->overlay, c->p->tree, path, out);
}

/* Replaces before by after at path and moves the digest along. */
static void put_node(struct prep_ctx *c, struct slice path, const struct node_view *before,
                     const struct node_view *after)
{
    if (!path_is_below(path, "/zookeeper")) {
        if (before->exists) {
            c->p->digest -= znode_digest(before->body_crc, &before->stat);
        }
        if (after->exists) {
            c->p->digest += znode_digest(after->body_crc, &after->stat);
        }
    }
    overlay_put(&c->p->overlay, c->zxid, path, after);
}

static bool may(const struct prep_ctx *c, const struct node_view *n, int32_t perm)
{
    return c->p->skip_acl || acl_permits(n->acl, perm, c->req->ids);
}

static bool is_within_quota(const struct prep_ctx *c, struct slice path, int64_t count,
                            int64_t bytes)
{
    return !c->p->enforce_quota ||
           quota_allows(c->p->tree, path, (struct quota_usage){ count, bytes });
}

static bool has_nul(struct slice s)
{
    return s.len > 0 && memchr(s.data, '\0', (size_t)s.len) != NULL;
}

/* ---- create -------------------------------------------------------------------------------------------- */

/* "%010d" of the parent's counter behind the requested path. */
static struct slice append_sequence(struct prep_ctx *c, struct slice path, int32_t counter)
{
    struct buf *b = &c->p->path_scratch;
    buf_reset(b);
    buf_append(b, path.data, slice_size(path));
    buf_printf(b, "%010" PRId32, counter);
    return (struct slice){ b->data, (int32_t)b->len };
}

/* What the four kinds of create have in common; ttl_ms is -1 in those without. */
static bool decode_create(int32_t type, struct wire *w, struct create_ttl_request *out)
{
    if (type == OP_CREATE_TTL) {
        return create_ttl_request_decode(w, out);
    }
    struct create_request r;
    if (!create_request_decode(w, &r)) {
        return false;
    }
    *out = (struct create_ttl_request){ r.path, r.data, r.acl, r.flags, -1 };
    return true;
}

/* Inside a multi the flags say what is made, whichever opcode the op has; OP_ERROR: flags for a TTL without
 * one. */
static int32_t create_type_in_multi(int32_t type, struct create_ttl_request *r)
{
    if (r->flags == CREATE_TTL || r->flags == CREATE_TTL_SEQUENTIAL) {
        return type == OP_CREATE_TTL ? type : OP_ERROR;
    }
    r->ttl_ms = -1;
    if (r->flags == CREATE_CONTAINER) {
        return OP_CREATE_CONTAINER;
    }
    return type == OP_CREATE2 ? type : OP_CREATE;
}

/* CreateMode.fromFlag, and whether the TTL goes with it. The kind that is stored follows the opcode, not the
 * flags (client-protocol 4); a TTL node without a TTL, which Apache's leader takes, no applier can make. */
static enum zk_err check_create_flags(const struct prep_ctx *c, int32_t type,
                                      const struct create_ttl_request *r)
{
    if (r->flags < CREATE_PERSISTENT || r->flags > CREATE_TTL_SEQUENTIAL) {
        return ZK_BAD_ARGUMENTS;
    }
    bool is_ttl = r->flags == CREATE_TTL || r->flags == CREATE_TTL_SEQUENTIAL;
    if (is_ttl && !c->p->tree->extended_types) {
        return ZK_UNIMPLEMENTED;
    }
    bool has_ttl = r->ttl_ms > 0 && r->ttl_ms <= TTL_MS_MAX;
    if (type == OP_CREATE_TTL || is_ttl) {
        return is_ttl && has_ttl && type == OP_CREATE_TTL ? ZK_OK : ZK_BAD_ARGUMENTS;
    }
    return ZK_OK;
}

static bool is_sequential(int32_t flags)
{
    return flags == CREATE_SEQUENTIAL || flags == CREATE_EPHEMERAL_SEQUENTIAL ||
           flags == CREATE_TTL_SEQUENTIAL;
}

/* A node that is about to be made. */
struct new_node {
    struct slice path;
    struct slice data;
    struct vec acl;
    int32_t parent_cversion;
    int64_t ephemeral_owner; /* as it is stored */
};

static void put_created(struct prep_ctx *c, struct slice parent_path,
                        const struct node_view *parent, const struct new_node *n)
{
    struct node_view new_parent = *parent;
    new_parent.stat.cversion = n->parent_cversion;
    new_parent.stat.pzxid = c->zxid;
    new_parent.num_children++;
    put_node(c, parent_path, parent, &new_parent);
    struct node_view nothing = { .exists = false };
    struct node_view node = {
        .exists = true,
        .stat = {
            .czxid = c->zxid,
            .mzxid = c->zxid,
            .pzxid = c->zxid,
            .ctime_ms = c->req->time_ms,
            .mtime_ms = c->req->time_ms,
            .ephemeral_owner = n->ephemeral_owner,
        },
        .data_len = n->data.len,
        .body_crc = znode_body_crc(n->path, n->data),
        .acl = n->acl,
    };
    put_node(c, n->path, &nothing, &node);
}

static int64_t stored_owner(const struct prep_ctx *c, int32_t type,
                            const struct create_ttl_request *r)
{
    if (type == OP_CREATE_CONTAINER) {
        return EPHEMERAL_OWNER_CONTAINER;
    }
    if (type == OP_CREATE_TTL) {
        return ephemeral_owner_of_ttl(r->ttl_ms);
    }
    bool is_ephemeral = r->flags == CREATE_EPHEMERAL || r->flags == CREATE_EPHEMERAL_SEQUENTIAL;
    return is_ephemeral ? c->req->session_id : 0;
}

static void fill_create_txn(int32_t type, const struct new_node *n, int64_t ttl_ms,
                            union txn_body *out)
{
    if (type == OP_CREATE_CONTAINER) {
        out->container =
            (struct create_container_txn){ n->path, n->data, n->acl, n->parent_cversion };
    } else if (type == OP_CREATE_TTL) {
        out->ttl =
            (struct create_ttl_txn){ n->path, n->data, n->acl, n->parent_cversion, ttl_ms };
    } else {
        out->create = (struct create_txn){ n->path, n->data, n->acl, n->ephemeral_owner != 0,
                                           n->parent_cversion };
    }
}

/* The ACL of the request in stored form, in scratch memory that lives until the next call. */
static enum zk_err fix_up_acl(struct prep_ctx *c, struct vec acl, struct vec *out)
{
    struct buf *b = &c->p->acl_scratch;
    buf_reset(b);
    enum zk_err err = acl_fix_up(acl, c->req->ids, b);
    if (err == ZK_OK) {
        struct wire w;
        wire_init(&w, b->data, b->len);
        int32_t count = wire_int(&w);
        *out = (struct vec){ count, { w.at, (int32_t)wire_left(&w) } };
    }
    return err;
}

/* Under the literal parent, which must exist; path has its sequence number already. */
static enum zk_err check_new_node(const struct prep_ctx *c, struct slice path,
                                  const struct node_view *parent)
{
    if (!path_is_valid(path)) {
        return ZK_BAD_ARGUMENTS;
    }
    struct node_view node;
    overlay_get(&c->p->overlay, c->p->tree, path, &node);
    if (node.exists) {
        return ZK_NODE_EXISTS;
    }
    if (znode_kind(parent->stat.ephemeral_owner, c->p->tree->extended_types) == ZNODE_EPHEMERAL) {
        return ZK_NO_CHILDREN_FOR_EPHEMERALS;
    }
    return ZK_OK;
}

/* *type is the opcode, and then the kind that is made. */
static enum zk_err prep_create(struct prep_ctx *c, int32_t *type, struct wire *w,
                               union txn_body *out)
{
    struct create_ttl_request r;
    if (!decode_create(*type, w, &r)) {
        return ZK_MARSHALLING_ERROR;
    }
    if (c->req->type == OP_MULTI) {
        *type = create_type_in_multi(*type, &r);
        if (*type == OP_ERROR) {
            return ZK_MARSHALLING_ERROR;
        }
    }
    enum zk_err err = check_create_flags(c, *type, &r);
    if (err != ZK_OK) {
        return err;
    }
    struct slice parent_path;
    struct slice name;
    if (slice_is_null(r.path)) {
        return ZK_MARSHALLING_ERROR;
    }
    if (has_nul(r.path) || !path_split(r.path, &parent_path, &name)) {
        return ZK_BAD_ARGUMENTS;
    }
    struct new_node n = { .data = r.data, .ephemeral_owner = stored_owner(c, *type, &r) };
    err = fix_up_acl(c, r.acl, &n.acl);
    if (err != ZK_OK) {
        return err;
    }
    struct node_view parent;
    get_node(c, parent_path, &parent);
    if (!parent.exists) {
        return ZK_NO_NODE;
    }
    if (!may(c, &parent, PERM_CREATE)) {
        return ZK_NO_AUTH;
    }
    n.path = is_sequential(r.flags) ? append_sequence(c, r.path, parent.stat.cversion) : r.path;
    err = check_new_node(c, n.path, &parent);
    if (err != ZK_OK) {
        return err;
    }
    if (!is_within_quota(c, n.path, 1, (int64_t)slice_size(r.data))) {
        return ZK_QUOTA_EXCEEDED;
    }
    n.parent_cversion = (int32_t)((uint32_t)parent.stat.cversion + 1);
    put_created(c, parent_path, &parent, &n);
    fill_create_txn(*type, &n, r.ttl_ms, out);
    return ZK_OK;
}

/* ---- delete, setData, setACL, check ---------------------------------------------------------------------- */

/* Takes the node out of the pending tree; its parent must exist. */
static void put_deleted(struct prep_ctx *c, struct slice path, const struct node_view *node)
{
    struct slice parent_path;
    struct slice name;
    bool has_parent = path_split(path, &parent_path, &name);
    zk_assert(has_parent);
    struct node_view parent;
    get_node(c, parent_path, &parent);
    zk_assert(parent.exists);
    struct node_view nothing = { .exists = false };
    put_node(c, path, node, &nothing);
    struct node_view new_parent = parent;
    if (c->zxid > new_parent.stat.pzxid) {
        new_parent.stat.pzxid = c->zxid;
    }
    new_parent.num_children--;
    put_node(c, parent_path, &parent, &new_parent);
}

static bool is_system_node(struct slice path)
{
    return slice_eq_str(path, "/") || slice_eq_str(path, "/zookeeper") ||
           slice_eq_str(path, "/zookeeper/quota") || slice_eq_str(path, "/zookeeper/config");
}

static enum zk_err prep_delete(struct prep_ctx *c, struct wire *w, union txn_body *out)
{
    struct delete_request r;
    if (!delete_request_decode(w, &r) || slice_is_null(r.path)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct slice parent_path;
    struct slice name;
    if (has_nul(r.path) || is_system_node(r.path) || !path_split(r.path, &parent_path, &name)) {
        return ZK_BAD_ARGUMENTS;
    }
    struct node_view parent;
    struct node_view node;
    get_node(c, parent_path, &parent);
    if (!parent.exists) {
        return ZK_NO_NODE;
    }
    if (!may(c, &parent, PERM_DELETE)) {
        return ZK_NO_AUTH;
    }
    get_node(c, r.path, &node);
    if (!node.exists) {
        return ZK_NO_NODE;
    }
    if (r.version != -1 && r.version != node.stat.version) {
        return ZK_BAD_VERSION;
    }
    if (node.num_children > 0) {
        return ZK_NOT_EMPTY;
    }
    put_deleted(c, r.path, &node);
    out->delete.path = r.path;
    return ZK_OK;
}

/* The leader to itself: the body is the path. Nothing that a client has written or filled meanwhile goes. */
static enum zk_err prep_delete_container(struct prep_ctx *c, union txn_body *out)
{
    struct node_view node;
    if (c->req->session_id != 0 || c->req->from_sid != 0) {
        return ZK_UNIMPLEMENTED;
    }
    get_node(c, c->req->body, &node);
    if (!node.exists) {
        return ZK_NO_NODE;
    }
    if (node.num_children > 0) {
        return ZK_NOT_EMPTY;
    }
    const struct container_rule rule = { c->p->never_used_ms_max, c->p->tree->extended_types };
    if (!container_is_over(&node.stat, 0, c->req->time_ms, &rule)) {
        return ZK_BAD_VERSION;
    }
    put_deleted(c, c->req->body, &node);
    out->delete.path = c->req->body;
    return ZK_OK;
}

/* The node at path, if the path is valid, it exists and the caller has perm on it. */
static enum zk_err get_permitted(struct prep_ctx *c, struct slice path, int32_t perm,
                                 struct node_view *node)
{
    if (!path_is_valid(path)) {
        return ZK_BAD_ARGUMENTS;
    }
    get_node(c, path, node);
    if (!node->exists) {
        return ZK_NO_NODE;
    }
    return may(c, node, perm) ? ZK_OK : ZK_NO_AUTH;
}

static enum zk_err check_version(int32_t wanted, int32_t current, int32_t *next)
{
    if (wanted != -1 && wanted != current) {
        return ZK_BAD_VERSION;
    }
    *next = (int32_t)((uint32_t)current + 1); /* wraps as Java's int does */
    return ZK_OK;
}

static enum zk_err prep_set_data(struct prep_ctx *c, struct wire *w, union txn_body *out)
{
    struct set_data_request r;
    if (!set_data_request_decode(w, &r)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct node_view node = { .exists = false };
    struct set_data_txn txn = { .path = r.path, .data = r.data };
    enum zk_err err = get_permitted(c, r.path, PERM_WRITE, &node);
    int64_t old_bytes = node.data_len > 0 ? node.data_len : 0;
    if (err == ZK_OK &&
        !is_within_quota(c, r.path, 0, (int64_t)slice_size(r.data) - old_bytes)) {
        err = ZK_QUOTA_EXCEEDED;
    }
    if (err == ZK_OK) {
        err = check_version(r.version, node.stat.version, &txn.version);
    }
    if (err != ZK_OK) {
        return err;
    }
    struct node_view after = node;
    after.stat.version = txn.version;
    after.stat.mzxid = c->zxid;
    after.stat.mtime_ms = c->req->time_ms;
    after.data_len = r.data.len;
    after.body_crc = znode_body_crc(path_normal(r.path), r.data);
    put_node(c, r.path, &node, &after);
    out->set_data = txn;
    return ZK_OK;
}

static enum zk_err prep_set_acl(struct prep_ctx *c, struct wire *w, union txn_body *out)
{
    struct set_acl_request r;
    if (!set_acl_request_decode(w, &r)) {
        return ZK_MARSHALLING_ERROR;
    }
    if (!path_is_valid(r.path)) {
        return ZK_BAD_ARGUMENTS;
    }
    struct node_view node;
    struct set_acl_txn txn = { .path = r.path };
    enum zk_err err = fix_up_acl(c, r.acl, &txn.acl);
    if (err == ZK_OK) {
        err = get_permitted(c, r.path, PERM_ADMIN, &node);
    }
    if (err == ZK_OK) {
        err = check_version(r.version, node.stat.aversion, &txn.version);
    }
    if (err != ZK_OK) {
        return err;
    }
    struct node_view after = node;
    after.stat.aversion = txn.version;
    after.acl = txn.acl;
    put_node(c, r.path, &node, &after);
    out->set_acl = txn;
    return ZK_OK;
}

static enum zk_err prep_check(struct prep_ctx *c, struct wire *w, union txn_body *out)
{
    struct check_request r;
    if (!check_request_decode(w, &r)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct node_view node;
    struct check_txn txn = { .path = r.path };
    enum zk_err err = get_permitted(c, r.path, PERM_READ, &node);
    if (err == ZK_OK) {
        err = check_version(r.version, node.stat.version, &txn.version);
    }
    if (err == ZK_OK) {
        out->check = txn;
    }
    return err;
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

/* A closeSession longer than every peer can read would leave the session half closed for ever (L11).
 * The list may be incomplete: whoever applies it deletes the session's other ephemerals as well. */
enum { CLOSE_SESSION_EXTRA_BYTES = 64 }; /* header, count, digest and some */

static void close_ephemeral(struct prep_ctx *c, struct slice path, struct buf *paths, int32_t *count)
{
    struct node_view node;
    get_node(c, path, &node);
    if (node.exists && node.stat.ephemeral_owner == c->req->session_id) {
        put_deleted(c, path, &node);
        size_t len = paths->len + 4 + (size_t)path.len;
        if (len + CLOSE_SESSION_EXTRA_BYTES <= c->p->entry_bytes_max) {
            put_slice(paths, path);
            (*count)++;
        }
    }
}

/* The ephemerals as they will be when this txn is applied: those of the tree, less the pending deletes,
 * plus the pending creates (W1). */
static enum zk_err prep_close_session(struct prep_ctx *c, union txn_body *out)
{
    struct buf *paths = &c->p->multi_scratch;
    int32_t count = 0;
    buf_reset(paths);
    struct ephemeral_owner *owner = ephemerals_find(c->p->tree, c->req->session_id);
    if (owner) {
        struct buf path = BUF_EMPTY;
        list_for_each (it, &owner->nodes) {
            buf_reset(&path);
            znode_append_path(list_entry(it, struct znode, by_owner), &path);
            close_ephemeral(c, (struct slice){ path.data, (int32_t)path.len }, paths, &count);
        }
        buf_fini(&path);
    }
    for (struct list *it = c->p->overlay.fifo.next; it != &c->p->overlay.fifo; it = it->next) {
        struct change *change = list_entry(it, struct change, fifo);
        if (change->zxid == c->zxid) {
            break; /* our own deletes follow */
        }
        if (!change->newer && change->view.exists) {
            close_ephemeral(c, (struct slice){ change->path, change->path_len }, paths, &count);
        }
    }
    struct session *s = session_find(c->p->sessions, c->req->session_id);
    if (s && !MUTANT(W1)) {
        s->closing = true;
    }
    out->close_session.paths = (struct vec){ count, { paths->data, (int32_t)paths->len } };
    return ZK_OK;
}

static enum zk_err prep_create_session(struct wire *w, union txn_body *out)
{
    return create_session_txn_decode(w, &out->create_session) ? ZK_OK : ZK_MARSHALLING_ERROR;
}

/* Only a session that is known and not being closed may write, and only through the server that holds its
 * connection (W6). After an election nobody knows who does: the first request tells. */
static enum zk_err check_session(const struct prep_ctx *c)
{
    struct session *s = session_find(c->p->sessions, c->req->session_id);
    if (!s || s->closing) {
        return ZK_SESSION_EXPIRED;
    }
    if (s->owner_sid == 0) {
        s->owner_sid = c->req->from_sid;
    }
    return s->owner_sid == c->req->from_sid || MUTANT(W6) ? ZK_OK : ZK_SESSION_MOVED;
}

/* ---- one op, multi, request -------------------------------------------------------------------------------- */

/* The op's record is read from w; *type is the opcode, and then the txn's type. */
static enum zk_err prep_op(struct prep_ctx *c, int32_t *type, struct wire *w, union txn_body *out)
{
    switch (*type) {
    case OP_CREATE:
    case OP_CREATE2:
    case OP_CREATE_CONTAINER:
    case OP_CREATE_TTL:
        return prep_create(c, type, w, out);
    case OP_DELETE:
        return prep_delete(c, w, out);
    case OP_SET_DATA:
        return prep_set_data(c, w, out);
    case OP_CHECK:
        return prep_check(c, w, out);
    default:
        return ZK_MARSHALLING_ERROR;
    }
}

static void put_sub_txn(struct buf *out, int32_t type, const struct buf *record)
{
    struct sub_txn sub = { type, { record->data, (int32_t)record->len } };
    sub_txn_encode(out, &sub);
}

static void put_sub_error(struct buf *out, enum zk_err err)
{
    struct buf record = BUF_EMPTY;
    put_int(&record, err);
    put_sub_txn(out, OP_ERROR, &record);
    buf_fini(&record);
}

/* Reads one op of a multi and steps over its record without preparing it. */
static bool skip_op(int32_t type, struct wire *w)
{
    struct create_ttl_request create;
    struct delete_request delete;
    struct set_data_request set_data;
    struct check_request check;
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
    case OP_CREATE_CONTAINER:
    case OP_CREATE_TTL:
        return decode_create(type, w, &create);
    case OP_DELETE:
        return delete_request_decode(w, &delete);
    case OP_SET_DATA:
        return set_data_request_decode(w, &set_data);
    case OP_CHECK:
        return check_request_decode(w, &check);
    default:
        return false;
    }
}

/* Is the whole body a list of known write ops? An unknown or broken one fails the request as such. */
static bool multi_is_well_formed(struct slice body)
{
    struct wire w;
    wire_init(&w, body.data, slice_size(body));
    for (;;) {
        struct multi_header h;
        if (!multi_header_decode(&w, &h)) {
            return false;
        }
        if (h.done) {
            return true;
        }
        if (!skip_op(h.type, &w)) {
            return false;
        }
    }
}

/* All ops or none. Ops before the failing one keep their records, the failing one carries its code and
 * the rest say RuntimeInconsistency (client-protocol 10); the appliers then do nothing at all. */
static enum zk_err prep_multi(struct prep_ctx *c, union txn_body *out)
{
    if (!multi_is_well_formed(c->req->body)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct buf *subs = &c->p->multi_scratch;
    struct buf *record = &c->p->body_scratch;
    uint64_t digest = c->p->digest;
    enum zk_err failed = ZK_OK;
    int32_t count = 0;
    struct wire w;
    struct multi_header h;
    buf_reset(subs);
    wire_init(&w, c->req->body.data, slice_size(c->req->body));
    for (multi_header_decode(&w, &h); !h.done; multi_header_decode(&w, &h), count++) {
        union txn_body body;
        if (failed != ZK_OK) {
            skip_op(h.type, &w);
            put_sub_error(subs, ZK_RUNTIME_INCONSISTENCY);
            continue;
        }
        failed = prep_op(c, &h.type, &w, &body);
        if (failed == ZK_MARSHALLING_ERROR) {
            break; /* of the whole request */
        }
        if (failed != ZK_OK) {
            put_sub_error(subs, failed);
            continue;
        }
        buf_reset(record);
        txn_body_encode(record, h.type, &body);
        put_sub_txn(subs, h.type, record);
    }
    if (failed != ZK_OK) {
        overlay_rollback(&c->p->overlay, c->zxid);
        c->p->digest = digest;
    }
    out->multi.txns = (struct vec){ count, { subs->data, (int32_t)subs->len } };
    return failed == ZK_MARSHALLING_ERROR ? failed : ZK_OK;
}

static enum zk_err prep_any(struct prep_ctx *c, union txn_body *out)
{
    struct wire w;
    int32_t type = c->req->type;
    wire_init(&w, c->req->body.data, slice_size(c->req->body));
    if (c->req->type == OP_CREATE_SESSION) {
        return prep_create_session(&w, out);
    }
    if (c->req->type == OP_CLOSE_SESSION) {
        return prep_close_session(c, out);
    }
    if (c->req->type == OP_DELETE_CONTAINER) {
        return prep_delete_container(c, out);
    }
    enum zk_err err = check_session(c);
    if (err != ZK_OK) {
        return err;
    }
    switch (c->req->type) {
    case OP_MULTI:
        return prep_multi(c, out);
    case OP_SET_ACL:
        return prep_set_acl(c, &w, out);
    case OP_RECONFIG:
        return ZK_RECONFIG_DISABLED; /* as reconfigEnabled=false has it */
    case OP_CREATE:
    case OP_CREATE2:
    case OP_CREATE_CONTAINER:
    case OP_CREATE_TTL:
    case OP_DELETE:
    case OP_SET_DATA:
        return prep_op(c, &type, &w, out);
    default:
        return ZK_UNIMPLEMENTED;
    }
}

void prep_request(struct prep *p, const struct request *req, int64_t zxid, struct buf *entry)
{
    struct prep_ctx c = { p, req, zxid };
    uint64_t digest = p->digest;
    size_t start = entry->len;
    struct txn txn = {
        .hdr = { req->session_id, req->cxid, zxid, req->time_ms, req->type },
        .has_digest = p->with_digest,
    };
    enum zk_err err = prep_any(&c, &txn.body);
    txn.digest = (struct txn_digest){ TXN_DIGEST_VERSION, (int64_t)p->digest };
    if (err == ZK_OK) {
        txn_encode(entry, &txn);
        if (entry->len - start <= p->entry_bytes_max) {
            return;
        }
        /* A txn grows by its header and by expanded ACLs; one that a peer would refuse to read is
         * refused here (L11). */
        entry->len = start;
        overlay_rollback(&p->overlay, zxid);
        p->digest = digest;
        err = ZK_MARSHALLING_ERROR;
    }
    txn.hdr.type = OP_ERROR;
    txn.body.error.err = err;
    txn.has_digest = false;
    txn_encode(entry, &txn);
}
