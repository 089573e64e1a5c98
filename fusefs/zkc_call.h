/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_ZKC_CALL_H
#define FUSEFS_ZKC_CALL_H

/*
 * The calls of zkc.h from their making to their answer; private to zkc*.c. zkc.c has the session and the
 * keeper thread. A call is in exactly one list, which says who answers it:
 *
 *      parked     the next connection sends it, or the keeper says that it is late
 *      delayed    the keeper sends it when it is due
 *      in_flight  libzookeeper's completion, or the keeper if it is late
 *      abandoned  nobody: it was late; its completion only frees it
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "fusefs/zkc.h"

enum zkc_op {
    ZKC_OP_GET,
    ZKC_OP_EXISTS,
    ZKC_OP_CHILDREN,
    ZKC_OP_GET_ACL,
    ZKC_OP_SET,
    ZKC_OP_SET_ACL,
    ZKC_OP_CREATE,
    ZKC_OP_DELETE,
    ZKC_OP_MULTI,
    ZKC_OP_COUNT,
};

struct zkc {
    const struct fusefs_options *options; /* borrowed */
    struct ACL_vector acl;                /* owned; of what is created; empty: the open ACL */
    struct zkc_callbacks callbacks;
    pthread_mutex_t lock; /* a leaf: libzookeeper's own locks are taken inside it, nothing else */
    pthread_cond_t wake;  /* of the keeper */
    pthread_t keeper;
    bool keeper_runs;
    zhandle_t *zh;          /* by lock; NULL while a session is being replaced */
    clientid_t client_id;   /* by lock; of the last connected session */
    bool closing;           /* by lock: events of the handle do not count any more */
    bool connected;         /* by lock */
    bool read_only;         /* by lock */
    bool offline;           /* by lock */
    bool auth_refused;      /* by lock: an identity, at the last try */
    bool doubtful;          /* by lock */
    int timeout_ms;         /* by lock; negotiated */
    bool reopen;            /* by lock: the session is beyond repair */
    bool takes_over;        /* by lock: ... or only its handle is */
    bool has_no_watches;    /* by lock: the handle has not been connected yet */
    int open_error;         /* by lock: why there is no handle, 0 or -errno; told once */
    bool stopping;          /* by lock */
    int64_t lost_ms;        /* by lock: monotonic time when the connection went away */
    int64_t last_zxid;      /* by lock */
    uint64_t connections;   /* by lock */
    uint64_t expiries;      /* by lock */
    struct list parked;     /* by lock: calls not handed over yet */
    struct list in_flight;  /* by lock: calls that libzookeeper has */
    struct list delayed;    /* by lock: calls whose time has not come */
    struct list abandoned;  /* by lock: those among them that have been answered without it */
    size_t parked_count;    /* by lock */
    size_t in_flight_count; /* by lock */
    uint64_t requests[ZKC_OP_COUNT]; /* by lock */
};

/* What one step of a multi refers to. */
struct zkc_step_copy {
    char *path;            /* owned */
    void *data;            /* owned */
    char *made;            /* owned; buffer for the path of a create */
    struct ACL_vector acl; /* owned; empty: that of new znodes */
    struct Stat stat;
};

/* The steps of a multi, in the form that the library wants. */
struct zkc_steps {
    int count;
    zoo_op_t *ops;                /* owned */
    zoo_op_result_t *results;     /* owned */
    struct zkc_step_copy *copies; /* owned */
};

struct zkc_call {
    struct list link; /* in one of zkc's lists */
    struct zkc *zkc;
    enum zkc_op op;
    unsigned flags;
    char *path; /* owned */
    void *data; /* owned; NULL is null data */
    int len;
    int version;
    int mode;                /* of a create */
    int64_t ttl_ms;          /* of a create; -1: none */
    struct ACL_vector acl;   /* owned; ZKC_OP_SET_ACL only */
    struct zkc_steps *steps; /* owned; ZKC_OP_MULTI only */
    int64_t due_ms;          /* monotonic; when a delayed call is to be sent */
    int64_t deadline_ms;     /* monotonic; INT64_MAX: none */
    zkc_done_fn done;
    void *arg;
};

/* Reads can be repeated. */
bool zkc_call_is_read(const struct zkc_call *call);
/* The answer says nothing about the request, only about the connection. */
bool zkc_is_lost(int rc);
/* How long a call with a deadline waits. */
int zkc_wait_ms(const struct zkc *z);

void zkc_call_free(struct zkc_call *call);
/* Answers a list of calls that nobody else can see any more. Without the lock. */
void zkc_call_fail_all(struct list *calls, int rc);
/* Sends the call, parks it, or answers that there is no server. Without the lock. */
void zkc_call_submit(struct zkc *z, struct zkc_call *call);
void zkc_call_park_locked(struct zkc *z, struct zkc_call *call);
/* Gives the call to libzookeeper, which only queues it. A refusal means that the session is going away,
 * and then the call has not been sent and is parked. What is wrong with the call itself is returned. */
int zkc_call_hand_over_locked(struct zkc *z, struct zkc_call *call);

#endif
