/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a snapshot. The first byte says how:
 *
 *      'f'  the rest is the file;  'g' packed with gzip;  's' in snappy-java's stream
 *      'p'  the rest is a payload: it gets a valid header and seal, so that the fuzzer reaches the
 *           tree
 *
 * Either it is refused with a reason, or the tree that was loaded can be written and loads as the
 * same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "server/store/snapshot_tree.h"
#include "server/store/snapshot_writer.h"
#include "tests/lib/fake_fs.h"
#include "tests/lib/tree_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct data_tree_config config = { .hash_seed = 1, .extended_types = true };

/* The loaded tree as text, and as snapshot.<zxid> in /d if write is true; NULL if it is refused. */
static char *load(struct fake_fs *f, const char *name, bool write)
{
    struct version_file file = { .name = (char *)(uintptr_t)name };
    zk_assert(version_name_parse(name, VERSION_SNAPSHOT, &file));
    struct data_tree *tree = data_tree_new(&config);
    struct session_map sessions;
    struct snapshot_info info;
    char *text = NULL;
    session_map_init(&sessions);
    int rc = snapshot_load_tree(fake_fs_ops(f), "/d", &file, tree, &sessions, &info);
    zk_assert(rc == 0 || (rc == -EBADMSG && info.reason != NULL));
    if (rc == 0) {
        size_t count;
        struct saved_session *list = session_map_list(&sessions, &count);
        text = tree_text(tree, list, count);
        if (write) {
            zk_assert(snapshot_write_tree(fake_fs_ops(f), "/d", tree, list, count) == 0);
        }
        free(list);
    }
    session_map_fini(&sessions);
    data_tree_free(tree);
    return text;
}

static const char *put_input(struct fake_fs *f, const uint8_t *data, size_t len)
{
    if (data[0] == 'p') {
        struct snapshot_writer *w;
        zk_assert(snapshot_writer_open(fake_fs_ops(f), "/d", 1, &w) == 0);
        zk_assert(snapshot_writer_write(w, data + 1, len - 1) == 0);
        zk_assert(snapshot_writer_finish(w, 0) == 0);
        return "snapshot.1";
    }
    const char *name = data[0] == 'g'   ? "snapshot.1.gz"
                       : data[0] == 's' ? "snapshot.1.snappy"
                                        : "snapshot.1";
    char *path = fs_join("/d", name);
    fake_fs_put(f, path, data + 1, len - 1);
    free(path);
    return name;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    struct fake_fs *f = fake_fs_new();
    fake_fs_make_dir(f, "/d");
    const char *name = put_input(f, data, len);
    char *text = load(f, name, true);
    if (text != NULL) {
        char *again = load(f, "snapshot.1", false);
        zk_assert(again != NULL);
        zk_assert(strcmp(again, text) == 0);
        free(again);
        free(text);
    }
    fake_fs_free(f);
    return 0;
}
