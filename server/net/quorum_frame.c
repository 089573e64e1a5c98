/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/quorum_frame.h"

#include "server/jute/wire.h"

enum { TYPE_AND_ZXID_BYTES = 12 };

/* Steps over a string or buffer of at most bytes_max. */
static enum frame_status skip_slice(struct wire *w, size_t bytes_max)
{
    int32_t len = wire_int(w);
    if (!wire_ok(w)) {
        return FRAME_PARTIAL;
    }
    if (len < -1 || (len > 0 && (size_t)len > bytes_max)) {
        return FRAME_BAD;
    }
    size_t size = len > 0 ? (size_t)len : 0;
    if (wire_left(w) < size) {
        return FRAME_PARTIAL;
    }
    w->at += size;
    return FRAME_COMPLETE;
}

/* The vector of ids: a scheme and an id each. */
static enum frame_status skip_ids(struct wire *w, size_t bytes_max)
{
    int32_t count = wire_int(w);
    if (!wire_ok(w)) {
        return FRAME_PARTIAL;
    }
    if (count < -1 || count > QUORUM_IDS_MAX) {
        return FRAME_BAD;
    }
    const uint8_t *start = w->at;
    for (int32_t i = 0; i < 2 * count; i++) {
        size_t used = (size_t)(w->at - start);
        enum frame_status status = skip_slice(w, used < bytes_max ? bytes_max - used : 0);
        if (status != FRAME_COMPLETE) {
            return status;
        }
    }
    return FRAME_COMPLETE;
}

enum frame_status quorum_frame_next(const uint8_t *bytes, size_t len, size_t bytes_max,
                                    size_t *packet_len)
{
    struct wire w;
    wire_init(&w, bytes, len);
    if (len < TYPE_AND_ZXID_BYTES) {
        return FRAME_PARTIAL;
    }
    const uint8_t *start = w.at;
    w.at += TYPE_AND_ZXID_BYTES;
    enum frame_status status = skip_slice(&w, bytes_max);
    if (status == FRAME_COMPLETE) {
        status = skip_ids(&w, bytes_max);
    }
    if (status == FRAME_COMPLETE) {
        *packet_len = (size_t)(w.at - start);
    }
    return status;
}
