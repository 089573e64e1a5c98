/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, cut in one go and cut byte by byte: the frames must be the same, and within the limit. */
#include <stdint.h>
#include <string.h>

#include "common/assert.h"
#include "common/buf.h"
#include "server/net/frame.h"

enum { BODY_MAX = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Takes whole frames off the front of in and copies them to out; how it ended. */
static enum frame_status cut(struct buf *in, struct buf *out)
{
    enum frame_status status;
    int32_t body_len = 0;
    while ((status = frame_next(buf_head(in), buf_readable(in), BODY_MAX, &body_len)) ==
           FRAME_COMPLETE) {
        size_t bytes = FRAME_HEADER_BYTES + (size_t)body_len;
        zk_assert(body_len >= 0);
        zk_assert(body_len <= BODY_MAX);
        zk_assert(bytes <= buf_readable(in));
        buf_append(out, buf_head(in), bytes);
        buf_consume(in, bytes);
    }
    zk_assert(status == FRAME_BAD || buf_readable(in) < FRAME_HEADER_BYTES + BODY_MAX);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf whole = BUF_EMPTY;
    struct buf whole_out = BUF_EMPTY;
    buf_reserve(&whole, 1);
    buf_append(&whole, data, len);
    enum frame_status whole_end = cut(&whole, &whole_out);

    struct buf part = BUF_EMPTY;
    struct buf part_out = BUF_EMPTY;
    enum frame_status part_end = FRAME_PARTIAL;
    for (size_t i = 0; i < len && part_end != FRAME_BAD; i++) {
        buf_append(&part, data + i, 1);
        part_end = cut(&part, &part_out);
    }
    zk_assert(whole_end == part_end);
    zk_assert(buf_readable(&whole_out) == buf_readable(&part_out));
    zk_assert(whole_out.len == 0 || memcmp(whole_out.data, part_out.data, whole_out.len) == 0);
    buf_fini(&whole);
    buf_fini(&whole_out);
    buf_fini(&part);
    buf_fini(&part_out);
    return 0;
}
