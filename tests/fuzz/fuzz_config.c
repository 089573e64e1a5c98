/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as zoo.cfg: either an error, or a configuration that prints and reads back as the
 * same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *print(const struct config *cfg)
{
    struct buf out = BUF_EMPTY;
    config_print(cfg, &out);
    return buf_take_str(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct config_report report = { 0 };
    struct config *cfg = config_parse((const char *)data, len, "fuzz", &report);
    zk_assert((cfg == NULL) == (report.error != NULL));
    config_report_fini(&report);
    if (cfg) {
        /* The digest is not printed, so it must not count. */
        free(cfg->super_digest);
        cfg->super_digest = NULL;
        char *first = print(cfg);
        struct config *again = config_parse(first, strlen(first), "again", &report);
        zk_assert(again != NULL);
        char *second = print(again);
        zk_assert(strcmp(first, second) == 0);
        free(first);
        free(second);
        config_free(again);
        config_report_fini(&report);
        config_free(cfg);
    }
    return 0;
}
