/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/user_parts.h"

#include <stdio.h>
#include <string.h>

#include "server/jute/records.h"
#include "tests/sim/world.h"

static bool has_watch(const struct user *u, const char *path, bool is_child)
{
    for (int32_t i = 0; i < u->watch_count; i++) {
        if (strcmp(u->watches[i].path, path) == 0 && u->watches[i].is_child == is_child) {
            return true;
        }
    }
    return false;
}

bool user_may_watch(const struct user *u, const char *path, int32_t type)
{
    for (int32_t i = 0; i < u->line_count; i++) {
        if (u->line[i].wants_watch && strcmp(u->line[i].path, path) == 0) {
            return false;
        }
    }
    return u->watch_count + u->line_count < USER_WATCHES_MAX &&
           !has_watch(u, path, type == OP_GET_CHILDREN2);
}

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

void user_drop_all_watches(struct world *w, struct user *u)
{
    while (u->watch_count > 0) {
        drop_watch(w, u, 0, false);
    }
}

void user_on_watch_event(struct world *w, struct user *u, struct wire *in)
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
void user_set_watches(struct world *w, struct user *u)
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
    user_begin_op(w, u, &frame, OP_SET_WATCHES, "");
    struct set_watches r = { .relative_zxid = u->last_zxid };
    r.data = (struct vec){ counts[0], { lists[0].data, (int32_t)lists[0].len } };
    r.exist = (struct vec){ counts[1], { lists[1].data, (int32_t)lists[1].len } };
    r.child = (struct vec){ counts[2], { lists[2].data, (int32_t)lists[2].len } };
    set_watches_encode(&frame, &r);
    user_send_frame(w, u, &frame);
    for (int i = 0; i < 3; i++) {
        buf_fini(&lists[i]);
    }
}

void user_add_watch(struct user *u, const struct op *op)
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
void user_renew_watches(struct user *u, int64_t zxid)
{
    for (int32_t i = 0; i < u->watch_count; i++) {
        if (!u->watches[i].had_node) {
            u->watches[i].set_zxid = zxid;
        }
    }
}
