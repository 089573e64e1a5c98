/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/reads.h"

#include <string.h>

#include "server/core/watch_reads.h"
#include "server/jute/opcode.h"
#include "server/tree/ephemerals.h"
#include "server/tree/path.h"

bool opcode_is_write(int32_t type)
{
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
    case OP_CREATE_CONTAINER:
    case OP_CREATE_TTL:
    case OP_DELETE:
    case OP_SET_DATA:
    case OP_SET_ACL:
    case OP_MULTI:
    case OP_RECONFIG:
    case OP_CLOSE_SESSION:
        return true;
    default:
        return false;
    }
}

bool opcode_is_request(int32_t type)
{
    bool is_read = (type >= OP_CREATE && type <= OP_GET_CHILDREN2 && type != 10) ||
                   type == OP_CHECK_WATCHES || type == OP_REMOVE_WATCHES ||
                   type == OP_MULTI_READ || (type >= OP_SET_WATCHES && type <= OP_WHO_AM_I);
    return is_read || opcode_is_write(type);
}

/* The node, if it exists and the caller has one of perms on it. */
static enum zk_err get_readable(const struct read *r, struct slice path, int32_t perms,
                                struct znode **out)
{
    const struct peer *p = r->peer;
    if (slice_is_null(path)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct znode *n = data_tree_find(p->tree, path);
    if (!n) {
        return ZK_NO_NODE;
    }
    if (!p->config.skip_acl &&
        !acl_permits(data_tree_acl(p->tree, n), perms, client_ids(r->client))) {
        return ZK_NO_AUTH;
    }
    *out = n;
    return ZK_OK;
}

static void put_stat(const struct read *r, const struct znode *n)
{
    struct znode_stat stat = data_tree_stat(r->peer->tree, n);
    znode_stat_encode(&r->client->out, &stat);
}

/* ---- exists, getData, getChildren ------------------------------------------------------------------ */

static enum zk_err read_exists(struct read *r)
{
    struct watched_read req;
    struct znode *n;
    if (!watched_read_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    if (req.path.len > 0 && memchr(req.path.data, '\0', (size_t)req.path.len)) {
        return ZK_BAD_ARGUMENTS;
    }
    enum zk_err err = get_readable(r, req.path, PERM_READ, &n);
    if (req.watch && err != ZK_NO_AUTH && !slice_is_null(req.path)) {
        watch_add(&r->peer->watches, &r->client->watcher, WATCH_DATA, req.path);
    }
    if (err == ZK_OK) {
        size_t at = read_reply_begin(r);
        put_stat(r, n);
        reply_end(r->client, at);
    }
    return err;
}

static void put_children(struct buf *out, const struct znode *n)
{
    put_int(out, n->num_children);
    for (const struct znode *child = n->first_child; child; child = child->next_sibling) {
        put_slice(out, (struct slice){ (const uint8_t *)child->name, child->name_len });
    }
}

/* The record of getData, getChildren or getChildren2. */
static void put_node(const struct read *r, int32_t type, const struct znode *n)
{
    if (type == OP_GET_DATA) {
        put_slice(&r->client->out, znode_data(n));
    } else {
        put_children(&r->client->out, n);
    }
    if (type != OP_GET_CHILDREN) {
        put_stat(r, n);
    }
}

static enum zk_err read_node(struct read *r)
{
    struct watched_read req;
    struct znode *n;
    if (!watched_read_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    enum zk_err err = get_readable(r, req.path, PERM_READ, &n);
    if (err != ZK_OK) {
        return err;
    }
    if (req.watch) {
        enum watch_kind kind = r->type == OP_GET_DATA ? WATCH_DATA : WATCH_CHILD;
        watch_add(&r->peer->watches, &r->client->watcher, kind, req.path);
    }
    size_t at = read_reply_begin(r);
    put_node(r, r->type, n);
    reply_end(r->client, at);
    return ZK_OK;
}

static enum zk_err read_all_children_number(struct read *r)
{
    struct path_request req;
    struct znode *n;
    if (!path_request_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    enum zk_err err = get_readable(r, req.path, PERM_READ, &n);
    if (err == ZK_OK) {
        size_t at = read_reply_begin(r);
        /* Under "", its other name, Apache counts the root as well. */
        put_int(&r->client->out, n->num_descendants + (req.path.len == 0));
        reply_end(r->client, at);
    }
    return err;
}

/* ---- multiRead ---------------------------------------------------------------------------------------- */

/* More than this is no answer but an attack: a request of 1 MB can ask for the largest node 30,000 times. */
enum { MULTI_READ_BYTES_MAX = 64 * 1024 * 1024 };

/* Only getData and getChildren, or the whole request is malformed. */
static bool multi_read_is_well_formed(struct wire w)
{
    struct multi_header h;
    struct watched_read req;
    while (multi_header_decode(&w, &h) && !h.done) {
        if ((h.type != OP_GET_DATA && h.type != OP_GET_CHILDREN) ||
            !watched_read_decode(&w, &req)) {
            return false;
        }
    }
    return wire_ok(&w);
}

static void put_part(struct read *r, int32_t type, const struct watched_read *req)
{
    struct znode *n;
    struct buf *out = &r->client->out;
    enum zk_err err = get_readable(r, req->path, PERM_READ, &n);
    struct multi_header h = { err == ZK_OK ? type : OP_ERROR, false, err };
    multi_header_encode(out, &h);
    if (err == ZK_OK) {
        put_node(r, type, n);
    } else {
        put_int(out, err);
    }
}

/* Each part by itself; none sets a watch, whatever it says. */
static enum zk_err read_multi(struct read *r)
{
    struct client *c = r->client;
    struct multi_header h;
    if (!multi_read_is_well_formed(r->wire)) {
        return ZK_MARSHALLING_ERROR;
    }
    size_t at = read_reply_begin(r);
    while (multi_header_decode(&r->wire, &h) && !h.done) {
        struct watched_read req;
        watched_read_decode(&r->wire, &req);
        put_part(r, h.type, &req);
        if (buf_readable(&c->out) - at > MULTI_READ_BYTES_MAX) {
            c->out.len = c->out.head + at;
            return ZK_MARSHALLING_ERROR;
        }
    }
    struct multi_header end = { OP_ERROR, true, -1 };
    multi_header_encode(&c->out, &end);
    reply_end(c, at);
    return ZK_OK;
}

/* ---- getACL ----------------------------------------------------------------------------------------- */

/* Without ADMIN a digest id shows as "user:x". */
static void put_masked_acl(struct buf *out, struct vec acl)
{
    struct buf masked = BUF_EMPTY;
    struct wire w;
    put_int(out, acl.count);
    wire_init_vec(&w, acl);
    for (int32_t i = 0; i < acl.count; i++) {
        struct acl entry;
        acl_decode(&w, &entry);
        const uint8_t *colon = NULL;
        if (slice_eq_str(entry.scheme, "digest") && entry.id.len > 0) {
            colon = memchr(entry.id.data, ':', (size_t)entry.id.len);
        }
        if (colon) {
            buf_reset(&masked);
            buf_append(&masked, entry.id.data, (size_t)(colon - entry.id.data));
            buf_append_str(&masked, ":x");
            entry.id = (struct slice){ masked.data, (int32_t)masked.len };
        }
        acl_encode(out, &entry);
    }
    buf_fini(&masked);
}

static enum zk_err read_acl(struct read *r)
{
    struct path_request req;
    struct znode *n;
    if (!path_request_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    enum zk_err err = get_readable(r, req.path, PERM_READ | PERM_ADMIN, &n);
    if (err != ZK_OK) {
        return err;
    }
    struct client *c = r->client;
    struct vec acl = data_tree_acl(r->peer->tree, n);
    size_t at = read_reply_begin(r);
    if (r->peer->config.skip_acl || acl_permits(acl, PERM_ADMIN, client_ids(c))) {
        put_vec(&c->out, acl);
    } else {
        put_masked_acl(&c->out, acl);
    }
    put_stat(r, n);
    reply_end(c, at);
    return ZK_OK;
}

/* ---- about the session itself -------------------------------------------------------------------------- */

/* Java's trim() and "/": everything. */
static bool is_everything(struct slice prefix)
{
    if (prefix.len <= 0) {
        return true;
    }
    const uint8_t *at = prefix.data;
    const uint8_t *end = at + prefix.len;
    while (at < end && *at <= ' ') {
        at++;
    }
    while (at < end && end[-1] <= ' ') {
        end--;
    }
    return at == end || (end - at == 1 && *at == '/');
}

static bool starts_with(const struct buf *path, struct slice prefix)
{
    size_t len = slice_size(prefix);
    return path->len >= len && memcmp(path->data, prefix.data, len) == 0;
}

static enum zk_err read_ephemerals(struct read *r)
{
    struct path_request req;
    if (!path_request_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    struct buf *out = &r->client->out;
    const struct ephemeral_owner *owner =
        ephemerals_find(r->peer->tree, r->client->session_id);
    bool all = is_everything(req.path);
    size_t at = read_reply_begin(r);
    size_t count_at = buf_readable(out);
    int32_t count = 0;
    struct buf path = BUF_EMPTY;
    put_int(out, 0);
    for (struct list *it = owner ? owner->nodes.next : NULL; it && it != &owner->nodes;
         it = it->next) {
        buf_reset(&path);
        znode_append_path(list_entry(it, struct znode, by_owner), &path);
        if (all || starts_with(&path, req.path)) {
            put_slice(out, (struct slice){ path.data, (int32_t)path.len });
            count++;
        }
    }
    buf_fini(&path);
    put_int_at(out, out->head + count_at, count);
    reply_end(r->client, at);
    return ZK_OK;
}

/* What whoAmI shows of an id: not the hash, and nothing of what is no authentication provider's. */
static struct slice user_of(const struct id *id)
{
    if (slice_eq_str(id->scheme, "digest") && id->id.len > 0) {
        const uint8_t *colon = memchr(id->id.data, ':', (size_t)id->id.len);
        return colon ? (struct slice){ id->id.data, (int32_t)(colon - id->id.data) } : id->id;
    }
    return slice_eq_str(id->scheme, "super") ? SLICE_EMPTY : id->id;
}

static enum zk_err read_who_am_i(struct read *r)
{
    struct client *c = r->client;
    struct wire w;
    wire_init_vec(&w, client_ids(c));
    size_t at = read_reply_begin(r);
    put_int(&c->out, c->id_count);
    for (int32_t i = 0; i < c->id_count; i++) {
        struct id id;
        id_decode(&w, &id);
        id.id = user_of(&id);
        id_encode(&c->out, &id);
    }
    reply_end(c, at);
    return ZK_OK;
}

static enum zk_err answer_sync(struct read *r)
{
    struct path_request req;
    if (!path_request_decode(&r->wire, &req)) {
        return ZK_MARSHALLING_ERROR;
    }
    size_t at = read_reply_begin(r);
    put_slice(&r->client->out, req.path);
    reply_end(r->client, at);
    return ZK_OK;
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

static enum zk_err answer(struct read *r)
{
    switch (r->type) {
    case OP_EXISTS:
        return read_exists(r);
    case OP_GET_DATA:
    case OP_GET_CHILDREN:
    case OP_GET_CHILDREN2:
        return read_node(r);
    case OP_MULTI_READ:
        return read_multi(r);
    case OP_GET_ACL:
        return read_acl(r);
    case OP_GET_ALL_CHILDREN_NUMBER:
        return read_all_children_number(r);
    case OP_GET_EPHEMERALS:
        return read_ephemerals(r);
    case OP_WHO_AM_I:
        return read_who_am_i(r);
    case OP_SYNC:
        return answer_sync(r);
    case OP_ERROR: /* too large to be read */
        return ZK_MARSHALLING_ERROR;
    default:
        return answer_watch_request(r);
    }
}

void read_request(struct peer *p, struct client *c, int32_t xid, int32_t type, struct slice body)
{
    struct read r = { .peer = p, .client = c, .xid = xid, .type = type };
    wire_init(&r.wire, body.data, slice_size(body));
    enum zk_err err = answer(&r);
    if (err == ZK_UNIMPLEMENTED) {
        /* Apache closes the connection after this; we keep it (docs/differences.md). */
        reply_header_only(c, xid, -1, err);
    } else if (err != ZK_OK) {
        reply_header_only(c, xid, p->tree->last_zxid, err);
    }
}

/* ---- replies of writes ---------------------------------------------------------------------------------- */

/* The record that follows a header of this op: the path that was made, the new Stat, or nothing. */
static void put_op_result(struct buf *out, const struct txn_result *r)
{
    switch (r->type) {
    case OP_CREATE:
        put_slice(out, r->path);
        break;
    case OP_CREATE2:
    case OP_CREATE_CONTAINER:
    case OP_CREATE_TTL:
        put_slice(out, r->path);
        znode_stat_encode(out, &r->stat);
        break;
    case OP_SET_DATA:
    case OP_SET_ACL:
        znode_stat_encode(out, &r->stat);
        break;
    default:
        break;
    }
}

static bool multi_failed(const struct apply_result *r)
{
    for (int32_t i = 0; i < r->sub_count; i++) {
        if (r->subs[i].type == OP_ERROR) {
            return true;
        }
    }
    return false;
}

/* All creates that answer with a Stat have create2's result. */
static int32_t result_type(int32_t type)
{
    return type == OP_CREATE_CONTAINER || type == OP_CREATE_TTL ? OP_CREATE2 : type;
}

/* A failed multi's header says 0; each op carries its own code (client-protocol 10). */
static void put_multi_result(struct buf *out, const struct apply_result *r)
{
    bool failed = multi_failed(r);
    for (int32_t i = 0; i < r->sub_count; i++) {
        const struct txn_result *sub = &r->subs[i];
        struct multi_header h = { failed ? OP_ERROR : result_type(sub->type), false, failed ? sub->err : 0 };
        multi_header_encode(out, &h);
        if (failed) {
            put_int(out, sub->err);
        } else {
            put_op_result(out, sub);
        }
    }
    struct multi_header end = { OP_ERROR, true, -1 };
    multi_header_encode(out, &end);
}

void write_reply(struct peer *p, struct client *c, int32_t xid, const struct apply_result *r)
{
    if (r->top.err != ZK_OK) {
        reply_header_only(c, xid, p->tree->last_zxid, r->top.err);
        return;
    }
    size_t at = reply_begin(c, xid, p->tree->last_zxid, ZK_OK);
    if (r->top.type == OP_MULTI) {
        put_multi_result(&c->out, r);
    } else {
        put_op_result(&c->out, &r->top);
    }
    reply_end(c, at);
}
