/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/peer.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/core/reads.h"
#include "server/core/zxid.h"
#include "server/jute/txn.h"
#include "server/tree/mutant.h"

/* ---- clients ----------------------------------------------------------------------------------------- */

static void mark_dirty(struct peer *p, struct client *c)
{
    if (list_is_empty(&c->dirty)) {
        list_push_back(&p->actions.dirty, &c->dirty);
    }
}

/* Nothing more is read from it; what stands in out is still sent. */
static void close_client(struct peer *p, struct client *c)
{
    if (c->session) {
        c->session->client = NULL;
        c->session = NULL;
    }
    watcher_fini(&p->watches, &c->watcher);
    list_remove(&c->settled);
    list_remove(&c->revalidating);
    c->state = CLIENT_CLOSING;
    mark_dirty(p, c);
}

struct client *peer_client_open(struct peer *p, void *conn, const char *ip)
{
    struct client *c = client_new(++p->next_client_id, conn);
    client_add_id(c, slice_of_str("ip"), slice_of_str(ip));
    htable_insert(&p->clients, &c->by_id, hash_u64(c->id, p->config.seed));
    return c;
}

static struct client *find_client(const struct peer *p, uint64_t id)
{
    uint64_t hash = hash_u64(id, p->config.seed);
    for (struct hlink *l = htable_first(&p->clients, hash); l; l = hlink_next(l, hash)) {
        struct client *c = list_entry(l, struct client, by_id);
        if (c->id == id) {
            return c;
        }
    }
    return NULL;
}

static void drop_pending(struct peer *p, struct client *c, struct pending *w)
{
    p->large_bytes -= w->large_bytes;
    client_drop_pending(c, w);
}

static void on_client_closed(struct peer *p, struct client *c)
{
    close_client(p, c);
    while (client_first_pending(c)) {
        drop_pending(p, c, client_first_pending(c));
    }
    list_remove(&c->dirty);
    htable_remove(&p->clients, &c->by_id);
    client_free(c);
}

static void count_latency(struct peer *p, struct client *c, const struct pending *done)
{
    int64_t ms = p->now_ms - done->arrived_ms;
    struct client_stats *cs = &c->stats;
    struct peer_stats *ps = &p->stats;
    cs->latency_last_ms = ms;
    cs->latency_min_ms = cs->latency_count == 0 || ms < cs->latency_min_ms ? ms : cs->latency_min_ms;
    cs->latency_max_ms = ms > cs->latency_max_ms ? ms : cs->latency_max_ms;
    cs->latency_total_ms += ms;
    cs->latency_count++;
    ps->latency_min_ms = ps->latency_count == 0 || ms < ps->latency_min_ms ? ms : ps->latency_min_ms;
    ps->latency_max_ms = ms > ps->latency_max_ms ? ms : ps->latency_max_ms;
    ps->latency_total_ms += ms;
    ps->latency_count++;
    ps->sent++;
    cs->last_cxid = done->xid;
    cs->last_op = done->type;
    cs->last_zxid = p->tree->last_zxid;
}

/* ---- the pipeline: what waits for what ------------------------------------------------------------------ */

static void run_zab(struct peer *p, struct zab_event *ev);

static void submit(struct peer *p, const struct request *req)
{
    struct zab_event ev = { .type = ZAB_ON_SUBMIT, .request = req };
    run_zab(p, &ev);
}

/* A write or a sync of this client, which stands in its pending line. */
static void submit_pending(struct peer *p, struct client *c, const struct pending *w,
                           struct slice body)
{
    if (w->type == OP_SYNC) {
        struct zab_event ev = { .type = ZAB_ON_SYNC, .sync = { c->id, w->xid } };
        run_zab(p, &ev);
        return;
    }
    struct request req = {
        .session_id = c->session_id,
        .cxid = w->xid,
        .type = w->type,
        .body = body,
        .ids = client_ids(c),
        .time_ms = w->wall_ms,
        .from_sid = p->config.ensemble->self_sid,
        .origin = c->id,
    };
    submit(p, &req);
}

static bool is_submitted_type(int32_t type)
{
    return type == OP_SYNC || type == OP_CREATE_SESSION || opcode_is_write(type);
}

static void answer_read(struct peer *p, struct client *c, const struct pending *r, struct slice body)
{
    read_request(p, c, r->xid, r->type, body);
    count_latency(p, c, r);
    mark_dirty(p, c);
}

/* Answers the held reads that have nothing left to wait for. */
static void drain_reads(struct peer *p, struct client *c)
{
    struct pending *first;
    while (c->state == CLIENT_READY && (first = client_first_pending(c)) != NULL &&
           !first->submitted && !is_submitted_type(first->type)) {
        answer_read(p, c, first, (struct slice){ first->body, first->body_len });
        drop_pending(p, c, first);
    }
}

static void submit_held(struct peer *p, struct client *c, struct pending *w)
{
    w->submitted = true;
    c->syncs_submitted += w->type == OP_SYNC;
    submit_pending(p, c, w, (struct slice){ w->body, w->body_len });
}

static struct pending *first_to_submit(const struct client *c)
{
    list_for_each (it, &c->pending) {
        struct pending *w = list_entry(it, struct pending, line);
        if (!w->submitted && is_submitted_type(w->type)) {
            return w;
        }
    }
    return NULL;
}

/* The session is settled, or a sync is answered: what was held goes its way, up to the next sync. One that is
 * answered at once is gone before submit_held returns. */
static void start_held(struct peer *p, struct client *c)
{
    struct pending *w;
    drain_reads(p, c);
    while (c->state == CLIENT_READY && c->syncs_submitted == 0 && (w = first_to_submit(c)) != NULL) {
        submit_held(p, c, w);
        drain_reads(p, c);
    }
}

static void confirm_doubt(struct peer *p, struct client *c)
{
    struct zab_event ev = { .type = ZAB_ON_SYNC, .sync = { c->id, 0 } };
    run_zab(p, &ev);
}

static void start_settled(struct peer *p)
{
    struct list *it;
    while ((it = list_pop_front(&p->settled)) != NULL) {
        struct client *c = list_entry(it, struct client, settled);
        if (c->state == CLIENT_DOUBTED) {
            confirm_doubt(p, c);
        } else {
            start_held(p, c);
        }
    }
}

/* What the request counts for among the large ones, or -1: there are too many of them already. */
static int64_t large_share(const struct peer *p, struct slice body)
{
    const struct peer_config *c = &p->config;
    if (c->large_request_bytes <= 0 || body.len <= c->large_request_bytes) {
        return 0;
    }
    return p->large_bytes + body.len <= c->large_requests_max ? body.len : -1;
}

/* One request of a settled or settling session. */
static void on_request(struct peer *p, struct client *c, int32_t xid, int32_t type,
                       struct slice body)
{
    bool ready = c->state == CLIENT_READY;
    bool goes_to_zab = is_submitted_type(type);
    bool submitted = ready && goes_to_zab && c->syncs_submitted == 0;
    if (ready && !goes_to_zab && (!client_first_pending(c) || MUTANT(W11))) {
        struct pending now = { .xid = xid, .type = type, .arrived_ms = p->now_ms };
        answer_read(p, c, &now, body);
        return;
    }
    int64_t large_bytes = large_share(p, body);
    if (large_bytes < 0) {
        close_client(p, c);
        return;
    }
    /* A sync's path is needed for its answer: it keeps its body. */
    struct pending *w = client_push_pending(c, xid, type, body, submitted && type != OP_SYNC);
    w->submitted = submitted;
    w->arrived_ms = p->now_ms;
    w->wall_ms = p->wall_ms;
    w->large_bytes = large_bytes;
    p->large_bytes += large_bytes;
    if (submitted) {
        c->syncs_submitted += type == OP_SYNC;
        submit_pending(p, c, w, body);
    }
}

/* ---- connect --------------------------------------------------------------------------------------------- */

static int32_t negotiate_timeout(const struct peer *p, int32_t wanted_ms)
{
    int32_t min = p->config.min_session_timeout_ms;
    int32_t max = p->config.max_session_timeout_ms;
    return wanted_ms < min ? min : wanted_ms > max ? max : wanted_ms;
}

static void open_session(struct peer *p, struct client *c)
{
    c->session_id = session_table_next_id(&p->sessions);
    c->state = CLIENT_SETTLING;
    struct buf body = BUF_EMPTY;
    put_int(&body, c->timeout_ms);
    struct pending *w = client_push_pending(c, 0, OP_CREATE_SESSION, SLICE_NULL, true);
    w->arrived_ms = p->now_ms;
    w->wall_ms = p->wall_ms;
    submit_pending(p, c, w, (struct slice){ body.data, (int32_t)body.len });
    buf_fini(&body);
}

/* A session that is unknown, closing or not proved is refused with id 0, never replaced by a new one
 * (W4). */
static void refuse_session(struct peer *p, struct client *c)
{
    reply_connect(c, 0, 0);
    close_client(p, c);
}

/* W4. A leader that the others have left behind does not know of the sessions that they have begun since, and
 * neither do its followers. So nobody hears "expired" before a quorum has confirmed that it still leads, as for
 * a sync; a leader that is none any more closes the connection sooner or later, and the client goes on. */
static void doubt_session(struct peer *p, struct client *c)
{
    if (MUTANT(W4)) {
        refuse_session(p, c);
        return;
    }
    c->state = CLIENT_DOUBTED;
    list_push_back(&p->settled, &c->settled);
}

static void on_doubt_confirmed(struct peer *p, struct client *c)
{
    if (session_find(&p->sessions, c->session_id)) {
        close_client(p, c); /* it has come to be known meanwhile: the next try will do */
    } else {
        refuse_session(p, c);
    }
}

static bool password_matches(const struct connect_request *r)
{
    uint8_t right[SESSION_PASSWD_BYTES];
    session_password(r->session_id, right);
    return slice_eq(r->passwd, (struct slice){ right, sizeof(right) });
}

/* The session goes on through this connection; any other one of it here is closed. */
static void attach_session(struct peer *p, struct client *c, struct session *s)
{
    if (s->client && s->client != c) {
        close_client(p, s->client);
    }
    s->client = c;
    c->session = s;
    c->state = CLIENT_READY;
    session_add(&p->sessions, s->id, c->timeout_ms, p->now_ms);
    reply_connect(c, c->timeout_ms, s->id);
    mark_dirty(p, c);
}

/* Only the leader knows for sure whether a session is alive (W4). */
static void ask_leader(struct peer *p, struct client *c)
{
    struct zab_event ev = { .type = ZAB_ON_REVALIDATE,
                            .revalidate = { c->session_id, c->timeout_ms } };
    c->state = CLIENT_SETTLING;
    list_push_back(&p->revalidating, &c->revalidating);
    run_zab(p, &ev);
}

static void resume_session(struct peer *p, struct client *c, const struct connect_request *r)
{
    struct session *s = session_find(&p->sessions, r->session_id);
    /* A wrong password does not disturb the owner's connection; in Apache it does. */
    if (!password_matches(r)) {
        refuse_session(p, c);
        return;
    }
    c->session_id = r->session_id;
    if (!p->is_leader) {
        ask_leader(p, c);
    } else if (!s) {
        doubt_session(p, c);
    } else if (s->closing) {
        c->state = CLIENT_SETTLING; /* until the closeSession is applied, see end_session */
        list_push_back(&p->revalidating, &c->revalidating);
    } else {
        s->owner_sid = p->config.ensemble->self_sid;
        attach_session(p, c, s);
    }
}

static void on_revalidated(struct peer *p, int64_t session_id, bool is_valid)
{
    list_for_each (it, &p->revalidating) {
        struct client *c = list_entry(it, struct client, revalidating);
        if (c->session_id != session_id) {
            continue;
        }
        if (!is_valid && session_find(&p->sessions, session_id)) {
            continue; /* it is over, but not yet in our tree */
        }
        list_remove(&c->revalidating);
        if (is_valid) {
            attach_session(p, c, session_add(&p->sessions, session_id, c->timeout_ms, p->now_ms));
            list_push_back(&p->settled, &c->settled);
        } else {
            doubt_session(p, c);
        }
        return;
    }
}

static void on_connect(struct peer *p, struct client *c, struct slice bytes)
{
    struct wire w;
    struct connect_request r;
    wire_init(&w, bytes.data, slice_size(bytes));
    if (!connect_request_decode(&w, &r)) {
        close_client(p, c);
        return;
    }
    c->wants_read_only = wire_left(&w) > 0;
    if (r.last_zxid_seen > p->tree->last_zxid && !MUTANT(W5)) {
        close_client(p, c); /* it has seen a future that we have not: let it try another server (W5) */
        return;
    }
    c->timeout_ms = negotiate_timeout(p, r.timeout_ms);
    if (r.session_id == 0) {
        open_session(p, c);
    } else {
        resume_session(p, c, &r);
    }
}

/* ---- delivery ---------------------------------------------------------------------------------------------- */

struct delivery {
    struct peer *peer;
    const struct tree_change *change;
};

/* Whoever may not read the node, or the parent whose children changed, hears nothing of it. */
static void deliver_watch_event(void *arg, struct watcher *watcher, enum watch_event_type type,
                                struct slice path)
{
    const struct delivery *d = arg;
    struct peer *p = d->peer;
    struct client *c = list_entry(watcher, struct client, watcher);
    struct vec acl =
        type == EVENT_NODE_CHILDREN_CHANGED ? d->change->parent_acl : d->change->acl;
    if (p->config.skip_acl || acl_permits(acl, PERM_READ, client_ids(c))) {
        reply_event(c, type, path);
        mark_dirty(p, c);
    }
}

/* The tree's observer: events enter out before any reply that could show the new state (W7). */
static void on_tree_changed(void *arg, const struct tree_change *change)
{
    struct peer *p = arg;
    struct delivery d = { p, change };
    watch_trigger_path(&p->watches, change->type, change->path, deliver_watch_event, &d);
}

/* The client of this txn, if it is still there and this is what it waits for. */
static struct pending *find_waiting(struct peer *p, uint64_t origin, int32_t cxid,
                                    struct client **out)
{
    struct client *c = origin ? find_client(p, origin) : NULL;
    if (!c || c->state == CLIENT_CLOSING) {
        return NULL;
    }
    struct pending *first = client_first_pending(c);
    zk_assert(first != NULL);
    zk_assert(first->submitted);
    zk_assert(first->xid == cxid);
    *out = c;
    return first;
}

static void settle(struct peer *p, struct client *c)
{
    struct session *s = session_find(&p->sessions, c->session_id);
    s->client = c;
    c->session = s;
    c->state = CLIENT_READY;
    reply_connect(c, c->timeout_ms, c->session_id);
    list_push_back(&p->settled, &c->settled);
}

/* The one that asked gets its answer and the held reads behind it theirs. */
static void complete(struct peer *p, struct client *c, struct pending *done)
{
    count_latency(p, c, done);
    drop_pending(p, c, done);
    mark_dirty(p, c);
    drain_reads(p, c);
}

static void answer_origin(struct peer *p, const struct proposal *prop)
{
    struct client *c;
    struct pending *done = find_waiting(p, prop->origin, prop->cxid, &c);
    if (!done) {
        return;
    }
    if (done->type == OP_CREATE_SESSION) {
        settle(p, c);
    } else {
        write_reply(p, c, done->xid, &p->result);
    }
    bool closed = done->type == OP_CLOSE_SESSION;
    complete(p, c, done);
    if (closed) {
        close_client(p, c);
    }
}

/* Who wanted to resume it is told now. */
static void refuse_waiting(struct peer *p, int64_t session_id)
{
    list_for_each_safe (it, next, &p->revalidating) {
        struct client *c = list_entry(it, struct client, revalidating);
        if (c->session_id == session_id) {
            refuse_session(p, c);
        }
    }
}

/* Before anyone hears "expired", the session's ephemerals are gone. */
static void end_session(struct peer *p, int64_t session_id, uint64_t origin)
{
    struct session *s = session_find(&p->sessions, session_id);
    if (!s) {
        return;
    }
    struct client *c = s->client;
    if (c && c->id != origin) {
        close_client(p, c); /* without an answer */
    } else if (c) {
        c->session = NULL;
        s->client = NULL;
    }
    session_remove(&p->sessions, s);
    refuse_waiting(p, session_id);
}

static void count_for_snapshot(struct peer *p)
{
    if (--p->txns_until_snapshot <= 0) {
        int64_t half = p->config.snap_count / 2 + 1;
        p->txns_until_snapshot = half + (int64_t)prng_below(&p->rng, (uint64_t)half);
        p->actions.snapshot_due = true;
    }
}

/* S14, ZAB-14: each txn carries the digest of the leader's tree after it, so the first one after a DIFF shows
 * whether the two have the same history. Once a snapshot was asked for, no other one is before the
 * digests have agreed: a leader whose own are wrong must not be asked for ever. */
static void compare_digests(struct peer *p, uint64_t digest)
{
    if (digest == p->tree->digest) {
        p->digests_agree = true;
        return;
    }
    p->stats.digest_mismatches++;
    if (p->digests_agree && p->zab.role != STATE_LEADING) {
        p->digests_agree = false;
        p->has_diverged = true;
    }
}

/* Applies one committed txn. Both halves of session changes happen here, so that memory and last_zxid
 * move together (L7, L10). */
static void deliver(struct peer *p, const struct proposal *prop)
{
    struct txn txn;
    bool decoded = txn_decode(prop->entry.data, prop->entry.len, &txn);
    zk_assert(decoded);
    if (txn.hdr.type == OP_CREATE_SESSION) {
        session_add(&p->sessions, txn.hdr.session_id, txn.body.create_session.timeout_ms, p->now_ms);
    }
    data_tree_apply(p->tree, &txn, &p->result);
    if (txn.hdr.type == OP_CLOSE_SESSION) {
        end_session(p, txn.hdr.session_id, prop->origin);
    }
    if (txn.has_digest) {
        compare_digests(p, (uint64_t)txn.digest.digest);
    }
    p->stats.received_commits += p->zab.role != STATE_LEADING;
    answer_origin(p, prop);
    count_for_snapshot(p);
}

static void deliver_sync(struct peer *p, uint64_t origin, int32_t cxid)
{
    struct client *c = find_client(p, origin);
    if (c && c->state == CLIENT_DOUBTED) {
        on_doubt_confirmed(p, c);
        return;
    }
    struct pending *done = find_waiting(p, origin, cxid, &c);
    if (done) {
        read_request(p, c, done->xid, OP_SYNC, (struct slice){ done->body, done->body_len });
        c->syncs_submitted--;
        complete(p, c, done);
        list_remove(&c->settled);
        list_push_back(&p->settled, &c->settled);
    }
}

static void count_proposal(struct peer *p, int64_t bytes)
{
    struct peer_stats *st = &p->stats;
    if (p->zab.role != STATE_LEADING) {
        st->received_proposals++;
        return;
    }
    st->proposed_bytes_last = bytes;
    st->proposed_bytes_min =
        st->proposed == 0 || bytes < st->proposed_bytes_min ? bytes : st->proposed_bytes_min;
    st->proposed_bytes_max = bytes > st->proposed_bytes_max ? bytes : st->proposed_bytes_max;
    st->proposed++;
}

static void append_to_log(struct peer *p, const struct proposal *prop)
{
    struct log_entry_head head = { prop->zxid, (int64_t)prop->entry.len };
    buf_append(&p->actions.log_batch, &head, sizeof(head));
    buf_append(&p->actions.log_batch, prop->entry.data, prop->entry.len);
    count_proposal(p, (int64_t)prop->entry.len);
}

static void close_all_clients(struct peer *p)
{
    for (size_t i = 0; i < p->clients.used; i++) {
        for (struct hlink *l = p->clients.buckets[i]; l; l = l->next) {
            close_client(p, list_entry(l, struct client, by_id));
        }
    }
}

/* Broadcast has begun, or is over. Clients do not outlive the role that served them. */
static void on_serve(struct peer *p, const struct zab_action *a)
{
    p->is_serving = a->on;
    p->is_leader = a->on && p->zab.role == STATE_LEADING;
    reaper_stop(&p->reaper);
    if (!a->on) {
        close_all_clients(p);
        return;
    }
    if (p->is_leader) {
        reaper_start(&p->reaper, p->now_ms);
    }
    p->sessions.reports_touches = !p->is_leader;
    session_table_renew(&p->sessions, p->now_ms);
    int64_t epoch_start = zxid_make(a->epoch, 0);
    if (epoch_start > p->tree->last_zxid) {
        p->tree->last_zxid = epoch_start; /* what Apache's clients may have seen already (W5) */
    }
}

static void tell_shell(struct peer *p, const struct zab_action *a)
{
    if (p->config.on_zab_action) {
        p->config.on_zab_action(p->config.on_zab_action_arg, &p->zab, a);
    }
}

static void run_action(struct peer *p, const struct zab_action *a)
{
    switch (a->type) {
    case ZAB_DO_LOG_APPEND:
        append_to_log(p, a->proposal);
        break;
    case ZAB_DO_DELIVER:
        deliver(p, a->proposal);
        break;
    case ZAB_DO_DELIVER_SYNC:
        deliver_sync(p, a->origin, a->cxid);
        break;
    case ZAB_DO_REVALIDATED:
        on_revalidated(p, a->session_id, a->is_valid);
        break;
    case ZAB_DO_SERVE:
        on_serve(p, a);
        tell_shell(p, a);
        break;
    default:
        tell_shell(p, a);
        break;
    }
}

static void run_actions(struct peer *p)
{
    for (int32_t i = 0; i < p->zab.action_count; i++) {
        run_action(p, &p->zab.actions[i]);
    }
}

static void run_zab(struct peer *p, struct zab_event *ev)
{
    ev->now_ms = p->now_ms;
    ev->wall_ms = p->wall_ms;
    zab_step(&p->zab, ev);
    run_actions(p);
}

/* ---- events ------------------------------------------------------------------------------------------------- */

/* enforce.auth: has the client proved who it is, in one of the ways that are asked for? */
static bool has_proved_itself(const struct peer *p, const struct client *c)
{
    struct wire schemes;
    wire_init_vec(&schemes, p->config.enforced_schemes);
    for (int32_t i = 0; i < p->config.enforced_schemes.count; i++) {
        struct slice scheme = wire_slice(&schemes);
        struct wire ids;
        wire_init_vec(&ids, client_ids(c));
        for (int32_t k = 0; k < c->id_count; k++) {
            struct id id;
            id_decode(&ids, &id);
            if (slice_eq(id.scheme, scheme)) {
                return true;
            }
        }
    }
    return p->config.enforced_schemes.count <= 0;
}

static void on_frame(struct peer *p, struct client *c, struct slice bytes)
{
    c->stats.received++;
    p->stats.received++;
    if (c->state == CLIENT_CLOSING) {
        return;
    }
    if (!p->is_serving) {
        close_client(p, c);
        return;
    }
    if (c->state == CLIENT_NEW) {
        on_connect(p, c, bytes);
        return;
    }
    struct wire w;
    struct request_header h;
    wire_init(&w, bytes.data, slice_size(bytes));
    if (!request_header_decode(&w, &h)) {
        close_client(p, c);
        return;
    }
    if (!has_proved_itself(p, c)) {
        reply_header_only(c, h.xid, 0, ZK_SESSION_CLOSED_REQUIRES_AUTH);
        close_client(p, c);
        return;
    }
    if (c->session) {
        session_touch(&p->sessions, c->session, p->now_ms);
    }
    if (h.type == OP_PING) {
        /* At once, not behind a write that waits for a slow disk: it only says that we are alive. */
        reply_header_only(c, XID_PING, p->tree->last_zxid, ZK_OK);
        c->stats.last_op = OP_PING;
        p->stats.sent++;
        mark_dirty(p, c);
        return;
    }
    /* Only the server itself asks for these; from a client they are like any unknown opcode. */
    bool is_internal = h.type == OP_CREATE_SESSION || h.type == OP_DELETE_CONTAINER ||
                       h.type == OP_ERROR;
    int32_t type = is_internal ? OP_NONE : h.type;
    on_request(p, c, h.xid, type, (struct slice){ w.at, (int32_t)wire_left(&w) });
}

/* It has its place in the order of answers, and its session is alive. */
static void on_oversized(struct peer *p, struct client *c, int32_t xid)
{
    c->stats.received++;
    p->stats.received++;
    if (c->state == CLIENT_CLOSING) {
        return;
    }
    if (c->state == CLIENT_NEW || !has_proved_itself(p, c)) {
        close_client(p, c);
        return;
    }
    if (c->session) {
        session_touch(&p->sessions, c->session, p->now_ms);
    }
    on_request(p, c, xid, OP_ERROR, SLICE_EMPTY);
}

static void on_auth(struct peer *p, struct client *c, int32_t xid, bool ok, struct vec ids)
{
    c->stats.received++;
    p->stats.received++;
    p->stats.sent++;
    if (!ok) {
        reply_header_only(c, xid, 0, ZK_AUTH_FAILED);
        close_client(p, c);
        return;
    }
    struct wire w;
    wire_init_vec(&w, ids);
    for (int32_t i = 0; i < ids.count; i++) {
        struct id id;
        id_decode(&w, &id);
        client_add_id(c, id.scheme, id.id);
    }
    if (c->session) {
        session_touch(&p->sessions, c->session, p->now_ms);
    }
    reply_header_only(c, xid, 0, ZK_OK);
    mark_dirty(p, c);
}

/* A leader that was stopped for a while has not heard what its sessions did meanwhile: it stands in the
 * sockets, and may be read only after this tick. Nobody expires for that. */
static void forgive_own_pause(struct peer *p)
{
    if (p->is_leader && p->now_ms - p->ticked_ms > p->config.tick_time_ms) {
        session_table_touch_all(&p->sessions, p->now_ms);
    }
    p->ticked_ms = p->now_ms;
}

static void expire_sessions(struct peer *p)
{
    struct session *s;
    while (p->is_leader && (s = session_next_expired(&p->sessions, p->now_ms)) != NULL) {
        p->stats.expired_sessions++;
        struct request req = {
            .session_id = s->id,
            .type = OP_CLOSE_SESSION,
            .body = SLICE_EMPTY,
            .ids = VEC_NULL,
            .time_ms = p->wall_ms,
        };
        submit(p, &req);
    }
}

static void reap_containers(struct peer *p)
{
    if (!reaper_begin_slice(&p->reaper, p->tree, p->now_ms)) {
        return;
    }
    struct buf path = BUF_EMPTY;
    const struct znode *n;
    while ((n = reaper_next(&p->reaper, p->tree, p->wall_ms)) != NULL) {
        buf_reset(&path);
        znode_append_path(n, &path);
        p->stats.reaped++;
        struct request req = {
            .type = OP_DELETE_CONTAINER,
            .body = { path.data, (int32_t)path.len },
            .ids = VEC_NULL,
            .time_ms = p->wall_ms,
        };
        submit(p, &req);
    }
    buf_fini(&path);
}

static void tell_divergence(struct peer *p)
{
    if (p->has_diverged) {
        struct zab_event diverged = { .type = ZAB_ON_DIVERGED };
        p->has_diverged = false;
        run_zab(p, &diverged);
    }
}

void peer_step(struct peer *p, const struct peer_event *event)
{
    p->now_ms = event->now_ms;
    p->wall_ms = event->wall_ms;
    struct zab_event synced = { .type = ZAB_ON_LOG_SYNCED };
    struct zab_event tick = { .type = ZAB_ON_TICK };
    switch (event->type) {
    case PEER_CLIENT_FRAME:
        on_frame(p, event->frame.client, event->frame.bytes);
        break;
    case PEER_CLIENT_OVERSIZED:
        on_oversized(p, event->oversized.client, event->oversized.xid);
        break;
    case PEER_CLIENT_AUTH:
        on_auth(p, event->auth.client, event->auth.xid, event->auth.ok, event->auth.ids);
        break;
    case PEER_CLIENT_CLOSED:
        on_client_closed(p, event->client);
        break;
    case PEER_LOG_SYNCED:
        synced.zxid = event->zxid;
        run_zab(p, &synced);
        break;
    case PEER_TICK:
        run_zab(p, &tick);
        forgive_own_pause(p);
        expire_sessions(p);
        reap_containers(p);
        break;
    case PEER_ZAB:
        run_zab(p, event->zab);
        break;
    }
    tell_divergence(p);
    start_settled(p);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

struct peer *peer_new(const struct peer_config *config, struct data_tree *tree, int64_t now_ms)
{
    struct peer *p = xcalloc(1, sizeof(*p));
    p->config = *config;
    p->tree = tree;
    p->now_ms = now_ms;
    p->ticked_ms = now_ms;
    p->digests_agree = true;
    prng_init(&p->rng, config->seed);
    htable_init(&p->clients);
    list_init(&p->settled);
    list_init(&p->revalidating);
    list_init(&p->actions.dirty);
    reaper_init(&p->reaper, &config->reaper);
    watch_table_init(&p->watches, config->seed);
    session_table_init(&p->sessions, config->sid, config->start_ms, config->tick_time_ms, now_ms,
                       config->seed);
    p->txns_until_snapshot = 1;
    count_for_snapshot(p);
    p->actions.snapshot_due = false;
    return p;
}

void peer_restore_session(struct peer *p, int64_t session_id, int32_t timeout_ms, int64_t now_ms)
{
    session_add(&p->sessions, session_id, timeout_ms, now_ms);
}

static bool is_known_session(void *arg, int64_t session_id)
{
    const struct peer *p = arg;
    return session_find(&p->sessions, session_id) != NULL;
}

static void watch_tree(struct peer *p)
{
    p->tree->observer = (struct tree_observer){ on_tree_changed, p };
}

int64_t peer_start(struct peer *p, const struct zab_start *start)
{
    const struct peer_config *c = &p->config;
    bool is_alone = c->ensemble->voter_count == 1 && !c->ensemble->is_observer;
    int64_t killed = is_alone ? data_tree_kill_orphans(p->tree, is_known_session, p) : 0;
    /* What every peer can read: twice jute.maxbuffer, as for logs and quorum packets. */
    struct zab_config config = {
        .prep = { c->skip_acl, c->with_digest, c->enforce_quota, 2 * (size_t)c->jute_maxbuffer,
                  c->reaper.never_used_ms_max },
        .ensemble = c->ensemble,
        .tick_time_ms = c->tick_time_ms,
        .init_limit_ticks = c->init_limit_ticks,
        .sync_limit_ticks = c->sync_limit_ticks,
        .commit_log_count = is_alone ? 0 : c->commit_log_count,
        .force_snap = c->force_snap,
        .snap_size_percent = c->snap_size_percent,
    };
    zab_init(&p->zab, &config, start, p->tree, &p->sessions, p->now_ms);
    watch_tree(p);
    zab_begin(&p->zab, p->now_ms);
    run_actions(p);
    return killed;
}

void peer_replace_tree(struct peer *p, struct data_tree *tree)
{
    zk_assert(!p->is_serving);
    p->tree = tree;
    p->zab.tree = tree;
    watch_tree(p);
    session_table_clear(&p->sessions);
}

int64_t peer_deadline_ms(const struct peer *p)
{
    int64_t zab_ms = zab_deadline_ms(&p->zab);
    return p->reaper.next_ms < zab_ms ? p->reaper.next_ms : zab_ms;
}

void peer_free(struct peer *p)
{
    zk_assert(p->clients.count == 0);
    p->tree->observer = (struct tree_observer){ NULL, NULL };
    if (p->zab.config.ensemble) { /* started */
        zab_fini(&p->zab);
    }
    session_table_fini(&p->sessions);
    watch_table_fini(&p->watches);
    htable_fini(&p->clients);
    apply_result_fini(&p->result);
    buf_fini(&p->actions.log_batch);
    free(p);
}

void peer_encode_sessions(const struct peer *p, struct buf *out)
{
    session_table_encode(&p->sessions, out);
}
