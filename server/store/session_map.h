/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SESSION_MAP_H
#define SERVER_STORE_SESSION_MAP_H

/*
 * The sessions that a snapshot and the log behind it leave open: id -> timeout. The core keeps its
 * own table (core/session.h); this one is only filled during recovery and handed over.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/htable.h"
#include "common/list.h"

struct session_map {
    struct htable by_id;
    struct list all; /* the same entries */
};

struct saved_session {
    int64_t session_id;
    int32_t timeout_ms;
};

void session_map_init(struct session_map *m);
void session_map_fini(struct session_map *m);
void session_map_set(struct session_map *m, int64_t session_id, int32_t timeout_ms);
/* An unknown id is fine. */
void session_map_remove(struct session_map *m, int64_t session_id);
bool session_map_has(const struct session_map *m, int64_t session_id);
/* All of them, ascending by id; the caller frees the array. */
struct saved_session *session_map_list(const struct session_map *m, size_t *count);

/* The session section of a snapshot. */
void saved_sessions_encode(struct buf *out, const struct saved_session *sessions, size_t count);

#endif
