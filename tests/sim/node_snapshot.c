/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node_parts.h"

#include <string.h>

#include "server/store/purge.h"
#include "tests/sim/world.h"

void node_give_up_snapshot(struct node *n)
{
    if (n->is_imaging) {
        n->is_imaging = false;
        tree_image_end(&n->image);
        snapshot_writer_abort(n->writer);
    }
}

int node_write_snapshot(struct node *n)
{
    struct snapshot_writer *writer;
    struct tree_image image;
    struct buf sessions = BUF_EMPTY;
    node_give_up_snapshot(n);
    int rc = snapshot_writer_open(fake_fs_ops(n->fs), n->snapshot_dir, n->tree->last_zxid, &writer);
    if (rc != 0) {
        return rc;
    }
    peer_encode_sessions(n->peer, &sessions);
    rc = snapshot_writer_write(writer, buf_head(&sessions), buf_readable(&sessions));
    buf_fini(&sessions);
    tree_image_begin(&image, n->tree);
    uint64_t digest = image.digest;
    tree_image_step(&image, SIZE_MAX / 2);
    if (rc == 0) {
        rc = snapshot_writer_write(writer, buf_head(&image.out), buf_readable(&image.out));
    }
    tree_image_end(&image);
    if (rc != 0) {
        snapshot_writer_abort(writer);
        return rc;
    }
    return snapshot_writer_finish(writer, digest);
}

static void end_snapshot(struct world *w, struct node *n, int rc)
{
    struct purge_result purged;
    if (rc == 0) {
        rc = purge_run(fake_fs_ops(n->fs), n->snapshot_dir, n->log_dir, 3, &purged);
    }
    /* One that fails is only a pity. */
    if (rc != 0 && !fake_fs_has_failed(n->fs)) {
        sim_fail(w, "server %d: cannot write a snapshot: %s", n->index + 1, strerror(-rc));
    }
    world_note(w, n->index, "snapshot", n->tree->last_zxid, rc);
    world_saw(w, SEEN_SNAPSHOT);
}

/* The tree changes between two slices. */
static void slice_event(struct world *w, const struct event *ev)
{
    struct node *n = &w->nodes[ev->node];
    if (!n->is_imaging || ev->a != n->image.zxid) {
        return;
    }
    bool done = tree_image_step(&n->image, 100);
    int rc = snapshot_writer_write(n->writer, buf_head(&n->image.out), buf_readable(&n->image.out));
    buf_reset(&n->image.out);
    if (rc != 0) {
        node_give_up_snapshot(n);
        end_snapshot(w, n, rc);
    } else if (!done) {
        world_plan_event(w, world_below(w, 5000), n->index, slice_event)->a = ev->a;
    } else {
        uint64_t digest = n->image.digest;
        n->is_imaging = false;
        tree_image_end(&n->image);
        end_snapshot(w, n, snapshot_writer_finish(n->writer, digest));
    }
}

/* The log goes on in a new file behind the moment of the image. */
void node_begin_snapshot(struct world *w, struct node *n)
{
    struct buf sessions = BUF_EMPTY;
    n->peer->actions.snapshot_due = false;
    n->wants_roll = true;
    int rc =
        snapshot_writer_open(fake_fs_ops(n->fs), n->snapshot_dir, n->tree->last_zxid, &n->writer);
    if (rc != 0) {
        end_snapshot(w, n, rc);
        return;
    }
    peer_encode_sessions(n->peer, &sessions);
    rc = snapshot_writer_write(n->writer, buf_head(&sessions), buf_readable(&sessions));
    buf_fini(&sessions);
    tree_image_begin(&n->image, n->tree);
    n->is_imaging = true;
    if (rc != 0) {
        node_give_up_snapshot(n);
        end_snapshot(w, n, rc);
        return;
    }
    world_plan_event(w, world_below(w, 5000), n->index, slice_event)->a = n->image.zxid;
}
