/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/client.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"

struct client *client_new(uint64_t id, void *conn)
{
    struct client *c = xcalloc(1, sizeof(*c));
    c->id = id;
    c->conn = conn;
    c->state = CLIENT_NEW;
    c->stats.last_cxid = -1;
    watcher_init(&c->watcher);
    list_init(&c->dirty);
    list_init(&c->revalidating);
    list_init(&c->settled);
    list_init(&c->paused);
    list_init(&c->pending);
    return c;
}

void client_free(struct client *c)
{
    zk_assert(c->session == NULL);
    zk_assert(list_is_empty(&c->dirty));
    zk_assert(list_is_empty(&c->paused));
    zk_assert(list_is_empty(&c->watcher.watches));
    while (client_first_pending(c)) {
        client_drop_pending(c, client_first_pending(c));
    }
    buf_fini(&c->ids);
    buf_fini(&c->out);
    free(c);
}

void client_add_id(struct client *c, struct slice scheme, struct slice id)
{
    struct id new_id = { scheme, id };
    struct wire w;
    wire_init_vec(&w, client_ids(c));
    for (int32_t i = 0; i < c->id_count; i++) {
        struct id old;
        id_decode(&w, &old);
        if (slice_eq(old.scheme, scheme) && slice_eq(old.id, id)) {
            return;
        }
    }
    id_encode(&c->ids, &new_id);
    c->id_count++;
}

struct pending *client_push_pending(struct client *c, int32_t xid, int32_t type, struct slice body,
                                    bool submitted)
{
    size_t len = submitted ? 0 : slice_size(body);
    struct pending *p = xmalloc(sizeof(*p) + len);
    p->xid = xid;
    p->type = type;
    p->submitted = submitted;
    p->arrived_ms = 0;
    p->wall_ms = 0;
    p->large_bytes = 0;
    p->body_len = (int32_t)len;
    if (len > 0) {
        memcpy(p->body, body.data, len);
    }
    list_push_back(&c->pending, &p->line);
    c->pending_count++;
    return p;
}

void client_drop_pending(struct client *c, struct pending *p)
{
    list_remove(&p->line);
    c->pending_count--;
    free(p);
}

size_t reply_begin(struct client *c, int32_t xid, int64_t zxid, int32_t err)
{
    size_t at = buf_readable(&c->out);
    struct reply_header h = { xid, zxid, err };
    put_int(&c->out, 0);
    reply_header_encode(&c->out, &h);
    return at;
}

void reply_end(struct client *c, size_t at)
{
    /* Offsets from head stay true when the buffer moves its content down. */
    put_int_at(&c->out, c->out.head + at, (int32_t)(buf_readable(&c->out) - at - 4));
    c->stats.sent++;
}

void reply_header_only(struct client *c, int32_t xid, int64_t zxid, int32_t err)
{
    reply_end(c, reply_begin(c, xid, zxid, err));
}

void reply_event(struct client *c, enum watch_event_type type, struct slice path)
{
    size_t at = reply_begin(c, XID_NOTIFICATION, -1, 0);
    struct watcher_event ev = { type, EVENT_STATE_SYNC_CONNECTED, path };
    watcher_event_encode(&c->out, &ev);
    reply_end(c, at);
}

void reply_connect(struct client *c, int32_t timeout_ms, int64_t session_id)
{
    uint8_t passwd[SESSION_PASSWD_BYTES] = { 0 };
    if (session_id != 0) {
        session_password(session_id, passwd);
    }
    size_t at = buf_readable(&c->out);
    struct connect_response r = { 0, timeout_ms, session_id, { passwd, sizeof(passwd) } };
    put_int(&c->out, 0);
    connect_response_encode(&c->out, &r);
    if (c->wants_read_only) {
        put_bool(&c->out, false);
    }
    reply_end(c, at);
}
