/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/truth.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/core/zxid.h"
#include "tests/sim/registers.h"
#include "tests/sim/replay.h"
#include "server/core/reads.h"
#include "tests/sim/world.h"

void truth_init(struct truth *t)
{
    memset(t, 0, sizeof(*t));
}

void truth_fini(struct truth *t)
{
    for (size_t i = 0; i < t->txn_count; i++) {
        buf_fini(&t->txns[i]->entry);
        free(t->txns[i]);
    }
    for (int64_t i = 0; i < t->answer_count; i++) {
        buf_fini(&t->ops[i].answer);
    }
    free(t->txns);
    free(t->committed);
    free(t->ops);
    free(t->lost);
    free(t->sessions);
    free(t->watches);
    free(t->changes);
}

/* ---- txns ------------------------------------------------------------------------------------------------ */

/* Index of the first known txn at or above zxid. */
static size_t lower_bound(const struct truth *t, int64_t zxid)
{
    size_t low = 0;
    size_t high = t->txn_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->txns[mid]->zxid < zxid) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct known_txn *find(const struct truth *t, int64_t zxid)
{
    size_t i = lower_bound(t, zxid);
    return i < t->txn_count && t->txns[i]->zxid == zxid ? t->txns[i] : NULL;
}

static struct known_txn *insert(struct truth *t, int64_t zxid)
{
    size_t i = lower_bound(t, zxid);
    struct known_txn *k = xcalloc(1, sizeof(*k));
    if ((t->txn_count & (t->txn_count - 1)) == 0) {
        t->txns = xrealloc(t->txns, (2 * t->txn_count + 1) * sizeof(struct known_txn *));
    }
    memmove(t->txns + i + 1, t->txns + i, (t->txn_count - i) * sizeof(struct known_txn *));
    t->txns[i] = k;
    t->txn_count++;
    k->zxid = zxid;
    return k;
}

/* W3. A server that has lost its leader serves for another syncLimit, and what it hears of a session then may
 * never reach the next leader. Clocks may be 20 % fast. */
static void check_expiry(struct world *w, const struct node *n, const void *entry, size_t len)
{
    struct txn txn;
    txn_decode(entry, len, &txn);
    if (txn.hdr.type != OP_CLOSE_SESSION || txn.hdr.cxid != 0) {
        return;
    }
    world_saw(w, SEEN_EXPIRY);
    const struct session_seen *s = truth_session(&w->truth, txn.hdr.session_id);
    const int64_t unreported_us = 2500000;
    int64_t due_us = s ? s->touched_us + (int64_t)s->timeout_ms * 1000 / 5 * 4 - unreported_us : 0;
    if (w->now_us < due_us) {
        sim_fail(w, "server %d ends session 0x%" PRIx64 " %.3f ms before its time", n->index + 1,
                 txn.hdr.session_id, (double)(due_us - w->now_us) / 1000);
    }
}

/* Only the leader of an epoch makes txns of it, one after the other (Integrity, LocalPrimaryOrder). */
static void check_new(struct world *w, const struct node *n, int64_t zxid, int64_t prev)
{
    const struct zab *z = &n->peer->zab;
    bool is_leaders = z->role == STATE_LEADING && z->leader.epoch == zxid_epoch(zxid);
    /* It may have given up in the same step. */
    if (!is_leaders && !(z->role == STATE_LOOKING && z->current_epoch == zxid_epoch(zxid))) {
        sim_fail(w, "server %d logs 0x%" PRIx64 ", which no leader has made", n->index + 1, zxid);
    }
    bool is_next =
        zxid_epoch(prev) == zxid_epoch(zxid) ? zxid == prev + 1 : zxid_counter(zxid) == 1;
    if (!is_next) {
        sim_fail(w, "server %d makes 0x%" PRIx64 " behind 0x%" PRIx64, n->index + 1, zxid, prev);
    }
}

void truth_proposed(struct world *w, struct node *n, int64_t zxid, const void *entry, size_t len)
{
    struct truth *t = &w->truth;
    int64_t prev = n->appended_zxid;
    struct known_txn *k = find(t, zxid);
    if (zxid <= prev) {
        sim_fail(w, "server %d logs 0x%" PRIx64 " behind 0x%" PRIx64, n->index + 1, zxid, prev);
    }
    n->appended_zxid = zxid;
    if (!k) {
        check_new(w, n, zxid, prev);
        k = insert(t, zxid);
        k->prev = prev;
        k->logged_us = w->now_us;
        buf_append(&k->entry, entry, len);
        check_expiry(w, n, entry, len);
        return;
    }
    if (k->entry.len != len || memcmp(k->entry.data, entry, len) != 0) {
        sim_fail(w, "server %d logs another txn with zxid 0x%" PRIx64, n->index + 1, zxid);
    }
    /* A log that begins behind the snapshot of an epoch's start does not know its predecessor. */
    if (zxid_counter(k->prev) == 0) {
        k->prev = prev;
    } else if (k->prev != prev && zxid_counter(prev) != 0) {
        sim_fail(w, "server %d logs 0x%" PRIx64 " behind 0x%" PRIx64 ", others behind 0x%" PRIx64,
                 n->index + 1, zxid, prev, k->prev);
    }
}

static int64_t last_committed(const struct truth *t)
{
    return t->committed_count > 0 ? t->committed[t->committed_count - 1] : 0;
}

static void add_committed(struct truth *t, int64_t zxid)
{
    if ((t->committed_count & (t->committed_count - 1)) == 0) {
        t->committed =
            xrealloc(t->committed, (size_t)(2 * t->committed_count + 1) * sizeof(int64_t));
    }
    t->committed[t->committed_count++] = zxid;
}

/* ---- what the disks hold ------------------------------------------------------------------ */

void truth_neighbours(const struct world *w, const struct node *n, int64_t last, int64_t zxid)
{
    const struct known_txn *k = find(&w->truth, zxid);
    if (k && k->prev != last && zxid_counter(k->prev) != 0) {
        sim_fail(w,
                 "server %d reads 0x%" PRIx64 " behind 0x%" PRIx64 ", which was behind 0x%" PRIx64,
                 n->index + 1, zxid, last, k->prev);
    }
}

/* Is zxid, which is committed or about to be, part of the history that ends with end? A snapshot made before the
 * first txn of an epoch ends with counter 0. */
static bool leads_to(const struct truth *t, int64_t zxid, int64_t end)
{
    while (zxid_counter(end) != 0 && end > zxid) {
        const struct known_txn *k = find(t, end);
        end = k ? k->prev : 0;
    }
    return zxid_counter(end) == 0 ? zxid < end : zxid == end;
}

/* CommittedLogDurability: more than half of the disks have it. */
static bool is_durable(const struct world *w, int64_t zxid)
{
    int32_t count = 0;
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        count += leads_to(&w->truth, zxid, w->nodes[i].durable_zxid);
    }
    return 2 * count > w->plan.server_count;
}

/* A server may cut what it has not acked, and it may be committed without it. */
void truth_durable(struct world *w, struct node *n, int64_t zxid)
{
    const struct truth *t = &w->truth;
    const struct known_txn *had = find(t, n->durable_zxid);
    while (had && !had->is_committed) {
        had = find(t, had->prev);
    }
    n->durable_zxid = zxid;
    if (had && !leads_to(t, had->zxid, zxid) && !is_durable(w, had->zxid)) {
        sim_fail(w, "0x%" PRIx64 " was committed, and server %d has taken it off too many disks",
                 had->zxid, n->index + 1);
    }
}

/* A serving server has delivered zxid, so it and everything in front of it is committed, for ever. */
static void commit(struct world *w, const struct node *n, int64_t zxid)
{
    struct truth *t = &w->truth;
    int64_t last = last_committed(t);
    struct known_txn *k = find(t, zxid);
    if (!k) {
        sim_fail(w, "server %d delivered 0x%" PRIx64 ", which nobody has logged", n->index + 1,
                 zxid);
    }
    if (zxid <= last) {
        if (!k->is_committed) {
            sim_fail(w, "server %d delivered 0x%" PRIx64 ", which was never committed",
                     n->index + 1, zxid);
        }
        return;
    }
    if (!is_durable(w, zxid)) {
        sim_fail(w, "server %d delivered 0x%" PRIx64 ", which no quorum of disks has", n->index + 1,
                 zxid);
    }
    int64_t first = t->committed_count;
    for (; k && k->zxid > last; k = find(t, k->prev)) {
        k->is_committed = true;
        add_committed(t, k->zxid);
        if (k->prev <= last || zxid_counter(k->prev) == 0) {
            break;
        }
    }
    if (!k || (k->prev != last && zxid_counter(k->prev) != 0)) {
        sim_fail(w, "server %d delivered 0x%" PRIx64 ", whose history leaves 0x%" PRIx64 " out",
                 n->index + 1, zxid, last);
    }
    for (int64_t i = first, j = t->committed_count - 1; i < j; i++, j--) {
        int64_t swap = t->committed[i];
        t->committed[i] = t->committed[j];
        t->committed[j] = swap;
    }
}

/* ---- after each step --------------------------------------------------------------------------------------- */

/* The last one that was committed in an earlier epoch. */
static int64_t last_committed_before(const struct truth *t, int64_t epoch)
{
    int64_t i = t->committed_count;
    while (i > 0 && zxid_epoch(t->committed[i - 1]) >= epoch) {
        i--;
    }
    return i > 0 ? t->committed[i - 1] : 0;
}

/* A leader may begin late, when its followers have left it for a newer one long ago: their acks were still on
 * the way. It can commit nothing, but what it brings along must hold all that was committed before it. */
static void check_reign(struct world *w, struct node *n)
{
    struct truth *t = &w->truth;
    int64_t epoch = n->peer->zab.current_epoch;
    int64_t life = n->sid << 32 | (int64_t)n->life;
    zk_assert(epoch < EPOCHS_MAX);
    if (t->leader_life[epoch] == 0) {
        t->leader_life[epoch] = life;
        world_saw(w, SEEN_REIGN);
        faults_on_reign(w, n->index);
        world_note(w, n->index, "reigns", epoch, n->peer->zab.history.delivered_zxid);
        if (n->peer->zab.history.delivered_zxid < last_committed_before(t, epoch)) {
            sim_fail(w,
                     "server %d leads epoch %" PRId64 " from 0x%" PRIx64 ", but 0x%" PRIx64
                     " was committed",
                     n->index + 1, epoch, n->peer->zab.history.delivered_zxid,
                     last_committed_before(t, epoch));
        }
    } else if (t->leader_life[epoch] != life) {
        sim_fail(w, "servers %d and %d both lead epoch %" PRId64, n->index + 1,
                 (int)(t->leader_life[epoch] >> 32), epoch);
    }
}

static void check_digest(struct world *w, struct node *n, int64_t zxid)
{
    struct known_txn *k = find(&w->truth, zxid);
    if (!k) {
        return;
    }
    if (!k->has_digest) {
        k->has_digest = true;
        k->digest = n->tree->digest;
    } else if (k->digest != n->tree->digest) {
        sim_fail(w, "server %d has another tree at 0x%" PRIx64, n->index + 1, zxid);
    }
}

/* S3: a serving follower forgets no commit that it was told of, in whatever phase. */
static void check_told(const struct world *w, const struct node *n)
{
    const struct zab *z = &n->peer->zab;
    int64_t due = n->told_zxid < z->history.synced_zxid ? n->told_zxid : z->history.synced_zxid;
    if (z->role == STATE_FOLLOWING && z->history.delivered_zxid < due) {
        sim_fail(w, "server %d was told that 0x%" PRIx64 " is committed, and shows 0x%" PRIx64,
                 n->index + 1, n->told_zxid, z->history.delivered_zxid);
    }
}

void truth_check_node(struct world *w, struct node *n)
{
    const struct peer *p = n->peer;
    if (p->stats.digest_mismatches > 0) {
        sim_fail(w, "server %d has another tree than its leader had", n->index + 1);
    }
    if (p->is_serving) {
        int64_t delivered = p->zab.history.delivered_zxid;
        if (p->is_leader && !n->was_serving) {
            check_reign(w, n);
        }
        check_told(w, n);
        if (delivered != n->seen_zxid && zxid_counter(delivered) != 0) {
            commit(w, n, delivered);
            check_digest(w, n, delivered);
            world_note(w, n->index, "delivered", delivered, (int64_t)n->tree->digest);
        }
        n->seen_zxid = delivered;
    }
    n->was_serving = p->is_serving;
}

/* ---- users --------------------------------------------------------------------------------------------------- */

void truth_expired(struct world *w, int64_t session_id)
{
    for (int64_t i = w->truth.committed_count; i > 0; i--) {
        const struct known_txn *k = find(&w->truth, w->truth.committed[i - 1]);
        struct txn txn;
        txn_decode(k->entry.data, k->entry.len, &txn);
        if (txn.hdr.type == OP_CLOSE_SESSION && txn.hdr.session_id == session_id) {
            return;
        }
    }
    sim_fail(w, "session 0x%" PRIx64 " was called expired, but it is alive", session_id);
}

/* ---- at the end ------------------------------------------------------------------------------------------------ */

bool truth_servers_agree(const struct world *w)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        const struct node *n = &w->nodes[i];
        if (!n->is_up || !n->peer->is_serving ||
            n->peer->zab.history.delivered_zxid < last_committed(&w->truth)) {
            return false;
        }
    }
    return true;
}

static void check_servers_agree(struct world *w)
{
    struct node *first = &w->nodes[0];
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        struct node *n = &w->nodes[i];
        if (!n->is_up || !n->peer->is_serving) {
            sim_fail(w, "server %d does not serve at the end", i + 1);
        }
        if (n->peer->zab.history.delivered_zxid < last_committed(&w->truth)) {
            sim_fail(w, "server %d ends at 0x%" PRIx64 ", the last committed is 0x%" PRIx64, i + 1,
                     n->peer->zab.history.delivered_zxid, last_committed(&w->truth));
        }
        if (n->tree->digest != first->tree->digest) {
            sim_fail(w, "servers 1 and %d end with different trees", i + 1);
        }
    }
}

void truth_check_end(struct world *w)
{
    check_servers_agree(w);
    replay_check(w);
    registers_check(w);
}
