/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/path.h"

#include <string.h>

/*
 * One character of the Basic Multilingual Plane, or -1: malformed, overlong, a surrogate, or beyond the
 * BMP, none of which ZooKeeper takes in a path. *at moves past it.
 */
static int32_t next_char(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    if (p[0] < 0x80) {
        *at = p + 1;
        return p[0];
    }
    if ((p[0] & 0xe0) == 0xc0 && end - p >= 2 && (p[1] & 0xc0) == 0x80) {
        int32_t c = (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
        *at = p + 2;
        return c >= 0x80 ? c : -1;
    }
    if ((p[0] & 0xf0) == 0xe0 && end - p >= 3 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80) {
        int32_t c = (p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        *at = p + 3;
        return c >= 0x800 ? c : -1;
    }
    return -1;
}

static bool char_is_allowed(int32_t c)
{
    return c > 0x1f && !(c >= 0x7f && c <= 0x9f) && !(c >= 0xd800 && c <= 0xf8ff) && c < 0xfff0;
}

static bool component_is_allowed(const uint8_t *start, const uint8_t *end)
{
    ptrdiff_t len = end - start;
    return len > 0 && !(len == 1 && start[0] == '.') &&
           !(len == 2 && start[0] == '.' && start[1] == '.');
}

bool path_is_valid(struct slice path)
{
    if (path.len <= 0 || path.data[0] != '/') {
        return false;
    }
    const uint8_t *end = path.data + path.len;
    const uint8_t *component = path.data + 1;
    if (component == end) {
        return true;
    }
    for (const uint8_t *at = component; at < end;) {
        if (*at == '/') {
            if (!component_is_allowed(component, at)) {
                return false;
            }
            component = ++at;
        } else if (!char_is_allowed(next_char(&at, end))) {
            return false;
        }
    }
    return component_is_allowed(component, end);
}

bool path_split(struct slice path, struct slice *parent, struct slice *name)
{
    const uint8_t *slash = path.len > 0 ? memrchr(path.data, '/', (size_t)path.len) : NULL;
    if (!slash) {
        return false;
    }
    *parent = (struct slice){ path.data, (int32_t)(slash - path.data) };
    *name = (struct slice){ slash + 1, path.len - parent->len - 1 };
    return true;
}

struct slice path_normal(struct slice path)
{
    return path.len == 1 && path.data[0] == '/' ? SLICE_EMPTY : path;
}

struct slice path_for_client(struct slice path)
{
    return path.len == 0 ? slice_of_str("/") : path;
}

bool path_is_below(struct slice path, const char *dir)
{
    size_t len = strlen(dir);
    return slice_size(path) > len && memcmp(path.data, dir, len) == 0 && path.data[len] == '/';
}
