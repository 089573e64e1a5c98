/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/quorum.h"

#include "common/assert.h"

void quorum_init(struct quorum *q, const int64_t *sids, int32_t voter_count, int64_t zxid)
{
    zk_assert(voter_count >= 1);
    zk_assert(voter_count <= QUORUM_VOTERS_MAX);
    q->voter_count = voter_count;
    for (int32_t i = 0; i < voter_count; i++) {
        q->sids[i] = sids[i];
        q->acked_zxid[i] = zxid;
    }
}

bool quorum_ack(struct quorum *q, int64_t sid, int64_t zxid)
{
    for (int32_t i = 0; i < q->voter_count; i++) {
        if (q->sids[i] == sid) {
            if (zxid > q->acked_zxid[i]) {
                q->acked_zxid[i] = zxid;
            }
            return true;
        }
    }
    return false;
}

bool quorum_has_majority(const struct quorum *q, int64_t zxid)
{
    int32_t acks = 0;
    for (int32_t i = 0; i < q->voter_count; i++) {
        acks += q->acked_zxid[i] >= zxid;
    }
    return 2 * acks > q->voter_count;
}

int64_t quorum_committed(const struct quorum *q)
{
    int64_t best = 0;
    for (int32_t i = 0; i < q->voter_count; i++) {
        if (q->acked_zxid[i] > best && quorum_has_majority(q, q->acked_zxid[i])) {
            best = q->acked_zxid[i];
        }
    }
    return best;
}

void quorum_forget(struct quorum *q, int64_t sid)
{
    for (int32_t i = 0; i < q->voter_count; i++) {
        if (q->sids[i] == sid) {
            q->acked_zxid[i] = 0;
        }
    }
}
