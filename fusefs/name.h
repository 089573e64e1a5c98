/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_NAME_H
#define FUSEFS_NAME_H

/*
 * File names and znode paths. Names are not escaped: whatever ZooKeeper allows is shown as it is, and a
 * name that it would refuse is refused here, so that a bad name never costs a request. Pure.
 */
#include <stddef.h>

/* 0, or the positive errno that creating or looking up this name gives: ENAMETOOLONG over 255 bytes,
 * EILSEQ if not UTF-8, EINVAL for what ZooKeeper forbids (control characters, U+007F-U+009F, surrogates,
 * U+E000-U+F8FF, U+FFF0-U+FFFF, everything beyond the basic plane, "." and ".."). */
int name_check(const char *name);

/* dir + "/" + name; the caller frees. */
char *name_join(const char *dir, const char *name);

/* The last component of an absolute path; "" for the root. Points into path. */
const char *name_base(const char *path);

#endif
