/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/sync.h"

#include "server/core/zxid.h"

static struct sync_plan diff(const struct history *h, struct proposal *first)
{
    return (struct sync_plan){ ZAB_DIFF, h->logged_zxid, first };
}

static struct sync_plan cut_at(int64_t zxid, struct proposal *first)
{
    return (struct sync_plan){ ZAB_TRUNC, zxid, first };
}

static struct sync_plan snap(const struct history *h)
{
    return (struct sync_plan){ ZAB_SNAP, h->delivered_zxid, NULL };
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

struct sync_plan sync_choose(const struct history *h, int64_t peer_zxid, int64_t epoch)
{
    if (peer_zxid == h->logged_zxid) {
        return diff(h, NULL);
    }
    if (peer_zxid < h->before_recent || zxid_epoch(peer_zxid) > epoch) {
        return snap(h);
    }
    struct proposal *first = history_after(h, peer_zxid);
    int64_t known = last_known_until(h, peer_zxid);
    /* A zxid with counter 0 marks the start of an epoch; no txn has it, so nothing is cut (S9). */
    if (known == peer_zxid || zxid_counter(peer_zxid) == 0) {
        return diff(h, first);
    }
    /* What it has beyond our history was never committed. All servers agree on the txns of an epoch up
     * to any zxid they have of it, so it has what we know of that epoch; of an epoch we know nothing
     * of, it may have anything. */
    if (zxid_epoch(known) == zxid_epoch(peer_zxid)) {
        return cut_at(known, first);
    }
    return snap(h);
}
