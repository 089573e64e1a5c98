/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/name.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/xalloc.h"

/* Decodes one well-formed UTF-8 character at *s and moves past it; -1 if there is none. */
static int32_t utf8_next(const unsigned char **s)
{
    static const int32_t shortest[] = { 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = *s;
    int32_t c = *p++;
    int more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
    if (more == 3 && (c < 0xf0 || c > 0xf4)) {
        return -1;
    }
    if (more > 0) {
        c &= 0x3f >> more;
    }
    for (int i = 0; i < more; i++) {
        if ((*p & 0xc0) != 0x80) {
            return -1;
        }
        c = c << 6 | (*p++ & 0x3f);
    }
    if (c < shortest[more] || c > 0x10ffff) {
        return -1;
    }
    *s = p;
    return c;
}

/* Measured against ZooKeeper 3.8: its PathUtils looks at UTF-16 units. */
static bool is_refused(int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xfff0;
}

int name_check(const char *name)
{
    if (strlen(name) > NAME_MAX) {
        return ENAMETOOLONG;
    }
    bool refused = *name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    for (const unsigned char *s = (const unsigned char *)name; *s;) {
        int32_t c = utf8_next(&s);
        if (c < 0 || (c >= 0xd800 && c <= 0xdfff)) {
            return EILSEQ;
        }
        refused = refused || is_refused(c);
    }
    return refused ? EINVAL : 0;
}

char *name_join(const char *dir, const char *name)
{
    bool is_root = strcmp(dir, "/") == 0;
    return xasprintf("%s/%s", is_root ? "" : dir, name);
}

const char *name_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
