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
#include "fusefs/acl_text.h"
#include "fusefs/errno_map.h"
#include "fusefs/options.h"
#include "fusefs/zkc_call.h"

static const char *const op_names[ZKC_OP_COUNT] = { "get",     "exists", "children",
                                                    "get_acl", "set",    "set_acl",
                                                    "create",  "delete", "multi" };

/* How often the keeper looks at deadlines while there are any. */
enum { KEEPER_PERIOD_MS = 50, KEEPER_IDLE_MS = 1000, REOPEN_DELAY_MS = 500 };

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
        if (zkc_call_hand_over_locked(z, call) != ZOK) {
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
    if (z->closing) {
        pthread_mutex_unlock(&z->lock);
        return;
    }
    bool is_new = z->has_no_watches || id->client_id != z->client_id.client_id;
    z->has_no_watches = false;
    z->zh = zh;
    z->client_id = *id;
    z->connected = true;
    z->read_only = read_only;
    z->offline = false;
    z->doubtful = false;
    z->timeout_ms = zoo_recv_timeout(zh);
    z->connections++;
    resend_locked(z, &refused);
    pthread_mutex_unlock(&z->lock);
    char server[64];
    server_address(zh, server, sizeof(server));
    log_info("zkc", "connected session=0x%llx server=%s timeout_ms=%d%s",
             (unsigned long long)id->client_id, server, zoo_recv_timeout(zh), is_new ? " new" : "");
    zkc_call_fail_all(&refused, ZBADARGUMENTS);
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
    if (z->closing) {
        pthread_mutex_unlock(&z->lock);
        return;
    }
    if (z->connected) {
        z->lost_ms = clock_now_ms();
    }
    z->connected = false;
    z->reopen = true;
    z->expiries++;
    pthread_cond_signal(&z->wake);
    pthread_mutex_unlock(&z->lock);
    if (why) {
        log_warn("zkc", "%s, opening a new session", why);
    }
    z->callbacks.on_state(z->callbacks.owner, ZKC_EXPIRED);
}

/* The server has closed the session. Another may know the identity, or this one at another time. */
static void on_auth_refused(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool is_news = !z->auth_refused;
    z->auth_refused = true;
    pthread_mutex_unlock(&z->lock);
    if (is_news) {
        log_error("zkc", "the server refuses an identity of auth_file=%s", z->options->auth_file);
    }
    on_expired(z, is_news ? "authentication failed" : NULL);
}

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)path;
    struct zkc *z = context;
    if (type != ZOO_SESSION_EVENT) {
        return;
    }
    if (state == ZOO_CONNECTED_STATE || state == ZOO_READONLY_STATE) {
        on_connected(z, zh, state == ZOO_READONLY_STATE);
    } else if (state == ZOO_EXPIRED_SESSION_STATE) {
        on_expired(z, "session expired");
    } else if (state == ZOO_AUTH_FAILED_STATE) {
        on_auth_refused(z);
    } else {
        on_disconnected(z);
    }
}

static void on_library_log(const char *message)
{
    log_debug("zookeeper", "%s", message);
}

static void on_auth(int rc, const void *arg)
{
    if (rc != ZOK && !zkc_is_lost(rc)) {
        log_error("zkc", "server refused the identity scheme=%s: %s", (const char *)arg,
                  zerror(rc));
    }
}

/* Opens a session; its events may arrive before this returns. */
static int open_session(struct zkc *z)
{
    const struct fusefs_options *o = z->options;
    int flags = ZOO_NO_LOG_CLIENTENV | (o->ro_ok ? ZOO_READONLY : 0);
    pthread_mutex_lock(&z->lock);
    clientid_t id = z->client_id;
    bool takes_over = z->takes_over;
    z->takes_over = false;
    z->has_no_watches = true;
    z->closing = false;
    pthread_mutex_unlock(&z->lock);
    zhandle_t *zh = zookeeper_init2(o->hosts, on_session, o->session_timeout_ms,
                                    takes_over ? &id : NULL, z, flags, on_library_log);
    if (!zh) {
        int err = errno ? errno : EIO;
        return -err;
    }
    /* The names of the servers are resolved when a connection is lost, and not, as is the default, in every turn
     * of the library's loop: that took two thirds of its time, and a DNS that hangs would end the session. */
    zoo_set_servers_resolution_delay(zh, -1);
    for (size_t i = 0; i < o->auth_count; i++) {
        const struct fusefs_auth *auth = &o->auths[i];
        zoo_add_auth(zh, auth->scheme, auth->credentials, (int)strlen(auth->credentials), on_auth,
                     auth->scheme);
    }
    pthread_mutex_lock(&z->lock);
    z->zh = zh;
    z->open_error = 0;
    pthread_mutex_unlock(&z->lock);
    return 0;
}

/* Closes the session. Calls that the library has not answered by then are answered here. */
static void close_session(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    zhandle_t *zh = z->zh;
    z->zh = NULL;
    z->connected = false;
    z->closing = true;
    pthread_mutex_unlock(&z->lock);
    if (zh) {
        zookeeper_close(zh); /* joins the library's threads: no callback after this */
    }
    struct list left;
    list_init(&left);
    pthread_mutex_lock(&z->lock);
    for (struct list *l = list_pop_front(&z->in_flight); l; l = list_pop_front(&z->in_flight)) {
        struct zkc_call *call = list_entry(l, struct zkc_call, link);
        z->in_flight_count--;
        if (zkc_call_is_read(call) && !z->stopping) {
            zkc_call_park_locked(z, call);
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
        zkc_call_free(list_entry(l, struct zkc_call, link));
    }
    zkc_call_fail_all(&left, ZCONNECTIONLOSS);
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

/* Whether the session may have ended by now. The library notices silence after two thirds of the timeout
 * that the server counts from the last word it had of us, so a third is left once the connection is lost. */
static bool check_doubtful_locked(struct zkc *z, int64_t now_ms)
{
    int left_ms = z->timeout_ms / 3 - 2 * KEEPER_PERIOD_MS;
    if (z->connected || z->doubtful || z->connections == 0 || now_ms - z->lost_ms < left_ms) {
        return false;
    }
    z->doubtful = true;
    return true;
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
        bool is_in_doubt = check_doubtful_locked(z, now_ms);
        bool went_offline = check_offline_locked(z, now_ms);
        struct list late;
        list_init(&late);
        collect_late_locked(z, now_ms, &late);
        struct late_answer *abandoned = abandon_late_locked(z, now_ms);
        struct list due;
        list_init(&due);
        collect_due_locked(z, now_ms, &due);
        bool has_calls = abandoned || !list_is_empty(&late) || !list_is_empty(&due);
        if (reopen || is_in_doubt || went_offline || has_calls) {
            z->reopen = z->reopen && !reopen;
            pthread_mutex_unlock(&z->lock);
            zkc_call_fail_all(&late, ZOPERATIONTIMEOUT);
            give_late_answers(abandoned);
            for (struct list *l = list_pop_front(&due); l; l = list_pop_front(&due)) {
                zkc_call_submit(z, list_entry(l, struct zkc_call, link));
            }
            if (is_in_doubt) {
                z->callbacks.on_state(z->callbacks.owner, ZKC_DOUBTFUL);
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
        int idle_ms = zkc_wait_ms(z) / 10 < KEEPER_IDLE_MS ? zkc_wait_ms(z) / 10 : KEEPER_IDLE_MS;
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
    if (options->acl) {
        int err = acl_parse(options->acl, strlen(options->acl), &z->acl);
        zk_assert(err == 0); /* the options were checked */
    }
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
    zkc_call_fail_all(&left, ZCLOSING);
}

void zkc_free(struct zkc *z)
{
    if (!z) {
        return;
    }
    pthread_cond_destroy(&z->wake);
    pthread_mutex_destroy(&z->lock);
    acl_free(&z->acl);
    free(z);
}

const struct ACL_vector *zkc_new_acl(const struct zkc *z)
{
    return z->acl.count > 0 ? &z->acl : &ZOO_OPEN_ACL_UNSAFE;
}

bool zkc_is_connected(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool connected = z->connected;
    pthread_mutex_unlock(&z->lock);
    return connected;
}

bool zkc_is_auth_refused(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool refused = z->auth_refused;
    pthread_mutex_unlock(&z->lock);
    return refused;
}

bool zkc_is_offline(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    bool offline = z->offline;
    pthread_mutex_unlock(&z->lock);
    return offline;
}

int64_t zkc_session_id(struct zkc *z)
{
    pthread_mutex_lock(&z->lock);
    int64_t id = z->client_id.client_id;
    pthread_mutex_unlock(&z->lock);
    return id;
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
    return index < ZKC_OP_COUNT ? op_names[index] : NULL;
}

uint64_t zkc_request_count(struct zkc *z, int index)
{
    pthread_mutex_lock(&z->lock);
    uint64_t count = z->requests[index];
    pthread_mutex_unlock(&z->lock);
    return count;
}
