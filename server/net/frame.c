/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/frame.h"

enum frame_status frame_next(const uint8_t *bytes, size_t len, int32_t body_max, int32_t *body_len)
{
    if (len < FRAME_HEADER_BYTES) {
        return FRAME_PARTIAL;
    }
    *body_len = (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                          (uint32_t)bytes[2] << 8 | bytes[3]);
    if (*body_len < 0 || *body_len > body_max) {
        return FRAME_BAD;
    }
    return len - FRAME_HEADER_BYTES < (size_t)*body_len ? FRAME_PARTIAL : FRAME_COMPLETE;
}
