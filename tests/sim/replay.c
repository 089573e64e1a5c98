/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/htable.h"
#include "common/xalloc.h"
#include "server/store/session_map.h"
#include "server/tree/ephemerals.h"
#include "server/core/reads.h"
#include "tests/sim/outcome.h"
#include "tests/sim/world.h"

struct replay {
    struct world *w;
    struct data_tree *tree;
    struct session_map sessions; /* open ones */
    struct apply_result result;
    int64_t zxid;    /* of the txn that is being applied */
    struct op **ops; /* of the truth, by zxid */
    int64_t op_count;
    int64_t next;          /* first op that was not checked */
    bool was_session_open; /* of the write that is to be applied, if somebody got an answer to it */
    struct outcome foretold;
};

static _Noreturn void wrong(const struct replay *r, const struct op *op, const char *what)
{
    sim_fail(r->w, "user %d, xid %d, op %d %s at 0x%" PRIx64 " err %d: %s", op->user, op->xid,
             op->type, op->path, op->zxid, op->err, what);
}

static struct known_txn *txn_of(const struct truth *t, int64_t zxid)
{
    size_t low = 0;
    size_t high = t->txn_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->txns[mid]->zxid < zxid) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    zk_assert(low < t->txn_count);
    return t->txns[low];
}

/* ---- one txn ------------------------------------------------------------------------------------------- */

static void note_change(void *arg, const struct tree_change *change)
{
    struct replay *r = arg;
    struct truth *t = &r->w->truth;
    if ((t->change_count & (t->change_count - 1)) == 0) {
        t->changes = xrealloc(t->changes, (size_t)(2 * t->change_count + 1) * sizeof(*t->changes));
    }
    struct change_seen *c = &t->changes[t->change_count++];
    c->zxid = r->zxid;
    c->type = change->type;
    c->is_hidden = !acl_permits(change->acl, PERM_READ, VEC_NULL);
    c->is_parent_hidden = !acl_permits(change->parent_acl, PERM_READ, VEC_NULL);
    snprintf(c->path, sizeof(c->path), "%.*s", change->path.len, (const char *)change->path.data);
}

/* W6: what a session asked for earlier, at a server that it has left, does not happen after the later. */
static void check_session_order(const struct replay *r, const struct txn *txn)
{
    struct session_seen *s = truth_session(&r->w->truth, txn->hdr.session_id);
    if (s && txn->hdr.cxid <= s->last_cxid) {
        sim_fail(r->w, "0x%" PRIx64 ": session 0x%" PRIx64 " wrote %d, now %d", txn->hdr.zxid,
                 s->session_id, s->last_cxid, txn->hdr.cxid);
    }
    if (s) {
        s->last_cxid = txn->hdr.cxid;
    }
}

/* W1: nobody writes after the end of its session, and nothing of it remains. */
static void follow_sessions(struct replay *r, const struct txn *txn)
{
    int64_t id = txn->hdr.session_id;
    if (txn->hdr.type == OP_CREATE_SESSION) {
        session_map_set(&r->sessions, id, txn->body.create_session.timeout_ms);
    } else if (txn->hdr.type == OP_CLOSE_SESSION) {
        session_map_remove(&r->sessions, id);
        if (ephemerals_find(r->tree, id)) {
            sim_fail(r->w,
                     "0x%" PRIx64 ": session 0x%" PRIx64 " has ended, its ephemerals have not",
                     txn->hdr.zxid, id);
        }
    } else if (txn->hdr.type == OP_ERROR) {
        return;
    } else if (!session_map_has(&r->sessions, id)) {
        sim_fail(r->w, "0x%" PRIx64 ": session 0x%" PRIx64 " writes after its end", txn->hdr.zxid,
                 id);
    } else {
        check_session_order(r, txn);
    }
}

static void foretell(struct replay *r)
{
    for (int64_t i = r->next; i < r->op_count && r->ops[i]->zxid <= r->zxid; i++) {
        const struct op *op = r->ops[i];
        if (op->zxid == r->zxid && opcode_is_write(op->type)) {
            r->was_session_open = session_map_has(&r->sessions, op->session_id);
            outcome_foretell(r->tree, op, &r->foretold);
        }
    }
}

static void apply(struct replay *r, const struct known_txn *k, struct txn *txn)
{
    bool ok = txn_decode(k->entry.data, k->entry.len, txn);
    zk_assert(ok);
    r->zxid = k->zxid;
    foretell(r);
    data_tree_apply(r->tree, txn, &r->result);
    if (txn->has_digest && (uint64_t)txn->digest.digest != r->tree->digest) {
        sim_fail(r->w, "0x%" PRIx64 " carries another digest than its replay gives", k->zxid);
    }
    if (k->has_digest && k->digest != r->tree->digest) {
        sim_fail(r->w, "0x%" PRIx64 ": the servers had another tree than its replay gives",
                 k->zxid);
    }
    follow_sessions(r, txn);
}

/* ---- one answer ----------------------------------------------------------------------------------------- */

static void check_create(const struct replay *r, const struct op *op)
{
    struct wire w;
    wire_init(&w, buf_head(&op->answer), buf_readable(&op->answer));
    if (!slice_eq(wire_slice(&w), r->result.top.path)) {
        wrong(r, op, "another path was created");
    }
}

static void check_set(const struct replay *r, const struct op *op)
{
    struct buf expected = BUF_EMPTY;
    znode_stat_encode(&expected, &r->result.top.stat);
    if (expected.len != op->answer.len ||
        memcmp(expected.data, op->answer.data, expected.len) != 0) {
        wrong(r, op, "another Stat was answered");
    }
    buf_fini(&expected);
}

/* A failed multi answers with the code of each part (field-server 3.5). */
static void check_multi(struct replay *r, const struct op *op)
{
    struct wire w;
    struct multi_header h;
    wire_init(&w, buf_head(&op->answer), buf_readable(&op->answer));
    if (!r->foretold.has_failed) {
        multi_header_decode(&w, &h);
        if (h.type == OP_ERROR) {
            wrong(r, op, "a multi failed that should have succeeded");
        }
        return;
    }
    world_saw(r->w, SEEN_MULTI_FAILED);
    for (int32_t i = 0; i < op->part_count; i++) {
        multi_header_decode(&w, &h);
        if (h.type != OP_ERROR || wire_int(&w) != (int32_t)r->foretold.errs[i]) {
            wrong(r, op, "a part of a multi came to something else than it had to");
        }
    }
}

static void check_result(struct replay *r, const struct op *op)
{
    if (op->type == OP_MULTI) {
        check_multi(r, op);
        return;
    }
    if (op->err == ZK_NO_AUTH) {
        world_saw(r->w, SEEN_DENIED);
    }
    if (op->type != OP_CLOSE_SESSION && op->err != r->foretold.errs[0]) {
        wrong(r, op, "it came to something else than it had to");
    }
    if (op->err == ZK_OK && op->type == OP_CREATE) {
        check_create(r, op);
    } else if (op->err == ZK_OK && (op->type == OP_SET_DATA || op->type == OP_SET_ACL)) {
        check_set(r, op);
    }
}

static void check_write(struct replay *r, const struct op *op, const struct txn *txn)
{
    if (txn->hdr.zxid != op->zxid || txn->hdr.session_id != op->session_id ||
        txn->hdr.cxid != op->xid) {
        wrong(r, op, "an answered write is not in the committed history");
    }
    if (r->result.top.err != op->err) {
        wrong(r, op, "the history has another outcome");
    }
    if (op->err == ZK_SESSION_MOVED) {
        return; /* who owns a session is not in the history */
    }
    if (!r->was_session_open) {
        if (op->err != ZK_SESSION_EXPIRED) {
            wrong(r, op, "a session that has ended is answered as a living one");
        }
        return;
    }
    check_result(r, op);
}

/* Adds up the names of a list, whose order is not part of the protocol. */
static uint64_t sum_of_names(struct wire *w, int32_t count)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        struct slice name = wire_slice(w);
        sum += hash_bytes(name.data, slice_size(name), 1);
    }
    return sum;
}

/* Steps over the children in the answer; false if they are others than n's. */
static bool has_children_of(struct wire *w, const struct znode *n)
{
    uint64_t sum = 0;
    for (const struct znode *c = n->first_child; c; c = c->next_sibling) {
        sum += hash_bytes(c->name, (size_t)c->name_len, 1);
    }
    int32_t count = wire_int(w);
    return count == n->num_children && sum_of_names(w, count) == sum && wire_ok(w);
}

/* Does the answer to a read show this node, as it is now? */
static bool shows(const struct replay *r, const struct op *op, const struct znode *n)
{
    struct wire w;
    struct buf stat_bytes = BUF_EMPTY;
    bool ok = true;
    wire_init(&w, buf_head(&op->answer), buf_readable(&op->answer));
    if (op->type == OP_GET_DATA) {
        ok = slice_eq(wire_slice(&w), znode_data(n));
    } else if (op->type == OP_GET_CHILDREN2) {
        ok = has_children_of(&w, n);
    }
    struct znode_stat stat = data_tree_stat(r->tree, n);
    znode_stat_encode(&stat_bytes, &stat);
    ok =
        ok && wire_left(&w) == stat_bytes.len && memcmp(w.at, stat_bytes.data, stat_bytes.len) == 0;
    buf_fini(&stat_bytes);
    return ok;
}

static void check_read(const struct replay *r, const struct op *op)
{
    const struct znode *n = data_tree_find(r->tree, slice_of_str(op->path));
    if (op->floor_zxid > op->zxid) {
        wrong(r, op, "a read behind a sync shows less than had been answered before the sync");
    }
    if ((n == NULL) != (op->err == ZK_NO_NODE)) {
        wrong(r, op, "a read shows a node that is not there, or not one that is");
    }
    bool is_denied = n && op->type != OP_GET_CHILDREN2 && !outcome_permits(r->tree, n, PERM_READ);
    if (is_denied != (op->err == ZK_NO_AUTH)) {
        wrong(r, op, "a read was denied, or not, against the node's ACL");
    }
    if (n && !is_denied && !shows(r, op, n)) {
        wrong(r, op, "a read shows another state than that of its zxid");
    }
}

static bool is_read(int32_t type)
{
    return type == OP_GET_DATA || type == OP_EXISTS || type == OP_GET_CHILDREN2;
}

/* The answers given before next_zxid was applied; txn is the last one applied, or NULL. */
static void check_answers(struct replay *r, const struct txn *txn, int64_t next_zxid)
{
    for (; r->next < r->op_count && r->ops[r->next]->zxid < next_zxid; r->next++) {
        const struct op *op = r->ops[r->next];
        if (is_read(op->type)) {
            check_read(r, op);
        } else if (opcode_is_write(op->type)) {
            if (!txn) {
                wrong(r, op, "an answered write is not in the committed history");
            }
            check_write(r, op, txn);
        }
    }
}

/* ---- orders ------------------------------------------------------------------------------------------------ */

/* Writes are linearizable: the order of zxids never contradicts that of time. */
static void check_write_order(const struct replay *r)
{
    int64_t first_answer_us = INT64_MAX; /* among writes with a higher zxid */
    for (int64_t i = r->op_count - 1; i >= 0; i--) {
        const struct op *op = r->ops[i];
        if (!opcode_is_write(op->type)) {
            continue;
        }
        if (first_answer_us < op->invoked_us) {
            wrong(r, op, "a write that began after another's answer has a lower zxid");
        }
        if (op->answered_us < first_answer_us) {
            first_answer_us = op->answered_us;
        }
    }
}

static bool is_parent(const char *dir, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    return strlen(dir) == len && strncmp(dir, path, len) == 0;
}

static bool concerns(const struct watch_seen *seen, const struct change_seen *c)
{
    bool is_own = strcmp(seen->path, c->path) == 0;
    if (!seen->is_child) {
        return is_own;
    }
    return (is_own && c->type == EVENT_NODE_DELETED) ||
           (c->type != EVENT_NODE_DATA_CHANGED && is_parent(seen->path, c->path));
}

/* W7: the event comes before anything that shows the change, and it does come. */
static void check_watch(const struct world *w, const struct watch_seen *seen)
{
    const struct truth *t = &w->truth;
    int64_t zxid = INT64_MAX;
    bool is_silent = false;
    for (int64_t i = 0; i < t->change_count && zxid == INT64_MAX; i++) {
        const struct change_seen *c = &t->changes[i];
        if (c->zxid > seen->set_zxid && concerns(seen, c)) {
            zxid = c->zxid;
            is_silent = strcmp(seen->path, c->path) == 0 ? c->is_hidden : c->is_parent_hidden;
        }
    }
    if (seen->has_fired && zxid == INT64_MAX) {
        sim_fail(w, "user %d: a watch on %s fired without a change", seen->user, seen->path);
    }
    if (is_silent) {
        return; /* unless it is set again after a reconnect, which tells of what was missed */
    }
    if (zxid <= seen->seen_zxid) {
        sim_fail(w,
                 "user %d: a watch on %s, set at 0x%" PRIx64 ", %s the change 0x%" PRIx64
                 ", but 0x%" PRIx64 " had been shown",
                 seen->user, seen->path, seen->set_zxid,
                 seen->has_fired ? "told late of" : "never told of", zxid, seen->seen_zxid);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static int by_zxid(const void *a, const void *b)
{
    const struct op *x = *(struct op *const *)a;
    const struct op *y = *(struct op *const *)b;
    if (x->zxid != y->zxid) {
        return x->zxid < y->zxid ? -1 : 1;
    }
    return x->answered_us != y->answered_us ? (x->answered_us < y->answered_us ? -1 : 1)
                                            : (x < y ? -1 : x > y);
}

static void sort_ops(struct replay *r)
{
    struct truth *t = &r->w->truth;
    r->op_count = t->answer_count;
    r->ops = xcalloc((size_t)r->op_count + 1, sizeof(struct op *));
    for (int64_t i = 0; i < r->op_count; i++) {
        r->ops[i] = &t->ops[i];
    }
    qsort(r->ops, (size_t)r->op_count, sizeof(struct op *), by_zxid);
}

void replay_check(struct world *w)
{
    struct truth *t = &w->truth;
    struct data_tree_config config = { .hash_seed = w->seed, .extended_types = true };
    struct replay r = { .w = w, .tree = data_tree_new(&config) };
    struct txn txn;
    session_map_init(&r.sessions);
    r.tree->observer = (struct tree_observer){ note_change, &r };
    sort_ops(&r);
    for (int64_t i = 0; i < t->committed_count; i++) {
        check_answers(&r, i > 0 ? &txn : NULL, t->committed[i]);
        apply(&r, txn_of(t, t->committed[i]), &txn);
    }
    check_answers(&r, t->committed_count > 0 ? &txn : NULL, INT64_MAX);
    check_write_order(&r);
    for (int64_t i = 0; i < t->watch_count; i++) {
        check_watch(w, &t->watches[i]);
    }
    free(r.ops);
    apply_result_fini(&r.result);
    session_map_fini(&r.sessions);
    data_tree_free(r.tree);
}
