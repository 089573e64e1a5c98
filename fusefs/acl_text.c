/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/acl_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"

/* In zkCli's order. */
static const struct {
    char letter;
    int perm;
} letters[] = { { 'c', 4 }, { 'd', 8 }, { 'r', 1 }, { 'w', 2 }, { 'a', 16 } };

enum { LETTER_COUNT = sizeof(letters) / sizeof(letters[0]) };

void acl_print(const struct ACL_vector *acl, struct buf *out)
{
    for (int i = 0; acl && i < acl->count; i++) {
        const struct ACL *entry = &acl->data[i];
        buf_printf(out, "%s:%s:", entry->id.scheme, entry->id.id);
        for (size_t k = 0; k < LETTER_COUNT; k++) {
            if (entry->perms & letters[k].perm) {
                buf_append(out, &letters[k].letter, 1);
            }
        }
        buf_append(out, "\n", 1);
    }
}

static int perms_parse(const char *text, size_t len, int32_t *out)
{
    int32_t perms = 0;
    for (size_t i = 0; i < len; i++) {
        size_t k = 0;
        while (k < LETTER_COUNT && letters[k].letter != text[i]) {
            k++;
        }
        if (k == LETTER_COUNT) {
            return -EINVAL;
        }
        perms |= letters[k].perm;
    }
    *out = perms;
    return 0;
}

static int entry_parse(const char *line, size_t len, struct ACL *out)
{
    const char *first = memchr(line, ':', len);
    const char *last = memrchr(line, ':', len);
    if (!first || first == last || first == line) {
        return -EINVAL;
    }
    int err = perms_parse(last + 1, (size_t)(line + len - last - 1), &out->perms);
    if (!err) {
        out->id.scheme = xstrndup(line, (size_t)(first - line));
        out->id.id = xstrndup(first + 1, (size_t)(last - first - 1));
    }
    return err;
}

int acl_parse(const char *text, size_t len, struct ACL_vector *out)
{
    struct ACL_vector acl = { 0, NULL };
    int err = memchr(text, '\0', len) ? -EINVAL : 0;
    for (size_t at = 0; !err && at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line_len = end ? (size_t)(end - text) - at : len - at;
        if (line_len > 0) {
            acl.data = xrealloc(acl.data, ((size_t)acl.count + 1) * sizeof(acl.data[0]));
            err = entry_parse(text + at, line_len, &acl.data[acl.count]);
            acl.count += err == 0;
        }
        at += line_len + 1;
    }
    if (err || acl.count == 0) {
        acl_free(&acl);
        return -EINVAL;
    }
    *out = acl;
    return 0;
}

void acl_free(struct ACL_vector *acl)
{
    for (int i = 0; i < acl->count; i++) {
        free(acl->data[i].id.scheme);
        free(acl->data[i].id.id);
    }
    free(acl->data);
    *acl = (struct ACL_vector){ 0, NULL };
}

struct ACL_vector acl_copy(const struct ACL_vector *acl)
{
    struct ACL_vector copy = { acl->count, xcalloc((size_t)acl->count + 1, sizeof(struct ACL)) };
    for (int i = 0; i < acl->count; i++) {
        copy.data[i].perms = acl->data[i].perms;
        copy.data[i].id.scheme = xstrdup(acl->data[i].id.scheme);
        copy.data[i].id.id = xstrdup(acl->data[i].id.id);
    }
    return copy;
}

bool acl_is_equal(const struct ACL_vector *a, const struct ACL_vector *b)
{
    bool is_equal = a->count == b->count;
    for (int i = 0; is_equal && i < a->count; i++) {
        is_equal = a->data[i].perms == b->data[i].perms &&
                   strcmp(a->data[i].id.scheme, b->data[i].id.scheme) == 0 &&
                   strcmp(a->data[i].id.id, b->data[i].id.id) == 0;
    }
    return is_equal;
}
