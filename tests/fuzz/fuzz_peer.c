/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the conversation of two clients with the core. The input is a list of steps: one byte says
 * who does what, two bytes how long the frame is, then the frame. The core must keep its invariants (its
 * own assertions), and the digest of every txn must be that of the tree after it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/peer.h"

enum { CLIENTS = 2 };

static const struct ensemble alone = {
    .self_sid = 1, .voter_count = 1, .voters = { 1 }, .config_text = ""
};

struct world {
    struct data_tree *tree;
    struct peer *peer;
    struct client *clients[CLIENTS];
    int64_t now_ms;
};

static void step(struct world *w, struct peer_event ev)
{
    ev.now_ms = w->now_ms;
    ev.wall_ms = w->now_ms;
    peer_step(w->peer, &ev);
}

static void send_frame(struct world *w, struct client *c, const uint8_t *data, size_t len)
{
    struct peer_event ev = { .type = PEER_CLIENT_FRAME };
    ev.frame.client = c;
    ev.frame.bytes = (struct slice){ data, (int32_t)len };
    step(w, ev);
}

static void sync_log(struct world *w)
{
    struct peer_event ev = { .type = PEER_LOG_SYNCED };
    ev.zxid = w->peer->zab.history.logged_zxid;
    buf_reset(&w->peer->actions.log_batch);
    step(w, ev);
}

static struct client *reopen(struct world *w, struct client *c)
{
    if (c) {
        step(w, (struct peer_event){ .type = PEER_CLIENT_CLOSED, .client = c });
    }
    return peer_client_open(w->peer, NULL, "127.0.0.1");
}

/* A session of its own, so that most inputs get past the handshake. */
static void connect_client(struct world *w, struct client *c)
{
    struct connect_request r = { 0, 0, 10000, 0, SLICE_NULL };
    struct buf frame = BUF_EMPTY;
    connect_request_encode(&frame, &r);
    send_frame(w, c, frame.data, frame.len);
    buf_fini(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct data_tree_config tree_config = { .hash_seed = 1, .extended_types = true };
    struct peer_config config = {
        .ensemble = &alone, .sid = 1, .start_ms = 1, .seed = 1, .tick_time_ms = 2000, .min_session_timeout_ms = 4000,
        .max_session_timeout_ms = 40000, .snap_count = 100, .jute_maxbuffer = 0xfffff,
        .with_digest = true, .enforce_quota = true, .reaper = { 1000, 10000, 5000 },
    };
    struct zab_start start = { .last_zxid = 0 };
    struct world w = { .now_ms = 1000 };
    w.tree = data_tree_new(&tree_config);
    w.peer = peer_new(&config, w.tree, w.now_ms);
    peer_start(w.peer, &start);
    for (int i = 0; i < CLIENTS; i++) {
        w.clients[i] = reopen(&w, NULL);
    }
    connect_client(&w, w.clients[0]);
    sync_log(&w);
    while (size >= 3) {
        uint8_t what = data[0];
        size_t len = (size_t)data[1] << 8 | data[2];
        data += 3;
        size -= 3;
        len = len > size ? size : len;
        struct client **c = &w.clients[what % CLIENTS];
        switch (what >> 4) {
        case 0:
            sync_log(&w);
            break;
        case 1:
            w.now_ms += (int64_t)len * 16;
            step(&w, (struct peer_event){ .type = PEER_TICK });
            len = 0;
            break;
        case 2:
            *c = reopen(&w, *c);
            connect_client(&w, *c);
            break;
        case 15:
            step(&w, (struct peer_event){ .type = PEER_CLIENT_OVERSIZED, .oversized = { *c, 7 } });
            break;
        default:
            send_frame(&w, *c, data, len);
            break;
        }
        data += len;
        size -= len;
        buf_reset(&(*c)->out);
    }
    sync_log(&w);
    if (w.peer->stats.digest_mismatches != 0) {
        abort();
    }
    for (int i = 0; i < CLIENTS; i++) {
        step(&w, (struct peer_event){ .type = PEER_CLIENT_CLOSED, .client = w.clients[i] });
    }
    peer_free(w.peer);
    data_tree_free(w.tree);
    return 0;
}
