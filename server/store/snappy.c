/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snappy.h"

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

/* Little-endian number of count bytes (1 to 4); false at the end of the input. */
static bool read_le(struct input *in, unsigned count, uint32_t *value)
{
    if ((size_t)(in->end - in->at) < count) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < count; i++) {
        *value |= (uint32_t)in->at[i] << (8 * i);
    }
    in->at += count;
    return true;
}

/* Seven bits a byte, lowest first, at most five bytes. */
static bool read_varint(struct input *in, uint32_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 35 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        *value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool copy_literal(struct input *in, uint8_t tag, size_t room, struct buf *out)
{
    uint32_t len = tag >> 2;
    if (len >= 60 && !read_le(in, len - 59, &len)) {
        return false;
    }
    size_t count = (size_t)len + 1;
    if (count > (size_t)(in->end - in->at) || count > room) {
        return false;
    }
    buf_append(out, in->at, count);
    in->at += count;
    return true;
}

static bool copy_back(struct input *in, uint8_t tag, size_t done, size_t room, struct buf *out)
{
    uint32_t offset;
    size_t count;
    if ((tag & 3) == 1) {
        count = ((tag >> 2) & 7) + 4;
        if (!read_le(in, 1, &offset)) {
            return false;
        }
        offset |= (uint32_t)(tag >> 5) << 8;
    } else {
        count = (size_t)(tag >> 2) + 1;
        if (!read_le(in, (tag & 3) == 2 ? 2 : 4, &offset)) {
            return false;
        }
    }
    if (offset == 0 || offset > done || count > room) {
        return false;
    }
    uint8_t *dst = buf_reserve(out, count);
    for (size_t i = 0; i < count; i++) {
        dst[i] = dst[(ptrdiff_t)i - (ptrdiff_t)offset]; /* may overlap: a run repeats itself */
    }
    out->len += count;
    return true;
}

bool snappy_decode(const uint8_t *src, size_t len, size_t bytes_max, struct buf *out)
{
    struct input in = { src, src + len };
    uint32_t total;
    if (!read_varint(&in, &total) || total > bytes_max) {
        return false;
    }
    size_t start = out->len;
    buf_reserve(out, total);
    while (in.at < in.end) {
        uint8_t tag = *in.at++;
        size_t done = out->len - start;
        bool ok = (tag & 3) == 0 ? copy_literal(&in, tag, total - done, out)
                                 : copy_back(&in, tag, done, total - done, out);
        if (!ok) {
            return false;
        }
    }
    return out->len - start == total;
}
