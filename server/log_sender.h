/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_LOG_SENDER_H
#define SERVER_LOG_SENDER_H

/*
 * What a learner lacks of the log on disk (core/zab.h: LOG_FIND, LOG_SEND), read by the job thread,
 * one slice at a time, as fast as the learner takes it. Packets that are sent meanwhile wait on the
 * link. Several learners may be served at once. Loop thread.
 *
 *      begin --> turn: asks for a slice --> job thread reads --> it leaves on the link --> turn
 */
#include <stdint.h>

#include "common/list.h"
#include "server/net/learner_port.h"
#include "server/store/job_thread.h"
#include "server/store/log_bridge.h"

struct log_sender_ops {
    void (*on_found)(void *arg, int64_t link, const struct log_place *place);
    /* It cannot be read to the end; the link has been dropped. */
    void (*on_unreadable)(void *arg, int64_t link);
};

struct log_sender {
    struct learner_port *port; /* borrowed */
    struct job_thread *jobs;   /* borrowed */
    struct log_dirs dirs;      /* borrowed strings, which outlive the job thread */
    const struct log_sender_ops *ops;
    void *arg;
    struct list streams; /* struct stream.all */
};

void log_sender_init(struct log_sender *s, struct learner_port *port, struct job_thread *jobs,
                     const struct log_dirs *dirs, const struct log_sender_ops *ops, void *arg);
/* The job thread has ended, and its events were taken. */
void log_sender_fini(struct log_sender *s);

/* on_found follows. newest_bytes: see log_bridge_find. */
void log_sender_find(struct log_sender *s, int64_t link, int64_t zxid, int64_t until_zxid,
                     int64_t newest_bytes);
/* A link that is gone is fine. */
void log_sender_begin(struct log_sender *s, int64_t link, int64_t after_zxid, int64_t until_zxid,
                      bool is_observer);
/* Once a turn: asks for slices where the link has room. */
void log_sender_turn(struct log_sender *s);

#endif
