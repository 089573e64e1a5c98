/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/sync.h"

#include "server/core/zxid.h"
#include "server/jute/records.h"

static struct sync_plan diff(int64_t zxid, struct proposal *first)
{
    return (struct sync_plan){ .type = ZAB_DIFF, .zxid = zxid, .first = first };
}

static struct sync_plan cut_at(int64_t zxid, struct proposal *first)
{
    return (struct sync_plan){ .type = ZAB_TRUNC, .zxid = zxid, .first = first };
}

static struct sync_plan snap(const struct history *h)
{
    return (struct sync_plan){ .type = ZAB_SNAP,
                               .zxid = h->delivered_zxid,
                               .first = history_after(h, h->delivered_zxid) };
}

/* The last zxid at or below zxid that the history knows of, at least before_recent. */
static int64_t last_known_until(const struct history *h, int64_t zxid)
{
    int64_t last = h->before_recent;
    for (struct proposal *p = history_after(h, h->before_recent); p && p->zxid <= zxid;
         p = history_following(h, p)) {
        last = p->zxid;
    }
    return last;
}

/* A zxid with counter 0 marks the start of an epoch. No txn has it, so nothing is cut there (S9),
 * and whoever has it has everything before that epoch. */
static bool is_epoch_start(int64_t zxid)
{
    return zxid_counter(zxid) == 0;
}

/* Cases 4 and 5, a txn of the learner's that the history does not have: it was never committed. All
 * servers agree on the txns of an epoch up to any that they have of it, so it is cut off behind the
 * last one that both have; of another epoch the learner may lack that one, or an Apache learner its
 * place. */
static struct sync_plan cut_or_snap(const struct history *h, int64_t peer, int64_t last_common,
                                    struct proposal *first)
{
    bool is_same_epoch = zxid_epoch(last_common) == zxid_epoch(peer);
    return is_same_epoch && !is_epoch_start(last_common) ? cut_at(last_common, first) : snap(h);
}

static struct sync_plan walk_memory(const struct history *h, const struct sync_input *in)
{
    struct proposal *first = history_after(h, in->peer_zxid);
    int64_t known = last_known_until(h, in->peer_zxid);
    if (known == in->peer_zxid || is_epoch_start(in->peer_zxid)) {
        return diff(in->max_zxid, first);
    }
    return cut_or_snap(h, in->peer_zxid, known, first);
}

/* Case 5: is the log on disk a bridge to memory, and a short one? */
static bool is_bridge(const struct history *h, const struct sync_input *in)
{
    const struct log_place *d = &in->disk;
    if (d->first_zxid == 0 || d->first_zxid > h->before_recent) {
        return false;
    }
    if (d->previous_zxid == 0 && d->first_zxid != in->peer_zxid) {
        return false; /* it does not reach back to P */
    }
    return in->size_percent == 0 || d->log_bytes <= d->snapshot_bytes * in->size_percent / 100;
}

/* As in memory. */
static struct sync_plan walk_disk(const struct history *h, const struct sync_input *in)
{
    const struct log_place *d = &in->disk;
    if (!is_bridge(h, in)) {
        return snap(h);
    }
    struct proposal *first = history_after(h, h->before_recent);
    struct sync_plan plan;
    if (d->first_zxid == in->peer_zxid || is_epoch_start(in->peer_zxid)) {
        plan = diff(in->max_zxid, first);
        plan.disk_after = in->peer_zxid;
    } else {
        plan = cut_or_snap(h, in->peer_zxid, d->previous_zxid, first);
        plan.disk_after = d->previous_zxid;
    }
    plan.disk_until = plan.type == ZAB_SNAP ? 0 : h->before_recent;
    return plan;
}

struct sync_plan sync_choose(const struct history *h, const struct sync_input *in)
{
    int64_t peer = in->peer_zxid;
    if (in->force_snap) {
        return snap(h);
    }
    if (peer == in->applied_zxid) {
        return diff(peer, history_after(h, in->max_zxid));
    }
    if (peer > in->max_zxid) {
        /* Not to the start of an epoch, which no log has: an Apache learner would cut in the wrong
         * place. */
        bool can_cut = !is_epoch_start(peer) && !is_epoch_start(in->max_zxid);
        return can_cut ? cut_at(in->max_zxid, history_after(h, in->max_zxid)) : snap(h);
    }
    if (peer >= h->before_recent) {
        return walk_memory(h, in);
    }
    if (in->size_percent < 0) {
        return snap(h);
    }
    if (!in->disk.is_known) {
        return (struct sync_plan){ .asks_disk = true };
    }
    return walk_disk(h, in);
}

static void encode(struct buf *out, int32_t type, int64_t zxid, struct slice data)
{
    struct quorum_packet p = { type, zxid, data, VEC_NULL };
    quorum_packet_encode(out, &p);
}

void sync_encode_txn(struct buf *out, int64_t zxid, struct slice entry, bool is_observer)
{
    if (is_observer) {
        encode(out, ZAB_INFORM, zxid, entry);
    } else {
        encode(out, ZAB_PROPOSAL, zxid, entry);
        encode(out, ZAB_COMMIT, zxid, SLICE_NULL);
    }
}
