/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/purge.h"

#include <errno.h>
#include <stdlib.h>

#include "server/store/snapshot_reader.h"

/* Finds the oldest snapshot to keep. 1 found, 0 there are too few, -errno; *zxid is the result for
 * 1 only. */
static int find_oldest_kept(const struct fsops *fs, const char *dir,
                            const struct version_list *list, size_t retain_count, int64_t *zxid)
{
    size_t valid_count = 0;
    for (size_t i = list->count; i > 0; i--) {
        const struct version_file *file = &list->files[i - 1];
        struct snapshot_info info;
        int rc = snapshot_read(fs, dir, file, &snapshot_sink_none, &info);
        if (rc != 0 && rc != -EBADMSG) {
            return rc;
        }
        /* The same snapshot packed and unpacked counts once. */
        if (rc == 0 && (valid_count == 0 || file->zxid != *zxid)) {
            valid_count++;
            *zxid = file->zxid;
        }
        if (valid_count == retain_count) {
            return 1;
        }
    }
    return 0;
}

static int remove_file(const struct fsops *fs, const char *dir, const char *name, size_t *count)
{
    char *path = fs_join(dir, name);
    int rc = fs->unlink(fs->ctx, path);
    free(path);
    if (rc == 0) {
        ++*count;
    }
    return rc == -ENOENT ? 0 : rc;
}

/* Oldest first, so that what remains after an interruption has no hole. */
static int remove_snapshots(const struct fsops *fs, const char *dir,
                            const struct version_list *list, int64_t oldest_kept, size_t *count)
{
    int rc = 0;
    for (size_t i = 0; i < list->count && rc == 0 && list->files[i].zxid < oldest_kept; i++) {
        rc = remove_file(fs, dir, list->files[i].name, count);
    }
    return rc;
}

static int remove_logs(const struct fsops *fs, const char *dir, int64_t oldest_kept, size_t *count)
{
    struct version_list list;
    int rc = version_list_read(fs, dir, VERSION_LOG, &list);
    if (rc != 0) {
        return rc;
    }
    /* A file goes if the one behind it still begins at or before the snapshot: that one straddles.
     */
    for (size_t i = 0; i + 1 < list.count && rc == 0 && list.files[i + 1].zxid <= oldest_kept;
         i++) {
        rc = remove_file(fs, dir, list.files[i].name, count);
    }
    version_list_fini(&list);
    return rc;
}

int purge_run(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
              size_t retain_count, struct purge_result *result)
{
    *result = (struct purge_result){ 0, 0 };
    size_t retain = retain_count < PURGE_RETAIN_MIN ? PURGE_RETAIN_MIN : retain_count;
    struct version_list snapshots;
    int rc = version_list_read(fs, snapshot_dir, VERSION_SNAPSHOT, &snapshots);
    if (rc != 0) {
        return rc;
    }
    int64_t oldest_kept = 0;
    rc = find_oldest_kept(fs, snapshot_dir, &snapshots, retain, &oldest_kept);
    if (rc == 1) {
        /* Snapshots first: one without its logs would be a trap, logs without a snapshot are not.
         */
        rc = remove_snapshots(fs, snapshot_dir, &snapshots, oldest_kept, &result->snapshots);
        if (rc == 0) {
            rc = remove_logs(fs, log_dir, oldest_kept, &result->logs);
        }
    }
    version_list_fini(&snapshots);
    return rc;
}
