/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_VALUE_H
#define FUSEFS_VALUE_H

/*
 * The bytes of one version of a znode, counted and never changed: a reader that holds one reads one
 * version from start to end, whatever happens to the znode. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct value {
    int refs;        /* atomic */
    int64_t mzxid;   /* zxid of the change that wrote these bytes */
    int32_t version; /* data version, for the conditional write */
    size_t len;
    char bytes[]; /* len of them */
};

/* One reference, the caller's. A NULL data with len 0 is the empty value. */
struct value *value_new(const void *data, size_t len, int64_t mzxid, int32_t version);
struct value *value_ref(struct value *v);
/* NULL is fine. */
void value_unref(struct value *v);
/* Whether longer starts with all of v: who has read v to its end may go on in longer. */
bool value_is_prefix(const struct value *v, const struct value *longer);

#endif
