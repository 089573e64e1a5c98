/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/outcome.h"

#include <string.h>

#include "server/jute/opcode.h"
#include "server/tree/data_tree.h"

bool outcome_permits(const struct data_tree *t, const struct znode *n, int32_t perms)
{
    return acl_permits(data_tree_acl(t, n), perms, VEC_NULL);
}

static const struct znode *parent_of(const struct data_tree *t, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct slice parent = { (const uint8_t *)path, (int32_t)(slash - path) };
    return data_tree_find(t, parent);
}

static enum zk_err create(const struct data_tree *t, const struct znode *n, const char *path,
                          int32_t flags)
{
    const struct znode *parent = parent_of(t, path);
    if (!parent) {
        return ZK_NO_NODE;
    }
    if (!outcome_permits(t, parent, PERM_CREATE)) {
        return ZK_NO_AUTH;
    }
    return n && !(flags & CREATE_SEQUENTIAL) ? ZK_NODE_EXISTS : ZK_OK;
}

static enum zk_err delete (const struct data_tree *t, const struct znode *n, const char *path) {
    const struct znode *parent = parent_of(t, path); if (!parent){ return ZK_NO_NODE; }
if (!outcome_permits(t, parent, PERM_DELETE))
{
    return ZK_NO_AUTH;
}
return !n ? ZK_NO_NODE : n->num_children > 0 ? ZK_NOT_EMPTY : ZK_OK;
}

static enum zk_err change(const struct data_tree *t, const struct znode *n, int32_t perm,
                          int32_t wanted, int32_t version)
{
    if (!n) {
        return ZK_NO_NODE;
    }
    if (!outcome_permits(t, n, perm)) {
        return ZK_NO_AUTH;
    }
    return wanted != -1 && wanted != version ? ZK_BAD_VERSION : ZK_OK;
}

static enum zk_err foretell_part(const struct data_tree *t, const struct op *op,
                                 const struct op_part *part)
{
    const struct znode *n = data_tree_find(t, slice_of_str(part->path));
    int32_t version = n ? data_tree_stat(t, n).version : 0;
    switch (part->type) {
    case OP_CREATE:
        return create(t, n, part->path, op->flags);
    case OP_DELETE:
        return delete (t, n, part->path);
    case OP_CHECK:
        return change(t, n, PERM_READ, part->version, version);
    case OP_SET_ACL:
        return change(t, n, PERM_ADMIN, -1, version);
    default:
        return change(t, n, PERM_WRITE, part->version, version);
    }
}

void outcome_foretell(const struct data_tree *t, const struct op *op, struct outcome *out)
{
    memset(out, 0, sizeof(*out));
    for (int32_t i = 0; i < op->part_count; i++) {
        out->errs[i] =
            out->has_failed ? ZK_RUNTIME_INCONSISTENCY : foretell_part(t, op, &op->parts[i]);
        out->has_failed |= out->errs[i] != ZK_OK;
    }
}
