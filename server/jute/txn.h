/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_TXN_H
#define SERVER_JUTE_TXN_H

/*
 * A transaction as it stands in the log, in a PROPOSAL and in an INFORM: TxnHeader, the record that goes
 * with the header's type, and optionally a TxnDigest (quorum-protocol: 10). Pure.
 */
#include "server/jute/opcode.h"
#include "server/jute/records.h"

/* The record of a txn, by type. Slices point into the encoded txn. */
union txn_body {
    struct create_txn create; /* OP_CREATE, OP_CREATE2 */
    struct create_container_txn container;
    struct create_ttl_txn ttl;
    struct delete_txn delete;     /* OP_DELETE, OP_DELETE_CONTAINER */
    struct set_data_txn set_data; /* OP_SET_DATA, OP_RECONFIG */
    struct set_acl_txn set_acl;
    struct check_txn check; /* only inside multi */
    struct multi_txn multi;
    struct create_session_txn create_session;
    struct close_session_txn close_session; /* paths is null when the log has no record (before 3.6) */
    struct error_txn error;
};

struct txn {
    struct txn_header hdr;
    union txn_body body;
    bool has_digest;
    struct txn_digest digest; /* of the tree after this txn; only if has_digest */
};

enum { TXN_DIGEST_VERSION = 2 };

/* Decodes a whole log entry. False: unknown type or a record that does not fit. */
bool txn_decode(const void *entry, size_t len, struct txn *out);
void txn_encode(struct buf *b, const struct txn *txn);

/* The record alone, as it stands in a multi's sub-txn. */
bool txn_body_decode(int32_t type, struct wire *w, union txn_body *out);
void txn_body_encode(struct buf *b, int32_t type, const union txn_body *body);

#endif
