/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/log_bridge.h"

#include <errno.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "server/core/zxid.h"
#include "server/store/txnlog_reader.h"
#include "server/store/version_dir.h"
#include "server/tree/mutant.h"

/* ---- finding --------------------------------------------------------------------------------- */

static int file_size(const struct fsops *fs, const char *dir, const char *name, int64_t *size)
{
    char *path = fs_join(dir, name);
    int fd = fs->open(fs->ctx, path, FS_READ);
    free(path);
    if (fd < 0) {
        return fd;
    }
    int rc = fs->size(fs->ctx, fd, size);
    fs->close(fs->ctx, fd);
    return rc;
}

/* Bytes of the log files from index first on. */
static int measure_log(const struct log_dirs *dirs, const struct version_list *files, size_t first,
                       int64_t newest_bytes, int64_t *bytes)
{
    *bytes = 0;
    for (size_t i = first; i < files->count; i++) {
        int64_t size;
        int rc = file_size(dirs->fs, dirs->log_dir, files->files[i].name, &size);
        if (rc != 0) {
            return rc;
        }
        bool is_newest = i + 1 == files->count;
        *bytes += is_newest && newest_bytes >= 0 && newest_bytes < size ? newest_bytes : size;
    }
    return 0;
}

/* From the entry just read on. */
static int check_until(struct txnlog_reader *reader, const struct version_list *snapshots,
                       int64_t previous, int64_t zxid, int64_t until_zxid)
{
    struct txnlog_entry entry;
    int rc = 1;
    while (rc == 1 && !version_list_has_between(snapshots, previous, zxid)) {
        if (zxid >= until_zxid) {
            return 0;
        }
        previous = zxid;
        rc = txnlog_reader_next(reader, &entry);
        zxid = rc == 1 ? entry.zxid : zxid;
    }
    return rc < 0 ? rc : -ENODATA;
}

static int find(const struct log_dirs *dirs, struct txnlog_reader *reader,
                const struct version_list *snapshots, int64_t zxid, int64_t until_zxid,
                int64_t newest_bytes, struct log_place *place)
{
    struct txnlog_entry entry;
    int rc = txnlog_reader_next(reader, &entry);
    if (rc != 1) {
        return rc < 0 ? rc : -ENODATA;
    }
    place->first_zxid = entry.zxid;
    place->previous_zxid = entry.previous_zxid;
    rc = measure_log(dirs, txnlog_reader_files(reader), entry.file_index, newest_bytes,
                     &place->log_bytes);
    if (rc == 0 && snapshots->count > 0) {
        rc = file_size(dirs->fs, dirs->snapshot_dir, snapshots->files[snapshots->count - 1].name,
                       &place->snapshot_bytes);
    }
    return rc != 0 ? rc : check_until(reader, snapshots, zxid, entry.zxid, until_zxid);
}

int log_bridge_find(const struct log_dirs *dirs, int64_t zxid, int64_t until_zxid,
                    int64_t newest_bytes, struct log_place *place)
{
    struct txnlog_reader *reader;
    struct version_list snapshots;
    struct log_place found = { .is_known = true };
    int rc = version_list_read(dirs->fs, dirs->snapshot_dir, VERSION_SNAPSHOT, &snapshots);
    if (rc != 0) {
        return rc;
    }
    rc = txnlog_reader_open(dirs->fs, dirs->log_dir, zxid - 1, dirs->entry_bytes_max, &reader);
    if (rc == 0) {
        rc = find(dirs, reader, &snapshots, zxid, until_zxid, newest_bytes, &found);
        txnlog_reader_close(reader);
    }
    version_list_fini(&snapshots);
    if (rc == 0) {
        *place = found;
    }
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct log_bridge {
    struct txnlog_reader *reader;
    int64_t until_zxid;
    bool is_observer;
};

/* S8: since it was looked for, a purge may have taken where the bridge began. */
static int step_to(const struct log_dirs *dirs, int64_t after_zxid, struct txnlog_reader **reader)
{
    struct txnlog_entry entry;
    bool is_epoch_start = zxid_counter(after_zxid) == 0; /* no txn has that zxid */
    int rc = txnlog_reader_open(dirs->fs, dirs->log_dir, after_zxid - 1, dirs->entry_bytes_max,
                                reader);
    if (rc != 0) {
        return rc;
    }
    rc = txnlog_reader_next(*reader, &entry);
    bool begins = rc == 1 && (is_epoch_start ? entry.previous_zxid != 0 : entry.zxid == after_zxid);
    if (begins && !is_epoch_start) {
        return 0;
    }
    txnlog_reader_close(*reader);
    return !begins ? (rc < 0 ? rc : -ENODATA)
                   : txnlog_reader_open(dirs->fs, dirs->log_dir, after_zxid, dirs->entry_bytes_max,
                                        reader);
}

int log_bridge_open(const struct log_dirs *dirs, int64_t after_zxid, int64_t until_zxid,
                    bool is_observer, struct log_bridge **bridge)
{
    struct txnlog_reader *reader;
    int rc = MUTANT(S8) ? txnlog_reader_open(dirs->fs, dirs->log_dir, after_zxid,
                                             dirs->entry_bytes_max, &reader)
                        : step_to(dirs, after_zxid, &reader);
    if (rc == 0) {
        *bridge = xcalloc(1, sizeof(**bridge));
        **bridge = (struct log_bridge){ reader, until_zxid, is_observer };
    }
    return rc;
}

/* Memory may begin at the start of an epoch, behind a zxid that no txn has: the one before stands in
 * front of the first above. */
static bool is_behind_end(const struct log_bridge *b, int64_t zxid)
{
    return zxid > b->until_zxid && zxid_counter(b->until_zxid) == 0;
}

int log_bridge_read(struct log_bridge *b, size_t bytes, struct buf *out)
{
    struct txnlog_entry entry;
    while (buf_readable(out) < bytes) {
        int rc = txnlog_reader_next(b->reader, &entry);
        if (rc == 1 && is_behind_end(b, entry.zxid)) {
            return 0;
        }
        if (rc != 1 || entry.zxid > b->until_zxid) {
            return rc < 0 ? rc : -ENODATA;
        }
        sync_encode_txn(out, entry.zxid, (struct slice){ entry.data, (int32_t)entry.len },
                        b->is_observer);
        if (entry.zxid == b->until_zxid) {
            return 0;
        }
    }
    return 1;
}

void log_bridge_close(struct log_bridge *b)
{
    if (b) {
        txnlog_reader_close(b->reader);
        free(b);
    }
}
