/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jute/wire.h"

#include <endian.h>
#include <string.h>

#include "common/assert.h"

void wire_init(struct wire *w, const void *data, size_t len)
{
    /* C forbids even adding 0 to NULL, which is where an empty buffer begins. */
    w->at = len > 0 ? data : (const uint8_t *)"";
    w->end = w->at + len;
    w->failed = false;
}

void wire_init_vec(struct wire *w, struct vec v)
{
    wire_init(w, v.raw.data, slice_size(v.raw));
}

/* The next len bytes, or NULL and the sticky error. */
static const uint8_t *take(struct wire *w, size_t len)
{
    if (w->failed || wire_left(w) < len) {
        w->failed = true;
        return NULL;
    }
    const uint8_t *p = w->at;
    w->at += len;
    return p;
}

uint8_t wire_byte(struct wire *w)
{
    const uint8_t *p = take(w, 1);
    return p ? *p : 0;
}

bool wire_bool(struct wire *w)
{
    return wire_byte(w) != 0;
}

int32_t wire_int(struct wire *w)
{
    const uint8_t *p = take(w, 4);
    uint32_t v = 0;
    if (p) {
        memcpy(&v, p, 4);
    }
    return (int32_t)be32toh(v);
}

int64_t wire_long(struct wire *w)
{
    const uint8_t *p = take(w, 8);
    uint64_t v = 0;
    if (p) {
        memcpy(&v, p, 8);
    }
    return (int64_t)be64toh(v);
}

struct slice wire_slice(struct wire *w)
{
    int32_t len = wire_int(w);
    if (len == -1) {
        return SLICE_NULL;
    }
    if (len < 0) {
        w->failed = true;
        return SLICE_NULL;
    }
    const uint8_t *p = take(w, (size_t)len);
    return p ? (struct slice){ p, len } : SLICE_NULL;
}

struct vec wire_vec(struct wire *w, void (*skip)(struct wire *w))
{
    int32_t count = wire_int(w);
    if (w->failed || count == -1) {
        return VEC_NULL;
    }
    /* Every element takes at least one byte, so an absurd count ends here and costs nothing. */
    if (count < 0 || (size_t)count > wire_left(w)) {
        w->failed = true;
        return VEC_NULL;
    }
    const uint8_t *start = w->at;
    for (int32_t i = 0; i < count && !w->failed; i++) {
        skip(w);
    }
    if (w->failed) {
        return VEC_NULL;
    }
    return (struct vec){ count, { start, (int32_t)(w->at - start) } };
}

void put_byte(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->len += 1;
}

void put_bool(struct buf *b, bool v)
{
    put_byte(b, v ? 1 : 0);
}

void put_int(struct buf *b, int32_t v)
{
    uint32_t be = htobe32((uint32_t)v);
    memcpy(buf_reserve(b, 4), &be, 4);
    b->len += 4;
}

void put_long(struct buf *b, int64_t v)
{
    uint64_t be = htobe64((uint64_t)v);
    memcpy(buf_reserve(b, 8), &be, 8);
    b->len += 8;
}

void put_slice(struct buf *b, struct slice s)
{
    put_int(b, s.len);
    buf_append(b, s.data, slice_size(s));
}

void put_vec(struct buf *b, struct vec v)
{
    put_int(b, v.count);
    buf_append(b, v.raw.data, slice_size(v.raw));
}

void put_int_at(struct buf *b, size_t offset, int32_t v)
{
    zk_assert(offset + 4 <= b->len);
    uint32_t be = htobe32((uint32_t)v);
    memcpy(b->data + offset, &be, 4);
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len <= 0 || memcmp(a.data, b.data, (size_t)a.len) == 0);
}

struct slice slice_of_str(const char *s)
{
    return s ? (struct slice){ (const uint8_t *)s, (int32_t)strlen(s) } : SLICE_NULL;
}

bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_of_str(s));
}
