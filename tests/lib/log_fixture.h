/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_LOG_FIXTURE_H
#define TESTS_LIB_LOG_FIXTURE_H

/* Makes and reads transaction logs on a fake disk. */
#include "common/buf.h"
#include "server/store/txnlog.h"
#include "server/store/txnlog_reader.h"
#include "tests/lib/fake_fs.h"

enum { FIXTURE_ENTRY_MAX = 2 * 1048575 };

/* For cmocka: *state is a fake disk with the folder /d. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* No preallocation, no size limit, synced. */
extern const struct txnlog_options fixture_log_options;

/* Appends the txn "create /n<zxid in hex> with data_len bytes of data" to b. */
void fixture_entry(struct buf *b, int64_t zxid, size_t data_len);
int fixture_append(struct txnlog *log, int64_t zxid);
/* Writes log.<first> with all txns from first to last; must succeed. */
void fixture_write_log(struct fake_fs *f, const char *dir, int64_t first, int64_t last);

/* What a whole read gave. */
struct fixture_read {
    int rc; /* 0 or the reader's error */
    int64_t first_zxid;
    int64_t last_zxid;
    size_t count;
    bool needs_repair;
    size_t keep_files;
    int64_t cut_bytes;
    char text[512]; /* error, or the reason of the tail; empty: neither */
};

struct fixture_read fixture_read_log(struct fake_fs *f, const char *dir, int64_t after_zxid);
/* Reads, repairs and reads again; the second read must find nothing left to repair. */
struct fixture_read fixture_recover_log(struct fake_fs *f, const char *dir, int64_t after_zxid);

/* Changes the file at path: cuts it to len bytes, or sets one byte. */
void fixture_cut(struct fake_fs *f, const char *path, size_t len);
void fixture_poke(struct fake_fs *f, const char *path, size_t offset, uint8_t value);
void fixture_flip(struct fake_fs *f, const char *path, size_t offset);
size_t fixture_size(struct fake_fs *f, const char *path);

#endif
