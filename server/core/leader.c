/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/leader.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/xalloc.h"

void leader_init(struct leader *l, const struct prep_config *config, const struct quorum *quorum,
                 int64_t self_sid, const struct data_tree *tree, struct session_table *sessions)
{
    prep_init(&l->prep, config, tree, sessions);
    l->quorum = *quorum;
    l->self_sid = self_sid;
    l->last_proposed_zxid = tree->last_zxid;
    list_init(&l->outstanding);
    l->outstanding_count = 0;
}

void leader_fini(struct leader *l)
{
    struct list *it;
    while ((it = list_pop_front(&l->outstanding)) != NULL) {
        proposal_free(list_entry(it, struct proposal, line));
    }
    prep_fini(&l->prep);
}

static struct proposal *new_proposal(struct leader *l, uint64_t origin, int32_t cxid)
{
    struct proposal *p = xmalloc(sizeof(*p));
    *p = (struct proposal){ .origin = origin, .cxid = cxid, .entry = BUF_EMPTY };
    list_push_back(&l->outstanding, &p->line);
    l->outstanding_count++;
    return p;
}

struct proposal *leader_propose(struct leader *l, const struct request *req)
{
    struct proposal *p = new_proposal(l, req->origin, req->cxid);
    p->zxid = ++l->last_proposed_zxid;
    prep_request(&l->prep, req, p->zxid, &p->entry);
    return p;
}

void leader_sync(struct leader *l, uint64_t origin, int32_t cxid)
{
    new_proposal(l, origin, cxid);
}

void leader_on_ack(struct leader *l, int64_t sid, int64_t zxid)
{
    zk_assert(zxid <= l->last_proposed_zxid);
    quorum_ack(&l->quorum, sid, zxid);
}

struct proposal *leader_next_committed(struct leader *l)
{
    if (list_is_empty(&l->outstanding)) {
        return NULL;
    }
    struct proposal *p = list_entry(l->outstanding.next, struct proposal, line);
    if (p->zxid != 0 && !quorum_has_majority(&l->quorum, p->zxid)) {
        return NULL;
    }
    list_remove(&p->line);
    l->outstanding_count--;
    return p;
}

void leader_delivered(struct leader *l, const struct proposal *p)
{
    if (p->zxid != 0) {
        prep_applied(&l->prep, p->zxid);
    }
}

void proposal_free(struct proposal *p)
{
    buf_fini(&p->entry);
    free(p);
}
