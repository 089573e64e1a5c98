/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jute/records.h"

/* How one element of each vector type is stepped over. */
static void skip_string(struct wire *w)
{
    wire_slice(w);
}

static void skip_id(struct wire *w)
{
    struct id id;
    id_decode(w, &id);
}

static void skip_acl(struct wire *w)
{
    struct acl acl;
    acl_decode(w, &acl);
}

static void skip_sub_txn(struct wire *w)
{
    struct sub_txn txn;
    sub_txn_decode(w, &txn);
}

#define READ_bool(w)    wire_bool(w)
#define READ_int(w)     wire_int(w)
#define READ_long(w)    wire_long(w)
#define READ_string(w)  wire_slice(w)
#define READ_buffer(w)  wire_slice(w)
#define READ_acls(w)    wire_vec(w, skip_acl)
#define READ_ids(w)     wire_vec(w, skip_id)
#define READ_strings(w) wire_vec(w, skip_string)
#define READ_txns(w)    wire_vec(w, skip_sub_txn)

#define WRITE_bool(b, v)    put_bool(b, v)
#define WRITE_int(b, v)     put_int(b, v)
#define WRITE_long(b, v)    put_long(b, v)
#define WRITE_string(b, v)  put_slice(b, v)
#define WRITE_buffer(b, v)  put_slice(b, v)
#define WRITE_acls(b, v)    put_vec(b, v)
#define WRITE_ids(b, v)     put_vec(b, v)
#define WRITE_strings(b, v) put_vec(b, v)
#define WRITE_txns(b, v)    put_vec(b, v)

#define DECODE_FIELD(type, field) r->field = READ_##type(w);
#define ENCODE_FIELD(type, field) WRITE_##type(b, r->field);

#define DEFINE_CODEC(name, FIELDS)                                                                 \
    void name##_encode(struct buf *b, const struct name *r)                                        \
    {                                                                                              \
        FIELDS(ENCODE_FIELD)                                                                       \
    }                                                                                              \
    bool name##_decode(struct wire *w, struct name *r)                                             \
    {                                                                                              \
        FIELDS(DECODE_FIELD)                                                                       \
        return wire_ok(w);                                                                         \
    }

JUTE_RECORDS(DEFINE_CODEC)
