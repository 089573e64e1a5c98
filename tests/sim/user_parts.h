/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_USER_PARTS_H
#define TESTS_SIM_USER_PARTS_H

/*
 * What the files of a user share: user.c is the connection, the session and the answers; user_ops.c
 * the requests; user_watches.c the watches.
 */
#include "server/core/reads.h"
#include "tests/sim/user.h"

/* ---- user_ops.c ---- */

void user_begin_frame(struct buf *frame, int32_t xid, int32_t type);
/* Takes the frame. */
void user_send_frame(struct world *w, struct user *u, struct buf *frame);
/* A new request at the end of the line, and the head of its frame. */
struct op *user_begin_op(struct world *w, struct user *u, struct buf *frame, int32_t type,
                         const char *path);
/* One request, or two that belong together, after its habit. */
void user_begin_something(struct world *w, struct user *u);

/* ---- user_watches.c ---- */

/* Nobody tells two watches of one kind on one node apart. */
bool user_may_watch(const struct user *u, const char *path, int32_t type);
/* The answer to a read that asked for one. */
void user_add_watch(struct user *u, const struct op *op);
void user_on_watch_event(struct world *w, struct user *u, struct wire *in);
/* On a new connection, in front of everything else; and its answer. */
void user_set_watches(struct world *w, struct user *u);
void user_renew_watches(struct user *u, int64_t zxid);
void user_drop_all_watches(struct world *w, struct user *u);

#endif
