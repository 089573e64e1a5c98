/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_OUTCOME_H
#define TESTS_SIM_OUTCOME_H

/*
 * What a write must come to when it is carried out on a tree: found anew from the tree alone, beside the
 * product's prep, which must foretell the same from a tree that lags behind and the changes under way (W2).
 */
#include "server/jute/zk_err.h"
#include "tests/sim/truth.h"

struct data_tree;
struct znode;

/* Results of the parts of one write. In a multi the first that fails leaves 0 before and -2 behind it. */
struct outcome {
    enum zk_err errs[OP_PARTS_MAX];
    bool has_failed;
};

void outcome_foretell(const struct data_tree *tree, const struct op *op, struct outcome *out);
/* Everybody has the same identity, which is none. */
bool outcome_permits(const struct data_tree *tree, const struct znode *n, int32_t perms);

#endif
