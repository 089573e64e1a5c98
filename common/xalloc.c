/* SPDX-License-Identifier: Apache-2.0 */
#include "common/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    zk_assert(p != NULL);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    zk_assert(p != NULL);
    return p;
}

void *xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);
    zk_assert(p != NULL);
    return p;
}

void *xmemdup(const void *src, size_t len)
{
    void *p = xmalloc(len);
    if (len > 0) {
        memcpy(p, src, len);
    }
    return p;
}

char *xstrdup(const char *s)
{
    return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *src, size_t len)
{
    char *p = xmalloc(len + 1);
    if (len > 0) {
        memcpy(p, src, len);
    }
    p[len] = '\0';
    return p;
}

char *xvasprintf(const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    zk_assert(len >= 0);
    char *s = xmalloc((size_t)len + 1);
    vsnprintf(s, (size_t)len + 1, fmt, again);
    va_end(again);
    return s;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}
