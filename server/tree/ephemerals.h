/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_EPHEMERALS_H
#define SERVER_TREE_EPHEMERALS_H

/* Which ephemeral nodes belong to which session. Part of the data tree. Pure. */
#include "common/list.h"
#include "server/tree/data_tree.h"

struct ephemeral_owner {
    struct hlink by_session;
    int64_t session_id;
    struct list nodes; /* struct znode.by_owner, in order of creation */
};

void ephemerals_add(struct data_tree *t, struct znode *n);
void ephemerals_remove(struct data_tree *t, struct znode *n);
/* NULL if the session owns nothing. */
struct ephemeral_owner *ephemerals_find(const struct data_tree *t, int64_t session_id);
void ephemerals_clear(struct data_tree *t);

#endif
