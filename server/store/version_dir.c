/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/version_dir.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

static const char *const prefix_of[] = {
    [VERSION_LOG] = "log.",
    [VERSION_SNAPSHOT] = "snapshot.",
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads an unpadded zxid; returns what follows it, or NULL. */
static const char *parse_zxid(const char *s, int64_t *zxid)
{
    uint64_t value = 0;
    const char *p = s;
    for (; hex_value(*p) >= 0; p++) {
        value = value << 4 | (uint64_t)hex_value(*p);
    }
    bool is_padded = s[0] == '0' && p - s > 1;
    if (p == s || p - s > 16 || is_padded || value > INT64_MAX) {
        return NULL;
    }
    *zxid = (int64_t)value;
    return p;
}

bool version_name_parse(const char *name, enum version_kind kind, struct version_file *file)
{
    size_t prefix_len = strlen(prefix_of[kind]);
    if (strncmp(name, prefix_of[kind], prefix_len) != 0) {
        return false;
    }
    int64_t zxid;
    const char *rest = parse_zxid(name + prefix_len, &zxid);
    if (rest == NULL) {
        return false;
    }
    enum version_packing packing = PACKING_NONE;
    if (kind == VERSION_SNAPSHOT && strcmp(rest, ".gz") == 0) {
        packing = PACKING_GZIP;
    } else if (kind == VERSION_SNAPSHOT && strcmp(rest, ".snappy") == 0) {
        packing = PACKING_SNAPPY;
    } else if (*rest != '\0') {
        return false;
    }
    file->zxid = zxid;
    file->packing = packing;
    return true;
}

char *version_name_make(enum version_kind kind, int64_t zxid)
{
    return xasprintf("%s%" PRIx64, prefix_of[kind], (uint64_t)zxid);
}

struct collect {
    struct version_list *list;
    enum version_kind kind;
    size_t cap;
};

static void collect_name(void *arg, const char *name)
{
    struct collect *c = arg;
    struct version_file file;
    if (!version_name_parse(name, c->kind, &file)) {
        return;
    }
    if (c->list->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->list->files = xrealloc(c->list->files, c->cap * sizeof(file));
    }
    file.name = xstrdup(name);
    c->list->files[c->list->count++] = file;
}

/* By zxid, then plain before packed: a defined order even if one snapshot is there twice. */
static int compare_files(const void *a, const void *b)
{
    const struct version_file *x = a;
    const struct version_file *y = b;
    if (x->zxid != y->zxid) {
        return x->zxid < y->zxid ? -1 : 1;
    }
    return (int)y->packing - (int)x->packing;
}

int version_list_read(const struct fsops *fs, const char *dir, enum version_kind kind,
                      struct version_list *list)
{
    struct version_list found = { NULL, 0 };
    struct collect c = { &found, kind, 0 };
    int rc = fs->list_dir(fs->ctx, dir, collect_name, &c);
    if (rc != 0) {
        version_list_fini(&found);
        return rc;
    }
    if (found.count > 0) {
        qsort(found.files, found.count, sizeof(found.files[0]), compare_files);
    }
    *list = found;
    return 0;
}

bool version_list_has_between(const struct version_list *list, int64_t first_zxid,
                              int64_t last_zxid)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i].zxid > first_zxid && list->files[i].zxid < last_zxid) {
            return true;
        }
    }
    return false;
}

void version_list_fini(struct version_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->files[i].name);
    }
    free(list->files);
    *list = (struct version_list){ NULL, 0 };
}
