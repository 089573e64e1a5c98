/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/containers.h"

#include "common/assert.h"

void containers_add(struct data_tree *t, struct znode *n)
{
    list_push_back(&t->containers, &n->by_owner);
    t->containers_count++;
}

void containers_remove(struct data_tree *t, struct znode *n)
{
    zk_assert(t->containers_count > 0);
    list_remove(&n->by_owner);
    t->containers_count--;
}

struct znode *containers_next(struct data_tree *t)
{
    struct list *it = list_pop_front(&t->containers);
    if (!it) {
        return NULL;
    }
    list_push_back(&t->containers, it);
    return list_entry(it, struct znode, by_owner);
}

bool container_is_over(const struct persisted_stat *stat, int32_t num_children, int64_t wall_ms,
                       const struct container_rule *rule)
{
    if (num_children > 0) {
        return false;
    }
    int64_t age_ms = wall_ms - stat->mtime_ms;
    switch (znode_kind(stat->ephemeral_owner, rule->extended_types)) {
    case ZNODE_CONTAINER:
        return stat->cversion > 0 ||
               (rule->never_used_ms_max > 0 && age_ms > rule->never_used_ms_max);
    case ZNODE_TTL:
        return age_ms > ephemeral_owner_ttl(stat->ephemeral_owner);
    default:
        return false;
    }
}
