/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_STORE_VERSION_DIR_H
#define SERVER_STORE_VERSION_DIR_H

/*
 * The names in a version-2 directory: log.<zxid> and snapshot.<zxid>[.gz|.snappy], the zxid in
 * lower case hex without padding. A log is named after its first txn, a snapshot after the last
 * txn it contains. Other names (temporary ones, an operator's log.5.bak) are not ours and are
 * never touched.
 */
#include <stddef.h>
#include <stdint.h>

#include "server/store/fsops.h"

enum version_kind { VERSION_LOG, VERSION_SNAPSHOT };

enum version_packing { PACKING_NONE, PACKING_GZIP, PACKING_SNAPPY };

struct version_file {
    int64_t zxid;
    enum version_packing packing; /* logs: always none */
    char *name;                   /* owned; without the directory */
};

struct version_list {
    struct version_file *files; /* owned; ascending by zxid */
    size_t count;
};

/* True if name is one of ours; fills *file but for its name. */
bool version_name_parse(const char *name, enum version_kind kind, struct version_file *file);
/* "log.1f"; the caller frees it. */
char *version_name_make(enum version_kind kind, int64_t zxid);
/* Lists the files of one kind. 0 or -errno; on success free *list with version_list_fini. */
int version_list_read(const struct fsops *fs, const char *dir, enum version_kind kind,
                      struct version_list *list);
/* Is there a file above first_zxid and below last_zxid? Of a snapshot between two txns that are
 * neighbours in the log it says that the log has a gap there (rule S8). */
bool version_list_has_between(const struct version_list *list, int64_t first_zxid,
                              int64_t last_zxid);
void version_list_fini(struct version_list *list);

#endif
