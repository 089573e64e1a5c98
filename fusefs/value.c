/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/value.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct value *value_new(const void *data, size_t len, int64_t mzxid, int32_t version)
{
    struct value *v = xmalloc(sizeof(*v) + len);
    v->refs = 1;
    v->mzxid = mzxid;
    v->version = version;
    v->len = len;
    if (len > 0) {
        memcpy(v->bytes, data, len);
    }
    return v;
}

struct value *value_ref(struct value *v)
{
    __atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

void value_unref(struct value *v)
{
    if (v && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(v);
    }
}

bool value_is_prefix(const struct value *v, const struct value *longer)
{
    return v->len <= longer->len && memcmp(v->bytes, longer->bytes, v->len) == 0;
}
