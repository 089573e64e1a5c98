/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/registers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "server/jute/opcode.h"
#include "server/jute/wire.h"
#include "server/jute/zk_err.h"
#include "tests/lib/register.h"
#include "tests/sim/world.h"

static bool is_write(const struct op *op)
{
    return op->type == OP_CREATE || op->type == OP_SET_DATA || op->type == OP_MULTI ||
           op->type == OP_DELETE;
}

/* Did a write that was answered change the register? A multi says so in its first result. */
static bool has_written(const struct op *op)
{
    if (op->err != ZK_OK) {
        return false;
    }
    struct wire w;
    wire_init(&w, buf_head(&op->answer), buf_readable(&op->answer));
    return op->type != OP_MULTI || wire_int(&w) != OP_ERROR;
}

/* Users write "<user>.<count>". */
static int64_t parse_value(struct slice data)
{
    int user;
    long long count;
    char text[24];
    snprintf(text, sizeof(text), "%.*s", data.len > 0 ? data.len : 0, (const char *)data.data);
    return sscanf(text, "%d.%lld", &user, &count) == 2 ? user_value(user, count) : -1;
}

/* False: it tells nothing about the register. */
static bool to_register_op(const struct op *op, bool is_answered, struct register_op *out)
{
    *out = (struct register_op){ .value = op->value, .invoked_us = op->invoked_us };
    out->answered_us = is_answered ? op->answered_us : REGISTER_UNANSWERED;
    if (is_write(op)) {
        out->kind = REGISTER_WRITE;
        return !is_answered || has_written(op);
    }
    if (op->type != OP_GET_DATA || !is_answered || op->synced_us == 0) {
        return false;
    }
    struct wire w;
    wire_init(&w, buf_head(&op->answer), buf_readable(&op->answer));
    out->kind = REGISTER_READ;
    out->invoked_us = op->synced_us;
    out->value = op->err == ZK_OK ? parse_value(wire_slice(&w)) : 0;
    return true;
}

static size_t collect(const struct op *ops, int64_t count, bool are_answered, const char *path,
                      struct register_op *out)
{
    size_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        n += strcmp(ops[i].path, path) == 0 && to_register_op(&ops[i], are_answered, &out[n]);
    }
    return n;
}

void registers_check(struct world *w)
{
    const struct truth *t = &w->truth;
    size_t all = (size_t)(t->answer_count + t->lost_count);
    struct register_op *ops = xcalloc(all + 1, sizeof(*ops));
    for (int r = 0; r < REGISTERS; r++) {
        char path[16];
        snprintf(path, sizeof(path), "/r%d", r);
        size_t n = collect(t->ops, t->answer_count, true, path, ops);
        n += collect(t->lost, t->lost_count, false, path, ops + n);
        enum register_verdict verdict = register_check(ops, n, 0);
        if (verdict == REGISTER_BROKEN) {
            sim_fail(w, "%s is not linearizable", path);
        }
        w->undecided_count += verdict == REGISTER_UNDECIDED;
    }
    free(ops);
}
