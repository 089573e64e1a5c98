/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/user_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/reads.h"
#include "server/jute/records.h"
#include "tests/sim/world.h"

enum { PATIENCE_US = 4000000, IMPATIENCE_US = 1500000, PACE_US = 60000 };

/* ---- connection ------------------------------------------------------------------------------------------- */

static void forget_line(struct world *w, struct user *u)
{
    for (int32_t i = 0; i < u->line_count; i++) {
        truth_lost(w, &u->line[i]);
    }
    u->line_count = 0;
    u->sync_floor = 0;
    u->synced_us = 0;
}

static void go_down(struct world *w, struct user *u)
{
    if (u->link) {
        net_close(w, u->link, 0);
        u->link = NULL;
    }
    u->state = USER_DOWN;
    u->retry_at_us = w->now_us + 5000 + world_below(w, 200000);
    u->is_closing = false;
    buf_reset(&u->in);
    forget_line(w, u);
}

static void begin_session(struct world *w, struct user *u)
{
    user_drop_all_watches(w, u);
    u->session_id = 0;
    u->last_zxid = 0;
    u->next_xid = 1;
}

void user_on_refused(struct world *w, struct user *u)
{
    go_down(w, u);
}

void user_on_closed(struct world *w, struct user *u, struct link *link)
{
    if (u->link == link) {
        u->link = NULL;
        go_down(w, u);
    }
}

void user_on_connected(struct world *w, struct user *u, struct link *link)
{
    uint8_t passwd[SESSION_PASSWD_BYTES] = { 0 };
    struct buf frame = BUF_EMPTY;
    u->link = link;
    u->state = USER_CONNECTING;
    u->heard_us = w->now_us;
    if (u->session_id != 0) {
        session_password(u->session_id, passwd);
    }
    struct connect_request r = {
        0, u->last_zxid, 600 + (int32_t)u->index * 1500, u->session_id, { passwd, sizeof(passwd) }
    };
    connect_request_encode(&frame, &r);
    put_bool(&frame, false);
    user_send_frame(w, u, &frame);
}

static void on_connect_answer(struct world *w, struct user *u, struct wire *in)
{
    struct connect_response r;
    if (!connect_response_decode(in, &r)) {
        sim_fail(w, "user %d: no connect answer", u->index);
    }
    if (r.session_id == 0) {
        truth_expired(w, u->session_id);
        begin_session(w, u);
        go_down(w, u);
        return;
    }
    if (u->session_id != 0 && u->session_id != r.session_id) {
        sim_fail(w, "user %d: another session than the one it asked for", u->index);
    }
    if (u->session_id != 0 && u->server != u->last_server) {
        world_saw(w, SEEN_SESSION_MOVED);
    }
    u->last_server = u->server;
    world_note(w, NOBODY, "session", u->index, r.session_id);
    u->session_id = r.session_id;
    u->timeout_ms = r.timeout_ms;
    u->state = USER_READY;
    u->tempted_by = faults_tempt(w, u->server);
    if (u->last_zxid == 0 && u->tempted_by != NOBODY) {
        go_down(w, u);
        u->retry_at_us = w->now_us;
        return;
    }
    user_set_watches(w, u);
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void on_answer(struct world *w, struct user *u, const struct reply_header *h,
                      struct wire *in)
{
    if (u->line_count == 0 || u->line[0].xid != h->xid) {
        sim_fail(w, "user %d: answer to xid %d, waiting for %d", u->index, h->xid,
                 u->line_count ? u->line[0].xid : 0);
    }
    struct op op = u->line[0];
    memmove(u->line, u->line + 1, (size_t)--u->line_count * sizeof(op));
    op.answered_us = w->now_us;
    truth_touched(w, u->session_id, u->timeout_ms, op.invoked_us);
    op.err = h->err;
    op.zxid = h->zxid;
    buf_init(&op.answer);
    buf_append(&op.answer, in->at, wire_left(in));
    user_add_watch(u, &op);
    if (op.type == OP_SET_WATCHES) {
        user_renew_watches(u, op.zxid);
    }
    if (op.type == OP_GET_DATA && op.synced_us != 0) {
        world_saw(w, SEEN_SYNC_READ);
    }
    world_note(w, NOBODY, "answer", op.user << 16 | op.xid, op.zxid);
    /* One that was refused has gone the same way, as an ErrorTxn. */
    if (opcode_is_write(op.type) && op.err != ZK_SESSION_EXPIRED && op.err != ZK_SESSION_MOVED) {
        u->last_write_invoked_us = op.invoked_us;
    }
    bool is_closed = op.type == OP_CLOSE_SESSION || op.err == ZK_SESSION_EXPIRED;
    truth_answered(w, &op);
    buf_fini(&op.answer);
    if (is_closed) {
        begin_session(w, u);
        go_down(w, u);
    } else if (op.err == ZK_SESSION_MOVED) {
        go_down(w, u);
    }
}

static void on_frame(struct world *w, struct user *u, struct slice frame)
{
    struct wire in;
    struct reply_header h;
    wire_init(&in, frame.data, slice_size(frame));
    u->heard_us = w->now_us;
    if (u->state == USER_CONNECTING) {
        on_connect_answer(w, u, &in);
        return;
    }
    if (!reply_header_decode(&in, &h)) {
        sim_fail(w, "user %d: an answer without a header", u->index);
    }
    if (h.xid == XID_NOTIFICATION) {
        user_on_watch_event(w, u, &in);
        return;
    }
    if (h.zxid < u->last_zxid) {
        sim_fail(w, "user %d was shown 0x%" PRIx64 " after 0x%" PRIx64, u->index, h.zxid,
                 u->last_zxid);
    }
    u->last_zxid = h.zxid;
    if (h.xid != XID_PING) {
        on_answer(w, u, &h, &in);
    } else {
        truth_touched(w, u->session_id, u->timeout_ms, u->pinged_us);
    }
}

void user_on_bytes(struct world *w, struct user *u, struct link *link, const struct buf *bytes)
{
    if (u->link != link) {
        return;
    }
    buf_append(&u->in, buf_head(bytes), buf_readable(bytes));
    while (u->link == link && buf_readable(&u->in) >= 4) {
        struct wire in;
        wire_init(&in, buf_head(&u->in), buf_readable(&u->in));
        int32_t len = wire_int(&in);
        if (wire_left(&in) < (size_t)len) {
            return;
        }
        struct buf frame = BUF_EMPTY;
        buf_append(&frame, in.at, (size_t)len);
        buf_consume(&u->in, 4 + (size_t)len);
        on_frame(w, u, (struct slice){ frame.data, len });
        buf_fini(&frame);
    }
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

static void ping(struct world *w, struct user *u)
{
    struct buf frame;
    user_begin_frame(&frame, XID_PING, OP_PING);
    u->pinged_us = w->now_us;
    user_send_frame(w, u, &frame);
}

/* Once everything works they want to be served. */
static int64_t patience_us(const struct world *w)
{
    return w->is_hostile ? PATIENCE_US : IMPATIENCE_US;
}

static void on_ready_tick(struct world *w, struct user *u)
{
    int64_t third_us = (int64_t)u->timeout_ms * 1000 / 3;
    if (w->now_us - u->heard_us > 2 * third_us || w->now_us - u->heard_us > patience_us(w)) {
        go_down(w, u);
    } else if (!w->is_ending && !u->is_closing && u->line_count < USER_LINE_MAX - 1) {
        user_begin_something(w, u);
    }
    if (u->state == USER_READY && w->now_us - u->sent_us > third_us) {
        ping(w, u);
    }
}

static void tick_event(struct world *w, const struct event *ev)
{
    struct user *u = &w->users[ev->a];
    if (u->state == USER_DOWN && w->now_us >= u->retry_at_us) {
        u->state = USER_DIALING;
        int32_t any = (int32_t)world_below(w, w->plan.server_count);
        u->server = u->tempted_by != NOBODY ? u->tempted_by : any;
        u->tempted_by = NOBODY;
        net_connect_user(w, u->index, u->server);
    } else if (u->state == USER_CONNECTING && w->now_us - u->heard_us > patience_us(w)) {
        go_down(w, u);
    } else if (u->state == USER_READY) {
        on_ready_tick(w, u);
    }
    int64_t pace_us = w->is_hostile ? u->pace_us : PACE_US;
    world_plan_event(w, 1000 + world_below(w, pace_us), NOBODY, tick_event)->a = u->index;
}

void user_init(struct world *w, struct user *u, int32_t index)
{
    memset(u, 0, sizeof(*u));
    u->index = index;
    u->next_xid = 1;
    u->tempted_by = NOBODY;
    /* A slow one still asks when a server has been silent for long. */
    u->pace_us = world_chance(w, 3) ? 700000 : PACE_US;
    u->is_reader = world_chance(w, 3);
    world_plan_event(w, world_below(w, 100000), NOBODY, tick_event)->a = index;
}

void user_fini(struct user *u)
{
    buf_fini(&u->in);
}
