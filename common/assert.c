/* SPDX-License-Identifier: Apache-2.0 */
#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

void zk_assert_fail(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "assertion failed: %s at %s:%d in %s\n", cond, file, line, func);
    abort();
}
