/* SPDX-License-Identifier: Apache-2.0 */
#include "server/snapshotter.h"

#include "common/clock.h"

/* A slice takes well under a millisecond; the backlog bounds the memory that a slow disk can cost.
 */
enum { SLICE_BYTES = 128 * 1024, BACKLOG_BYTES_MAX = 8 * 1024 * 1024 };

void snapshotter_init(struct snapshotter *s, struct peer *peer, struct snap_thread *thread)
{
    *s = (struct snapshotter){ .peer = peer, .thread = thread };
}

void snapshotter_begin(struct snapshotter *s)
{
    if (s->is_writing) {
        return;
    }
    s->is_walking = true;
    s->is_writing = true;
    s->serial++;
    s->began_ms = clock_now_ms();
    struct buf sessions = BUF_EMPTY;
    peer_encode_sessions(s->peer, &sessions);
    tree_image_begin(&s->image, s->peer->tree);
    snap_thread_begin(s->thread, s->image.zxid, s->image.digest);
    snap_thread_write(s->thread, &sessions);
    buf_fini(&sessions);
}

bool snapshotter_turn(struct snapshotter *s)
{
    if (!s->is_walking) {
        return false;
    }
    if (snap_thread_backlog_bytes(s->thread) > BACKLOG_BYTES_MAX) {
        return false;
    }
    bool done = tree_image_step(&s->image, SLICE_BYTES);
    snap_thread_write(s->thread, &s->image.out);
    if (done) {
        snap_thread_finish(s->thread);
        tree_image_end(&s->image);
        s->is_walking = false;
    }
    return !done;
}

bool snapshotter_ended(struct snapshotter *s, int64_t serial, bool written)
{
    if (!s->is_writing || serial != s->serial) {
        return false;
    }
    int64_t ms = clock_now_ms() - s->began_ms;
    if (s->is_walking) { /* the disk refused it half-way */
        tree_image_end(&s->image);
        s->is_walking = false;
    }
    s->is_writing = false;
    if (written) {
        s->stats.count++;
        s->stats.ms_total += ms;
        s->stats.ms_max = ms > s->stats.ms_max ? ms : s->stats.ms_max;
    }
    return true;
}

void snapshotter_abandon(struct snapshotter *s)
{
    if (s->is_walking) {
        tree_image_end(&s->image);
        snap_thread_abort(s->thread);
        s->is_walking = false;
    }
    s->is_writing = false;
}
