/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/zkc_call.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/errno_map.h"
#include "fusefs/options.h"

bool zkc_call_is_read(const struct zkc_call *call)
{
    return call->op <= ZKC_OP_GET_ACL;
}

bool zkc_is_lost(int rc)
{
    return rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT || rc == ZSESSIONEXPIRED ||
           rc == ZSESSIONMOVED || rc == ZCLOSING || rc == ZINVALIDSTATE || rc == ZAUTHFAILED;
}

static void steps_free(struct zkc_steps *steps)
{
    if (!steps) {
        return;
    }
    for (int i = 0; i < steps->count; i++) {
        struct zkc_step_copy *copy = &steps->copies[i];
        free(copy->path);
        free(copy->data);
        free(copy->made);
        acl_free(&copy->acl);
    }
    free(steps->ops);
    free(steps->results);
    free(steps->copies);
    free(steps);
}

void zkc_call_free(struct zkc_call *call)
{
    steps_free(call->steps);
    acl_free(&call->acl);
    free(call->path);
    free(call->data);
    free(call);
}

static void call_answer(struct zkc_call *call, const struct zkc_result *result)
{
    call->done(call->arg, result);
    zkc_call_free(call);
}

static void call_fail(struct zkc_call *call, int rc)
{
    struct zkc_result result = { .rc = rc };
    call_answer(call, &result);
}

void zkc_call_fail_all(struct list *calls, int rc)
{
    for (struct list *l = list_pop_front(calls); l; l = list_pop_front(calls)) {
        call_fail(list_entry(l, struct zkc_call, link), rc);
    }
}

void zkc_call_park_locked(struct zkc *z, struct zkc_call *call)
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
        zkc_call_free(call);
        return;
    }
    z->in_flight_count--;
    note_zxid_locked(z, result->rc == ZOK ? result->stat : NULL);
    z->auth_refused = z->auth_refused && zkc_is_lost(result->rc);
    if (zkc_is_lost(result->rc)) {
        if (zkc_call_is_read(call) && !z->stopping) {
            zkc_call_park_locked(z, call);
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
    struct zkc_result result = { .rc = rc, .stat = stat, .name = name };
    on_answer((struct zkc_call *)arg, &result);
}

static void on_void(int rc, const void *arg)
{
    struct zkc_call *call = (struct zkc_call *)arg;
    struct zkc_result result = { .rc = rc };
    if (call->op == ZKC_OP_MULTI) {
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
    case ZKC_OP_GET:
        return zoo_awget(z->zh, call->path, watcher, z, on_data, call);
    case ZKC_OP_EXISTS:
        return zoo_awexists(z->zh, call->path, watcher, z, on_stat, call);
    case ZKC_OP_CHILDREN:
        return zoo_awget_children2(z->zh, call->path, watcher, z, on_names, call);
    default:
        return zoo_aget_acl(z->zh, call->path, on_acl, call);
    }
}

static int hand_over_write(struct zkc *z, struct zkc_call *call)
{
    switch (call->op) {
    case ZKC_OP_SET:
        return zoo_aset(z->zh, call->path, call->data, call->len, call->version, on_stat, call);
    case ZKC_OP_SET_ACL:
        return zoo_aset_acl(z->zh, call->path, call->version, &call->acl, on_void, call);
    case ZKC_OP_CREATE:
        return zoo_acreate2_ttl(z->zh, call->path, call->data, call->len, zkc_new_acl(z),
                                call->mode, call->ttl_ms, on_created, call);
    case ZKC_OP_DELETE:
        return zoo_adelete(z->zh, call->path, call->version, on_void, call);
    default:
        return zoo_amulti(z->zh, call->steps->count, call->steps->ops, call->steps->results,
                          on_void, call);
    }
}

int zkc_call_hand_over_locked(struct zkc *z, struct zkc_call *call)
{
    list_push_back(&z->in_flight, &call->link);
    z->in_flight_count++;
    z->requests[call->op]++;
    int rc = zkc_call_is_read(call) ? hand_over_read(z, call) : hand_over_write(z, call);
    if (rc == ZOK) {
        return ZOK;
    }
    list_remove(&call->link);
    z->in_flight_count--;
    z->requests[call->op]--;
    if (zkc_is_lost(rc)) {
        zkc_call_park_locked(z, call);
        return ZOK;
    }
    return rc;
}

void zkc_call_submit(struct zkc *z, struct zkc_call *call)
{
    int rc = ZOK;
    pthread_mutex_lock(&z->lock);
    if (z->stopping) {
        rc = ZCLOSING;
    } else if (z->connected && z->zh && z->parked_count == 0) {
        rc = zkc_call_hand_over_locked(z, call);
    } else if (z->offline && call->deadline_ms != INT64_MAX) {
        rc = ZKC_OFFLINE;
    } else {
        zkc_call_park_locked(z, call);
    }
    pthread_mutex_unlock(&z->lock);
    if (rc != ZOK) {
        call_fail(call, rc);
    }
}

/* ---- making them ----------------------------------------------------------------------------------- */

int zkc_wait_ms(const struct zkc *z)
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
    call->deadline_ms = flags & ZKC_PATIENT ? INT64_MAX : clock_now_ms() + zkc_wait_ms(z);
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
    zkc_call_submit(z, call_new(z, ZKC_OP_GET, path, flags, done, arg));
}

void zkc_exists(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg)
{
    zkc_call_submit(z, call_new(z, ZKC_OP_EXISTS, path, flags, done, arg));
}

void zkc_children(struct zkc *z, const char *path, unsigned flags, zkc_done_fn done, void *arg)
{
    zkc_call_submit(z, call_new(z, ZKC_OP_CHILDREN, path, flags, done, arg));
}

void zkc_children_later(struct zkc *z, const char *path, unsigned flags, int delay_ms,
                        zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_CHILDREN, path, flags, done, arg);
    call->due_ms = clock_now_ms() + delay_ms;
    pthread_mutex_lock(&z->lock);
    list_push_back(&z->delayed, &call->link);
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
}

void zkc_get_acl(struct zkc *z, const char *path, zkc_done_fn done, void *arg)
{
    zkc_call_submit(z, call_new(z, ZKC_OP_GET_ACL, path, 0, done, arg));
}

void zkc_set(struct zkc *z, const char *path, const void *data, int len, int version,
             zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_SET, path, 0, done, arg);
    call_set_data(call, data, len);
    call->version = version;
    zkc_call_submit(z, call);
}

void zkc_set_acl(struct zkc *z, const char *path, const struct ACL_vector *acl, int version,
                 zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_SET_ACL, path, 0, done, arg);
    call->acl = acl_copy(acl);
    call->version = version;
    zkc_call_submit(z, call);
}

void zkc_create_ttl(struct zkc *z, const char *path, const void *data, int len, int mode,
                    int64_t ttl_ms, zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_CREATE, path, 0, done, arg);
    call_set_data(call, data, len);
    call->mode = mode;
    call->ttl_ms = ttl_ms;
    zkc_call_submit(z, call);
}

void zkc_create_mode(struct zkc *z, const char *path, const void *data, int len, int mode,
                     zkc_done_fn done, void *arg)
{
    zkc_create_ttl(z, path, data, len, mode, -1, done, arg);
}

void zkc_create(struct zkc *z, const char *path, const void *data, int len, zkc_done_fn done,
                void *arg)
{
    zkc_create_mode(z, path, data, len, ZOO_PERSISTENT, done, arg);
}

void zkc_delete(struct zkc *z, const char *path, int version, zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_DELETE, path, 0, done, arg);
    call->version = version;
    zkc_call_submit(z, call);
}

/* A sequence number and a NUL. */
enum { MADE_EXTRA_BYTES = 12 };

static void add_step(const struct zkc *z, struct zkc_steps *steps, const struct zkc_step *step)
{
    zoo_op_t *op = &steps->ops[steps->count];
    struct zkc_step_copy *copy = &steps->copies[steps->count++];
    char *path = copy->path = xstrdup(step->path);
    char *data = NULL;
    if (step->len >= 0) {
        data = xmemdup(step->len ? step->data : "", step->len ? (size_t)step->len : 1);
    }
    copy->data = data;
    switch (step->type) {
    case ZKC_STEP_CHECK:
        zoo_check_op_init(op, path, step->version);
        break;
    case ZKC_STEP_CREATE:
        copy->made = xcalloc(1, strlen(path) + MADE_EXTRA_BYTES);
        if (step->acl) {
            copy->acl = acl_copy(step->acl);
        }
        zoo_create_op_init(op, path, data, step->len, step->acl ? &copy->acl : zkc_new_acl(z),
                           step->mode, copy->made, (int)strlen(path) + MADE_EXTRA_BYTES);
        break;
    case ZKC_STEP_SET:
        zoo_set_op_init(op, path, data, step->len, step->version, &copy->stat);
        break;
    case ZKC_STEP_DELETE:
        zoo_delete_op_init(op, path, step->version);
        break;
    }
}

void zkc_multi(struct zkc *z, const struct zkc_step *steps, int count, zkc_done_fn done, void *arg)
{
    struct zkc_call *call = call_new(z, ZKC_OP_MULTI, NULL, 0, done, arg);
    struct zkc_steps *own = call->steps = xcalloc(1, sizeof(*own));
    own->ops = xcalloc((size_t)count, sizeof(*own->ops));
    own->results = xcalloc((size_t)count, sizeof(*own->results));
    own->copies = xcalloc((size_t)count, sizeof(*own->copies));
    for (int i = 0; i < count; i++) {
        add_step(z, own, &steps[i]);
    }
    zkc_call_submit(z, call);
}
