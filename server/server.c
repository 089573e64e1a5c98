/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/admin/fourletter.h"
#include "server/admin/server_view.h"
#include "server/core/reads.h"

/* One client may have this many requests unanswered before it is not read any more. */
enum { PENDING_PER_CLIENT_MAX = 2000 };

void server_step(struct server *s, struct peer_event *ev)
{
    ev->now_ms = clock_now_ms();
    ev->wall_ms = clock_wall_ms();
    peer_step(s->peer, ev);
    server_zab_after_step(s);
}

/* ---- events: what the connections say ------------------------------------------------------------------ */

static void on_open(void *arg, struct client_conn *conn)
{
    struct server *s = arg;
    struct client *c = peer_client_open(s->peer, conn, conn->peer.host);
    client_conn_attach(conn, c, &c->out);
}

static bool on_word(void *arg, struct client_conn *conn, const uint8_t word[4])
{
    struct server *s = arg;
    if (!fourletter_is_word(word)) {
        return false;
    }
    struct server_view view;
    server_fill_view(s, &view);
    fourletter_answer(word, s->cfg, &view, conn->out);
    return true;
}

/* The proof is checked here, since the core has no cryptography; the core keeps the outcome. */
static void on_auth_packet(struct server *s, struct client *c, int32_t xid, struct wire *w)
{
    struct peer_event ev = { .type = PEER_CLIENT_AUTH };
    struct auth_packet packet;
    struct buf ids = BUF_EMPTY;
    int32_t count = 0;
    ev.auth.client = c;
    ev.auth.xid = xid;
    ev.auth.ok = auth_packet_decode(w, &packet) &&
                 auth_check(&s->auth, packet.scheme, packet.auth, &ids, &count);
    ev.auth.ids = (struct vec){ count, { ids.data, (int32_t)ids.len } };
    if (!ev.auth.ok) {
        s->counters.auth_failed++;
    }
    server_step(s, &ev);
    buf_fini(&ids);
}

/* globalOutstandingLimit, or more bytes than the disk takes. */
static bool is_busy(const struct server *s)
{
    return !s->log || log_thread_is_full(s->log) ||
           peer_outstanding(s->peer) > s->cfg->outstanding_max;
}

static void throttle(struct server *s, struct client_conn *conn, struct client *c)
{
    bool is_waiting = c->pending_count > 0 && is_busy(s);
    if ((is_waiting || c->pending_count > PENDING_PER_CLIENT_MAX) && list_is_empty(&c->paused)) {
        client_conn_pause(conn, CLIENT_CONN_PAUSE_OUTSTANDING);
        list_push_back(&s->paused, &c->paused);
    }
}

static void on_frame(void *arg, struct client_conn *conn, const uint8_t *body, size_t len)
{
    struct server *s = arg;
    struct client *c = conn->user;
    bool is_connect = c->state == CLIENT_NEW;
    struct wire w;
    struct request_header h;
    wire_init(&w, body, len);
    if (!is_connect && request_header_decode(&w, &h) && h.type == OP_AUTH) {
        on_auth_packet(s, c, h.xid, &w);
        return;
    }
    if (is_connect && !token_bucket_take(&s->connects, s->loop.now_ms)) {
        s->counters.connects_refused++;
        client_conn_close(conn);
        return;
    }
    struct peer_event ev = { .type = PEER_CLIENT_FRAME };
    ev.frame.client = c;
    ev.frame.bytes = (struct slice){ body, (int32_t)len };
    server_step(s, &ev);
    if (is_connect) {
        s->counters.connect_requests++;
        s->counters.revalidate_requests += c->state == CLIENT_READY;
        /* A silent client is closed a while after its session would have expired anyway. */
        client_conn_set_idle_timeout(conn, 2 * c->timeout_ms);
    }
    throttle(s, conn, c);
}

static void on_close(void *arg, struct client_conn *conn)
{
    struct server *s = arg;
    struct client *c = conn->user;
    list_remove(&c->paused);
    struct peer_event ev = { .type = PEER_CLIENT_CLOSED, .client = c };
    server_step(s, &ev);
}

/* Only what begins as a request of a session does is one. */
static bool on_oversized(void *arg, struct client_conn *conn, const uint8_t *body)
{
    struct server *s = arg;
    struct client *c = conn->user;
    struct wire w;
    struct request_header h;
    wire_init(&w, body, CLIENT_CONN_OVERSIZED_BYTES);
    if (c->state != CLIENT_READY || !request_header_decode(&w, &h) ||
        !opcode_is_request(h.type)) {
        return false;
    }
    struct peer_event ev = { .type = PEER_CLIENT_OVERSIZED, .oversized = { c, h.xid } };
    server_step(s, &ev);
    s->counters.oversized++;
    return true;
}

static const struct client_conn_ops conn_ops = { on_open, on_word, on_frame, on_oversized,
                                                 on_close };

/* ---- events: what the store and the clock say ---------------------------------------------------------- */

static void on_tick(void *arg)
{
    struct server *s = arg;
    if (s->loop.now_ms >= s->expiry_at_ms) {
        /* Twice a tick, so that a session is never late by more than half of one. */
        s->expiry_at_ms = s->loop.now_ms + s->cfg->tick_time_ms / 2;
    }
    struct peer_event ev = { .type = PEER_TICK };
    server_step(s, &ev);
}

/* For the sessions, or for what replication waits for. */
static void set_tick(struct server *s)
{
    int64_t deadline_ms = peer_deadline_ms(s->peer);
    if (deadline_ms > s->expiry_at_ms) {
        deadline_ms = s->expiry_at_ms;
    }
    if (deadline_ms <= s->loop.now_ms) {
        deadline_ms = s->loop.now_ms + 1;
    }
    if (s->tick.place == 0 || s->tick.deadline_ms != deadline_ms) {
        loop_timer_set(&s->loop, &s->tick, deadline_ms);
    }
}

void server_fail(struct server *s, int err)
{
    s->failure = err;
    loop_stop(&s->loop);
}

/* Looked at in every turn: what there was too much of may go down by a commit as well as by a sync. */
static void resume_paused(struct server *s)
{
    if (is_busy(s)) {
        return;
    }
    struct list *it;
    while ((it = list_pop_front(&s->paused)) != NULL) {
        struct client *c = list_entry(it, struct client, paused);
        client_conn_resume(c->conn, CLIENT_CONN_PAUSE_OUTSTANDING);
    }
}

static void on_store_queue(void *arg, uint32_t events)
{
    (void)events;
    server_store_take_events(arg);
}

/* ---- actions: what the core wants done ------------------------------------------------------------------- */

/* One send per connection, however many replies and events it got. */
static void carry_out_clients(struct server *s)
{
    struct list *it;
    while ((it = list_pop_front(&s->peer->actions.dirty)) != NULL) {
        struct client *c = list_entry(it, struct client, dirty);
        if (c->state == CLIENT_CLOSING) {
            client_conn_finish(c->conn);
        } else {
            client_conn_flush(c->conn);
        }
    }
}

/* Firing starts a turn, which is all it is for. */
static void on_snapshot_retry(void *arg)
{
    (void)arg;
}

static void on_disk_retry(void *arg)
{
    server_disk_try_to_resume(arg);
}

/* The loop's hook, once a turn, after everything that happened in it. True: do not wait. */
static bool on_turn(void *arg)
{
    struct server *s = arg;
    client_port_turn(&s->port);
    bool is_sending = server_zab_turn(s);
    server_store_carry_out_log(s);
    carry_out_clients(s);
    bool is_storing = server_store_turn(s);
    server_zab_flush(s);
    resume_paused(s);
    set_tick(s);
    return client_port_is_busy(&s->port) || is_sending || is_storing ||
           (!server_is_alone(s) && learner_port_is_busy(&s->replication.learners));
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        seed = (uint64_t)clock_now_us();
    }
    return seed;
}

/* enforce.auth.schemes: names between commas. */
static void take_enforced_schemes(struct server *s)
{
    const char *at = s->cfg->auth_is_enforced ? s->cfg->enforced_schemes : NULL;
    while (at && *at) {
        size_t len = strcspn(at, ", ");
        if (len > 0) {
            put_slice(&s->enforced_schemes, (struct slice){ (const uint8_t *)at, (int32_t)len });
            s->enforced_scheme_count++;
        }
        at += len;
        at += strspn(at, ", ");
    }
}

static void make_peer(struct server *s)
{
    const struct config *cfg = s->cfg;
    const struct peer_config config = {
        .ensemble = &s->membership.ensemble,
        .init_limit_ticks = cfg->init_limit_ticks,
        .sync_limit_ticks = cfg->sync_limit_ticks,
        .commit_log_count = cfg->commit_log_count,
        .force_snap = cfg->force_snapshot_sync,
        .snap_size_percent = cfg->snapshot_size_percent,
        .on_zab_action = server_is_alone(s) ? NULL : server_zab_on_action,
        .on_zab_action_arg = s,
        .sid = s->membership.ensemble.self_sid,
        .start_ms = clock_wall_ms(),
        .seed = s->seed,
        .tick_time_ms = cfg->tick_time_ms,
        .min_session_timeout_ms = cfg->session_timeout_ms_min,
        .max_session_timeout_ms = cfg->session_timeout_ms_max,
        .snap_count = cfg->snap_count,
        .jute_maxbuffer = cfg->jute_maxbuffer,
        .large_request_bytes = cfg->large_request_bytes,
        .large_requests_max = cfg->large_requests_max,
        .reaper = { cfg->container_check_interval_ms, cfg->container_max_per_minute,
                    cfg->container_never_used_ms },
        .skip_acl = cfg->skip_acl,
        .enforce_quota = cfg->quota_is_enforced,
        .with_digest = cfg->digest_enabled,
        .enforced_schemes = { s->enforced_scheme_count,
                              { s->enforced_schemes.data, (int32_t)s->enforced_schemes.len } },
    };
    int64_t now_ms = clock_now_ms();
    s->peer = peer_new(&config, s->recovered.tree, now_ms);
    for (size_t i = 0; i < s->recovered.session_count; i++) {
        const struct saved_session *saved = &s->recovered.sessions[i];
        peer_restore_session(s->peer, saved->session_id, saved->timeout_ms, now_ms);
    }
}

/* From here on it elects, or serves at once when it is alone. */
static int begin(struct server *s)
{
    struct epochs epochs = { 0 };
    struct history_tail tail = { .entries = BUF_EMPTY };
    if (!server_is_alone(s)) {
        int err = server_store_read_epochs_and_tail(s, &s->recovered, &epochs, &tail);
        if (err < 0) {
            return err;
        }
        log_info("server", "server.%" PRId64 " of %zu, zxid=0x%" PRIx64 " epoch=%" PRId64,
                 s->membership.ensemble.self_sid, s->membership.members.count,
                 (uint64_t)s->recovered.last_zxid, epochs.current);
    }
    const struct zab_start start = { .last_zxid = s->recovered.last_zxid,
                                     .accepted_epoch = epochs.accepted,
                                     .current_epoch = epochs.current,
                                     .tail = &tail,
                                     .log_from_zxid = s->recovered.snapshot_zxid };
    int64_t killed = peer_start(s->peer, &start);
    buf_fini(&tail.entries);
    if (killed > 0) {
        log_info("server", "deleted %" PRId64 " ephemerals of sessions that are gone", killed);
    }
    return 0;
}

static int open_port(struct server *s)
{
    const struct config *cfg = s->cfg;
    const struct client_port_options options = {
        .listen = { cfg->client_port_address, cfg->client_port, cfg->client_port_backlog },
        .cnxns_per_address_max = cfg->client_cnxns_max,
        .cnxns_max = cfg->cnxns_max,
        .keepalive = cfg->client_keepalive,
        .frame_bytes_max = cfg->jute_maxbuffer,
        .sessionless_timeout_ms = cfg->sessionless_timeout_ms,
        .seed = s->seed,
    };
    return client_port_open(&s->port, &s->loop, &options, &conn_ops, s);
}

static int start_loop(struct server *s)
{
    s->tick = (struct loop_timer){ .fn = on_tick, .arg = s };
    s->snapshot_retry = (struct loop_timer){ .fn = on_snapshot_retry, .arg = s };
    s->disk_retry = (struct loop_timer){ .fn = on_disk_retry, .arg = s };
    s->store_events_io = (struct loop_io){
        .fd = thread_queue_fd(&s->store_events), .events = EPOLLIN, .fn = on_store_queue, .arg = s
    };
    loop_set_prepare(&s->loop, on_turn, s);
    loop_timer_set(&s->loop, &s->tick, clock_now_ms());
    return loop_io_add(&s->loop, &s->store_events_io);
}

static void end_loop(struct server *s)
{
    loop_timer_cancel(&s->loop, &s->tick);
    loop_timer_cancel(&s->loop, &s->snapshot_retry);
    loop_timer_cancel(&s->loop, &s->disk_retry);
    loop_io_remove(&s->loop, &s->store_events_io);
}

int server_new(const struct config *cfg, struct server **out)
{
    struct server *s = xcalloc(1, sizeof(*s));
    s->seed = random_seed();
    s->cfg = cfg;
    s->start_ms = clock_now_ms();
    token_bucket_init(&s->connects, cfg->connect_tokens_max, cfg->connect_fill_ms,
                      cfg->connect_fill_count, s->start_ms);
    s->auth = (struct auth_options){ cfg->digest_auth_enabled, cfg->digest_alg, cfg->super_digest };
    take_enforced_schemes(s);
    list_init(&s->paused);
    int err = -EINVAL;
    if (!auth_has_digest_alg(cfg->digest_alg ? cfg->digest_alg : "")) {
        log_error("server", "DigestAuthenticationProvider.digestAlg: there is no such hash");
        goto err_free;
    }
    err = membership_init(&s->membership, cfg);
    if (err < 0) {
        goto err_free;
    }
    err = server_store_recover(s);
    if (err < 0) {
        goto err_membership;
    }
    err = loop_init(&s->loop);
    if (err < 0) {
        goto err_recovered;
    }
    make_peer(s);
    err = server_store_start(s);
    if (err < 0) {
        goto err_peer;
    }
    /* So that the next start has little to replay. */
    s->peer->actions.snapshot_due = s->recovered.txn_count > 0;
    err = start_loop(s);
    if (err < 0) {
        goto err_store;
    }
    err = server_zab_start(s);
    if (err < 0) {
        goto err_loop;
    }
    err = begin(s);
    if (err < 0) {
        goto err_zab;
    }
    err = open_port(s);
    if (err < 0) {
        goto err_zab;
    }
    *out = s;
    return 0;

err_zab:
    server_zab_stop(s);
err_loop:
    end_loop(s);
err_store:
    server_store_stop(s);
    thread_queue_fini(&s->store_events);
err_peer:
    peer_free(s->peer);
    loop_fini(&s->loop);
err_recovered:
    recovery_fini(&s->recovered);
err_membership:
    membership_fini(&s->membership);
err_free:
    buf_fini(&s->enforced_schemes);
    free(s);
    return err;
}

int server_serve(struct server *s)
{
    int err = loop_run(&s->loop);
    return s->failure ? s->failure : err;
}

void server_stop(struct server *s)
{
    loop_stop(&s->loop);
}

int server_client_port(const struct server *s)
{
    return s->port.listener.port;
}

void server_free(struct server *s)
{
    if (!s) {
        return;
    }
    server_store_stop(s);
    client_port_close(&s->port);
    server_zab_stop(s);
    end_loop(s);
    thread_queue_fini(&s->store_events);
    peer_free(s->peer);
    loop_fini(&s->loop);
    recovery_fini(&s->recovered);
    membership_fini(&s->membership);
    buf_fini(&s->enforced_schemes);
    free(s);
}
