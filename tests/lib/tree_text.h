/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_TREE_TEXT_H
#define TESTS_LIB_TREE_TEXT_H

/* A tree and its sessions as sorted lines, in the form of tests/data/apache/standalone/golden.txt.
 */
#include "server/store/session_map.h"
#include "server/tree/data_tree.h"

/* The caller frees the string. */
char *tree_text(const struct data_tree *tree, const struct saved_session *sessions, size_t count);

#endif
