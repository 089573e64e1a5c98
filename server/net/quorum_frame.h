/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_NET_QUORUM_FRAME_H
#define SERVER_NET_QUORUM_FRAME_H

/*
 * Cuts a stream into quorum packets (quorum-protocol 4), which have no length before them: the lengths
 * of data and of each id stand inside. Each is checked against the limit as soon as it has come, before
 * what it announces. Pure: looks at bytes, takes no memory.
 */
#include <stddef.h>
#include <stdint.h>

#include "server/net/frame.h"

enum { QUORUM_IDS_MAX = 1024 };

/* Looks at the packet that begins at bytes. FRAME_COMPLETE: it has *packet_len bytes. bytes_max: of data,
 * and of all ids together. */
enum frame_status quorum_frame_next(const uint8_t *bytes, size_t len, size_t bytes_max,
                                    size_t *packet_len);

#endif
