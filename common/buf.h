/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

/*
 * A growing byte buffer, used as a write target and as a queue of bytes to send.
 *
 *      data        data+head        data+len      data+cap
 *       |  consumed  |   readable      |   free      |
 *
 * Pure: memory only. Not for sharing between threads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* owned; NULL while cap is 0 */
    size_t head;   /* bytes already consumed from the front */
    size_t len;    /* end of the written bytes, counted from data */
    size_t cap;    /* bytes allocated */
};

#define BUF_EMPTY { NULL, 0, 0, 0 }

void buf_init(struct buf *b);
void buf_fini(struct buf *b);
/* Forgets the content, keeps the memory. */
void buf_reset(struct buf *b);
/* Room for extra more bytes after len; returns where they start. */
uint8_t *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, const void *src, size_t len);
void buf_append_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drops count readable bytes from the front; count must not exceed buf_readable(). */
void buf_consume(struct buf *b, size_t count);
/* Hands the content over as a NUL-terminated string that the caller frees; b is empty afterwards. */
char *buf_take_str(struct buf *b);

static inline size_t buf_readable(const struct buf *b)
{
    return b->len - b->head;
}

static inline const uint8_t *buf_head(const struct buf *b)
{
    return b->head > 0 ? b->data + b->head : b->data;
}

#endif
