/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_FRAME_H
#define SERVER_NET_FRAME_H

/* Cuts a stream into frames: a length of four bytes, big-endian and signed, then that many bytes
 * (client-protocol 1). Pure: looks at bytes, takes no memory. */
#include <stddef.h>
#include <stdint.h>

enum { FRAME_HEADER_BYTES = 4 };

enum frame_status {
    FRAME_COMPLETE, /* *body_len bytes follow the header */
    FRAME_PARTIAL,  /* more bytes must arrive */
    FRAME_BAD, /* *body_len is negative or over the limit; the stream cannot be read any further */
};

/* Looks at the frame that begins at bytes. *body_len is valid unless fewer than four bytes are
 * there. */
enum frame_status frame_next(const uint8_t *bytes, size_t len, int32_t body_max, int32_t *body_len);

#endif
