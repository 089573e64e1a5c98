/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

/*
 * Allocation that cannot fail: out of memory aborts the process. Lengths that come from outside are
 * checked against a limit before they get here. The caller frees with free().
 */
#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));
void *xmemdup(const void *src, size_t len) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
/* Copies exactly len bytes and adds a NUL; src may contain NULs. */
char *xstrndup(const char *src, size_t len) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0), returns_nonnull));

#endif
