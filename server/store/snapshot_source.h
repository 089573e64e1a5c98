/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_SNAPSHOT_SOURCE_H
#define SERVER_STORE_SNAPSHOT_SOURCE_H

/*
 * The bytes of a snapshot file from front to back, unpacked: plain, gzip, or the stream that
 * snappy-java writes (16-byte header, then blocks led by their length). Checksums are over the
 * unpacked bytes and are not looked at here.
 */
#include <sys/types.h>

#include "server/store/version_dir.h"

struct snapshot_source;

/* 0 or -errno. */
int snapshot_source_open(const struct fsops *fs, const char *path, enum version_packing packing,
                         struct snapshot_source **out);
/* Up to len bytes, at least 1; 0 at the end. -EBADMSG: the packing is damaged or ends too early. */
ssize_t snapshot_source_read(struct snapshot_source *s, void *dst, size_t len);
void snapshot_source_close(struct snapshot_source *s);

#endif
