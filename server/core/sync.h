/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_SYNC_H
#define SERVER_CORE_SYNC_H

/*
 * How a learner is brought to the leader's history: DIFF, TRUNC or SNAP (quorum-protocol 6). Pure.
 */
#include <stdint.h>

#include "server/core/history.h"
#include "server/jute/quorum_packet.h"

struct sync_plan {
    enum quorum_packet_type type; /* ZAB_DIFF, ZAB_TRUNC or ZAB_SNAP */
    int64_t zxid;                 /* the packet's */
    struct proposal *first;       /* DIFF, TRUNC: proposals to send from here on; NULL: none */
};

/* peer_zxid: the learner's last logged one. epoch: the leader's; nobody has a history of a later one, so a
 * learner that claims to asks for SNAP. */
struct sync_plan sync_choose(const struct history *h, int64_t peer_zxid, int64_t epoch);

#endif
