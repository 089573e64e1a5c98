/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_PERMS_H
#define FUSEFS_PERMS_H

/*
 * What an ACL lets this session do, for the mode bits that stat(2) shows. A hint: the server decides. Where
 * it cannot be told here (an address, another scheme of auth_file=, a digest that would have to be computed) the
 * answer is yes. Pure.
 */
#include <stddef.h>
#include <sys/types.h>
#include <zookeeper/zookeeper.h>

struct fusefs_auth;

/* Every ZOO_PERM_ bit. */
enum { PERMS_ALL = 31 };

unsigned perms_granted(const struct ACL_vector *acl, const struct fusefs_auth *auths,
                       size_t auth_count);
/* The mode less what perms do not include. */
mode_t perms_mask_mode(mode_t mode, unsigned perms);

#endif
