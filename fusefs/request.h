/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_REQUEST_H
#define FUSEFS_REQUEST_H

/*
 * A FUSE request that waits for the ensemble. Two can want to answer it: the completion that it waits
 * for, and INTERRUPT (the user pressed ^C). Whoever claims it first does; the operation that embeds
 * this goes on to its end in either case and is freed there.
 */
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fusefs;

struct request {
    fuse_req_t req; /* ours to answer until claimed */
    struct fusefs *fs;
    bool claimed; /* atomic */
    pthread_t starter;
    bool is_starting; /* only starter looks at it */
    bool interrupted; /* while starting */
    /* May be NULL; called with id after EINTR was answered, when r may be gone already. */
    void (*on_interrupted)(struct fusefs *fs, uint64_t id);
    uint64_t id;
};

/* From the worker that received the request. False if it was interrupted before and has been answered. */
bool request_begin(struct request *r, struct fusefs *fs, fuse_req_t req);
/* True once: the caller must now answer r->req, without any lock. */
bool request_claim(struct request *r);
/* Answers with a positive errno (0: success) unless interrupted. */
void request_reply_err(struct request *r, int err);

#endif
