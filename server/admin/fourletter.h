/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_ADMIN_FOURLETTER_H
#define SERVER_ADMIN_FOURLETTER_H

/*
 * The four-letter words: the first four bytes of a connection, answered with text. Their output
 * forms are those of Apache 3.8, byte for byte where both know the figure. Runs in the loop's
 * thread; envi, mntr, conf and dirs ask the system for what is not in the view (host,
 * descriptors, size of a directory).
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "server/admin/server_view.h"
#include "server/config.h"

/* As `srvr` says it: an Apache version first, since clients compare it, then which server this
 * is. */
const char *fourletter_version(void);

/* Whether four bytes are a word rather than the length of a frame. The answers to words that
 * Apache has and we do not (yet) say so. */
bool fourletter_is_word(const uint8_t bytes[4]);

/* Appends the answer to the word; the connection ends after it. */
void fourletter_answer(const uint8_t bytes[4], const struct config *cfg,
                       const struct server_view *view, struct buf *out);

#endif
