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

/* A server alone has this id in its session ids, as Apache's has (client-protocol 2). */
enum { STANDALONE_SID = 1 };

/* One client may have this many requests unanswered before it is not read any more. */
enum { PENDING_PER_CLIENT_MAX = 2000 };

/* Bytes on their way to the disk before clients that wait for it are not read any more. */
enum { LOG_BACKLOG_BYTES_MAX = 64 * 1024 * 1024 };

/* How long a snapshot pauses for a slow disk before it looks again. */
enum { SNAPSHOT_RETRY_MS = 5 };

static void step(struct server *s, struct peer_event *ev)
{
    ev->now_ms = clock_now_ms();
    ev->wall_ms = clock_wall_ms();
    peer_step(s->peer, ev);
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
    step(s, &ev);
    buf_fini(&ids);
}

/* globalOutstandingLimit, or more bytes than the disk takes. */
static bool is_busy(const struct server *s)
{
    return peer_outstanding(s->peer) > s->cfg->outstanding_max || log_thread_is_full(s->log);
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
    struct peer_event ev = { .type = PEER_CLIENT_FRAME };
    ev.frame.client = c;
    ev.frame.bytes = (struct slice){ body, (int32_t)len };
    step(s, &ev);
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
    step(s, &ev);
}

static const struct client_conn_ops conn_ops = { on_open, on_word, on_frame, on_close };

/* ---- events: what the store and the clock say ---------------------------------------------------------- */

static void on_tick(void *arg)
{
    struct server *s = arg;
    struct peer_event ev = { .type = PEER_TICK };
    step(s, &ev);
    /* Twice a tick, so that a session is never late by more than half of one. */
    loop_timer_set(&s->loop, &s->tick, s->loop.now_ms + s->cfg->tick_time_ms / 2);
}

static void fail(struct server *s, int err)
{
    s->failure = err;
    loop_stop(&s->loop);
}

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

static void on_log_synced(struct server *s, const struct store_event *done)
{
    struct server_counters *n = &s->counters;
    n->fsync_count++;
    n->fsync_us_total += done->duration_us;
    n->fsync_us_max = done->duration_us > n->fsync_us_max ? done->duration_us : n->fsync_us_max;
    n->fsync_slow_count += done->duration_us > (int64_t)s->cfg->fsync_warning_ms * 1000;
    struct peer_event ev = { .type = PEER_LOG_SYNCED, .zxid = done->zxid };
    step(s, &ev);
    resume_paused(s);
}

static void on_store_event(struct server *s, const struct store_event *done)
{
    switch (done->type) {
    case STORE_LOG_SYNCED:
        on_log_synced(s, done);
        break;
    case STORE_LOG_FAILED:
        /* What the kernel kept of the pages is unknown: trying again could acknowledge a lie (L1). */
        log_error("server", "cannot write the transaction log, stopping: %s", strerror(-done->error));
        fail(s, done->error);
        break;
    case STORE_SNAP_WRITTEN:
        snapshotter_ended(&s->snapshotter, true);
        log_info("server", "snapshot written zxid=0x%" PRIx64 " ms=%" PRId64, done->zxid,
                 done->duration_us / 1000);
        break;
    case STORE_SNAP_FAILED:
        snapshotter_ended(&s->snapshotter, false);
        log_warn("server", "cannot write snapshot zxid=0x%" PRIx64 ", the older ones stay: %s",
                 done->zxid, strerror(-done->error));
        break;
    }
}

static void take_store_events(struct server *s)
{
    struct queue_item *item = thread_queue_pop_all(&s->store_events);
    while (item) {
        struct queue_item *next = item->next;
        struct store_event *done = (struct store_event *)item;
        on_store_event(s, done);
        free(done);
        item = next;
    }
}

static void on_store_queue(void *arg, uint32_t events)
{
    (void)events;
    take_store_events(arg);
}

/* ---- actions: what the core wants done ------------------------------------------------------------------- */

/* Everything that this turn appended goes to the log thread in one piece. */
static void carry_out_log(struct server *s)
{
    struct buf *batch = &s->peer->actions.log_batch;
    if (buf_readable(batch) > 0) {
        s->log_bytes += (int64_t)buf_readable(batch);
        log_thread_append(s->log, batch);
    }
}

/* snapCount, or snapSizeLimitInKb. The log is rolled at the same point, so that a purge can drop whole
 * files. */
static void carry_out_snapshot(struct server *s)
{
    int64_t limit = s->cfg->snap_size_limit_kb * 1024;
    bool is_due = s->peer->actions.snapshot_due || (limit > 0 && s->log_bytes > limit);
    if (is_due && !s->snapshotter.is_writing) {
        s->peer->actions.snapshot_due = false;
        s->log_bytes = 0;
        log_thread_roll(s->log);
        snapshotter_begin(&s->snapshotter);
    }
}

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

/* The loop's hook, once a turn, after everything that happened in it. True: do not wait. */
static bool on_turn(void *arg)
{
    struct server *s = arg;
    client_port_turn(&s->port);
    carry_out_log(s);
    carry_out_clients(s);
    carry_out_snapshot(s);
    bool busy = snapshotter_turn(&s->snapshotter);
    if (s->snapshotter.is_walking && !busy) {
        loop_timer_set(&s->loop, &s->snapshot_retry, s->loop.now_ms + SNAPSHOT_RETRY_MS);
    }
    return client_port_is_busy(&s->port) || busy;
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

static int recover(struct server *s, uint64_t seed)
{
    const struct config *cfg = s->cfg;
    const struct recovery_options options = {
        .data_dir = cfg->data_dir,
        .log_dir = cfg->log_dir,
        .frame_bytes_max = (size_t)cfg->jute_maxbuffer,
        .trust_empty_snapshot = cfg->snapshot_trust_empty,
        .tree = { .hash_seed = seed, .extended_types = cfg->extended_types },
    };
    int err = recovery_run(&fsops_posix, &options, &s->recovered);
    if (err < 0) {
        log_error("server", "cannot recover %s: %s", cfg->data_dir,
                  s->recovered.error ? s->recovered.error : strerror(-err));
        recovery_fini(&s->recovered); /* the text is the caller's, also after a failure */
        return err;
    }
    if (s->recovered.digest_mismatches > 0) {
        log_warn("server", "%" PRId64 " txns left a tree whose digest is not the logged one",
                 s->recovered.digest_mismatches);
    }
    return 0;
}

static void start_peer(struct server *s, uint64_t seed)
{
    const struct config *cfg = s->cfg;
    const struct peer_config config = {
        .sid = STANDALONE_SID,
        .start_ms = clock_wall_ms(),
        .seed = seed,
        .tick_time_ms = cfg->tick_time_ms,
        .min_session_timeout_ms = cfg->session_timeout_ms_min,
        .max_session_timeout_ms = cfg->session_timeout_ms_max,
        .snap_count = cfg->snap_count,
        .jute_maxbuffer = cfg->jute_maxbuffer,
        .skip_acl = cfg->skip_acl,
        .with_digest = cfg->digest_enabled,
    };
    int64_t now_ms = clock_now_ms();
    s->peer = peer_new(&config, s->recovered.tree, now_ms);
    for (size_t i = 0; i < s->recovered.session_count; i++) {
        const struct saved_session *saved = &s->recovered.sessions[i];
        peer_restore_session(s->peer, saved->session_id, saved->timeout_ms, now_ms);
    }
    int64_t killed = peer_start(s->peer);
    if (killed > 0) {
        log_info("server", "deleted %" PRId64 " ephemerals of sessions that are gone", killed);
    }
}

static int open_port(struct server *s, uint64_t seed)
{
    const struct config *cfg = s->cfg;
    const struct client_port_options options = {
        .listen = { cfg->client_port_address, cfg->client_port, cfg->client_port_backlog },
        .cnxns_per_address_max = cfg->client_cnxns_max,
        .cnxns_max = cfg->cnxns_max,
        .keepalive = cfg->client_keepalive,
        .frame_bytes_max = cfg->jute_maxbuffer,
        .sessionless_timeout_ms = cfg->sessionless_timeout_ms,
        .seed = seed,
    };
    return client_port_open(&s->port, &s->loop, &options, &conn_ops, s);
}

static int start_store(struct server *s)
{
    const struct config *cfg = s->cfg;
    int err = thread_queue_init(&s->store_events);
    if (err < 0) {
        return err;
    }
    const struct log_thread_config log_config = {
        .fs = &fsops_posix,
        .dir = s->recovered.log_dir,
        .log = {
            .prealloc_bytes = (int64_t)cfg->prealloc_kb * 1024,
            .file_bytes_max = cfg->txnlog_size_limit_kb > 0 ? cfg->txnlog_size_limit_kb * 1024 : 0,
            .entry_bytes_max = 2 * (size_t)cfg->jute_maxbuffer,
            .force_sync = cfg->force_sync,
        },
        .last_zxid = s->recovered.last_zxid,
        .backlog_bytes_max = LOG_BACKLOG_BYTES_MAX,
        .fsync_warning_us = (int64_t)cfg->fsync_warning_ms * 1000,
        .events = &s->store_events,
    };
    err = log_thread_start(&log_config, &s->log);
    if (err < 0) {
        goto err_queue;
    }
    const struct snap_thread_config snap_config = {
        .fs = &fsops_posix,
        .snapshot_dir = s->recovered.snapshot_dir,
        .log_dir = s->recovered.log_dir,
        .retain_count = cfg->purge_interval_ms > 0 ? (size_t)cfg->purge_retain_count : 0,
        .events = &s->store_events,
    };
    err = snap_thread_start(&snap_config, &s->snap);
    if (err < 0) {
        goto err_log;
    }
    return 0;

err_log:
    log_thread_stop(s->log);
err_queue:
    thread_queue_fini(&s->store_events);
    return err;
}

/* What is on the way to the disk arrives there, and whoever still listens hears of it. */
static void stop_store(struct server *s)
{
    carry_out_log(s);
    log_thread_stop(s->log);
    take_store_events(s);
    carry_out_clients(s);
    snapshotter_fini(&s->snapshotter);
    snap_thread_stop(s->snap);
    take_store_events(s);
}

static int start_loop(struct server *s)
{
    s->tick = (struct loop_timer){ .fn = on_tick, .arg = s };
    s->snapshot_retry = (struct loop_timer){ .fn = on_snapshot_retry, .arg = s };
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
    loop_io_remove(&s->loop, &s->store_events_io);
}

int server_new(const struct config *cfg, struct server **out)
{
    struct server *s = xcalloc(1, sizeof(*s));
    uint64_t seed = random_seed();
    s->cfg = cfg;
    s->start_ms = clock_now_ms();
    s->auth = (struct auth_options){ cfg->digest_auth_enabled, cfg->super_digest };
    list_init(&s->paused);
    int err = recover(s, seed);
    if (err < 0) {
        goto err_free;
    }
    err = loop_init(&s->loop);
    if (err < 0) {
        goto err_recovered;
    }
    start_peer(s, seed);
    err = start_store(s);
    if (err < 0) {
        goto err_peer;
    }
    snapshotter_init(&s->snapshotter, s->peer, s->snap);
    /* So that the next start has little to replay. */
    s->peer->actions.snapshot_due = s->recovered.txn_count > 0;
    err = start_loop(s);
    if (err < 0) {
        goto err_store;
    }
    err = open_port(s, seed);
    if (err < 0) {
        goto err_loop;
    }
    *out = s;
    return 0;

err_loop:
    end_loop(s);
err_store:
    stop_store(s);
    thread_queue_fini(&s->store_events);
err_peer:
    peer_free(s->peer);
    loop_fini(&s->loop);
err_recovered:
    recovery_fini(&s->recovered);
err_free:
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
    stop_store(s);
    client_port_close(&s->port);
    end_loop(s);
    thread_queue_fini(&s->store_events);
    peer_free(s->peer);
    loop_fini(&s->loop);
    recovery_fini(&s->recovered);
    free(s);
}
