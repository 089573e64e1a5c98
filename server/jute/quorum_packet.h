/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_QUORUM_PACKET_H
#define SERVER_JUTE_QUORUM_PACKET_H

/* Types of struct quorum_packet, between a leader and its learners (quorum-protocol: 4). */
enum quorum_packet_type {
    ZAB_REQUEST = 1,
    ZAB_PROPOSAL = 2,
    ZAB_ACK = 3,
    ZAB_COMMIT = 4,
    ZAB_PING = 5,
    ZAB_REVALIDATE = 6,
    ZAB_SYNC = 7,
    ZAB_INFORM = 8,
    ZAB_COMMITANDACTIVATE = 9,
    ZAB_NEWLEADER = 10,
    ZAB_FOLLOWERINFO = 11,
    ZAB_UPTODATE = 12,
    ZAB_DIFF = 13,
    ZAB_TRUNC = 14,
    ZAB_SNAP = 15,
    ZAB_OBSERVERINFO = 16,
    ZAB_LEADERINFO = 17,
    ZAB_ACKEPOCH = 18,
    ZAB_INFORMANDACTIVATE = 19,
};

/* LearnerInfo.protocolVersion and LEADERINFO's data: the version with ACKEPOCH. */
enum { ZAB_PROTOCOL_VERSION = 0x10000 };

/* The string that ends the raw snapshot behind a SNAP packet. */
#define ZAB_SNAP_SIGNATURE "BenWasHere"

#endif
