/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/snapshot_tree.h"

#include <errno.h>

#include "server/store/snapshot_writer.h"
#include "server/tree/image.h"

enum { IMAGE_STEP_BYTES = 256 * 1024 };

struct load {
    struct data_tree *tree;
    struct session_map *sessions;
};

static bool load_session(void *arg, int64_t session_id, int32_t timeout_ms)
{
    struct load *load = arg;
    session_map_set(load->sessions, session_id, timeout_ms);
    return true;
}

static bool load_acl(void *arg, int64_t acl_id, struct vec acl)
{
    struct load *load = arg;
    return data_tree_load_acl(load->tree, acl_id, acl);
}

static bool load_node(void *arg, struct slice path, struct slice data, int64_t acl_id,
                      const struct persisted_stat *stat)
{
    struct load *load = arg;
    return data_tree_load_node(load->tree, path, data, acl_id, stat);
}

static struct snapshot_sink sink_of(struct load *load)
{
    return (struct snapshot_sink){ load, load_session, load_acl, load_node };
}

static int finish_load(struct data_tree *tree, int64_t zxid, struct snapshot_info *info)
{
    if (data_tree_load_done(tree, zxid)) {
        return 0;
    }
    info->reason = "no root node";
    return -EBADMSG;
}

int snapshot_load_tree(const struct fsops *fs, const char *dir, const struct version_file *file,
                       struct data_tree *tree, struct session_map *sessions,
                       struct snapshot_info *info)
{
    struct load load = { tree, sessions };
    struct snapshot_sink sink = sink_of(&load);
    data_tree_clear(tree);
    int rc = snapshot_read(fs, dir, file, &sink, info);
    return rc != 0 ? rc : finish_load(tree, file->zxid, info);
}

/* Runs the image to its end, piece by piece into the writer. */
static int write_image(struct snapshot_writer *w, struct tree_image *image)
{
    bool done = false;
    int rc = 0;
    while (!done && rc == 0) {
        done = tree_image_step(image, IMAGE_STEP_BYTES);
        rc = snapshot_writer_write(w, buf_head(&image->out), buf_readable(&image->out));
        buf_reset(&image->out);
    }
    return rc;
}

int snapshot_write_tree(const struct fsops *fs, const char *dir, struct data_tree *tree,
                        const struct saved_session *sessions, size_t session_count)
{
    struct snapshot_writer *w;
    int rc = snapshot_writer_open(fs, dir, tree->last_zxid, &w);
    if (rc != 0) {
        return rc;
    }
    struct buf head = BUF_EMPTY;
    saved_sessions_encode(&head, sessions, session_count);
    rc = snapshot_writer_write(w, buf_head(&head), buf_readable(&head));
    buf_fini(&head);
    struct tree_image image;
    tree_image_begin(&image, tree);
    uint64_t digest = image.digest;
    if (rc == 0) {
        rc = write_image(w, &image);
    }
    tree_image_end(&image);
    if (rc != 0) {
        snapshot_writer_abort(w);
        return rc;
    }
    return snapshot_writer_finish(w, digest);
}
