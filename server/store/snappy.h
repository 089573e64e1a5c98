/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPPY_H
#define SERVER_STORE_SNAPPY_H

/*
 * Decoder for one raw snappy block (format description of the snappy project: a length, then
 * literals and copies). Just enough to read Apache's *.snappy snapshots; we never write them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* Appends the decoded block to out; false if it is damaged or longer than bytes_max (out may then
 * hold a part of it). */
bool snappy_decode(const uint8_t *src, size_t len, size_t bytes_max, struct buf *out);

#endif
