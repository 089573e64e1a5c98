/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/token_bucket.h"

void token_bucket_init(struct token_bucket *b, int64_t max, int64_t fill_ms, int64_t fill_count,
                       int64_t now_ms)
{
    *b = (struct token_bucket){ max, fill_ms, fill_count, max, now_ms };
}

static void fill(struct token_bucket *b, int64_t now_ms)
{
    int64_t rounds = (now_ms - b->filled_ms) / b->fill_ms;
    /* No more than would fill an empty one: the product stays small however long nobody came. */
    int64_t enough = b->max / b->fill_count + 1;
    int64_t more = (rounds < enough ? rounds : enough) * b->fill_count;
    b->tokens = b->tokens + more < b->max ? b->tokens + more : b->max;
    b->filled_ms += rounds * b->fill_ms;
}

bool token_bucket_take(struct token_bucket *b, int64_t now_ms)
{
    if (b->max == 0) {
        return true;
    }
    fill(b, now_ms);
    if (b->tokens == 0) {
        return false;
    }
    b->tokens--;
    return true;
}
