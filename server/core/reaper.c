/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/reaper.h"

#include "server/tree/containers.h"

enum { MINUTE_MS = 60000, SLICE_MS_MIN = 20, LOOKS_PER_SLICE = 2000 };

void reaper_init(struct reaper *r, const struct reaper_config *config)
{
    *r = (struct reaper){ .config = *config, .next_ms = INT64_MAX };
}

void reaper_start(struct reaper *r, int64_t now_ms)
{
    bool is_on = r->config.check_interval_ms > 0 && r->config.max_per_minute > 0;
    r->next_ms = is_on ? now_ms + r->config.check_interval_ms : INT64_MAX;
    r->left = 0;
}

void reaper_stop(struct reaper *r)
{
    r->next_ms = INT64_MAX;
}

/* Long enough for one delete. */
static int32_t slice_ms(const struct reaper *r)
{
    int32_t one_ms = MINUTE_MS / r->config.max_per_minute;
    return one_ms > SLICE_MS_MIN ? one_ms : SLICE_MS_MIN;
}

bool reaper_begin_slice(struct reaper *r, const struct data_tree *t, int64_t now_ms)
{
    if (now_ms < r->next_ms) {
        return false;
    }
    if (r->left == 0) {
        r->left = t->containers_count;
        r->began_ms = now_ms;
    }
    int64_t deletes = (int64_t)r->config.max_per_minute * slice_ms(r) / MINUTE_MS;
    r->deletes_left = deletes > 1 ? deletes : 1;
    r->looks_left = LOOKS_PER_SLICE;
    r->next_ms = now_ms + slice_ms(r);
    return true;
}

const struct znode *reaper_next(struct reaper *r, struct data_tree *t, int64_t wall_ms)
{
    const struct container_rule rule = { r->config.never_used_ms_max, t->extended_types };
    while (r->left > 0 && r->looks_left > 0 && r->deletes_left > 0) {
        const struct znode *n = containers_next(t);
        if (!n) {
            r->left = 0;
            break;
        }
        r->left--;
        r->looks_left--;
        if (container_is_over(&n->stat, n->num_children, wall_ms, &rule)) {
            r->deletes_left--;
            return n;
        }
    }
    if (r->left == 0) {
        r->next_ms = r->began_ms + r->config.check_interval_ms;
    }
    return NULL;
}
