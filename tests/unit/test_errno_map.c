/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <zookeeper/zookeeper.h>

#include "fusefs/errno_map.h"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        int rc;
        int err;
    } cases[] = {
        { ZOK, 0 },
        { ZNONODE, ENOENT },
        { ZNODEEXISTS, EEXIST },
        { ZNOTEMPTY, ENOTEMPTY },
        { ZNOAUTH, EACCES },
        { ZBADVERSION, ESTALE },
        { ZNOCHILDRENFOREPHEMERALS, ENOTDIR },
        { ZINVALIDACL, EINVAL },
        { -125, EDQUOT },
        { ZNOTREADONLY, EROFS },
        { ZOPERATIONTIMEOUT, ETIMEDOUT },
        { ZSESSIONEXPIRED, ESTALE },
        { ZKC_OFFLINE, EHOSTDOWN },
        { ZKC_TOO_LARGE, EFBIG },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(errno_from_zk(cases[i].rc), cases[i].err);
    }
}

static void test_unknown_is_never_success(void **state)
{
    (void)state;
    for (int rc = -1100; rc < 0; rc++) {
        assert_true(errno_from_zk(rc) > 0);
    }
    assert_int_equal(errno_from_zk(ZCONNECTIONLOSS), EIO);
    assert_int_equal(errno_from_zk(ZSYSTEMERROR), EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_unknown_is_never_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
