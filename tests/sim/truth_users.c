/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/truth.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "server/core/reads.h"
#include "tests/sim/world.h"

struct session_seen *truth_session(const struct truth *t, int64_t session_id)
{
    for (int64_t i = t->session_count - 1; i >= 0; i--) {
        if (t->sessions[i].session_id == session_id) {
            return &t->sessions[i];
        }
    }
    return NULL;
}

void truth_answered(struct world *w, struct op *op)
{
    struct truth *t = &w->truth;
    if ((t->answer_count & (t->answer_count - 1)) == 0) {
        t->ops = xrealloc(t->ops, (size_t)(2 * t->answer_count + 1) * sizeof(*t->ops));
    }
    t->ops[t->answer_count++] = *op;
    buf_init(&op->answer);
    if (opcode_is_write(op->type) && op->zxid > t->acked_zxid) {
        t->acked_zxid = op->zxid;
    }
}

void truth_touched(struct world *w, int64_t session_id, int32_t timeout_ms, int64_t began_us)
{
    struct truth *t = &w->truth;
    struct session_seen *s = truth_session(t, session_id);
    if (!s) {
        if ((t->session_count & (t->session_count - 1)) == 0) {
            t->sessions =
                xrealloc(t->sessions, (size_t)(2 * t->session_count + 1) * sizeof(*t->sessions));
        }
        s = &t->sessions[t->session_count++];
        *s = (struct session_seen){ .session_id = session_id };
    }
    s->timeout_ms = timeout_ms;
    s->touched_us = began_us > s->touched_us ? began_us : s->touched_us;
}

void truth_lost(struct world *w, const struct op *op)
{
    struct truth *t = &w->truth;
    if ((t->lost_count & (t->lost_count - 1)) == 0) {
        t->lost = xrealloc(t->lost, (size_t)(2 * t->lost_count + 1) * sizeof(*t->lost));
    }
    t->lost[t->lost_count++] = *op;
}

void truth_watch_over(struct world *w, const struct watch_seen *seen)
{
    struct truth *t = &w->truth;
    if ((t->watch_count & (t->watch_count - 1)) == 0) {
        t->watches = xrealloc(t->watches, (size_t)(2 * t->watch_count + 1) * sizeof(*t->watches));
    }
    t->watches[t->watch_count++] = *seen;
}
