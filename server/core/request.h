/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_REQUEST_H
#define SERVER_CORE_REQUEST_H

/* A client's request on its way to the leader's prep: borrowed for the call that gets it. */
#include <stdint.h>

#include "server/jute/wire.h"

struct request {
    int64_t session_id;
    int32_t cxid;      /* the client's xid; 0 for what the server itself asks for */
    int32_t type;      /* opcode */
    struct slice body; /* the record, undecoded */
    struct vec ids;    /* struct id each: who the caller has proved to be */
    int64_t time_ms;   /* wall clock of the arrival, which the txn will carry */
    int64_t from_sid;  /* the server whose client asks; 0: a server asks for itself */
    uint64_t origin;   /* the local client that waits for it (struct client.id); 0: nobody */
};

#endif
