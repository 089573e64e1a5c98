/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/request.h"

#include <errno.h>
#include <stddef.h>

static bool claim(struct request *r)
{
    return !__atomic_exchange_n(&r->claimed, true, __ATOMIC_ACQ_REL);
}

static void on_interrupt(fuse_req_t req, void *arg)
{
    struct request *r = arg;
    if (r->is_starting && pthread_equal(r->starter, pthread_self())) {
        /* libfuse still holds the request's lock: an answer now would free it under its feet. */
        r->interrupted = true;
        return;
    }
    struct fusefs *fs = r->fs;
    void (*tell)(struct fusefs *fs, uint64_t id) = r->on_interrupted;
    uint64_t id = r->id;
    if (claim(r)) {
        fuse_reply_err(req, EINTR);
        if (tell) {
            tell(fs, id);
        }
    }
}

bool request_begin(struct request *r, struct fusefs *fs, fuse_req_t req)
{
    r->req = req;
    r->fs = fs;
    r->claimed = false;
    r->interrupted = false;
    r->starter = pthread_self();
    r->is_starting = true;
    fuse_req_interrupt_func(req, on_interrupt, r);
    r->is_starting = false;
    if (r->interrupted) {
        request_reply_err(r, EINTR);
        return false;
    }
    return true;
}

bool request_claim(struct request *r)
{
    if (!claim(r)) {
        return false;
    }
    /* Waits for an on_interrupt that is running: it must not look at r once the operation is freed. */
    fuse_req_interrupt_func(r->req, NULL, NULL);
    return true;
}

void request_reply_err(struct request *r, int err)
{
    if (request_claim(r)) {
        fuse_reply_err(r->req, err);
    }
}
