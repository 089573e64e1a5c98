/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_RECORDS_H
#define SERVER_JUTE_RECORDS_H

/*
 * One struct, one encoder and one decoder for each record of records_def.h (zookeeper.jute):
 *
 *      struct delete_request { struct slice path; int32_t version; };
 *      void delete_request_encode(struct buf *b, const struct delete_request *r);
 *      bool delete_request_decode(struct wire *w, struct delete_request *r);
 *
 * decode reads exactly one record and returns wire_ok(); trailing bytes are the caller's business.
 * Decoded slices and vectors point into the message. Pure.
 */
#include "server/jute/records_def.h"
#include "server/jute/wire.h"

#define JUTE_C_bool    bool
#define JUTE_C_int     int32_t
#define JUTE_C_long    int64_t
#define JUTE_C_string  struct slice
#define JUTE_C_buffer  struct slice
#define JUTE_C_acls    struct vec /* of struct acl */
#define JUTE_C_ids     struct vec /* of struct id */
#define JUTE_C_strings struct vec /* of string */
#define JUTE_C_txns    struct vec /* of struct sub_txn */

#define JUTE_FIELD(type, field) JUTE_C_##type field;
#define JUTE_STRUCT(name, FIELDS)                                                                  \
    struct name {                                                                                  \
        FIELDS(JUTE_FIELD)                                                                         \
    };                                                                                             \
    void name##_encode(struct buf *b, const struct name *r);                                       \
    bool name##_decode(struct wire *w, struct name *r);

JUTE_RECORDS(JUTE_STRUCT)

#undef JUTE_STRUCT
#undef JUTE_FIELD

#endif
