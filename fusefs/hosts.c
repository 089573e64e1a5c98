/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/hosts.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"

enum { DEFAULT_PORT = 2181 };

static bool port_is_valid(const char *port, size_t len)
{
    long n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)port[i])) {
            return false;
        }
        n = n * 10 + (port[i] - '0');
        if (n > 65535) {
            return false;
        }
    }
    return len > 0 && n > 0;
}

/* Where the name or address of "host:port" ends, host itself if there is none. An IPv6 address
 * needs brackets, or its last group reads as a port. */
static const char *host_name_end(const char *host, size_t len)
{
    if (len > 0 && *host == '[') {
        const char *bracket = memchr(host, ']', len);
        return bracket != NULL && bracket > host + 1 ? bracket + 1 : host;
    }
    const char *colon = memchr(host, ':', len);
    return colon != NULL ? colon : host + len;
}

static bool host_is_valid(const char *host, size_t len)
{
    const char *end = host + len;
    const char *name_end = host_name_end(host, len);
    for (const char *p = host; p < end; p++) {
        if (!isgraph((unsigned char)*p)) {
            return false;
        }
    }
    return name_end > host &&
           (name_end == end ||
            (*name_end == ':' && port_is_valid(name_end + 1, (size_t)(end - name_end - 1))));
}

/* Appends one host with its port. */
static int host_append(struct buf *out, const char *host, size_t len, char **error)
{
    const char *end = host + len;
    const char *name_end = host_name_end(host, len);
    if (!host_is_valid(host, len)) {
        *error = xasprintf("%.*s: expected HOST, HOST:PORT or [IPV6]:PORT", (int)len, host);
        return -EINVAL;
    }
    /* The library takes what follows the last colon as the port, and knows no brackets. */
    size_t bracket = *host == '[' ? 1 : 0;
    buf_append(out, host + bracket, (size_t)(name_end - host) - 2 * bracket);
    if (name_end < end) {
        buf_append(out, name_end, (size_t)(end - name_end));
    } else {
        buf_printf(out, ":%d", DEFAULT_PORT);
    }
    return 0;
}

/* Appends "/a/b" without a trailing slash; "/" alone means no chroot. */
static int chroot_append(struct buf *out, const char *path, char **error)
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (path[i] != '/') {
            continue;
        }
        size_t name = strcspn(path + i + 1, "/");
        bool is_dots = (name == 1 || name == 2) && memcmp(path + i + 1, "..", name) == 0;
        if (name == 0 || is_dots) {
            *error = xasprintf("%s: not a ZooKeeper path", path);
            return -EINVAL;
        }
    }
    buf_append(out, path, len);
    return 0;
}

int hosts_parse(const char *hosts, char **out_text, char **error)
{
    struct buf out = BUF_EMPTY;
    size_t list_len = strcspn(hosts, "/");
    size_t at = 0;
    int err = 0;
    do {
        size_t len = strcspn(hosts + at, ",/");
        err = host_append(&out, hosts + at, len, error);
        at += len;
        if (err == 0 && at < list_len) {
            buf_append_str(&out, ",");
            at++;
        } else {
            break;
        }
    } while (at <= list_len);
    if (err == 0) {
        err = chroot_append(&out, hosts + list_len, error);
    }
    if (err != 0) {
        buf_fini(&out);
        return err;
    }
    *out_text = buf_take_str(&out);
    return 0;
}
