/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_LEADER_PARTS_H
#define SERVER_CORE_LEADER_PARTS_H

/*
 * What the leader's files ask of one another; for leader*.c only.
 *
 *      leader.c            the links, time, the role from its begin to its end
 *      leader_join.c       a learner's way in: discovery, synchronisation, activation (ZAB-3 to -7)
 *      leader_broadcast.c  proposals, acks, commits; pings, syncs; what learners ask (ZAB-8 to -10)
 */
#include "server/core/leader.h"
#include "server/core/zab.h"

/* ---- leader.c ---- */

struct handler *leader_find_handler(const struct leader *l, int64_t link);
/* Closes its link and frees it. */
void leader_drop_handler(struct zab *z, struct handler *h);
/* A packet without ids. */
void leader_send(struct zab *z, int64_t link, int32_t type, int64_t zxid, struct slice data);
/* Do the voters of whom is_in says yes, and this server, make a majority? */
bool leader_has_quorum(const struct zab *z, bool (*is_in)(const struct handler *h));

/* ---- leader_join.c ---- */

void leader_on_info(struct zab *z, struct handler *h, const struct quorum_packet *packet);
void leader_on_ackepoch(struct zab *z, struct handler *h, const struct quorum_packet *packet);
void leader_on_newleader_ack(struct zab *z, struct handler *h);
/* A quorum has everything that this server has: it is committed, and broadcast begins (E6). */
void leader_activate(struct zab *z);
void leader_try_activate(struct zab *z);
/* It has acked NEWLEADER. */
bool leader_has_history(const struct handler *h);
/* The next learner may have its snapshot. */
void leader_free_snap_turn(struct zab *z, int64_t link);

/* ---- leader_broadcast.c ---- */

void leader_send_proposal(struct zab *z, const struct handler *h, const struct proposal *p);
/* COMMIT, or to an observer INFORM. */
void leader_send_commit(struct zab *z, const struct handler *h, const struct proposal *p);
void leader_ping(struct zab *z);
void leader_on_ack(struct zab *z, struct handler *h, int64_t zxid);
void leader_on_ping_reply(struct zab *z, struct handler *h, const struct quorum_packet *packet);
void leader_on_request(struct zab *z, struct handler *h, const struct quorum_packet *packet);
void leader_on_revalidate(struct zab *z, struct handler *h, const struct quorum_packet *packet);

#endif
