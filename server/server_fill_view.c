/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of a running server for administration. Loop thread. */
#include "server/server_parts.h"

#include "common/clock.h"
#include "server/admin/server_view.h"

/* The abbreviations of cons (client-protocol 14). */
static const char *op_name(int32_t type)
{
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
        return "CREA";
    case OP_DELETE:
        return "DELE";
    case OP_EXISTS:
        return "EXIS";
    case OP_GET_DATA:
        return "GETD";
    case OP_SET_DATA:
        return "SETD";
    case OP_GET_ACL:
        return "GETA";
    case OP_SET_ACL:
        return "SETA";
    case OP_GET_CHILDREN:
    case OP_GET_CHILDREN2:
        return "GETC";
    case OP_SYNC:
        return "SYNC";
    case OP_PING:
        return "PING";
    case OP_MULTI:
        return "MULT";
    case OP_SET_WATCHES:
    case OP_SET_WATCHES2:
        return "SETW";
    case OP_CREATE_SESSION:
        return "SESS";
    case OP_CLOSE_SESSION:
        return "CLOS";
    default:
        return "NA";
    }
}

static void show_connection(const struct client_conn *conn, connection_view_fn *fn, void *ctx)
{
    const struct client *c = conn->user;
    const struct client_stats *st = &c->stats;
    char address[96];
    peer_address_format(&conn->peer, address, sizeof(address));
    const struct connection_view v = {
        .address = address,
        .is_reading = client_conn_is_reading(conn),
        .queued = c->pending_count,
        .received = st->received,
        .sent = st->sent,
        .session_id = c->session_id,
        .last_op = op_name(st->last_op),
        .established_wall_ms = conn->accepted_wall_ms,
        .session_timeout_ms = c->timeout_ms,
        .last_cxid = st->last_cxid,
        .last_zxid = st->last_zxid,
        .last_response_ms = conn->last_read_ms,
        .latency_ms_last = st->latency_last_ms,
        .latency_ms_min = st->latency_min_ms,
        .latency_ms_max = st->latency_max_ms,
        .latency_ms_avg = st->latency_count ? st->latency_total_ms / st->latency_count : 0,
    };
    fn(ctx, &v);
}

static void for_each_connection(void *arg, connection_view_fn *fn, void *ctx)
{
    struct server *s = arg;
    list_for_each(it, &s->port.conns.open)
    {
        show_connection(list_entry(it, struct client_conn, link), fn, ctx);
    }
}

static void reset_stats(void *arg, enum stats_scope scope)
{
    struct server *s = arg;
    if (scope == STATS_SERVER) {
        struct peer_stats *p = &s->peer->stats;
        p->received = 0;
        p->sent = 0;
        p->latency_count = 0;
        p->latency_total_ms = 0;
        p->latency_min_ms = 0;
        p->latency_max_ms = 0;
        return;
    }
    list_for_each(it, &s->port.conns.open)
    {
        struct client *c = list_entry(it, struct client_conn, link)->user;
        c->stats = (struct client_stats){ .last_cxid = -1 };
    }
}

static const char *mode_of(const struct server *s)
{
    if (server_is_alone(s)) {
        return "standalone";
    }
    switch (s->peer->zab.role) {
    case STATE_LEADING:
        return "leader";
    case STATE_FOLLOWING:
        return "follower";
    case STATE_OBSERVING:
        return "observer";
    default:
        return "looking";
    }
}

static const char *peer_state_of(const struct zab *z)
{
    switch (z->role) {
    case STATE_LEADING:
        return z->is_serving ? "leading - broadcast" : "leading - synchronization";
    case STATE_FOLLOWING:
        return z->is_serving ? "following - broadcast" : "following - synchronization";
    case STATE_OBSERVING:
        return z->is_serving ? "observing - broadcast" : "observing - synchronization";
    default:
        return "looking - election";
    }
}

static void fill_leader(struct ensemble_view *v, const struct zab *z)
{
    list_for_each (it, &z->leader.handlers) {
        const struct handler *h = list_entry(it, struct handler, all);
        bool is_synced = h->state >= HANDLER_SYNCED;
        v->learner_count++;
        v->synced_follower_count += is_synced && !h->is_observer;
        v->synced_observer_count += is_synced && h->is_observer;
    }
    list_for_each (it, &z->leader.syncs) {
        v->pending_sync_count++;
    }
}

static void fill_ensemble(const struct server *s, struct ensemble_view *v)
{
    const struct zab *z = &s->peer->zab;
    const struct peer_stats *st = &s->peer->stats;
    const struct members *members = &s->membership.members;
    const struct member_address *self = members_find(members, members->self_sid)->addresses;
    bool has_proposed = st->proposed > 0;
    *v = (struct ensemble_view){
        .peer_state = peer_state_of(z),
        .is_leading = z->role == STATE_LEADING,
        .voter_count = s->membership.ensemble.voter_count,
        .looking_count = s->counters.looked,
        .proposals_received = st->received_proposals,
        .commits_received = st->received_commits,
        .snaps_sent = z->sync_stats.snaps,
        .diffs_sent = z->sync_stats.diffs,
        .digest_mismatches = st->digest_mismatches,
        .leader_uptime_ms = clock_now_ms() - s->replication.role_since_ms,
        .proposal_count = st->proposed,
        .proposal_bytes_last = has_proposed ? st->proposed_bytes_last : -1,
        .proposal_bytes_min = has_proposed ? st->proposed_bytes_min : -1,
        .proposal_bytes_max = has_proposed ? st->proposed_bytes_max : -1,
        .init_limit_ticks = s->cfg->init_limit_ticks,
        .sync_limit_ticks = s->cfg->sync_limit_ticks,
        .election_port = self->election_port,
        .quorum_port = self->quorum_port,
        .is_observer = s->membership.ensemble.is_observer,
        .members = s->membership.text,
    };
    if (v->is_leading) {
        fill_leader(v, z);
    }
}

void server_fill_view(struct server *s, struct server_view *view)
{
    const struct peer *p = s->peer;
    const struct snapshotter_stats *snap = &s->snapshotter.stats;
    *view = (struct server_view){
        .is_serving = p->is_serving,
        .mode = mode_of(s),
        .server_id = server_is_alone(s) ? 0 : (int)s->membership.ensemble.self_sid,
        .client_port = s->port.listener.port,
        .uptime_ms = clock_now_ms() - s->start_ms,
        .last_zxid = p->tree->last_zxid,
        .znode_count = data_tree_count(p->tree),
        .ephemeral_count = p->tree->ephemerals_count,
        .data_bytes = p->tree->data_size,
        .session_count = session_count(&p->sessions),
        .watch_count = p->watches.data_count + p->watches.child_count,
        .data_watch_count = p->watches.data_count,
        .data_watch_paths = p->watches.data_paths,
        .data_watch_connections = p->watches.data_watchers,
        .connection_count = s->port.count,
        .outstanding_count = peer_outstanding(p),
        .packets_received = p->stats.received,
        .packets_sent = p->stats.sent,
        .bytes_received = s->port.conns.stats.bytes_received,
        .bytes_sent = s->port.conns.stats.bytes_sent,
        .latency_ms_min = p->stats.latency_min_ms,
        .latency_ms_max = p->stats.latency_max_ms,
        .latency_ms_sum = p->stats.latency_total_ms,
        .latency_count = p->stats.latency_count,
        .connections_rejected = s->port.rejected,
        .connections_closed = s->port.conns.stats.dropped,
        .connect_requests = s->counters.connect_requests,
        .revalidate_requests = s->counters.revalidate_requests,
        .sessionless_expired = s->port.conns.stats.sessionless_expired,
        .sessions_expired = p->stats.expired_sessions,
        .auth_failed = s->counters.auth_failed,
        .fsync_count = s->counters.fsync_count,
        .fsync_ms_sum = s->counters.fsync_us_total / 1000,
        .fsync_ms_max = s->counters.fsync_us_max / 1000,
        .fsync_slow_count = s->counters.fsync_slow_count,
        .snapshot_count = snap->count,
        .snapshot_ms_sum = snap->ms_total,
        .snapshot_ms_max = snap->ms_max,
        .arg = s,
        .for_each_connection = for_each_connection,
        .reset_stats = reset_stats,
    };
    view->has_ensemble = !server_is_alone(s);
    if (view->has_ensemble) {
        fill_ensemble(s, &view->ensemble);
    }
}
