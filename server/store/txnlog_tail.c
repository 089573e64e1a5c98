/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/txnlog_tail.h"

#include <errno.h>
#include <string.h>

#include "server/store/txnlog_reader.h"
#include "server/tree/mutant.h"

/* A start that makes a snapshot begins a new file, so there may be many short ones. */
enum { FILES_MAX = 16 };

static void forget(struct history_tail *tail)
{
    buf_fini(&tail->entries);
    *tail = (struct history_tail){ .entries = BUF_EMPTY };
}

/* Drops the oldest txn. */
static void drop_first(struct history_tail *tail)
{
    struct log_entry_head head;
    memcpy(&head, buf_head(&tail->entries), sizeof(head));
    buf_consume(&tail->entries, sizeof(head) + (size_t)head.len);
    tail->before_zxid = head.zxid;
    tail->count--;
}

static void append(struct history_tail *tail, const struct txnlog_entry *entry, size_t count)
{
    struct log_entry_head head = { entry->zxid, (int64_t)entry->len };
    buf_append(&tail->entries, &head, sizeof(head));
    buf_append(&tail->entries, entry->data, entry->len);
    tail->count++;
    while (tail->count > count || buf_readable(&tail->entries) > HISTORY_RECENT_BYTES_MAX) {
        drop_first(tail);
    }
}

/* What the last txns do not follow on is none of them (S8). */
static void forget_before_gap(struct history_tail *tail, const struct version_list *snapshots,
                              int64_t last, int64_t next)
{
    if (version_list_has_between(snapshots, last, next) && !MUTANT(S8)) {
        forget(tail);
        tail->before_zxid = next - 1;
    }
}

/* All from the file that begins with first_zxid on. */
static int read_from(const struct fsops *fs, const char *dir,
                     const struct version_list *snapshots, int64_t first_zxid, int64_t last_zxid,
                     size_t count, size_t entry_bytes_max, struct history_tail *tail)
{
    struct txnlog_reader *reader;
    struct txnlog_entry entry;
    tail->before_zxid = first_zxid - 1;
    int64_t last = first_zxid - 1;
    int rc = txnlog_reader_open(fs, dir, first_zxid - 1, entry_bytes_max, &reader);
    if (rc != 0) {
        return rc;
    }
    while ((rc = txnlog_reader_next(reader, &entry)) == 1) {
        forget_before_gap(tail, snapshots, last, entry.zxid);
        append(tail, &entry, count);
        last = entry.zxid;
    }
    txnlog_reader_close(reader);
    return rc == 0 && last != last_zxid ? -ENODATA : rc;
}

static int read_tail(const struct fsops *fs, const char *dir, const struct version_list *snapshots,
                     int64_t last_zxid, size_t count, size_t entry_bytes_max,
                     struct history_tail *out)
{
    struct version_list files;
    int rc = version_list_read(fs, dir, VERSION_LOG, &files);
    if (rc != 0) {
        return rc;
    }
    /* The newest file, then one more each time, until there are enough or there is a gap. */
    bool is_whole = true;
    for (size_t i = files.count, tried = 0; i > 0 && tried < FILES_MAX && is_whole; i--, tried++) {
        struct history_tail tail = { .entries = BUF_EMPTY };
        rc = read_from(fs, dir, snapshots, files.files[i - 1].zxid, last_zxid, count,
                       entry_bytes_max, &tail);
        is_whole = rc == 0 && tail.count < count;
        if (rc == 0) {
            forget(out);
            *out = tail;
        } else {
            forget(&tail);
        }
    }
    version_list_fini(&files);
    return rc == -ENODATA || rc == -EBADMSG ? 0 : rc;
}

int txnlog_read_tail(const struct fsops *fs, const char *snapshot_dir, const char *log_dir,
                     int64_t last_zxid, size_t count, size_t entry_bytes_max,
                     struct history_tail *out)
{
    struct version_list snapshots;
    int rc = version_list_read(fs, snapshot_dir, VERSION_SNAPSHOT, &snapshots);
    if (rc == 0) {
        rc = read_tail(fs, log_dir, &snapshots, last_zxid, count, entry_bytes_max, out);
        version_list_fini(&snapshots);
    }
    return rc;
}
