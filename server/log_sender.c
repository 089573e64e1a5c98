/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log_sender.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"

static const char module[] = "zab";

/* A slice is read in some milliseconds; the backlog is what a fast network wants to have at hand.
 */
enum { SLICE_BYTES = 1024 * 1024, BACKLOG_BYTES_MAX = 4 * 1024 * 1024 };

/* ---- finding --------------------------------------------------------------------------------- */

struct find_job {
    struct store_job job; /* first */
    struct log_sender *sender;
    int64_t link;
    int64_t zxid;
    int64_t until_zxid;
    int64_t newest_bytes;
    struct log_place place;
    int rc;
};

static void run_find(struct store_job *job)
{
    struct find_job *f = (struct find_job *)job;
    f->rc = log_bridge_find(&f->sender->dirs, f->zxid, f->until_zxid, f->newest_bytes, &f->place);
}

static void found(struct store_job *job)
{
    struct find_job *f = (struct find_job *)job;
    if (f->rc < 0) {
        log_info(module, "the log does not lead from zxid=0x%" PRIx64 " to here",
                 (uint64_t)f->zxid);
    }
    f->sender->ops->on_found(f->sender->arg, f->link, &f->place);
    free(f);
}

void log_sender_find(struct log_sender *s, int64_t link, int64_t zxid, int64_t until_zxid,
                     int64_t newest_bytes)
{
    struct find_job *f = xmalloc(sizeof(*f));
    *f = (struct find_job){ .job = { .run = run_find, .done = found },
                            .sender = s,
                            .link = link,
                            .zxid = zxid,
                            .until_zxid = until_zxid,
                            .newest_bytes = newest_bytes,
                            .place = { .is_known = true } };
    job_thread_push(s->jobs, &f->job);
}

/* ---- sending --------------------------------------------------------------------------------- */

struct stream {
    struct store_job job; /* first; the next slice */
    struct list all;
    struct log_sender *sender;
    int64_t link;
    int64_t after_zxid;
    int64_t until_zxid;
    bool is_observer;
    bool is_reading; /* the job is on its way */
    struct log_bridge *bridge;
    struct buf slice;
    int rc; /* of the last slice, see log_bridge_read */
};

static void free_stream(struct stream *s)
{
    list_remove(&s->all);
    log_bridge_close(s->bridge);
    buf_fini(&s->slice);
    free(s);
}

static void run_read(struct store_job *job)
{
    struct stream *s = (struct stream *)job;
    s->rc = 0;
    if (!s->bridge) {
        s->rc = log_bridge_open(&s->sender->dirs, s->after_zxid, s->until_zxid, s->is_observer,
                                &s->bridge);
    }
    if (s->rc == 0) {
        s->rc = log_bridge_read(s->bridge, SLICE_BYTES, &s->slice);
    }
}

/* Nothing that stands behind may leave without what stands in front. */
static void give_up(struct stream *s)
{
    struct log_sender *sender = s->sender;
    int64_t link = s->link;
    log_warn(module, "cannot read the log up to zxid=0x%" PRIx64 " for a learner",
             (uint64_t)s->until_zxid);
    learner_port_drop(sender->port, link);
    free_stream(s);
    sender->ops->on_unreadable(sender->arg, link);
}

static void slice_read(struct store_job *job)
{
    struct stream *s = (struct stream *)job;
    struct quorum_conn *conn = learner_port_find(s->sender->port, s->link);
    s->is_reading = false;
    if (!conn) {
        free_stream(s);
    } else if (s->rc < 0) {
        give_up(s);
    } else {
        quorum_conn_stream(conn, &s->slice);
        learner_port_flush_later(s->sender->port, conn);
        if (s->rc == 0) {
            quorum_conn_stream_end(conn);
            free_stream(s);
        }
    }
}

void log_sender_begin(struct log_sender *sender, int64_t link, int64_t after_zxid,
                      int64_t until_zxid, bool is_observer)
{
    struct quorum_conn *conn = learner_port_find(sender->port, link);
    if (!conn) {
        return;
    }
    struct stream *s = xmalloc(sizeof(*s));
    *s = (struct stream){ .job = { .run = run_read, .done = slice_read },
                          .sender = sender,
                          .link = link,
                          .after_zxid = after_zxid,
                          .until_zxid = until_zxid,
                          .is_observer = is_observer,
                          .slice = BUF_EMPTY };
    list_push_back(&sender->streams, &s->all);
    quorum_conn_stream_begin(conn);
    log_info(module, "sending the log from zxid=0x%" PRIx64 " to 0x%" PRIx64 " to a learner",
             (uint64_t)after_zxid, (uint64_t)until_zxid);
}

void log_sender_turn(struct log_sender *sender)
{
    list_for_each_safe (it, next, &sender->streams) {
        struct stream *s = list_entry(it, struct stream, all);
        struct quorum_conn *conn = learner_port_find(sender->port, s->link);
        if (s->is_reading) {
            continue;
        }
        if (!conn) {
            free_stream(s);
        } else if (quorum_conn_backlog(conn) <= BACKLOG_BYTES_MAX) {
            s->is_reading = true;
            job_thread_push(sender->jobs, &s->job);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void log_sender_init(struct log_sender *s, struct learner_port *port, struct job_thread *jobs,
                     const struct log_dirs *dirs, const struct log_sender_ops *ops, void *arg)
{
    *s = (struct log_sender){
        .port = port, .jobs = jobs, .dirs = *dirs, .ops = ops, .arg = arg
    };
    list_init(&s->streams);
}

void log_sender_fini(struct log_sender *s)
{
    while (!list_is_empty(&s->streams)) {
        free_stream(list_entry(s->streams.next, struct stream, all));
    }
}
