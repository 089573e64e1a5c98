/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a mount as a table; what happens in them is shown end to end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "mountd/mount.h"

static void test_which_state_may_follow_which(void **state)
{
    (void)state;
    /* Rows: from; columns: to, in the order of the enum. */
    static const char *const want[MOUNT_STATE_COUNT] = {
        [MOUNT_WAIT] = ".x.xx..",      [MOUNT_MOUNT] = "..xxx..",  [MOUNT_READY] = "...x...",
        [MOUNT_DRAIN] = ".....x.",     [MOUNT_FAILED] = ".....x.", [MOUNT_UNMOUNT] = "......x",
        [MOUNT_UNMOUNTED] = ".......",
    };
    for (int from = 0; from < MOUNT_STATE_COUNT; from++) {
        for (int to = 0; to < MOUNT_STATE_COUNT; to++) {
            if (mount_state_may_follow(from, to) != (want[from][to] == 'x')) {
                fail_msg("%s -> %s", mount_state_name(from), mount_state_name(to));
            }
        }
    }
}

/* Whatever happens, a mount comes to its end, and by way of UNMOUNT, which cleans up. */
static void test_every_way_ends_unmounted(void **state)
{
    (void)state;
    bool reaches[MOUNT_STATE_COUNT] = { [MOUNT_UNMOUNTED] = true };
    for (int round = 0; round < MOUNT_STATE_COUNT; round++) {
        for (int from = 0; from < MOUNT_STATE_COUNT; from++) {
            for (int to = 0; to < MOUNT_STATE_COUNT; to++) {
                reaches[from] = reaches[from] || (mount_state_may_follow(from, to) && reaches[to]);
            }
        }
    }
    for (int from = 0; from < MOUNT_STATE_COUNT; from++) {
        assert_true(reaches[from]);
        assert_false(mount_state_may_follow(from, from));
        if (from != MOUNT_UNMOUNT) {
            assert_false(mount_state_may_follow(from, MOUNT_UNMOUNTED));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_state_may_follow_which),
        cmocka_unit_test(test_every_way_ends_unmounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
