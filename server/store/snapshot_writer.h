/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPSHOT_WRITER_H
#define SERVER_STORE_SNAPSHOT_WRITER_H

/*
 * Writes a snapshot file (docs/on-disk.md, "Snapshot"). The payload comes in pieces: the sessions,
 * then what tree_image gives, up to and including the closing "/". This module adds the file header
 * in front and the seals behind.
 *
 *      [header] [sessions][ACL map][nodes]["/"] [seal 1][digest][seal 2][last zxid][seal 3]
 *                ^---------- payload ---------^
 *
 * Rule L5: the file is written under a temporary name, synced, renamed, and the directory synced.
 * What stands under a snapshot's name is always complete. One thread at a time.
 */
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"

enum {
    SNAPSHOT_MAGIC = 0x5a4b534e, /* "ZKSN" */
    SNAPSHOT_VERSION = 2,
    SNAPSHOT_HEADER_BYTES = 16,
    SNAPSHOT_SEAL_BYTES = 13, /* checksum, "/" */
    SNAPSHOT_DIGEST_BYTES = 20,
    SNAPSHOT_LAST_ZXID_BYTES = 8,
};

struct snapshot_writer;

/* Starts snapshot.<zxid> in dir. 0 or -errno; *out must be finished or aborted. */
int snapshot_writer_open(const struct fsops *fs, const char *dir, int64_t zxid,
                         struct snapshot_writer **out);
/* Adds a piece of payload. After an error only abort is left. */
int snapshot_writer_write(struct snapshot_writer *w, const void *data, size_t len);
/* Seals the file, gives it its name and frees w. digest: of the tree at zxid. On failure nothing is
 * left under the snapshot's name that was not there before, or the whole file is (its directory's
 * sync failed). */
int snapshot_writer_finish(struct snapshot_writer *w, uint64_t digest);
/* Removes the temporary file and frees w; NULL is fine. */
void snapshot_writer_abort(struct snapshot_writer *w);
/* Bytes of the file so far. */
int64_t snapshot_writer_bytes(const struct snapshot_writer *w);

/* Removes temporary files that a killed server left in dir. */
int snapshot_remove_temporaries(const struct fsops *fs, const char *dir);

#endif
