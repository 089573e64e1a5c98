/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PEER_WORLD_H
#define TESTS_UNIT_PEER_WORLD_H

/*
 * A server alone without a shell: frames in, what stands in a client's output out, a log thread that
 * is done when the test says so, and a clock that stands still. For cmocka tests only.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/peer.h"
#include "server/jute/txn.h"

struct world {
    struct data_tree *tree;
    struct peer *peer;
    int64_t now_ms;
    struct buf frame; /* the request being built */
};

static const struct ensemble alone = { .self_sid = 1, .voter_count = 1, .voters = { 1 }, .config_text = "" };

static inline struct peer_config world_config(void)
{
    return (struct peer_config){
        .ensemble = &alone, .sid = 1, .start_ms = 1000, .seed = 5, .tick_time_ms = 2000, .min_session_timeout_ms = 4000,
        .max_session_timeout_ms = 40000, .snap_count = 100000, .jute_maxbuffer = 0xfffff,
        .with_digest = true,
    };
}

static inline void world_init_with(struct world *w, const struct peer_config *config)
{
    struct zab_start start = { .last_zxid = 0 };
    struct data_tree_config tree_config = { .hash_seed = 5, .extended_types = true };
    memset(w, 0, sizeof(*w));
    w->now_ms = 10000;
    w->tree = data_tree_new(&tree_config);
    w->peer = peer_new(config, w->tree, w->now_ms);
    assert_int_equal(peer_start(w->peer, &start), 0);
}

static inline void world_init(struct world *w)
{
    struct peer_config config = world_config();
    world_init_with(w, &config);
}

static inline void step(struct world *w, struct peer_event ev)
{
    ev.now_ms = w->now_ms;
    ev.wall_ms = 1700000000000 + w->now_ms;
    peer_step(w->peer, &ev);
}

/* The log thread has written everything. */
static inline void sync_log(struct world *w)
{
    struct peer_event ev = { .type = PEER_LOG_SYNCED };
    ev.zxid = w->peer->zab.history.logged_zxid;
    buf_reset(&w->peer->actions.log_batch);
    step(w, ev);
}

static inline void tick(struct world *w, int64_t ms)
{
    w->now_ms += ms;
    step(w, (struct peer_event){ .type = PEER_TICK });
}

static inline void close_conn(struct world *w, struct client *c)
{
    step(w, (struct peer_event){ .type = PEER_CLIENT_CLOSED, .client = c });
}

static inline void world_fini(struct world *w)
{
    peer_free(w->peer);
    data_tree_free(w->tree);
    buf_fini(&w->frame);
}

static inline void send_frame(struct world *w, struct client *c)
{
    struct peer_event ev = { .type = PEER_CLIENT_FRAME };
    ev.frame.client = c;
    ev.frame.bytes = (struct slice){ w->frame.data, (int32_t)w->frame.len };
    step(w, ev);
}

static inline void send_connect(struct world *w, struct client *c, int64_t session_id, struct slice passwd,
                         int64_t last_zxid)
{
    struct connect_request r = { 0, last_zxid, 10000, session_id, passwd };
    buf_reset(&w->frame);
    connect_request_encode(&w->frame, &r);
    put_bool(&w->frame, false);
    send_frame(w, c);
}

static inline void begin(struct world *w, int32_t xid, int32_t type)
{
    struct request_header h = { xid, type };
    buf_reset(&w->frame);
    request_header_encode(&w->frame, &h);
}

static inline void send_create(struct world *w, struct client *c, int32_t xid, const char *path, int flags)
{
    struct create_request r = { slice_of_str(path), slice_of_str("data"), acl_open(), flags };
    begin(w, xid, OP_CREATE);
    create_request_encode(&w->frame, &r);
    send_frame(w, c);
}

static inline void send_set(struct world *w, struct client *c, int32_t xid, const char *path, const char *v)
{
    struct set_data_request r = { slice_of_str(path), slice_of_str(v), -1 };
    begin(w, xid, OP_SET_DATA);
    set_data_request_encode(&w->frame, &r);
    send_frame(w, c);
}

static inline void send_read(struct world *w, struct client *c, int32_t xid, int32_t type, const char *path,
                      bool watch)
{
    struct watched_read r = { slice_of_str(path), watch };
    begin(w, xid, type);
    watched_read_encode(&w->frame, &r);
    send_frame(w, c);
}

/* Takes the next frame out of the client's output; asserts that there is one. */
static inline struct wire next_reply(struct client *c, struct reply_header *h)
{
    struct wire w;
    assert_true(buf_readable(&c->out) >= 4);
    wire_init(&w, buf_head(&c->out), buf_readable(&c->out));
    int32_t len = wire_int(&w);
    struct wire frame;
    assert_true(len >= 16);
    wire_init(&frame, w.at, (size_t)len);
    c->out.head += 4 + (size_t)len;
    assert_true(reply_header_decode(&frame, h));
    return frame;
}

static inline void expect_reply(struct client *c, int32_t xid, int32_t err)
{
    struct reply_header h;
    next_reply(c, &h);
    assert_int_equal(h.xid, xid);
    assert_int_equal(h.err, err);
}

static inline void expect_event(struct client *c, int type, const char *path)
{
    struct reply_header h;
    struct wire w = next_reply(c, &h);
    struct watcher_event ev;
    assert_int_equal(h.xid, XID_NOTIFICATION);
    assert_true(watcher_event_decode(&w, &ev));
    assert_int_equal(ev.type, type);
    assert_true(slice_eq_str(ev.path, path));
}

static inline void expect_data(struct client *c, int32_t xid, const char *data)
{
    struct reply_header h;
    struct wire w = next_reply(c, &h);
    assert_int_equal(h.xid, xid);
    assert_int_equal(h.err, 0);
    assert_true(slice_eq_str(wire_slice(&w), data));
}

static inline void expect_silence(const struct client *c)
{
    assert_int_equal(buf_readable(&c->out), 0);
}

/* A client whose session is settled. */
static inline struct client *connected(struct world *w)
{
    struct client *c = peer_client_open(w->peer, NULL, "127.0.0.1");
    send_connect(w, c, 0, SLICE_NULL, 0);
    expect_silence(c);
    sync_log(w);
    assert_int_equal(c->state, CLIENT_READY);
    buf_reset(&c->out);
    return c;
}

#endif
