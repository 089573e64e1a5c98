/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPSHOT_READER_H
#define SERVER_STORE_SNAPSHOT_READER_H

/*
 * Reads and checks a snapshot file in one pass (docs/on-disk.md, "Snapshot"). The content goes to a
 * sink as it is met; whether the checksum was right is known only at the end, so the sink's work is
 * thrown away when reading fails. The bytes of a file that a newer Apache wrote may go on behind
 * the sections known here; they are ignored, as Apache does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/jute/records.h"
#include "server/store/version_dir.h"

/* Called in file order; any may be NULL. Slices are borrowed. False: cannot be; reading stops. */
struct snapshot_sink {
    void *arg;
    bool (*session)(void *arg, int64_t session_id, int32_t timeout_ms);
    bool (*acl)(void *arg, int64_t acl_id, struct vec acl);
    bool (*node)(void *arg, struct slice path, struct slice data, int64_t acl_id,
                 const struct persisted_stat *stat);
};

/* Only a checker: nothing is kept. */
extern const struct snapshot_sink snapshot_sink_none;

struct snapshot_info {
    int64_t session_count;
    int64_t node_count;
    int64_t byte_count; /* unpacked */
    bool has_digest;
    int64_t digest_zxid; /* the tree has this digest after this txn; 0: not known */
    uint64_t digest;
    const char *reason; /* static text, after -EBADMSG */
};

/*
 * Reads file (of directory dir). 0: all checksums are right. -EBADMSG: not a whole snapshot,
 * info->reason says why. Other -errno: the file could not be read.
 */
int snapshot_read(const struct fsops *fs, const char *dir, const struct version_file *file,
                  const struct snapshot_sink *sink, struct snapshot_info *info);

#endif
