/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snapshot_receiver.h"

#include <errno.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "server/jute/quorum_packet.h"
#include "server/jute/records.h"

enum { ACL_ENTRY_BYTES_MAX = 1 << 20 };

enum section { SESSION_COUNT, SESSIONS, ACL_COUNT, ACLS, NODES, SIGNATURE, DONE };

struct snapshot_receiver {
    struct data_tree *tree; /* owned until it is taken */
    struct session_map sessions;
    size_t field_bytes_max;
    enum section section;
    int32_t left; /* elements of SESSIONS or ACLS to come */
};

/* What a section says of the bytes at hand. */
enum outcome {
    TAKEN,   /* one element was read */
    PARTIAL, /* it has not come whole */
    BAD,
};

struct snapshot_receiver *snapshot_receiver_new(const struct data_tree_config *config,
                                                size_t field_bytes_max)
{
    struct snapshot_receiver *r = xcalloc(1, sizeof(*r));
    r->tree = data_tree_new(config);
    r->field_bytes_max = field_bytes_max;
    session_map_init(&r->sessions);
    data_tree_clear(r->tree);
    return r;
}

void snapshot_receiver_free(struct snapshot_receiver *r)
{
    if (!r) {
        return;
    }
    data_tree_free(r->tree);
    session_map_fini(&r->sessions);
    free(r);
}

/* ---- elements ------------------------------------------------------------------------------------------ */

static enum outcome read_count(struct snapshot_receiver *r, struct wire *w)
{
    r->left = wire_int(w);
    if (!wire_ok(w)) {
        return PARTIAL;
    }
    r->section++;
    return r->left >= 0 ? TAKEN : BAD;
}

static enum outcome read_session(struct snapshot_receiver *r, struct wire *w)
{
    int64_t session_id = wire_long(w);
    int32_t timeout_ms = wire_int(w);
    if (!wire_ok(w)) {
        return PARTIAL;
    }
    session_map_set(&r->sessions, session_id, timeout_ms);
    r->left--;
    return TAKEN;
}

/* Its length is not written anywhere, but it is short: decode what is there and see. */
static enum outcome read_acl(struct snapshot_receiver *r, struct wire *w)
{
    size_t available = wire_left(w);
    struct acl_map_entry entry;
    if (!acl_map_entry_decode(w, &entry)) {
        return available < ACL_ENTRY_BYTES_MAX ? PARTIAL : BAD;
    }
    r->left--;
    return data_tree_load_acl(r->tree, entry.acl_id, entry.acl) ? TAKEN : BAD;
}

static enum outcome read_field(const struct snapshot_receiver *r, struct wire *w, struct slice *out)
{
    struct wire ahead = *w;
    int32_t len = wire_int(&ahead);
    if (!wire_ok(&ahead)) {
        return PARTIAL;
    }
    if (len < -1 || (len > 0 && (size_t)len > r->field_bytes_max)) {
        return BAD;
    }
    *out = wire_slice(w);
    return wire_ok(w) ? TAKEN : PARTIAL;
}

/* One node, or the "/" behind the last. */
static enum outcome read_node(struct snapshot_receiver *r, struct wire *w)
{
    struct slice path;
    struct slice data;
    enum outcome outcome = read_field(r, w, &path);
    if (outcome == TAKEN && slice_eq_str(path, "/")) {
        r->section++;
        return TAKEN;
    }
    if (outcome == TAKEN) {
        outcome = slice_is_null(path) ? BAD : read_field(r, w, &data);
    }
    if (outcome != TAKEN) {
        return outcome;
    }
    struct persisted_stat stat;
    int64_t acl_id = wire_long(w);
    if (!persisted_stat_decode(w, &stat)) {
        return PARTIAL;
    }
    return data_tree_load_node(r->tree, path, data, acl_id, &stat) ? TAKEN : BAD;
}

static enum outcome read_signature(struct snapshot_receiver *r, struct wire *w)
{
    struct slice text;
    enum outcome outcome = read_field(r, w, &text);
    if (outcome == TAKEN) {
        r->section++;
        return slice_eq_str(text, ZAB_SNAP_SIGNATURE) ? TAKEN : BAD;
    }
    return outcome;
}

static enum outcome read_element(struct snapshot_receiver *r, struct wire *w)
{
    switch (r->section) {
    case SESSION_COUNT:
    case ACL_COUNT:
        return read_count(r, w);
    case SESSIONS:
        return read_session(r, w);
    case ACLS:
        return read_acl(r, w);
    case NODES:
        return read_node(r, w);
    default:
        return read_signature(r, w);
    }
}

/* ---- feeding -------------------------------------------------------------------------------------------- */

ssize_t snapshot_receiver_feed(struct snapshot_receiver *r, const uint8_t *bytes, size_t len)
{
    struct wire w;
    wire_init(&w, bytes, len);
    const uint8_t *start = w.at;
    const uint8_t *taken = w.at;
    while (r->section != DONE) {
        if ((r->section == SESSIONS || r->section == ACLS) && r->left == 0) {
            r->section++;
            continue;
        }
        enum outcome outcome = read_element(r, &w);
        if (outcome == BAD) {
            return -EBADMSG;
        }
        if (outcome == PARTIAL) {
            break;
        }
        taken = w.at;
    }
    return taken - start;
}

bool snapshot_receiver_is_done(const struct snapshot_receiver *r)
{
    return r->section == DONE;
}

int snapshot_receiver_take(struct snapshot_receiver *r, int64_t zxid, struct data_tree **tree,
                           struct saved_session **sessions, size_t *session_count)
{
    if (!data_tree_load_done(r->tree, zxid)) {
        return -EBADMSG;
    }
    data_tree_recovered(r->tree);
    *tree = r->tree;
    *sessions = session_map_list(&r->sessions, session_count);
    r->tree = NULL;
    return 0;
}
