/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/user_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/jute/records.h"
#include "server/tree/acl.h"
#include "tests/sim/world.h"

enum { XID_SET_WATCHES = -8 };

/* ---- frames ------------------------------------------------------------------------------------------- */

void user_send_frame(struct world *w, struct user *u, struct buf *frame)
{
    u->sent_us = w->now_us;
    net_send(w, u->link, 0, PACKET_DATA, frame);
    buf_fini(frame);
}

void user_begin_frame(struct buf *frame, int32_t xid, int32_t type)
{
    struct request_header h = { xid, type };
    buf_init(frame);
    request_header_encode(frame, &h);
}

struct op *user_begin_op(struct world *w, struct user *u, struct buf *frame, int32_t type,
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
    user_begin_frame(frame, op->xid, type);
    return op;
}

/* ---- requests ------------------------------------------------------------------------------- */

/* Something nobody else writes. */
static struct slice new_value(struct user *u, char *text, size_t size)
{
    snprintf(text, size, "%d.%" PRId64, u->index, ++u->made);
    u->line[u->line_count - 1].value = user_value(u->index, u->made);
    return slice_of_str(text);
}

/* What of the request the replay needs to foretell its outcome. */
static void note_part(struct user *u, int32_t type, const char *path, int32_t version)
{
    struct op *op = &u->line[u->line_count - 1];
    struct op_part *part = &op->parts[op->part_count++];
    *part = (struct op_part){ .type = type, .version = version };
    snprintf(part->path, sizeof(part->path), "%s", path);
}

static void create(struct world *w, struct user *u, const char *path, int32_t flags)
{
    char text[24];
    struct buf frame;
    user_begin_op(w, u, &frame, OP_CREATE, path)->flags = flags;
    note_part(u, OP_CREATE, path, -1);
    struct create_request r = { slice_of_str(path), new_value(u, text, sizeof(text)), acl_open(),
                                flags };
    create_request_encode(&frame, &r);
    user_send_frame(w, u, &frame);
}

static int32_t some_version(struct world *w)
{
    return world_chance(w, 2) ? -1 : (int32_t)world_below(w, 6);
}

static void set(struct world *w, struct user *u, const char *path)
{
    char text[24];
    struct buf frame;
    int32_t version = some_version(w);
    user_begin_op(w, u, &frame, OP_SET_DATA, path);
    note_part(u, OP_SET_DATA, path, version);
    struct set_data_request r = { slice_of_str(path), new_value(u, text, sizeof(text)), version };
    set_data_request_encode(&frame, &r);
    user_send_frame(w, u, &frame);
}

static void delete (struct world *w, struct user *u, const char *path)
{
    struct buf frame;
    user_begin_op(w, u, &frame, OP_DELETE, path);
    note_part(u, OP_DELETE, path, -1);
    struct delete_request r = { slice_of_str(path), -1 };
    delete_request_encode(&frame, &r);
    user_send_frame(w, u, &frame);
}

/* All may set ACLs; reading and writing are given and taken. */
static void set_acl(struct world *w, struct user *u, const char *path)
{
    static const int32_t perms[] = { PERM_ALL, PERM_READ | PERM_ADMIN, PERM_WRITE | PERM_ADMIN };
    struct buf frame;
    struct buf acl = BUF_EMPTY;
    struct acl entry = { perms[world_below(w, 3)], slice_of_str("world"), slice_of_str("anyone") };
    acl_encode(&acl, &entry);
    user_begin_op(w, u, &frame, OP_SET_ACL, path);
    note_part(u, OP_SET_ACL, path, -1);
    struct set_acl_request r = { slice_of_str(path), { 1, { acl.data, (int32_t)acl.len } }, -1 };
    set_acl_request_encode(&frame, &r);
    buf_fini(&acl);
    user_send_frame(w, u, &frame);
}

/* ---- multi: each part about another node, so that the replay can tell which one must fail ---- */

static void begin_part(struct user *u, struct buf *frame, int32_t type, const char *path,
                       int32_t version)
{
    struct multi_header h = { type, false, -1 };
    note_part(u, type, path, version);
    multi_header_encode(frame, &h);
}

static void add_check(struct world *w, struct user *u, struct buf *frame)
{
    int32_t version = some_version(w);
    struct check_request r = { slice_of_str("/r0"), version };
    begin_part(u, frame, OP_CHECK, "/r0", version);
    check_request_encode(frame, &r);
}

static void add_create_or_delete(struct world *w, struct user *u, struct buf *frame)
{
    if (world_chance(w, 2)) {
        struct create_request r = { slice_of_str("/m0"), slice_of_str(""), acl_open(), 0 };
        begin_part(u, frame, OP_CREATE, "/m0", -1);
        create_request_encode(frame, &r);
    } else {
        struct delete_request r = { slice_of_str("/m0"), -1 };
        begin_part(u, frame, OP_DELETE, "/m0", -1);
        delete_request_encode(frame, &r);
    }
}

static void add_set(struct user *u, struct buf *frame, const char *path, struct slice value)
{
    struct set_data_request r = { slice_of_str(path), value, -1 };
    begin_part(u, frame, OP_SET_DATA, path, -1);
    set_data_request_encode(frame, &r);
}

static void multi(struct world *w, struct user *u)
{
    char text[24];
    struct buf frame;
    struct multi_header end = { -1, true, -1 };
    user_begin_op(w, u, &frame, OP_MULTI, "/r1");
    struct slice value = new_value(u, text, sizeof(text));
    if (world_chance(w, 2)) {
        add_check(w, u, &frame);
    }
    add_set(u, &frame, "/r1", value);
    if (world_chance(w, 2)) {
        add_create_or_delete(w, u, &frame);
    }
    if (world_chance(w, 2)) {
        add_set(u, &frame, "/a0", value);
    }
    multi_header_encode(&frame, &end);
    user_send_frame(w, u, &frame);
}

/* ---- reads ------------------------------------------------------------------------------------ */

static void read_path(struct world *w, struct user *u, int32_t type, const char *path)
{
    struct buf frame;
    bool watch = world_chance(w, 3) && user_may_watch(u, path, type);
    struct op *op = user_begin_op(w, u, &frame, type, path);
    op->floor_zxid = u->sync_floor;
    op->synced_us = u->synced_us;
    op->wants_watch = watch;
    struct watched_read r = { slice_of_str(path), watch };
    watched_read_encode(&frame, &r);
    user_send_frame(w, u, &frame);
}

static void sync_path(struct world *w, struct user *u, const char *path)
{
    struct buf frame;
    user_begin_op(w, u, &frame, OP_SYNC, path);
    struct path_request r = { slice_of_str(path) };
    path_request_encode(&frame, &r);
    u->sync_floor = w->truth.acked_zxid;
    u->synced_us = w->now_us;
    user_send_frame(w, u, &frame);
}

static void close_session(struct world *w, struct user *u)
{
    struct buf frame;
    user_begin_op(w, u, &frame, OP_CLOSE_SESSION, "");
    u->is_closing = true;
    user_send_frame(w, u, &frame);
    if (u->line_count < USER_LINE_MAX && world_chance(w, 2)) {
        create(w, u, "/e0", CREATE_EPHEMERAL); /* too late (W1) */
    }
}

static void sync_and_read(struct world *w, struct user *u, const char *path)
{
    sync_path(w, u, path);
    if (u->line_count < USER_LINE_MAX) {
        read_path(w, u, OP_GET_DATA, path);
    }
}

static void read_something(struct world *w, struct user *u, const char *reg, const char *eph)
{
    switch (world_below(w, 5)) {
    case 0:
        read_path(w, u, OP_EXISTS, world_chance(w, 2) ? reg : eph);
        break;
    case 1:
        read_path(w, u, OP_GET_CHILDREN2, world_chance(w, 2) ? "/" : "/q");
        break;
    case 2:
        read_path(w, u, OP_GET_DATA, "/a0");
        break;
    default:
        read_path(w, u, OP_GET_DATA, reg);
        break;
    }
}

static void create_something(struct world *w, struct user *u, const char *reg, const char *eph)
{
    switch (world_below(w, 6)) {
    case 0:
        create(w, u, world_chance(w, 2) ? reg : "/a0", CREATE_PERSISTENT);
        break;
    case 1:
        create(w, u, "/q", CREATE_PERSISTENT);
        break;
    case 2:
        create(w, u, "/q/s-", CREATE_SEQUENTIAL);
        break;
    case 3:
        create(w, u, "/q/e-", CREATE_EPHEMERAL_SEQUENTIAL);
        break;
    default:
        create(w, u, eph, CREATE_EPHEMERAL);
        break;
    }
}

static void change_something(struct world *w, struct user *u, const char *reg, const char *eph)
{
    switch (world_below(w, 10)) {
    case 0:
        delete (w, u, world_chance(w, 2) ? reg : eph);
        break;
    case 1:
    case 2:
        multi(w, u);
        break;
    case 3:
        set_acl(w, u, "/a0");
        break;
    case 4:
        set(w, u, "/a0");
        break;
    default:
        set(w, u, reg);
        break;
    }
}

void user_begin_something(struct world *w, struct user *u)
{
    char reg[16];
    char eph[16];
    snprintf(reg, sizeof(reg), "/r%d", (int)world_below(w, 4));
    snprintf(eph, sizeof(eph), "/e%d", (int)world_below(w, 3));
    if (faults_want_quiet(w, u->server) || (u->is_reader && w->is_hostile && !world_chance(w, 5))) {
        sync_and_read(w, u, reg);
        return;
    }
    if (faults_tempt(w, u->server) != NOBODY && world_chance(w, 4)) {
        close_session(w, u);
        return;
    }
    int64_t what = world_below(w, 100);
    if (what < 30) {
        create_something(w, u, reg, eph);
    } else if (what < 65) {
        change_something(w, u, reg, eph);
    } else if (what < 85) {
        read_something(w, u, reg, eph);
    } else if (what < 99) {
        sync_and_read(w, u, reg);
    } else {
        close_session(w, u);
    }
}
