/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/reads.h"

#include <string.h>

#include "server/jute/opcode.h"
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
    case OP_CLOSE_SESSION:
        return true;
    default:
        return false;
    }
}

static int64_t shown_zxid(const struct peer *p)
{
    return p->tree->last_zxid;
}

static void refuse(struct peer *p, struct client *c, int32_t xid, enum zk_err err)
{
    reply_header_only(c, xid, shown_zxid(p), err);
}

/* The node, if it exists and the caller has one of perms on it. */
static enum zk_err get_readable(const struct peer *p, const struct client *c, struct slice path,
                                int32_t perms, struct znode **out)
{
    struct znode *n = data_tree_find(p->tree, path);
    if (!n) {
        return ZK_NO_NODE;
    }
    if (!p->config.skip_acl && !acl_permits(data_tree_acl(p->tree, n), perms, client_ids(c))) {
        return ZK_NO_AUTH;
    }
    *out = n;
    return ZK_OK;
}

/* ---- exists, getData, getChildren ------------------------------------------------------------------ */

static void read_exists(struct peer *p, struct client *c, int32_t xid, const struct watched_read *r)
{
    if (r->path.len > 0 && memchr(r->path.data, '\0', (size_t)r->path.len)) {
        refuse(p, c, xid, ZK_BAD_ARGUMENTS);
        return;
    }
    struct znode *n;
    enum zk_err err = get_readable(p, c, r->path, PERM_READ, &n);
    if (r->watch && err != ZK_NO_AUTH && !slice_is_null(r->path)) {
        watch_add(&p->watches, &c->watcher, WATCH_DATA, r->path);
    }
    if (err != ZK_OK) {
        refuse(p, c, xid, err);
        return;
    }
    struct znode_stat stat = data_tree_stat(p->tree, n);
    size_t at = reply_begin(c, xid, shown_zxid(p), ZK_OK);
    znode_stat_encode(&c->out, &stat);
    reply_end(c, at);
}

static void put_children(struct buf *out, const struct znode *n)
{
    put_int(out, n->num_children);
    for (const struct znode *child = n->first_child; child; child = child->next_sibling) {
        put_slice(out, (struct slice){ (const uint8_t *)child->name, child->name_len });
    }
}

/* getData, getChildren and getChildren2: the node must be there and readable. */
static void read_node(struct peer *p, struct client *c, int32_t xid, int32_t type,
                      const struct watched_read *r)
{
    struct znode *n;
    enum zk_err err = get_readable(p, c, r->path, PERM_READ, &n);
    if (err != ZK_OK) {
        refuse(p, c, xid, err);
        return;
    }
    if (r->watch) {
        enum watch_kind kind = type == OP_GET_DATA ? WATCH_DATA : WATCH_CHILD;
        watch_add(&p->watches, &c->watcher, kind, r->path);
    }
    size_t at = reply_begin(c, xid, shown_zxid(p), ZK_OK);
    if (type == OP_GET_DATA) {
        put_slice(&c->out, znode_data(n));
    } else {
        put_children(&c->out, n);
    }
    if (type != OP_GET_CHILDREN) {
        struct znode_stat stat = data_tree_stat(p->tree, n);
        znode_stat_encode(&c->out, &stat);
    }
    reply_end(c, at);
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

static void read_acl(struct peer *p, struct client *c, int32_t xid, struct slice path)
{
    struct znode *n;
    enum zk_err err = get_readable(p, c, path, PERM_READ | PERM_ADMIN, &n);
    if (err != ZK_OK) {
        refuse(p, c, xid, err);
        return;
    }
    struct vec acl = data_tree_acl(p->tree, n);
    struct znode_stat stat = data_tree_stat(p->tree, n);
    size_t at = reply_begin(c, xid, shown_zxid(p), ZK_OK);
    if (p->config.skip_acl || acl_permits(acl, PERM_ADMIN, client_ids(c))) {
        put_vec(&c->out, acl);
    } else {
        put_masked_acl(&c->out, acl);
    }
    znode_stat_encode(&c->out, &stat);
    reply_end(c, at);
}

/* ---- setWatches --------------------------------------------------------------------------------------- */

enum rearm { REARM_DATA, REARM_EXIST, REARM_CHILD };

/* The event a client missed while it was away, or 0: nothing happened, the watch is set again (W8). */
static int missed_event(enum rearm how, const struct znode *n, int64_t relative_zxid)
{
    if (how == REARM_EXIST) {
        return n ? EVENT_NODE_CREATED : 0;
    }
    if (!n) {
        return EVENT_NODE_DELETED;
    }
    if (how == REARM_DATA) {
        return n->stat.mzxid > relative_zxid ? EVENT_NODE_DATA_CHANGED : 0;
    }
    return n->stat.pzxid > relative_zxid ? EVENT_NODE_CHILDREN_CHANGED : 0;
}

static void rearm(struct peer *p, struct client *c, enum rearm how, struct vec paths,
                  int64_t relative_zxid)
{
    struct wire w;
    wire_init_vec(&w, paths);
    for (int32_t i = 0; i < paths.count; i++) {
        struct slice path = wire_slice(&w);
        if (slice_is_null(path)) {
            continue;
        }
        int type = missed_event(how, data_tree_find(p->tree, path), relative_zxid);
        if (type) {
            reply_event(c, (enum watch_event_type)type, path);
        } else {
            watch_add(&p->watches, &c->watcher, how == REARM_CHILD ? WATCH_CHILD : WATCH_DATA, path);
        }
    }
}

static void set_watches(struct peer *p, struct client *c, int32_t xid, const struct set_watches *r)
{
    rearm(p, c, REARM_DATA, r->data, r->relative_zxid);
    rearm(p, c, REARM_EXIST, r->exist, r->relative_zxid);
    rearm(p, c, REARM_CHILD, r->child, r->relative_zxid);
    reply_header_only(c, xid, shown_zxid(p), ZK_OK);
}

/* Persistent watches cannot have been set here (addWatch is Unimplemented), so a client that lists some
 * brings them from another server and must hear that they are not kept. */
static void set_watches2(struct peer *p, struct client *c, int32_t xid, const struct set_watches2 *r)
{
    if (r->persistent.count > 0 || r->recursive.count > 0) {
        refuse(p, c, xid, ZK_UNIMPLEMENTED);
        return;
    }
    struct set_watches plain = { r->relative_zxid, r->data, r->exist, r->child };
    set_watches(p, c, xid, &plain);
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

static void answer_sync(struct peer *p, struct client *c, int32_t xid, struct slice path)
{
    size_t at = reply_begin(c, xid, shown_zxid(p), ZK_OK);
    put_slice(&c->out, path);
    reply_end(c, at);
}

void read_request(struct peer *p, struct client *c, int32_t xid, int32_t type, struct slice body)
{
    struct wire w;
    struct watched_read watched;
    struct path_request by_path;
    struct set_watches watches;
    struct set_watches2 watches2;
    bool parsed = false;
    wire_init(&w, body.data, slice_size(body));
    switch (type) {
    case OP_EXISTS:
        if ((parsed = watched_read_decode(&w, &watched))) {
            read_exists(p, c, xid, &watched);
        }
        break;
    case OP_GET_DATA:
    case OP_GET_CHILDREN:
    case OP_GET_CHILDREN2:
        if ((parsed = watched_read_decode(&w, &watched))) {
            read_node(p, c, xid, type, &watched);
        }
        break;
    case OP_GET_ACL:
        if ((parsed = path_request_decode(&w, &by_path))) {
            read_acl(p, c, xid, by_path.path);
        }
        break;
    case OP_SYNC:
        if ((parsed = path_request_decode(&w, &by_path))) {
            answer_sync(p, c, xid, by_path.path);
        }
        break;
    case OP_SET_WATCHES:
        if ((parsed = set_watches_decode(&w, &watches))) {
            set_watches(p, c, xid, &watches);
        }
        break;
    case OP_SET_WATCHES2:
        if ((parsed = set_watches2_decode(&w, &watches2))) {
            set_watches2(p, c, xid, &watches2);
        }
        break;
    default:
        /* Apache closes the connection after this; we keep it (docs/differences.md). */
        reply_header_only(c, xid, -1, ZK_UNIMPLEMENTED);
        return;
    }
    if (!parsed) {
        refuse(p, c, xid, ZK_MARSHALLING_ERROR);
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
        refuse(p, c, xid, r->top.err);
        return;
    }
    size_t at = reply_begin(c, xid, shown_zxid(p), ZK_OK);
    if (r->top.type == OP_MULTI) {
        put_multi_result(&c->out, r);
    } else {
        put_op_result(&c->out, &r->top);
    }
    reply_end(c, at);
}
