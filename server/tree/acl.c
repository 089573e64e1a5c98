/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/acl.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/tree/ip_range.h"

/* ---- checks -------------------------------------------------------------------------------------- */

static bool scheme_matches(const struct acl *entry, struct vec ids)
{
    struct wire w;
    wire_init_vec(&w, ids);
    for (int32_t i = 0; i < ids.count; i++) {
        struct id id;
        id_decode(&w, &id);
        if (!slice_eq(id.scheme, entry->scheme)) {
            continue;
        }
        bool match = slice_eq_str(id.scheme, "ip") ? ip_range_contains(entry->id, id.id)
                                                   : slice_eq(id.id, entry->id);
        if (match) {
            return true;
        }
    }
    return false;
}

static bool is_world(const struct acl *entry)
{
    return slice_eq_str(entry->scheme, "world") && slice_eq_str(entry->id, "anyone");
}

bool acl_is_super(struct vec ids)
{
    struct wire w;
    wire_init_vec(&w, ids);
    for (int32_t i = 0; i < ids.count; i++) {
        struct id id;
        id_decode(&w, &id);
        if (slice_eq_str(id.scheme, "super")) {
            return true;
        }
    }
    return false;
}

bool acl_permits(struct vec acl, int32_t perms, struct vec ids)
{
    if (acl.count <= 0) {
        return true;
    }
    struct wire w;
    wire_init_vec(&w, acl);
    for (int32_t i = 0; i < acl.count; i++) {
        struct acl entry;
        acl_decode(&w, &entry);
        if ((entry.perms & perms) != 0 && (is_world(&entry) || scheme_matches(&entry, ids))) {
            return true;
        }
    }
    return acl_is_super(ids);
}

/* user:hash with exactly one colon in it, neither part empty at the end. */
static bool digest_is_valid(struct slice id)
{
    const uint8_t *colon = id.len > 0 ? memchr(id.data, ':', (size_t)id.len) : NULL;
    if (!colon) {
        return false;
    }
    const uint8_t *end = id.data + id.len;
    /* Java's split drops trailing empty pieces: "a:b:" still has two, "a:" has one. */
    while (end > id.data && end[-1] == ':') {
        end--;
    }
    return end > colon + 1 && !memchr(colon + 1, ':', (size_t)(end - colon - 1));
}

static bool entry_is_valid(const struct acl *entry)
{
    if (slice_eq_str(entry->scheme, "world")) {
        return slice_eq_str(entry->id, "anyone");
    }
    if (slice_eq_str(entry->scheme, "digest")) {
        return digest_is_valid(entry->id);
    }
    struct ip_range ignored;
    return slice_eq_str(entry->scheme, "ip") && ip_range_parse(entry->id, &ignored);
}

/* Appends the entry unless an equal one stands between start and the end of out. */
static int32_t append_once(struct buf *out, size_t start, const struct acl *entry)
{
    struct wire w;
    wire_init(&w, out->data + start, out->len - start);
    while (wire_left(&w) > 0) {
        struct acl other;
        acl_decode(&w, &other);
        if (other.perms == entry->perms && slice_eq(other.scheme, entry->scheme) &&
            slice_eq(other.id, entry->id)) {
            return 0;
        }
    }
    acl_encode(out, entry);
    return 1;
}

/* The caller's ids that count as authenticated, each with the entry's permissions; -1 if none. */
static int32_t expand_auth(struct buf *out, size_t start, int32_t perms, struct vec ids)
{
    int32_t added = 0;
    bool any = false;
    struct wire w;
    wire_init_vec(&w, ids);
    for (int32_t i = 0; i < ids.count; i++) {
        struct id id;
        id_decode(&w, &id);
        if (slice_eq_str(id.scheme, "digest")) {
            struct acl entry = { perms, id.scheme, id.id };
            any = true;
            added += append_once(out, start, &entry);
        }
    }
    return any ? added : -1;
}

/* No id where Apache's code reads one, and fails. */
static bool lacks_id(const struct acl *entry)
{
    return slice_is_null(entry->id) &&
           (slice_eq_str(entry->scheme, "world") || slice_eq_str(entry->scheme, "digest") ||
            slice_eq_str(entry->scheme, "ip"));
}

enum zk_err acl_fix_up(struct vec acl, struct vec ids, struct buf *out)
{
    if (acl.count <= 0) {
        return ZK_INVALID_ACL;
    }
    size_t at = out->len;
    put_int(out, 0);
    size_t start = out->len;
    int32_t count = 0;
    struct wire w;
    wire_init_vec(&w, acl);
    for (int32_t i = 0; i < acl.count; i++) {
        struct acl entry;
        acl_decode(&w, &entry);
        int32_t added = -1;
        if (lacks_id(&entry)) {
            out->len = at;
            return ZK_MARSHALLING_ERROR;
        }
        if (slice_eq_str(entry.scheme, "auth")) {
            added = expand_auth(out, start, entry.perms, ids);
        } else if (entry_is_valid(&entry)) {
            added = append_once(out, start, &entry);
        }
        if (added < 0) {
            out->len = at;
            return ZK_INVALID_ACL;
        }
        count += added;
    }
    put_int_at(out, at, count);
    return ZK_OK;
}

struct vec acl_open(void)
{
    static const uint8_t raw[] = "\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone";
    return (struct vec){ 1, { raw, sizeof(raw) - 1 } };
}

struct vec acl_read_only(void)
{
    static const uint8_t raw[] = "\0\0\0\1\0\0\0\5world\0\0\0\6anyone";
    return (struct vec){ 1, { raw, sizeof(raw) - 1 } };
}

struct vec acl_none(void)
{
    static const uint8_t raw[] = "\0\0\0\0\0\0\0\5world\0\0\0\6anyone";
    return (struct vec){ 1, { raw, sizeof(raw) - 1 } };
}

/* ---- table --------------------------------------------------------------------------------------- */

void acl_table_init(struct acl_table *t, uint64_t hash_seed)
{
    htable_init(&t->by_content);
    htable_init(&t->by_id);
    list_init(&t->all);
    t->last_id = 0;
    t->hash_seed = hash_seed;
}

static void drop_entry(struct acl_table *t, struct acl_entry *e)
{
    htable_remove(&t->by_content, &e->by_content);
    list_remove(&e->all);
    htable_remove(&t->by_id, &e->by_id);
    free(e);
}

void acl_table_fini(struct acl_table *t)
{
    list_for_each_safe (it, next, &t->all) {
        drop_entry(t, list_entry(it, struct acl_entry, all));
    }
    htable_fini(&t->by_content);
    htable_fini(&t->by_id);
}

static uint64_t content_hash(const struct acl_table *t, struct vec acl)
{
    return hash_bytes(acl.raw.data, slice_size(acl.raw), t->hash_seed);
}

static struct acl_entry *find_content(const struct acl_table *t, struct vec acl)
{
    uint64_t hash = content_hash(t, acl);
    for (struct hlink *l = htable_first(&t->by_content, hash); l; l = hlink_next(l, hash)) {
        struct acl_entry *e = list_entry(l, struct acl_entry, by_content);
        if (e->acl.count == acl.count && slice_eq(e->acl.raw, acl.raw)) {
            return e;
        }
    }
    return NULL;
}

static struct acl_entry *find_id(const struct acl_table *t, int64_t id)
{
    uint64_t hash = hash_u64((uint64_t)id, t->hash_seed);
    for (struct hlink *l = htable_first(&t->by_id, hash); l; l = hlink_next(l, hash)) {
        struct acl_entry *e = list_entry(l, struct acl_entry, by_id);
        if (e->id == id) {
            return e;
        }
    }
    return NULL;
}

static struct acl_entry *add_entry(struct acl_table *t, int64_t id, struct vec acl)
{
    size_t len = slice_size(acl.raw);
    struct acl_entry *e = xmalloc(sizeof(*e) + len);
    e->id = id;
    e->refcount = 0;
    e->acl = (struct vec){ acl.count, { (uint8_t *)(e + 1), acl.raw.len } };
    if (len > 0) {
        memcpy(e + 1, acl.raw.data, len);
    }
    htable_insert(&t->by_content, &e->by_content, content_hash(t, acl));
    list_push_back(&t->all, &e->all);
    htable_insert(&t->by_id, &e->by_id, hash_u64((uint64_t)id, t->hash_seed));
    if (id > t->last_id) {
        t->last_id = id;
    }
    return e;
}

int64_t acl_table_ref(struct acl_table *t, struct vec acl)
{
    struct acl_entry *e = find_content(t, acl);
    if (!e) {
        e = add_entry(t, t->last_id + 1, acl);
    }
    e->refcount++;
    return e->id;
}

bool acl_table_ref_id(struct acl_table *t, int64_t id)
{
    if (id == ACL_ID_OPEN) {
        return true;
    }
    struct acl_entry *e = find_id(t, id);
    if (e) {
        e->refcount++;
    }
    return e != NULL;
}

void acl_table_unref(struct acl_table *t, int64_t id)
{
    struct acl_entry *e = find_id(t, id);
    if (e && --e->refcount == 0) {
        drop_entry(t, e);
    }
}

struct vec acl_table_get(const struct acl_table *t, int64_t id)
{
    struct acl_entry *e = find_id(t, id);
    return e ? e->acl : acl_open();
}

/* Ids count up from 1 with the lists ever made; a snapshot whose ids are far beyond is not one. */
#define ACL_ID_MAX ((int64_t)1 << 48)

bool acl_table_load(struct acl_table *t, int64_t id, struct vec acl)
{
    if (id <= 0 || id > ACL_ID_MAX || find_id(t, id)) {
        return false;
    }
    add_entry(t, id, acl);
    return true;
}

void acl_table_sweep(struct acl_table *t)
{
    list_for_each_safe (it, next, &t->all) {
        struct acl_entry *e = list_entry(it, struct acl_entry, all);
        if (e->refcount == 0) {
            drop_entry(t, e);
        }
    }
}

void acl_table_encode(const struct acl_table *t, struct buf *out)
{
    put_int(out, (int32_t)t->by_content.count);
    list_for_each (it, &t->all) {
        const struct acl_entry *e = list_entry(it, struct acl_entry, all);
        put_long(out, e->id);
        put_vec(out, e->acl);
    }
}
