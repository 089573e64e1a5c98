/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_ZKC_H
#define FUSEFS_ZKC_H

/*
 * The session with the ensemble: libzookeeper_mt behind asynchronous calls that survive a lost
 * connection. It knows nothing of files.
 *
 *      zkc_get ... --> connected? --yes--> zoo_awget ... --> completion --> done(arg, result)
 *                          |                                     | lost, and a read
 *                          no                                    v
 *                          +---------------> parked <------------+
 *                          (sent again at the next connection; ZOPERATIONTIMEOUT at its deadline)
 *
 * A read is repeated until its deadline. A write is handed to libzookeeper once: if the connection is
 * lost after that, its outcome is unknown and done() gets ZCONNECTIONLOSS. A server that keeps silent is not
 * waited for beyond the deadline either: ZOPERATIONTIMEOUT.
 *
 * done() and on_watch come from libzookeeper's completion thread in the order of the server's answers. What
 * times out is answered by the keeper thread; what cannot be sent at all, before the call returns. So never
 * call this with a lock that done() takes. None of them is called with a lock held.
 *
 * Watches are one-shot, and libzookeeper sets them again after a reconnect of the same session, in one
 * packet. If that would be too large for the server, which would close the connection each time, the
 * session is taken over by a new handle without watches instead. There, as in a new session, on_state(ZKC_NEW_SESSION) says that everything known has to be read again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zookeeper/zookeeper.h>

struct zkc;
struct fusefs_options;

enum zkc_event {
    ZKC_CONNECTED,    /* the same session as before */
    ZKC_NEW_SESSION,  /* connected, and there are no watches yet */
    ZKC_DISCONNECTED, /* requests are parked from now on */
    ZKC_DOUBTFUL,     /* without a server for so long that the session may have been ended */
    ZKC_WENT_OFFLINE, /* the session timeout has passed without a server: ZKC_OFFLINE from now on */
    ZKC_EXPIRED,      /* the session and its ephemerals are gone; a new one is being opened */
};

struct zkc_result {
    int rc;                              /* ZOK or what failed; see ZKC_OFFLINE in errno_map.h */
    const struct Stat *stat;             /* NULL unless the answer has one */
    const char *value;                   /* zkc_get; NULL is null data */
    int value_len;                       /* -1 for null data */
    const struct String_vector *names;   /* zkc_children */
    const struct ACL_vector *acl;        /* zkc_get_acl */
    const char *name;                    /* zkc_create_mode: the path that was made */
    const struct zoo_op_result *results; /* zkc_multi: one for each step; a create's value is its path */
};

/* Everything in result is valid during the call only. */
typedef void (*zkc_done_fn)(void *arg, const struct zkc_result *result);

struct zkc_callbacks {
    void (*on_watch)(void *owner, int type, const char *path);
    void (*on_state)(void *owner, enum zkc_event event);
    size_t (*watch_bytes)(void *owner); /* length of all watched paths, with 4 bytes for each */
    void *owner;
};

enum {
    ZKC_WATCH = 1,   /* leave a watch */
    ZKC_PATIENT = 2, /* no deadline: for what the cache needs, not for a waiting process */
};

/* One step of a multi. */
enum zkc_step_type { ZKC_STEP_CHECK, ZKC_STEP_CREATE, ZKC_STEP_SET, ZKC_STEP_DELETE };
struct zkc_step {
    enum zkc_step_type type;
    const char *path;
    const void *data; /* NULL with len -1: null data */
    int len;
    int version; /* -1: any */
    int mode;    /* of a create: 0 or ZOO_EPHEMERAL ... */
    const struct ACL_vector *acl; /* of a create; NULL: that of new znodes */
};

struct zkc_info {
    int64_t session_id;
    const char *state;   /* "connected", "read-only", "connecting", "offline", "expired" */
    char server[128];    /* "" while not connected */
    int timeout_ms;      /* negotiated */
    int64_t last_zxid;   /* highest seen in an answer */
    uint64_t reconnects; /* connections after the first */
    uint64_t expiries;   /* sessions lost */
    size_t parked;       /* calls that wait for a connection */
    size_t in_flight;    /* calls that wait for an answer */
};

/* Options are borrowed for the whole life. Starts nothing yet. */
struct zkc *zkc_new(const struct fusefs_options *options, const struct zkc_callbacks *callbacks);
/* Opens the session and starts the keeper thread; does not wait for the connection. 0 or -errno. */
int zkc_start(struct zkc *z);
/* Waits until every call has been answered, at most that long, and not at all without a connection. */
void zkc_drain(struct zkc *z, int timeout_ms);
/* Closes the session. Every call still open is answered with ZCLOSING before this returns, and no
 * callback is made after it. */
void zkc_stop(struct zkc *z);
void zkc_free(struct zkc *z);

/* The calls. Arguments are copied. */
void zkc_get(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg);
void zkc_exists(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg);
void zkc_children(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg);
/* The same, but not sent before delay_ms have passed. */
void zkc_children_later(struct zkc *z, const char *path, unsigned flags, int delay_ms,
                        zkc_done_fn done, void *arg);
void zkc_get_acl(struct zkc *z, const char *path, zkc_done_fn done, void *arg);
void zkc_set(struct zkc *z, const char *path, const void *data, int len, int version,
             zkc_done_fn done, void *arg);
/* Replaces the ACL, if it still has that version (-1: any). */
void zkc_set_acl(struct zkc *z, const char *path, const struct ACL_vector *acl, int version,
                 zkc_done_fn done, void *arg);
/* len -1 creates null data. A persistent node with the mount's ACL. */
void zkc_create(struct zkc *z, const char *path, const void *data, int len, zkc_done_fn done,
                void *arg);
/* The same of another kind: ZOO_EPHEMERAL, ZOO_EPHEMERAL_SEQUENTIAL, ZOO_CONTAINER ... */
void zkc_create_mode(struct zkc *z, const char *path, const void *data, int len, int mode,
                     zkc_done_fn done, void *arg);
/* The same of a kind with a time to live: ZOO_PERSISTENT_WITH_TTL ... */
void zkc_create_ttl(struct zkc *z, const char *path, const void *data, int len, int mode,
                    int64_t ttl_ms, zkc_done_fn done, void *arg);
void zkc_delete(struct zkc *z, const char *path, int version, zkc_done_fn done, void *arg);
void zkc_multi(struct zkc *z, const struct zkc_step *steps, int count, zkc_done_fn done, void *arg);

/* What new znodes get: the acl= option, else the open ACL. */
const struct ACL_vector *zkc_new_acl(const struct zkc *z);
/* Whether this rc of a write leaves open if it was done. */
static inline bool zkc_is_unknown(int rc)
{
    return rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT;
}

bool zkc_is_connected(struct zkc *z);
bool zkc_is_offline(struct zkc *z);
/* The ensemble has refused an identity, and goes on doing so. */
bool zkc_is_auth_refused(struct zkc *z);
/* Of the session that is, or was last, connected. */
int64_t zkc_session_id(struct zkc *z);
void zkc_get_info(struct zkc *z, struct zkc_info *out);
/* Requests handed to libzookeeper, by kind: "get", "exists" ... NULL ends the list. */
const char *zkc_request_name(int index);
uint64_t zkc_request_count(struct zkc *z, int index);

#endif
