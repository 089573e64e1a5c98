/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/zkc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/errno_map.h"
#include "fusefs/options.h"

enum zkc_op {
    OP_GET,
    OP_EXISTS,
    OP_CHILDREN,
    OP_GET_ACL,
    OP_SET,
    OP_CREATE,
    OP_DELETE,
    OP_MULTI,
    OP_COUNT,
};

static const char *const op_names[OP_COUNT] = { "get", "exists", "children", "get_acl",
                                                "set", "create", "delete",   "multi" };

/* How often the keeper looks at deadlines while there are any. */
enum { KEEPER_PERIOD_MS = 50, KEEPER_IDLE_MS = 1000, REOPEN_DELAY_MS = 500 };

/* The library hands a session's context to every callback; the generation tells an old handle's late
 * events from the current one's. */
struct session_ref {
    struct zkc *zkc;
    uint64_t generation;
};

struct zkc {
    const struct fusefs_options *options; /* borrowed */
    struct zkc_callbacks callbacks;
    pthread_mutex_t lock; /* a leaf: libzookeeper's own locks are taken inside it, nothing else */
    pthread_cond_t wake;  /* of the keeper */
    pthread_t keeper;
    bool keeper_runs;
    zhandle_t *zh;               /* by lock; NULL while a session is being replaced */
    struct session_ref *session; /* owned; freed with its handle */
    clientid_t client_id;        /* by lock; of the last connected session */
    bool connected;              /* by lock */
    bool read_only;              /* by lock */
    bool offline;                /* by lock */
    bool reopen;                 /* by lock: the session is beyond repair */
    bool takes_over;             /* by lock: ... or only its handle is */
    bool has_no_watches;         /* by lock: the handle has not been connected yet */
    int open_error;              /* by lock: why there is no handle, 0 or -errno; told once */
    bool stopping;               /* by lock */
    int64_t lost_ms;             /* by lock: monotonic time when the connection went away */
    int64_t last_zxid;           /* by lock */
    uint64_t connections;        /* by lock */
    uint64_t expiries;           /* by lock */
    struct list parked;          /* by lock: calls not handed over yet */
    struct list in_flight;       /* by lock: calls that libzookeeper has */
    struct list delayed;         /* by lock: calls whose time has not come */
    struct list abandoned;       /* by lock: those among them that have been answered without it */
    size_t parked_count;         /* by lock */
    size_t in_flight_count;      /* by lock */
    uint64_t requests[OP_COUNT]; /* by lock */
};

/* The steps of a multi, in the form that the library wants. */
struct steps {
    int count;
    zoo_op_t ops[ZKC_STEPS_MAX];
    zoo_op_result_t results[ZKC_STEPS_MAX];
    struct Stat stats[ZKC_STEPS_MAX];
    char *paths[ZKC_STEPS_MAX]; /* owned */
    void *data[ZKC_STEPS_MAX];  /* owned */
};

struct zkc_call {
    struct list link; /* in parked or in_flight */
    struct zkc *zkc;
    enum zkc_op op;
    unsigned flags;
    char *path; /* owned */
    void *data; /* owned; NULL is null data */
    int len;
    int version;
    struct steps *steps; /* owned; OP_MULTI only */
    int64_t due_ms;      /* monotonic; when a delayed call is to be sent */
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    zkc_done_fn done;
    void *arg;
};

static bool is_read(const struct zkc_call *call)
{
    return call->op <= OP_GET_ACL;
}

/* The answer says nothing about the request, only about the connection. */
static bool is_lost(int rc)
{
    return rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT || rc == ZSESSIONEXPIRED ||
           rc == ZSESSIONMOVED || rc == ZCLOSING || rc == ZINVALIDSTATE || rc == ZAUTHFAILED;
}

static void call_free(struct zkc_call *call)
{
    for (int i = 0; call->steps && i < call->steps->count; i++) {
        free(call->steps->paths[i]);
        free(call->steps->data[i]);
    }
    free(call->steps);
    free(call->path);
    free(call->data);
    free(call);
}

static void call_answer(struct zkc_call *call, const struct zkc_result *result)
{
    call->done(call->arg, result);
    call_free(call);
}

static void call_fail(struct zkc_call *call, int rc)
{
    struct zkc_result result = { .rc = rc };
    call_answer(call, &result);
}

/* Answers a list of calls that nobody else can see any more. */
static void fail_all(struct list *calls, int rc)
{
    for (struct list *l = list_pop_front(calls); l; l = list_pop_front(calls)) {
        call_fail(list_entry(l, struct zkc_call, link), rc);
    }
}

static void park_locked(struct zkc *z, struct zkc_call *call)
{
    list_push_back(&z->parked, &call->link);
    z->parked_count++;
    pthread_cond_signal(&z->wake);
}

static void note_zxid_locked(struct zkc *z, const struct Stat *stat)
{
    if (stat && stat->mzxid > z->last_zxid) {
        z->last_zxid = stat->mzxid;
    }
    if (stat && stat->pzxid > z->last_zxid) {
        z->last_zxid = stat->pzxid;
    }
}

/* libzookeeper has finished with the call, for better or worse. */
static void on_answer(struct zkc_call *call, struct zkc_result *result)
{
    struct zkc *z = call->zkc;
    pthread_mutex_lock(&z->lock);
    list_remove(&call->link);
    if (!call->done) {
        pthread_mutex_unlock(&z->lock);
        call_free(call);
        return;
    }
    z->in_flight_count--;
    note_zxid_locked(z, result->rc == ZOK ? result->stat : NULL);
    if (is_lost(result->rc)) {
        if (is_read(call) && !z->stopping) {
            park_locked(z, call);
            pthread_mutex_unlock(&z->lock);
            return;
        }
        result->rc = z->stopping ? ZCLOSING : ZCONNECTIONLOSS;
    }
    pthread_mutex_unlock(&z->lock);
    call_answer(call, result);
}

static void on_data(int rc, const char *value, int len, const struct Stat *stat, const void *arg)
{
    struct zkc_result result = { .rc = rc, .stat = stat, .value = value, .value_len = len };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_stat(int rc, const struct Stat *stat, const void *arg)
{
    struct zkc_result result = { .rc = rc, .stat = stat };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_names(int rc, const struct String_vector *names, const struct Stat *stat,
                     const void *arg)
{
    struct zkc_result result = { .rc = rc, .stat = stat, .names = names };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_acl(int rc, struct ACL_vector *acl, struct Stat *stat, const void *arg)
{
    struct zkc_result result = { .rc = rc, .stat = stat, .acl = acl };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_created(int rc, const char *name, const struct Stat *stat, const void *arg)
{
    (void)name;
    struct zkc_result result = { .rc = rc, .stat = stat };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_void(int rc, const void *arg)
{
    struct zkc_call *call = (struct zkc_call *)arg;
    struct zkc_result result = { .rc = rc };
    if (call->op == OP_MULTI) {
        result.results = call->steps->results;
    }
    on_answer(call, &result);
}

/* One function and one context for all watches: libzookeeper then keeps one entry a path, and tells of
 * a change of the session's state once, not once for each watch. */
static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)zh;
    (void)state;
    struct zkc *z = context;
    if (type != ZOO_SESSION_EVENT) {
        z->callbacks.on_watch(z->callbacks.owner, type, path);
    }
}

static int hand_over_read(struct zkc *z, struct zkc_call *call)
{
    watcher_fn watcher = call->flags & ZKC_WATCH ? on_watch : NULL;
    switch (call->op) {
    case OP_GET:
        return zoo_awget(z->zh, call->path, watcher, z, on_data, call);
    case OP_EXISTS:
        return zoo_awexists(z->zh, call->path, watcher, z, on_stat, call);
    case OP_CHILDREN:
        return zoo_awget_children2(z->zh, call->path, watcher, z, on_names, call);
    default:
        return zoo_aget_acl(z->zh, call->path, on_acl, call);
    }
}

static int hand_over_write(struct zkc *z, struct zkc_call *call)
{
    switch (call->op) {
    case OP_SET:
        return zoo_aset(z->zh, call->path, call->data, call->len, call->version, on_stat, call);
    case OP_CREATE:
        return zoo_acreate2(z->zh, call->path, call->data, call->len, &ZOO_OPEN_ACL_UNSAFE, 0,
                            on_created, call);
    case OP_DELETE:
        return zoo_adelete(z->zh, call->path, call->version, on_void, call);
    default:
        return zoo_amulti(z->zh, call->steps->count, call->steps->ops, call->steps->results,
                          on_void, call);
    }
}

/* Gives the call to libzookeeper, which only queues it. A refusal means that the session is going away,
 * and then the call has not been sent. What is wrong with the call itself is returned. */
static int hand_over_locked(struct zkc *z, struct zkc_call *call)
{
    list_push_back(&z->in_flight, &call->link);
    z->in_flight_count++;
    z->requests[call->op]++;
    int rc = is_read(call) ? hand_over_read(z, call) : hand_over_write(z, call);
    if (rc == ZOK) {
        return ZOK;
    }
    list_remove(&call->link);
    z->in_flight_count--;
    z->requests[call->op]--;
    if (is_lost(rc)) {
        park_locked(z, call);
        return ZOK;
    }
    return rc;
}

static void submit(struct zkc *z, struct zkc_call *call)
{
    int rc = ZOK;
    pthread_mutex_lock(&z->lock);
    if (z->stopping) {
        rc = ZCLOSING;
    } else if (z->connected && z->zh && z->parked_count == 0) {
        rc = hand_over_locked(z, call);
    } else if (z->offline && call->deadline_ms != INT64_MAX) {
        rc = ZKC_OFFLINE;
    } else {
        park_locked(z, call);
    }
    pthread_mutex_unlock(&z->lock);
    if (rc != ZOK) {
        call_fail(call, rc);
    }
}

/* ---- the calls ----------------------------------------------------------------------------------- */

static int wait_ms(const struct zkc *z)
{
    const struct fusefs_options *o = z->options;
    return o->timeout_ms > 0 ? o->timeout_ms : o->session_timeout_ms;
}

static struct zkc_call *call_new(struct zkc *z, enum zkc_op op, const char *path, unsigned flags,
                                 zkc_done_fn done, void *arg)
{
    struct zkc_call *call = xcalloc(1, sizeof(*call));
    call->zkc = z;
    call->op = op;
    call->flags = flags;
    call->path = path ? xstrdup(path) : NULL;
    call->len = -1;
    call->version = -1;
    call->done = done;
    call->arg = arg;
    call->deadline_ms = flags & ZKC_PATIENT ? INT64_MAX : clock_now_ms() + wait_ms(z);
    return call;
}

static void call_set_data(struct zkc_call *call, const void *data, int len)
{
    call->len = len;
    /* A pointer tells the library empty data from null data. */
    call->data = len < 0 ? NULL : xmemdup(len ? data : "", len ? (size_t)len : 1);
}

void zkc_get(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg)
{
    submit(z, call_new(z, OP_GET, path, flags, done, arg));
}

void zkc_exists(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg)
{
    submit(z, call_new(z, OP_EXISTS, path, flags, done, arg));
}

void zkc_children(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg)
{
    submit(z, call_new(z, OP_CHILDREN, path, flags, done, arg));
}

void zkc_children_later(struct zkc *z, const char *path, unsigned flags, int delay_ms,
                        zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, OP_CHILDREN, path, flags, done, arg);
    call->due_ms = clock_now_ms() + delay_ms;
    pthread_mutex_lock(&z->lock);
    list_push_back(&z->delayed, &call->link);
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
}

void zkc_get_acl(struct zkc *z, const char *path, zkc_done_fn done, void *arg)
{
    submit(z, call_new(z, OP_GET_ACL, path, 0, done, arg));
}

void zkc_set(struct zkc *z, const char *path, const void *data, int len, int version,
             zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, OP_SET, path, 0, done, arg);
    call_set_data(call, data, len);
    call->version = version;
    submit(z, call);
}

void zkc_create(struct zkc *z, const char *path, const void *data, int len, zkc_done_fn done,
                void *arg)
{
    struct zkc_call *call = call_new(z, OP_CREATE, path, 0, done, arg);
    call_set_data(call, data, len);
    submit(z, call);
}

void zkc_delete(struct zkc *z, const char *path, int version, zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, OP_DELETE, path, 0, done, arg);
    call->version = version;
    submit(z, call);
}

static void add_step(struct steps *steps, const struct zkc_step *step)
{
    int i = steps->count++;
    char *path = steps->paths[i] = xstrdup(step->path);
    char *data = NULL;
    if (step->len >= 0) {
        data = xmemdup(step->len ? step->data : "", step->len ? (size_t)step->len : 1);
    }
    steps->data[i] = data;
    zoo_op_t *op = &steps->ops[i];
    switch (step->type) {
    case ZKC_STEP_CHECK:
        zoo_check_op_init(op, path, step->version);
        break;
    case ZKC_STEP_CREATE:
        zoo_create_op_init(op, path, data, step->len, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
        break;
    case ZKC_STEP_SET:
        zoo_set_op_init(op, path, data, step->len, step->version, &steps->stats[i]);
        break;
    case ZKC_STEP_DELETE:
        zoo_delete_op_init(op, path, step->version);
        break;
    }
}

void zkc_multi(struct zkc *z, const struct zkc_step *steps, int count, zkc_done_fn done, void *arg)
{
    zk_assert(count <= ZKC_STEPS_MAX);
    struct zkc_call *call = call_new(z, OP_MULTI, NULL, 0, done, arg);
    call->steps = xcalloc(1, sizeof(*call->steps));
    for (int i = 0; i < count; i++) {
        add_step(call->steps, &steps[i]);
    }
    submit(z, call);
}

/* ---- the session ----------------------------------------------------------------------------------- */

/* Sends what has waited, oldest first. */
static void resend_locked(struct zkc *z, struct list *refused)
{
    struct list waiting;
    list_init(&waiting);
    for (struct list *l = list_pop_front(&z->parked); l; l = list_pop_front(&z->parked)) {
        list_push_back(&waiting, l);
    }
    z->parked_count = 0;
    for (struct list *l = list_pop_front(&waiting); l; l = list_pop_front(&waiting)) {
        struct zkc_call *call = list_entry(l, struct zkc_call, link);
        if (hand_over_locked(z, call) != ZOK) {
            list_push_back(refused, &call->link);
        }
    }
}

/* "host:port" in numbers, "" while there is no connection. zoo_get_current_server will not do: it
 * returns a buffer that every thread of the process shares. */
static void server_address(zhandle_t *zh, char *out, size_t size)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    char host[INET6_ADDRSTRLEN];
    char port[8];
    out[0] = '\0';
    if (zookeeper_get_connected_host(zh, (struct sockaddr *)&addr, &len) != NULL &&
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        bool is_ipv6 = addr.ss_family == AF_INET6;
        snprintf(out, size, "%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
    }
}

static void on_connected(struct zkc *z, zhandle_t *zh, bool read_only)
{
    struct list refused;
    list_init(&refused);
    const clientid_t *id = zoo_client_id(zh);
    pthread_mutex_lock(&z->lock);
    bool is_new = z->has_no_watches || id->client_id != z->client_id.client_id;
    z->has_no_watches = false;
    z->zh = zh;
    z->client_id = *id;
    z->connected = true;
    z->read_only = read_only;
    z->offline = false;
    z->connections++;
    resend_locked(z, &refused);
    pthread_mutex_unlock(&z->lock);
    char server[64];
    server_address(zh, server, sizeof(server));
    log_info("zkc", "connected session=0x%llx server=%s timeout_ms=%d%s",
             (unsigned long long)id->client_id, server, zoo_recv_timeout(zh),
             is_new ? " new" : "");
    fail_all(&refused, ZBADARGUMENTS);
    z->callbacks.on_state(z->callbacks.owner, is_new ? ZKC_NEW_SESSION : ZKC_CONNECTED);
}

/* The handle could not send its watches again: have it replaced before it is connected. If it is connected
 * first, closing it ends the session, and the new handle gets a new one; nothing is missed either way. */
static void take_over_if_large(struct zkc *z)
{
    size_t bytes = z->callbacks.watch_bytes(z->callbacks.owner);
    if (bytes <= (size_t)z->options->max_data / 2) {
        return;
    }
    log_info("zkc", "too many watches for one packet, reading everything again bytes=%zu", bytes);
    pthread_mutex_lock(&z->lock);
    z->takes_over = true;
    z->reopen = true;
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
}

static void on_disconnected(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool was_connected = z->connected;
    if (was_connected) {
        z->connected = false;
        z->lost_ms = clock_now_ms();
    }
    pthread_mutex_unlock(&z->lock);
    if (was_connected) {
        take_over_if_large(z);
        log_warn("zkc", "connection lost");
        z->callbacks.on_state(z->callbacks.owner, ZKC_DISCONNECTED);
    }
}

static void on_expired(struct zkc *z, const char *why)
{
    pthread_mutex_lock(&z->lock);
    if (z->connected) {
        z->lost_ms = clock_now_ms();
    }
    z->connected = false;
    z->reopen = true;
    z->expiries++;
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
    log_warn("zkc", "%s, opening a new session", why);
    z->callbacks.on_state(z->callbacks.owner, ZKC_EXPIRED);
}

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)path;
    struct session_ref *ref = context;
    if (type != ZOO_SESSION_EVENT) {
        return;
    }
    if (state == ZOO_CONNECTED_STATE || state == ZOO_READONLY_STATE) {
        on_connected(ref->zkc, zh, state == ZOO_READONLY_STATE);
    } else if (state == ZOO_EXPIRED_SESSION_STATE) {
        on_expired(ref->zkc, "session expired");
    } else if (state == ZOO_AUTH_FAILED_STATE) {
        on_expired(ref->zkc, "authentication failed");
    } else {
        on_disconnected(ref->zkc);
    }
}

static void on_library_log(const char *message)
{
    log_debug("zookeeper", "%s", message);
}

static void on_auth(int rc, const void *arg)
{
    if (rc != ZOK && !is_lost(rc)) {
        log_error("zkc", "server refused the identity scheme=%s: %s", (const char *)arg,
                  zerror(rc));
    }
}

/* Opens a session; its events may arrive before this returns. */
static int open_session(struct zkc *z)
{
    const struct fusefs_options *o = z->options;
    struct session_ref *ref = xcalloc(1, sizeof(*ref));
    ref->zkc = z;
    int flags = ZOO_NO_LOG_CLIENTENV | (o->ro_ok ? ZOO_READONLY : 0);
    pthread_mutex_lock(&z->lock);
    clientid_t id = z->client_id;
    bool takes_over = z->takes_over;
    z->takes_over = false;
    z->has_no_watches = true;
    pthread_mutex_unlock(&z->lock);
    zhandle_t *zh = zookeeper_init2(o->hosts, on_session, o->session_timeout_ms,
                                    takes_over ? &id : NULL, ref, flags, on_library_log);
    if (!zh) {
        int err = errno ? errno : EIO;
        free(ref);
        return -err;
    }
    for (size_t i = 0; i < o->auth_count; i++) {
        const struct fusefs_auth *auth = &o->auths[i];
        zoo_add_auth(zh, auth->scheme, auth->credentials, (int)strlen(auth->credentials), on_auth,
                     auth->scheme);
    }
    pthread_mutex_lock(&z->lock);
    z->zh = zh;
    z->session = ref;
    z->open_error = 0;
    pthread_mutex_unlock(&z->lock);
    return 0;
}

/* Closes the session. Calls that the library has not answered by then are answered here. */
static void close_session(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    zhandle_t *zh = z->zh;
    struct session_ref *ref = z->session;
    z->zh = NULL;
    z->session = NULL;
    z->connected = false;
    pthread_mutex_unlock(&z->lock);
    if (zh) {
        zookeeper_close(zh); /* joins the library's threads: no callback after this */
    }
    free(ref);
    struct list left;
    list_init(&left);
    pthread_mutex_lock(&z->lock);
    for (struct list *l = list_pop_front(&z->in_flight); l; l = list_pop_front(&z->in_flight)) {
        struct zkc_call *call = list_entry(l, struct zkc_call, link);
        z->in_flight_count--;
        if (is_read(call) && !z->stopping) {
            park_locked(z, call);
        } else {
            list_push_back(&left, &call->link);
        }
    }
    struct list dropped;
    list_init(&dropped);
    for (struct list *l = list_pop_front(&z->abandoned); l; l = list_pop_front(&z->abandoned)) {
        list_push_back(&dropped, l);
    }
    pthread_mutex_unlock(&z->lock);
    for (struct list *l = list_pop_front(&dropped); l; l = list_pop_front(&dropped)) {
        call_free(list_entry(l, struct zkc_call, link));
    }
    fail_all(&left, ZCONNECTIONLOSS);
}

/* The library gives no handle while none of the hosts' names can be resolved, as before the network is
 * up: the keeper tries again. */
static void retry_session(struct zkc *z, int err)
{
    pthread_mutex_lock(&z->lock);
    z->reopen = true;
    bool is_news = z->open_error != err;
    z->open_error = err;
    pthread_mutex_unlock(&z->lock);
    if (is_news && err == -ENOENT) {
        log_warn("zkc", "no host name of %s can be resolved", z->options->hosts);
    } else if (is_news) {
        log_warn("zkc", "cannot open a session: %s", strerror(-err));
    }
}

static void reopen_session(struct zkc *z)
{
    close_session(z);
    int err = open_session(z);
    if (err) {
        retry_session(z, err);
    }
}

/* ---- the keeper ------------------------------------------------------------------------------------ */

static void sleep_locked(struct zkc *z, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&z->wake, &z->lock, &until);
}

/* Moves the parked calls whose time is up, or all with a deadline once offline, to out. */
static void collect_late_locked(struct zkc *z, int64_t now_ms, struct list *out)
{
    list_for_each_safe (l, next, &z->parked) {
        struct zkc_call *call = list_entry(l, struct zkc_call, link);
        bool gives_up = call->deadline_ms <= now_ms;
        if (gives_up) {
            list_remove(&call->link);
            z->parked_count--;
            list_push_back(out, &call->link);
        }
    }
}

/* Moves the delayed calls that are due to out. */
static void collect_due_locked(struct zkc *z, int64_t now_ms, struct list *out)
{
    list_for_each_safe (l, next, &z->delayed) {
        if (list_entry(l, struct zkc_call, link)->due_ms <= now_ms) {
            list_remove(l);
            list_push_back(out, l);
        }
    }
}

/* A call that the library has cannot be taken back: its answer is given now, and what comes of it later
 * goes nowhere. Returns what is to be answered, NULL if nothing is late. */
struct late_answer {
    struct late_answer *next;
    zkc_done_fn done;
    void *arg;
};

static struct late_answer *abandon_late_locked(struct zkc *z, int64_t now_ms)
{
    struct late_answer *first = NULL;
    struct late_answer **last = &first;
    list_for_each_safe (l, next, &z->in_flight) {
        struct zkc_call *call = list_entry(l, struct zkc_call, link);
        if (call->deadline_ms > now_ms) {
            continue;
        }
        struct late_answer *late = xcalloc(1, sizeof(*late));
        late->done = call->done;
        late->arg = call->arg;
        *last = late;
        last = &late->next;
        call->done = NULL;
        list_remove(&call->link);
        list_push_back(&z->abandoned, &call->link);
        z->in_flight_count--;
    }
    return first;
}

static void give_late_answers(struct late_answer *late)
{
    while (late) {
        struct late_answer *next = late->next;
        struct zkc_result result = { .rc = ZOPERATIONTIMEOUT };
        late->done(late->arg, &result);
        free(late);
        late = next;
    }
}

/* Whether the mount has just gone offline. */
static bool check_offline_locked(struct zkc *z, int64_t now_ms)
{
    if (z->connected || z->offline || now_ms - z->lost_ms < z->options->session_timeout_ms) {
        return false;
    }
    z->offline = true;
    return true;
}

static void *keeper_main(void *arg)
{
    struct zkc *z = arg;
    int64_t reopened_ms = 0;
    pthread_mutex_lock(&z->lock);
    while (!z->stopping) {
        int64_t now_ms = clock_now_ms();
        bool reopen = z->reopen && now_ms - reopened_ms >= REOPEN_DELAY_MS;
        bool went_offline = check_offline_locked(z, now_ms);
        struct list late;
        list_init(&late);
        collect_late_locked(z, now_ms, &late);
        struct late_answer *abandoned = abandon_late_locked(z, now_ms);
        struct list due;
        list_init(&due);
        collect_due_locked(z, now_ms, &due);
        bool has_calls = abandoned || !list_is_empty(&late) || !list_is_empty(&due);
        if (reopen || went_offline || has_calls) {
            z->reopen = z->reopen && !reopen;
            pthread_mutex_unlock(&z->lock);
            fail_all(&late, ZOPERATIONTIMEOUT);
            give_late_answers(abandoned);
            for (struct list *l = list_pop_front(&due); l; l = list_pop_front(&due)) {
                submit(z, list_entry(l, struct zkc_call, link));
            }
            if (went_offline) {
                log_warn("zkc", "no server for a whole session timeout, offline");
                z->callbacks.on_state(z->callbacks.owner, ZKC_WENT_OFFLINE);
            }
            if (reopen) {
                reopened_ms = now_ms;
                reopen_session(z);
            }
            pthread_mutex_lock(&z->lock);
            continue;
        }
        bool waits =
            z->parked_count > 0 || !z->connected || z->reopen || !list_is_empty(&z->delayed);
        int idle_ms = wait_ms(z) / 10 < KEEPER_IDLE_MS ? wait_ms(z) / 10 : KEEPER_IDLE_MS;
        sleep_locked(z, waits ? KEEPER_PERIOD_MS : idle_ms);
    }
    pthread_mutex_unlock(&z->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct zkc *zkc_new(const struct fusefs_options *options, const struct zkc_callbacks *callbacks)
{
    struct zkc *z = xcalloc(1, sizeof(*z));
    z->options = options;
    z->callbacks = *callbacks;
    pthread_mutex_init(&z->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&z->wake, &attr);
    pthread_condattr_destroy(&attr);
    list_init(&z->parked);
    list_init(&z->in_flight);
    list_init(&z->abandoned);
    list_init(&z->delayed);
    return z;
}

int zkc_start(struct zkc *z)
{
    zoo_set_debug_level(log_is_enabled(LOG_TRACE) ? ZOO_LOG_LEVEL_DEBUG : ZOO_LOG_LEVEL_INFO);
    z->lost_ms = clock_now_ms();
    int err = open_session(z);
    if (err) {
        retry_session(z, err);
    }
    err = pthread_create(&z->keeper, NULL, keeper_main, z);
    if (err) {
        close_session(z);
        return -err;
    }
    z->keeper_runs = true;
    return 0;
}

void zkc_drain(struct zkc *z, int timeout_ms)
{
    int64_t deadline_ms = clock_now_ms() + timeout_ms;
    pthread_mutex_lock(&z->lock);
    while (z->connected && z->in_flight_count > 0 && clock_now_ms() < deadline_ms) {
        sleep_locked(z, KEEPER_PERIOD_MS / 10);
    }
    pthread_mutex_unlock(&z->lock);
}

void zkc_stop(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    z->stopping = true;
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
    if (z->keeper_runs) {
        pthread_join(z->keeper, NULL);
        z->keeper_runs = false;
    }
    close_session(z);
    struct list left;
    list_init(&left);
    pthread_mutex_lock(&z->lock);
    for (struct list *l = list_pop_front(&z->parked); l; l = list_pop_front(&z->parked)) {
        list_push_back(&left, l);
    }
    z->parked_count = 0;
    for (struct list *l = list_pop_front(&z->delayed); l; l = list_pop_front(&z->delayed)) {
        list_push_back(&left, l);
    }
    pthread_mutex_unlock(&z->lock);
    fail_all(&left, ZCLOSING);
}

void zkc_free(struct zkc *z)
{
    if (!z) {
        return;
    }
    pthread_cond_destroy(&z->wake);
    pthread_mutex_destroy(&z->lock);
    free(z);
}

bool zkc_is_connected(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool connected = z->connected;
    pthread_mutex_unlock(&z->lock);
    return connected;
}

bool zkc_is_offline(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool offline = z->offline;
    pthread_mutex_unlock(&z->lock);
    return offline;
}

static const char *state_name_locked(const struct zkc *z)
{
    if (z->connected) {
        return z->read_only ? "read-only" : "connected";
    }
    return z->offline ? "offline" : z->reopen ? "expired" : "connecting";
}

void zkc_get_info(struct zkc *z, struct zkc_info *out)
{
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&z->lock);
    out->session_id = z->client_id.client_id;
    out->state = state_name_locked(z);
    out->last_zxid = z->last_zxid;
    out->reconnects = z->connections ? z->connections - 1 : 0;
    out->expiries = z->expiries;
    out->parked = z->parked_count;
    out->in_flight = z->in_flight_count;
    if (z->connected && z->zh) {
        server_address(z->zh, out->server, sizeof(out->server));
        out->timeout_ms = zoo_recv_timeout(z->zh);
    }
    pthread_mutex_unlock(&z->lock);
}

const char *zkc_request_name(int index)
{
    return index < OP_COUNT ? op_names[index] : NULL;
}

uint64_t zkc_request_count(struct zkc *z, int index)
{
    pthread_mutex_lock(&z->lock);
    uint64_t count = z->requests[index];
    pthread_mutex_unlock(&z->lock);
    return count;
}
