/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_WIRE_H
#define SERVER_JUTE_WIRE_H

/*
 * ZooKeeper's "jute" encoding: big-endian integers; strings and buffers as length + bytes with -1 for
 * null; vectors as count + elements with -1 for null. Pure: memory only.
 *
 * The reader is a cursor with a sticky error: after the first bad length every read gives zero, so a
 * whole record is decoded first and wire_ok() asked once. Decoding allocates nothing: slices and vectors
 * point into the message, which must outlive them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* Bytes of somebody else's memory; null (len -1) and empty (len 0) are different values. */
struct slice {
    const uint8_t *data;
    int32_t len;
};

#define SLICE_NULL  ((struct slice){ NULL, -1 })
#define SLICE_EMPTY ((struct slice){ (const uint8_t *)"", 0 })

/* A vector left in its encoding: count elements stand one behind the other in raw. count -1 is null. */
struct vec {
    int32_t count;
    struct slice raw; /* the elements, without the count; already checked */
};

#define VEC_NULL ((struct vec){ -1, { NULL, 0 } })

struct wire {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void wire_init(struct wire *w, const void *data, size_t len);
/* A cursor over the elements of a vector. */
void wire_init_vec(struct wire *w, struct vec v);
static inline bool wire_ok(const struct wire *w)
{
    return !w->failed;
}
static inline size_t wire_left(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

uint8_t wire_byte(struct wire *w);
bool wire_bool(struct wire *w);
int32_t wire_int(struct wire *w);
int64_t wire_long(struct wire *w);
/* String or buffer: both are a length and bytes. */
struct slice wire_slice(struct wire *w);
/* Steps over the elements with skip(), which reads exactly one; the result covers them all. A count
 * that the remaining bytes cannot hold fails before anything is read. */
struct vec wire_vec(struct wire *w, void (*skip)(struct wire *w));

void put_byte(struct buf *b, uint8_t v);
void put_bool(struct buf *b, bool v);
void put_int(struct buf *b, int32_t v);
void put_long(struct buf *b, int64_t v);
void put_slice(struct buf *b, struct slice s);
void put_vec(struct buf *b, struct vec v);
/* Overwrites four bytes that were written before, at offset from b->data. */
void put_int_at(struct buf *b, size_t offset, int32_t v);

static inline bool slice_is_null(struct slice s)
{
    return s.len < 0;
}
/* Length as a size; null counts as 0. */
static inline size_t slice_size(struct slice s)
{
    return s.len > 0 ? (size_t)s.len : 0;
}
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_str(struct slice a, const char *s);
struct slice slice_of_str(const char *s);

#endif
