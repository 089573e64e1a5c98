/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/watch_reads.h"

#include "server/jute/opcode.h"
#include "server/tree/mutant.h"

static void answer_ok(const struct read *r)
{
    reply_header_only(r->client, r->xid, r->peer->tree->last_zxid, ZK_OK);
}

/* ---- addWatch, checkWatches, removeWatches ------------------------------------------------------------- */

static enum zk_err add_watch(struct read *r)
{
    struct watch_request req;
    if (!watch_request_decode(&r->wire, &req) || slice_is_null(req.path) ||
        (req.type != ADD_WATCH_PERSISTENT && req.type != ADD_WATCH_RECURSIVE)) {
        return ZK_MARSHALLING_ERROR;
    }
    watch_add(&r->peer->watches, &r->client->watcher,
              req.type == ADD_WATCH_PERSISTENT ? WATCH_PERSISTENT : WATCH_RECURSIVE, req.path);
    size_t at = read_reply_begin(r);
    put_int(&r->client->out, ZK_OK); /* an ErrorResponse */
    reply_end(r->client, at);
    return ZK_OK;
}

/* 0: there is no such type. */
static unsigned kinds_of(int32_t watcher_type)
{
    switch (watcher_type) {
    case WATCHER_CHILDREN:
        return WATCH_CHILD;
    case WATCHER_DATA:
        return WATCH_DATA;
    case WATCHER_ANY:
        return WATCH_ANY;
    case WATCHER_PERSISTENT:
        return WATCH_PERSISTENT;
    case WATCHER_RECURSIVE:
        return WATCH_RECURSIVE;
    default:
        return 0;
    }
}

/* Both look at the caller's own watches, by type (W10). */
static enum zk_err check_or_remove_watches(struct read *r)
{
    struct watch_table *t = &r->peer->watches;
    struct watcher *own = &r->client->watcher;
    struct watch_request req;
    if (!watch_request_decode(&r->wire, &req) || kinds_of(req.type) == 0) {
        return ZK_MARSHALLING_ERROR;
    }
    unsigned kinds = kinds_of(req.type);
    bool found = r->type == OP_REMOVE_WATCHES ? watch_remove(t, own, kinds, req.path)
                                              : (watch_find(t, own, req.path) & kinds) != 0;
    if (found) {
        answer_ok(r);
    }
    return found ? ZK_OK : ZK_NO_WATCHER;
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
    return n->stat.pzxid > relative_zxid && !MUTANT(W8) ? EVENT_NODE_CHILDREN_CHANGED : 0;
}

static void rearm(struct read *r, enum rearm how, struct vec paths, int64_t relative_zxid)
{
    struct peer *p = r->peer;
    struct wire w;
    wire_init_vec(&w, paths);
    for (int32_t i = 0; i < paths.count; i++) {
        struct slice path = wire_slice(&w);
        if (slice_is_null(path)) {
            continue;
        }
        int type = missed_event(how, data_tree_find(p->tree, path), relative_zxid);
        if (type) {
            reply_event(r->client, (enum watch_event_type)type, path);
        } else {
            watch_add(&p->watches, &r->client->watcher,
                      how == REARM_CHILD ? WATCH_CHILD : WATCH_DATA, path);
        }
    }
}

/* Persistent watches are set again as they were: what they missed they do not hear. */
static void set_again(struct read *r, enum watch_kind kind, struct vec paths)
{
    struct wire w;
    wire_init_vec(&w, paths);
    for (int32_t i = 0; i < paths.count; i++) {
        struct slice path = wire_slice(&w);
        if (!slice_is_null(path)) {
            watch_add(&r->peer->watches, &r->client->watcher, kind, path);
        }
    }
}

static enum zk_err set_watches(struct read *r)
{
    struct set_watches2 req = { .persistent = VEC_NULL, .recursive = VEC_NULL };
    struct set_watches plain;
    bool parsed;
    if (r->type == OP_SET_WATCHES2) {
        parsed = set_watches2_decode(&r->wire, &req);
    } else if ((parsed = set_watches_decode(&r->wire, &plain))) {
        req.relative_zxid = plain.relative_zxid;
        req.data = plain.data;
        req.exist = plain.exist;
        req.child = plain.child;
    }
    if (!parsed) {
        return ZK_MARSHALLING_ERROR;
    }
    rearm(r, REARM_DATA, req.data, req.relative_zxid);
    rearm(r, REARM_EXIST, req.exist, req.relative_zxid);
    rearm(r, REARM_CHILD, req.child, req.relative_zxid);
    set_again(r, WATCH_PERSISTENT, req.persistent);
    set_again(r, WATCH_RECURSIVE, req.recursive);
    answer_ok(r);
    return ZK_OK;
}

enum zk_err answer_watch_request(struct read *r)
{
    switch (r->type) {
    case OP_ADD_WATCH:
        return add_watch(r);
    case OP_CHECK_WATCHES:
    case OP_REMOVE_WATCHES:
        return check_or_remove_watches(r);
    case OP_SET_WATCHES:
    case OP_SET_WATCHES2:
        return set_watches(r);
    default:
        return ZK_UNIMPLEMENTED;
    }
}
