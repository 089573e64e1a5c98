/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/epoch_file.h"

#include <errno.h>

#include "server/core/zxid.h"
#include "server/store/number_file.h"

static const char accepted_name[] = "acceptedEpoch";
static const char current_name[] = "currentEpoch";

static int read_or_create(const struct fsops *fs, const char *dir, const char *name,
                          int64_t missing, int64_t *epoch)
{
    int rc = number_file_read(fs, dir, name, epoch);
    if (rc == -ENOENT) {
        rc = number_file_write(fs, dir, name, missing);
        *epoch = missing;
    }
    return rc;
}

int epochs_read(const struct fsops *fs, const char *dir, int64_t last_zxid, struct epochs *out)
{
    struct epochs found;
    int rc = read_or_create(fs, dir, current_name, zxid_epoch(last_zxid), &found.current);
    if (rc == 0) {
        int64_t last = zxid_epoch(last_zxid);
        int64_t missing = last > found.current ? last : found.current;
        rc = read_or_create(fs, dir, accepted_name, missing, &found.accepted);
    }
    bool is_possible =
        rc != 0 || (found.accepted >= found.current && found.accepted >= zxid_epoch(last_zxid));
    if (!is_possible) {
        rc = -EBADMSG;
    }
    if (rc == 0) {
        *out = found;
    }
    return rc;
}

int epochs_write_accepted(const struct fsops *fs, const char *dir, int64_t epoch)
{
    return number_file_write(fs, dir, accepted_name, epoch);
}

int epochs_write_current(const struct fsops *fs, const char *dir, int64_t epoch)
{
    return number_file_write(fs, dir, current_name, epoch);
}
