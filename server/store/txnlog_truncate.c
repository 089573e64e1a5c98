/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/txnlog_truncate.h"

#include <errno.h>
#include <stdlib.h>

#include "common/assert.h"
#include "server/store/txnlog.h"
#include "server/tree/mutant.h"

static int remove_later_files(const struct fsops *fs, const char *dir,
                              const struct version_list *files, size_t keep)
{
    if (keep == files->count) {
        return 0;
    }
    for (size_t i = files->count; i > keep; i--) {
        char *path = fs_join(dir, files->files[i - 1].name);
        int rc = fs->unlink(fs->ctx, path);
        free(path);
        if (rc != 0 && rc != -ENOENT) {
            return rc;
        }
    }
    return fs->fsync_dir(fs->ctx, dir);
}

static int cut_file(const struct fsops *fs, const char *dir, const char *name, int64_t size)
{
    char *path = fs_join(dir, name);
    int fd = fs->open(fs->ctx, path, FS_WRITE);
    free(path);
    if (fd < 0) {
        return fd;
    }
    int rc = fs->truncate(fs->ctx, fd, size);
    if (rc == 0) {
        rc = fs->fdatasync(fs->ctx, fd);
    }
    int close_rc = fs->close(fs->ctx, fd);
    return rc != 0 ? rc : close_rc;
}

int txnlog_repair(const struct fsops *fs, const char *dir, const struct version_list *files,
                  const struct txnlog_tail *tail)
{
    zk_assert(tail->keep_files <= files->count);
    int rc = MUTANT(S10) ? 0 : remove_later_files(fs, dir, files, tail->keep_files);
    if (rc == 0 && tail->cut_bytes >= 0) {
        zk_assert(tail->keep_files > 0);
        rc = cut_file(fs, dir, files->files[tail->keep_files - 1].name, tail->cut_bytes);
    }
    return rc != 0 || !MUTANT(S10) ? rc : remove_later_files(fs, dir, files, tail->keep_files);
}

/* Where the first txn after zxid begins. 1: *tail says what to take off; 0: none; -errno. */
static int find_cut(struct txnlog_reader *reader, int64_t zxid, struct txnlog_tail *tail)
{
    struct txnlog_entry entry;
    int rc = txnlog_reader_next(reader, &entry);
    if (rc == 0) {
        return txnlog_reader_seen_zxid(reader) == zxid ? 0 : -ENOENT;
    }
    if (rc < 0) {
        return rc == -ENODATA ? -ENOENT : rc;
    }
    if (entry.previous_zxid != zxid && entry.zxid != zxid + 1) {
        return -ENOENT;
    }
    bool takes_all = entry.offset == TXNLOG_HEADER_BYTES;
    tail->keep_files = takes_all ? entry.file_index : entry.file_index + 1;
    tail->cut_bytes = takes_all ? -1 : entry.offset;
    return 1;
}

int txnlog_truncate(const struct fsops *fs, const char *dir, int64_t zxid, size_t entry_bytes_max)
{
    struct txnlog_reader *reader;
    int rc = txnlog_reader_open(fs, dir, zxid, entry_bytes_max, &reader);
    if (rc != 0) {
        return rc;
    }
    struct txnlog_tail tail = { .cut_bytes = -1 };
    rc = find_cut(reader, zxid, &tail);
    if (rc == 1) {
        rc = txnlog_repair(fs, dir, txnlog_reader_files(reader), &tail);
    }
    txnlog_reader_close(reader);
    return rc;
}
