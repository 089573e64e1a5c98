/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/user.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/reads.h"
#include "server/jute/records.h"
#include "tests/sim/world.h"

enum { XID_SET_WATCHES = -8, PATIENCE_US = 4000000, IMPATIENCE_US = 1500000, PACE_US = 60000 };

/* ---- frames ------------------------------------------------------------------------------------------- */

static void send_frame(struct world *w, struct user *u, struct buf *frame)
{
    u->sent_us = w->now_us;
    net_send(w, u->link, 0, PACKET_DATA, frame);
    buf_fini(frame);
}

static void begin_frame(struct buf *frame, int32_t xid, int32_t type)
{
    struct request_header h = { xid, type };
    buf_init(frame);
    request_header_encode(frame, &h);
}

static struct op *begin_op(struct world *w, struct user *u, struct buf *frame, int32_t type,
                           const char *path)
{
    struct op *op = &u->line[u->line_count++];
    memset(op, 0, sizeof(*op));
    op->user = u->index;
    op->session_id = u->session_id;
    op->xid = type == OP_SET_WATCHES ? XID_SET_WATCHES : u->next_xid++;
    op->type = type;
    op->invoked_us = w->now_us;
    snprintf(op->path, sizeof(op->path), "%s", path);
    begin_frame(frame, op->xid, type);
    return op;
}

/* ---- requests ------------------------------------------------------------------------------------------ */

/* Something nobody else writes. */
static struct slice new_value(struct user *u, char *text, size_t size)
{
    snprintf(text, size, "%d.%" PRId64, u->index, ++u->made);
    u->line[u->line_count - 1].value = user_value(u->index, u->made);
    return slice_of_str(text);
}

static void create(struct world *w, struct user *u, const char *path, int32_t flags)
{
    char text[24];
    struct buf frame;
    begin_op(w, u, &frame, OP_CREATE, path);
    struct create_request r = { slice_of_str(path), new_value(u, text, sizeof(text)), acl_open(),
                                flags };
    create_request_encode(&frame, &r);
    send_frame(w, u, &frame);
}

static void set(struct world *w, struct user *u, const char *path)
{
    char text[24];
    struct buf frame;
    begin_op(w, u, &frame, OP_SET_DATA, path);
    int32_t version = world_chance(w, 2) ? -1 : (int32_t)world_below(w, 6);
    struct set_data_request r = { slice_of_str(path), new_value(u, text, sizeof(text)), version };
    set_data_request_encode(&frame, &r);
    send_frame(w, u, &frame);
}

static void delete (struct world *w, struct user *u, const char *path)
{
    struct buf frame;
    begin_op(w, u, &frame, OP_DELETE, path);
    struct delete_request r = { slice_of_str(path), -1 };
    delete_request_encode(&frame, &r);
    send_frame(w, u, &frame);
}

/* Check one register, set another: both or none. */
static void multi(struct world *w, struct user *u, const char *checked, const char *written)
{
    char text[24];
    struct buf frame;
    struct multi_header h = { OP_CHECK, false, -1 };
    begin_op(w, u, &frame, OP_MULTI, written);
    struct check_request check = { slice_of_str(checked), world_chance(w, 2) ? -1 : 1 };
    struct set_data_request r = { slice_of_str(written), new_value(u, text, sizeof(text)), -1 };
    multi_header_encode(&frame, &h);
    check_request_encode(&frame, &check);
    h.type = OP_SET_DATA;
    multi_header_encode(&frame, &h);
    set_data_request_encode(&frame, &r);
    h = (struct multi_header){ -1, true, -1 };
    multi_header_encode(&frame, &h);
    send_frame(w, u, &frame);
}

static bool has_watch(const struct user *u, const char *path, bool is_child)
{
    for (int32_t i = 0; i < u->watch_count; i++) {
        if (strcmp(u->watches[i].path, path) == 0 && u->watches[i].is_child == is_child) {
            return true;
        }
    }
    return false;
}

static bool asks_for_watch(const struct user *u, const char *path, int32_t type)
{
    for (int32_t i = 0; i < u->line_count; i++) {
        if (u->line[i].wants_watch && strcmp(u->line[i].path, path) == 0) {
            return true;
        }
    }
    return u->watch_count + u->line_count >= USER_WATCHES_MAX ||
           has_watch(u, path, type == OP_GET_CHILDREN2);
}

static void read_path(struct world *w, struct user *u, int32_t type, const char *path)
{
    struct buf frame;
    bool watch = world_chance(w, 3) && !asks_for_watch(u, path, type);
    struct op *op = begin_op(w, u, &frame, type, path);
    op->floor_zxid = u->sync_floor;
    op->synced_us = u->synced_us;
    op->wants_watch = watch;
    struct watched_read r = { slice_of_str(path), watch };
    watched_read_encode(&frame, &r);
    send_frame(w, u, &frame);
}

static void sync_path(struct world *w, struct user *u, const char *path)
{
    struct buf frame;
    begin_op(w, u, &frame, OP_SYNC, path);
    struct path_request r = { slice_of_str(path) };
    path_request_encode(&frame, &r);
    u->sync_floor = w->truth.acked_zxid;
    u->synced_us = w->now_us;
    send_frame(w, u, &frame);
}

static void close_session(struct world *w, struct user *u)
{
    struct buf frame;
    begin_op(w, u, &frame, OP_CLOSE_SESSION, "");
    u->is_closing = true;
    send_frame(w, u, &frame);
    if (u->line_count < USER_LINE_MAX && world_chance(w, 2)) {
        create(w, u, "/e0", CREATE_EPHEMERAL); /* too late (W1) */
    }
}

static void begin_something(struct world *w, struct user *u)
{
    char reg[16];
    char eph[16];
    snprintf(reg, sizeof(reg), "/r%d", (int)world_below(w, 4));
    snprintf(eph, sizeof(eph), "/e%d", (int)world_below(w, 3));
    switch (world_below(w, 20)) {
    case 0:
        create(w, u, reg, CREATE_PERSISTENT);
        break;
    case 1:
        create(w, u, "/q", CREATE_PERSISTENT);
        break;
    case 2:
    case 3:
        create(w, u, eph, CREATE_EPHEMERAL);
        break;
    case 4:
        create(w, u, "/q/s-", CREATE_SEQUENTIAL);
        break;
    case 5:
        create(w, u, "/q/e-", CREATE_EPHEMERAL_SEQUENTIAL);
        break;
    case 6:
        delete (w, u, world_chance(w, 2) ? reg : eph);
        break;
    case 7:
        multi(w, u, "/r0", "/r1");
        break;
    case 8:
    case 9:
        read_path(w, u, OP_GET_DATA, reg);
        break;
    case 10:
        read_path(w, u, OP_EXISTS, world_chance(w, 2) ? reg : eph);
        break;
    case 11:
        read_path(w, u, OP_GET_CHILDREN2, world_chance(w, 2) ? "/" : "/q");
        break;
    case 12:
    case 13:
        sync_path(w, u, reg);
        if (u->line_count < USER_LINE_MAX) {
            read_path(w, u, OP_GET_DATA, reg);
        }
        break;
    case 14:
        if (world_chance(w, 6)) {
            close_session(w, u);
        }
        break;
    default:
        set(w, u, reg);
        break;
    }
}

/* ---- watches ------------------------------------------------------------------------------------------- */

static void drop_watch(struct world *w, struct user *u, int32_t i, bool has_fired)
{
    if (has_fired) {
        world_saw(w, SEEN_WATCH_FIRED);
    }
    u->watches[i].has_fired = has_fired;
    u->watches[i].seen_zxid = u->last_zxid;
    truth_watch_over(w, &u->watches[i]);
    u->watches[i] = u->watches[--u->watch_count];
}

static void drop_all_watches(struct world *w, struct user *u)
{
    while (u->watch_count > 0) {
        drop_watch(w, u, 0, false);
    }
}

static void on_watch_event(struct world *w, struct user *u, struct wire *in)
{
    struct watcher_event ev;
    bool found = false;
    watcher_event_decode(in, &ev);
    for (int32_t i = u->watch_count - 1; i >= 0; i--) {
        struct watch_seen *seen = &u->watches[i];
        bool is_its_kind = ev.type == EVENT_NODE_DELETED ||
                           seen->is_child == (ev.type == EVENT_NODE_CHILDREN_CHANGED);
        if (slice_eq_str(ev.path, seen->path) && is_its_kind) {
            drop_watch(w, u, i, true);
            found = true;
        }
    }
    if (!found) {
        sim_fail(w, "user %d: an event %d for %.*s, which it does not watch", u->index, ev.type,
                 ev.path.len, (const char *)ev.path.data);
    }
}

/* After a reconnect, in front of everything else. */
static void set_watches(struct world *w, struct user *u)
{
    struct buf frame;
    struct buf lists[3] = { BUF_EMPTY, BUF_EMPTY, BUF_EMPTY };
    int32_t counts[3] = { 0, 0, 0 };
    if (u->watch_count == 0) {
        return;
    }
    for (int32_t i = 0; i < u->watch_count; i++) {
        int kind = u->watches[i].is_child ? 2 : u->watches[i].had_node ? 0 : 1;
        put_slice(&lists[kind], slice_of_str(u->watches[i].path));
        counts[kind]++;
    }
    world_saw(w, SEEN_WATCH_SET_AGAIN);
    begin_op(w, u, &frame, OP_SET_WATCHES, "");
    struct set_watches r = { .relative_zxid = u->last_zxid };
    r.data = (struct vec){ counts[0], { lists[0].data, (int32_t)lists[0].len } };
    r.exist = (struct vec){ counts[1], { lists[1].data, (int32_t)lists[1].len } };
    r.child = (struct vec){ counts[2], { lists[2].data, (int32_t)lists[2].len } };
    set_watches_encode(&frame, &r);
    send_frame(w, u, &frame);
    for (int i = 0; i < 3; i++) {
        buf_fini(&lists[i]);
    }
}

static void add_watch(struct user *u, const struct op *op)
{
    bool is_set = op->err == ZK_OK || (op->type == OP_EXISTS && op->err == ZK_NO_NODE);
    if (!op->wants_watch || !is_set) {
        return;
    }
    struct watch_seen *seen = &u->watches[u->watch_count++];
    memset(seen, 0, sizeof(*seen));
    seen->user = u->index;
    seen->is_child = op->type == OP_GET_CHILDREN2;
    snprintf(seen->path, sizeof(seen->path), "%s", op->path);
    seen->set_zxid = op->zxid;
    seen->had_node = op->err == ZK_OK;
}

/* A node that came and went in between is not told of when the watch is set again: that is the protocol. */
static void renew_watches(struct user *u, int64_t zxid)
{
    for (int32_t i = 0; i < u->watch_count; i++) {
        if (!u->watches[i].had_node) {
            u->watches[i].set_zxid = zxid;
        }
    }
}

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
    drop_all_watches(w, u);
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
    send_frame(w, u, &frame);
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
    set_watches(w, u);
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
    add_watch(u, &op);
    if (op.type == OP_SET_WATCHES) {
        renew_watches(u, op.zxid);
    }
    if (op.type == OP_GET_DATA && op.synced_us != 0) {
        world_saw(w, SEEN_SYNC_READ);
    }
    world_note(w, NOBODY, "answer", op.user << 16 | op.xid, op.zxid);
    if (opcode_is_write(op.type) && op.err == ZK_OK) {
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
        on_watch_event(w, u, &in);
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
    begin_frame(&frame, XID_PING, OP_PING);
    u->pinged_us = w->now_us;
    send_frame(w, u, &frame);
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
        begin_something(w, u);
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
        u->server = (int32_t)world_below(w, w->plan.server_count);
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
    /* A slow one still asks when a server has been silent for long. */
    u->pace_us = world_chance(w, 3) ? 700000 : PACE_US;
    world_plan_event(w, world_below(w, 100000), NOBODY, tick_event)->a = index;
}

void user_fini(struct user *u)
{
    buf_fini(&u->in);
}
