/* SPDX-License-Identifier: Apache-2.0 */
#include "common/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"

enum { BUF_CAP_MIN = 256 };

void buf_init(struct buf *b)
{
    *b = (struct buf)BUF_EMPTY;
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b);
}

void buf_reset(struct buf *b)
{
    b->head = 0;
    b->len = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    /* A queue that is mostly consumed moves down instead of growing. */
    if (b->cap - b->len < extra && b->head > 0 && b->head >= b->len / 2) {
        memmove(b->data, b->data + b->head, b->len - b->head);
        b->len -= b->head;
        b->head = 0;
    }
    /* Even for nothing there is memory to point at: NULL + 0 is undefined. */
    if (b->cap - b->len < extra || b->data == NULL) {
        size_t cap = b->cap ? b->cap : BUF_CAP_MIN;
        while (cap - b->len < extra) {
            zk_assert(cap <= SIZE_MAX / 2);
            cap *= 2;
        }
        b->data = xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *src, size_t len)
{
    if (len > 0) {
        memcpy(buf_reserve(b, len), src, len);
        b->len += len;
    }
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    zk_assert(len >= 0);
    char *dst = (char *)buf_reserve(b, (size_t)len + 1);
    vsnprintf(dst, (size_t)len + 1, fmt, again);
    b->len += (size_t)len;
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t count)
{
    zk_assert(count <= buf_readable(b));
    b->head += count;
    if (b->head == b->len) {
        buf_reset(b);
    }
}

char *buf_take_str(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    char *s = (char *)b->data;
    if (b->head > 0) {
        memmove(s, s + b->head, b->len - b->head + 1);
    }
    buf_init(b);
    return s;
}
