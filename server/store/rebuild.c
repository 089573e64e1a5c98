/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/rebuild.h"

#include <errno.h>
#include <stdlib.h>

#include "server/store/txnlog_truncate.h"
#include "server/store/version_dir.h"

/* Removes the files of one kind whose zxid is above zxid, newest first, durably. */
static int remove_newer(const struct fsops *fs, const char *dir, enum version_kind kind,
                        int64_t zxid)
{
    struct version_list list;
    int rc = version_list_read(fs, dir, kind, &list);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = list.count; rc == 0 && i > 0 && list.files[i - 1].zxid > zxid; i--) {
        char *path = fs_join(dir, list.files[i - 1].name);
        rc = fs->unlink(fs->ctx, path);
        free(path);
    }
    version_list_fini(&list);
    return rc != 0 ? rc : fs->fsync_dir(fs->ctx, dir);
}

/* The zxid of the newest snapshot at or below zxid, or -ENOENT. */
static int find_base(const struct fsops *fs, const char *dir, int64_t zxid, int64_t *base)
{
    struct version_list list;
    int rc = version_list_read(fs, dir, VERSION_SNAPSHOT, &list);
    if (rc != 0) {
        return rc;
    }
    rc = -ENOENT;
    for (size_t i = 0; i < list.count && list.files[i].zxid <= zxid; i++) {
        *base = list.files[i].zxid;
        rc = 0;
    }
    version_list_fini(&list);
    return rc;
}

/* Does the log go on from the snapshot base, without a gap, to exactly zxid? */
static int check_log_leads_to(const struct fsops *fs, const char *log_dir, int64_t base,
                              int64_t zxid, size_t entry_bytes_max)
{
    struct txnlog_reader *reader;
    struct txnlog_entry entry;
    int rc = txnlog_reader_open(fs, log_dir, base, entry_bytes_max, &reader);
    if (rc != 0) {
        return rc;
    }
    int64_t last = base;
    while (last < zxid && (rc = txnlog_reader_next(reader, &entry)) == 1) {
        last = entry.zxid;
    }
    txnlog_reader_close(reader);
    if (rc < 0 && rc != -ENODATA) {
        return rc;
    }
    return last == zxid ? 0 : -ENOENT;
}

int rebuild_truncate(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                     int64_t zxid, size_t entry_bytes_max)
{
    int64_t base;
    int rc = find_base(fs, snapshot_dir, zxid, &base);
    if (rc == 0) {
        rc = check_log_leads_to(fs, log_dir, base, zxid, entry_bytes_max);
    }
    if (rc == 0) {
        rc = remove_newer(fs, snapshot_dir, VERSION_SNAPSHOT, zxid);
    }
    if (rc != 0) {
        return rc;
    }
    /* Up to a snapshot of just this zxid nothing of the log is needed, and it may begin only behind it. */
    bool is_snapshot = base == zxid;
    if (is_snapshot) {
        rc = remove_newer(fs, log_dir, VERSION_LOG, zxid);
    }
    if (rc == 0) {
        rc = txnlog_truncate(fs, log_dir, zxid, entry_bytes_max);
    }
    return is_snapshot && rc == -ENOENT ? 0 : rc;
}

int rebuild_from_snapshot(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                          int64_t zxid)
{
    int rc = remove_newer(fs, log_dir, VERSION_LOG, -1);
    return rc != 0 ? rc : remove_newer(fs, snapshot_dir, VERSION_SNAPSHOT, zxid);
}
