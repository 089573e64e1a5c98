/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_ACL_TEXT_H
#define FUSEFS_ACL_TEXT_H

/*
 * ACLs as text: a line `scheme:id:perms` for each entry, perms of the letters c d r w a, as zkCli has them.
 * The scheme ends at the first colon and the perms begin after the last, so an id may have colons itself
 * (digest, IPv6). Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <zookeeper/zookeeper.h>

struct buf;

/* Appends the lines; NULL is an empty ACL. */
void acl_print(const struct ACL_vector *acl, struct buf *out);
/* 0, or -EINVAL: no entry, a line that is none, an unknown letter, a null byte. Empty lines are passed
 * over. On success the caller owns *out: acl_free. */
int acl_parse(const char *text, size_t len, struct ACL_vector *out);
void acl_free(struct ACL_vector *acl);
/* A deep copy. */
struct ACL_vector acl_copy(const struct ACL_vector *acl);
/* The same entries in the same order. */
bool acl_is_equal(const struct ACL_vector *a, const struct ACL_vector *b);

#endif
