/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jute/txn.h"

#include "common/assert.h"

enum { TXN_DIGEST_BYTES = 12 };

/* Logs from before 3.4 lack parentCVersion; -1 tells the applier to count for itself. */
static bool decode_create(struct wire *w, struct create_txn *out)
{
    struct wire retry = *w;
    if (create_txn_decode(w, out)) {
        return true;
    }
    struct create_txn_v0 old;
    if (!create_txn_v0_decode(&retry, &old)) {
        return false;
    }
    *w = retry;
    *out = (struct create_txn){ old.path, old.data, old.acl, old.ephemeral, -1 };
    return true;
}

/* The record is missing altogether when closeSessionTxn was switched off, or before 3.6. */
static bool decode_close_session(struct wire *w, struct close_session_txn *out)
{
    if (wire_left(w) == 0) {
        out->paths = VEC_NULL;
        return true;
    }
    return close_session_txn_decode(w, out);
}

bool txn_body_decode(int32_t type, struct wire *w, union txn_body *out)
{
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
        return decode_create(w, &out->create);
    case OP_CREATE_CONTAINER:
        return create_container_txn_decode(w, &out->container);
    case OP_CREATE_TTL:
        return create_ttl_txn_decode(w, &out->ttl);
    case OP_DELETE:
    case OP_DELETE_CONTAINER:
        return delete_txn_decode(w, &out->delete);
    case OP_SET_DATA:
    case OP_RECONFIG:
        return set_data_txn_decode(w, &out->set_data);
    case OP_SET_ACL:
        return set_acl_txn_decode(w, &out->set_acl);
    case OP_CHECK:
        return check_txn_decode(w, &out->check);
    case OP_MULTI:
        return multi_txn_decode(w, &out->multi);
    case OP_CREATE_SESSION:
        return create_session_txn_decode(w, &out->create_session);
    case OP_CLOSE_SESSION:
        return decode_close_session(w, &out->close_session);
    case OP_ERROR:
        return error_txn_decode(w, &out->error);
    default:
        return false;
    }
}

void txn_body_encode(struct buf *b, int32_t type, const union txn_body *body)
{
    switch (type) {
    case OP_CREATE:
    case OP_CREATE2:
        create_txn_encode(b, &body->create);
        break;
    case OP_CREATE_CONTAINER:
        create_container_txn_encode(b, &body->container);
        break;
    case OP_CREATE_TTL:
        create_ttl_txn_encode(b, &body->ttl);
        break;
    case OP_DELETE:
    case OP_DELETE_CONTAINER:
        delete_txn_encode(b, &body->delete);
        break;
    case OP_SET_DATA:
    case OP_RECONFIG:
        set_data_txn_encode(b, &body->set_data);
        break;
    case OP_SET_ACL:
        set_acl_txn_encode(b, &body->set_acl);
        break;
    case OP_CHECK:
        check_txn_encode(b, &body->check);
        break;
    case OP_MULTI:
        multi_txn_encode(b, &body->multi);
        break;
    case OP_CREATE_SESSION:
        create_session_txn_encode(b, &body->create_session);
        break;
    case OP_CLOSE_SESSION:
        close_session_txn_encode(b, &body->close_session);
        break;
    case OP_ERROR:
        error_txn_encode(b, &body->error);
        break;
    default:
        zk_assert(!"txn type without a record");
    }
}

bool txn_decode(const void *entry, size_t len, struct txn *out)
{
    struct wire w;
    wire_init(&w, entry, len);
    if (!txn_header_decode(&w, &out->hdr) || !txn_body_decode(out->hdr.type, &w, &out->body)) {
        return false;
    }
    out->has_digest = wire_left(&w) >= TXN_DIGEST_BYTES;
    if (out->has_digest) {
        txn_digest_decode(&w, &out->digest);
    }
    return true;
}

void txn_encode(struct buf *b, const struct txn *txn)
{
    txn_header_encode(b, &txn->hdr);
    txn_body_encode(b, txn->hdr.type, &txn->body);
    if (txn->has_digest) {
        txn_digest_encode(b, &txn->digest);
    }
}
