/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/znode.h"

#include <endian.h>
#include <string.h>
#include <zlib.h>

#define TTL_MARK 0xff00000000000000u

enum znode_kind znode_kind(int64_t ephemeral_owner, bool extended_types)
{
    if (ephemeral_owner == 0) {
        return ZNODE_PERSISTENT;
    }
    if (ephemeral_owner == EPHEMERAL_OWNER_CONTAINER) {
        return ZNODE_CONTAINER;
    }
    if (extended_types && ((uint64_t)ephemeral_owner & TTL_MARK) == TTL_MARK) {
        return ZNODE_TTL;
    }
    return ZNODE_EPHEMERAL;
}

int64_t ephemeral_owner_of_ttl(int64_t ttl_ms)
{
    return (int64_t)(TTL_MARK | ((uint64_t)ttl_ms & TTL_MS_MAX));
}

int64_t ephemeral_owner_ttl(int64_t ephemeral_owner)
{
    return (int64_t)((uint64_t)ephemeral_owner & TTL_MS_MAX);
}

struct znode_stat znode_stat_derive(const struct persisted_stat *p, int32_t data_len,
                                    int32_t num_children, bool extended_types)
{
    bool ephemeral = znode_kind(p->ephemeral_owner, extended_types) == ZNODE_EPHEMERAL;
    /* Java int arithmetic wraps; so does this. */
    uint32_t cversion = 2 * (uint32_t)p->cversion - (uint32_t)num_children;
    return (struct znode_stat){
        .czxid = p->czxid,
        .mzxid = p->mzxid,
        .ctime_ms = p->ctime_ms,
        .mtime_ms = p->mtime_ms,
        .version = p->version,
        .cversion = (int32_t)cversion,
        .aversion = p->aversion,
        .ephemeral_owner = ephemeral ? p->ephemeral_owner : 0,
        .data_length = data_len > 0 ? data_len : 0,
        .num_children = num_children,
        .pzxid = p->pzxid,
    };
}

struct slice znode_data(const struct znode *n)
{
    return n->data_len < 0 ? SLICE_NULL : (struct slice){ n->data, n->data_len };
}

uint32_t znode_body_crc(struct slice path, struct slice data)
{
    uLong crc = crc32(0, path.data, (uInt)slice_size(path));
    if (data.len > 0) {
        crc = crc32(crc, data.data, (uInt)data.len);
    }
    return (uint32_t)crc;
}

static uint8_t *store_long(uint8_t *at, int64_t v)
{
    uint64_t be = htobe64((uint64_t)v);
    memcpy(at, &be, 8);
    return at + 8;
}

static uint8_t *store_int(uint8_t *at, int32_t v)
{
    uint32_t be = htobe32((uint32_t)v);
    memcpy(at, &be, 4);
    return at + 4;
}

uint64_t znode_digest(uint32_t body_crc, const struct persisted_stat *p)
{
    uint8_t bytes[60];
    uint8_t *at = store_long(bytes, p->czxid);
    at = store_long(at, p->mzxid);
    at = store_long(at, p->pzxid);
    at = store_long(at, p->ctime_ms);
    at = store_long(at, p->mtime_ms);
    at = store_int(at, p->version);
    at = store_int(at, p->cversion);
    at = store_int(at, p->aversion);
    store_long(at, p->ephemeral_owner);
    return (uint32_t)crc32(body_crc, bytes, sizeof(bytes));
}

void znode_append_path(const struct znode *n, struct buf *out)
{
    size_t len = 0;
    for (const struct znode *up = n; up->parent; up = up->parent) {
        len += (size_t)up->name_len + 1;
    }
    /* Filled from the end, so that no recursion follows the depth of the tree. */
    uint8_t *end = buf_reserve(out, len) + len;
    for (const struct znode *up = n; up->parent; up = up->parent) {
        end -= up->name_len;
        memcpy(end, up->name, (size_t)up->name_len);
        *--end = '/';
    }
    out->len += len;
}
