/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "fusefs/options.h"
#include "fusefs/perms.h"

static char digest[] = "digest";
static char bob[] = "bob:hash";
static char world[] = "world";
static char anyone[] = "anyone";
static char ip[] = "ip";
static char address[] = "10.0.0.1";
static char x509[] = "x509";
static char super_password[] = "super:pw";
static char superb_password[] = "superb:pw";
static char password[] = "bob:pw";

static unsigned granted(struct ACL *entries, int count, bool with_bob)
{
    struct ACL_vector acl = { count, entries };
    struct fusefs_auth auth = { digest, password };
    return perms_granted(&acl, &auth, with_bob ? 1 : 0);
}

static void test_only_what_can_match_counts(void **state)
{
    (void)state;
    struct ACL entries[] = { { 31, { digest, bob } }, { 1, { world, anyone } } };
    assert_int_equal(granted(entries, 2, false), 1);
    assert_int_equal(granted(entries, 2, true), 31);
    assert_int_equal(granted(entries, 1, false), 0);
    struct ACL by_address[] = { { 3, { ip, address } } };
    assert_int_equal(granted(by_address, 1, false), 3);
    struct ACL by_certificate[] = { { 3, { x509, anyone } } };
    assert_int_equal(granted(by_certificate, 1, true), 0);
}

static void test_super_user(void **state)
{
    (void)state;
    struct ACL entries[] = { { 1, { digest, bob } } };
    struct ACL_vector acl = { 1, entries };
    struct fusefs_auth super = { digest, super_password };
    assert_int_equal(perms_granted(&acl, &super, 1), PERMS_ALL);
    struct fusefs_auth similar = { digest, superb_password };
    assert_int_equal(perms_granted(&acl, &similar, 1), 0);
}

static void test_mode(void **state)
{
    (void)state;
    assert_int_equal(perms_mask_mode(S_IFREG | 0644, PERMS_ALL), S_IFREG | 0644);
    assert_int_equal(perms_mask_mode(S_IFREG | 0644, 1), S_IFREG | 0444);
    assert_int_equal(perms_mask_mode(S_IFREG | 0644, 2), S_IFREG | 0200);
    assert_int_equal(perms_mask_mode(S_IFREG | 0666, 4), S_IFREG);
    assert_int_equal(perms_mask_mode(S_IFDIR | 0755, 1 | 2), S_IFDIR | 0555);
    assert_int_equal(perms_mask_mode(S_IFDIR | 0755, 1 | 4), S_IFDIR | 0755);
    assert_int_equal(perms_mask_mode(S_IFDIR | 0755, 1 | 8), S_IFDIR | 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_can_match_counts),
        cmocka_unit_test(test_super_user),
        cmocka_unit_test(test_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
