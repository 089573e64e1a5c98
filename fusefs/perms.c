/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/perms.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fusefs/options.h"

/* "user" of "user:password" and of "user:hash". */
static bool is_same_user(const char *a, const char *b)
{
    size_t len = strcspn(a, ":");
    return len == strcspn(b, ":") && memcmp(a, b, len) == 0;
}

/* "auth" stands for all identities in the ACL of what is to be created. */
static bool may_match(const struct Id *id, const struct fusefs_auth *auths, size_t auth_count)
{
    if (strcmp(id->scheme, "world") == 0 || strcmp(id->scheme, "ip") == 0 ||
        strcmp(id->scheme, "auth") == 0) {
        return true;
    }
    bool is_digest = strcmp(id->scheme, "digest") == 0;
    for (size_t i = 0; i < auth_count; i++) {
        if (strcmp(auths[i].scheme, id->scheme) == 0 &&
            (!is_digest || is_same_user(auths[i].credentials, id->id))) {
            return true;
        }
    }
    return false;
}

/* The ensemble lets this user do everything, if it knows him at all. */
static bool may_be_super(const struct fusefs_auth *auths, size_t auth_count)
{
    for (size_t i = 0; i < auth_count; i++) {
        if (strcmp(auths[i].scheme, "digest") == 0 &&
            is_same_user(auths[i].credentials, "super:")) {
            return true;
        }
    }
    return false;
}

unsigned perms_granted(const struct ACL_vector *acl, const struct fusefs_auth *auths,
                       size_t auth_count)
{
    unsigned perms = may_be_super(auths, auth_count) ? PERMS_ALL : 0;
    for (int i = 0; i < acl->count; i++) {
        if (may_match(&acl->data[i].id, auths, auth_count)) {
            perms |= (unsigned)acl->data[i].perms;
        }
    }
    return perms;
}

mode_t perms_mask_mode(mode_t mode, unsigned perms)
{
    unsigned read = (unsigned)ZOO_PERM_READ;
    unsigned write = (unsigned)ZOO_PERM_WRITE;
    if (S_ISDIR(mode)) {
        write = (unsigned)(ZOO_PERM_CREATE | ZOO_PERM_DELETE);
    }
    if (!(perms & read)) {
        mode &= ~(mode_t)0444;
    }
    if (!(perms & write)) {
        mode &= ~(mode_t)0222;
    }
    return mode;
}
