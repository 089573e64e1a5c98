/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/zab.h"

#include <stdlib.h>

#include "common/xalloc.h"

void zab_init(struct zab *z, const struct zab_config *config, const struct data_tree *tree,
              struct session_table *sessions)
{
    *z = (struct zab){ .actions = NULL };
    list_init(&z->delivered);
    struct quorum quorum;
    quorum_init(&quorum, &config->sid, 1, tree->last_zxid);
    leader_init(&z->leader, &config->prep, &quorum, config->sid, tree, sessions);
}

/* What the last step gave away has been used by now. */
static void drop_delivered(struct zab *z)
{
    struct list *it;
    while ((it = list_pop_front(&z->delivered)) != NULL) {
        struct proposal *p = list_entry(it, struct proposal, line);
        leader_delivered(&z->leader, p);
        proposal_free(p);
    }
}

void zab_fini(struct zab *z)
{
    drop_delivered(z);
    leader_fini(&z->leader);
    free(z->actions);
}

static void add_action(struct zab *z, enum zab_action_type type, struct proposal *p)
{
    if (z->action_count == z->action_cap) {
        z->action_cap = z->action_cap ? 2 * z->action_cap : 64;
        z->actions = xrealloc(z->actions, (size_t)z->action_cap * sizeof(*z->actions));
    }
    z->actions[z->action_count++] = (struct zab_action){ type, p };
}

static void deliver_committed(struct zab *z)
{
    struct proposal *p;
    while ((p = leader_next_committed(&z->leader)) != NULL) {
        list_push_back(&z->delivered, &p->line);
        add_action(z, p->zxid != 0 ? ZAB_DELIVER : ZAB_DELIVER_SYNC, p);
    }
}

void zab_step(struct zab *z, const struct zab_event *event)
{
    drop_delivered(z);
    z->action_count = 0;
    switch (event->type) {
    case ZAB_SUBMIT:
        add_action(z, ZAB_LOG_APPEND, leader_propose(&z->leader, event->request));
        break;
    case ZAB_SYNC:
        leader_sync(&z->leader, event->sync.origin, event->sync.cxid);
        break;
    case ZAB_LOG_SYNCED:
        leader_on_ack(&z->leader, z->leader.self_sid, event->zxid);
        break;
    }
    deliver_committed(z);
}
