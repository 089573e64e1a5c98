/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/client_conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/net/frame.h"

/* How long the rest of the output, and then the client's end of input, may take. */
enum { END_TIMEOUT_MS = 2000 };

static void on_event(void *arg, uint32_t events);
static void on_timer(void *arg);

/* ---- life
 * ----------------------------------------------------------------------------------------- */

void client_conn_env_init(struct client_conn_env *env, struct loop *loop,
                          const struct client_conn_limits *limits,
                          const struct client_conn_ops *ops, void *arg)
{
    *env = (struct client_conn_env){ .loop = loop, .ops = ops, .arg = arg, .limits = *limits };
    list_init(&env->open);
    list_init(&env->ready);
    list_init(&env->closed);
    env->scratch = xmalloc(CLIENT_CONN_READ_BYTES);
}

void client_conn_env_fini(struct client_conn_env *env)
{
    zk_assert(list_is_empty(&env->open));
    zk_assert(list_is_empty(&env->closed));
    free(env->scratch);
}

int client_conn_open(struct client_conn_env *env, int fd, const struct peer_address *peer)
{
    struct client_conn *conn = xcalloc(1, sizeof(*conn));
    conn->env = env;
    conn->io = (struct loop_io){ fd, EPOLLIN, on_event, conn };
    conn->timer = (struct loop_timer){ .fn = on_timer, .arg = conn };
    conn->peer = *peer;
    conn->accepted_wall_ms = clock_wall_ms();
    conn->last_read_ms = env->loop->now_ms;
    list_init(&conn->ready_link);
    int status = loop_io_add(env->loop, &conn->io);
    if (status < 0) {
        close(fd);
        free(conn);
        return status;
    }
    list_push_back(&env->open, &conn->link);
    loop_timer_set(env->loop, &conn->timer, env->loop->now_ms + env->limits.sessionless_timeout_ms);
    env->ops->on_open(env->arg, conn);
    zk_assert(conn->out != NULL);
    return 0;
}

void client_conn_attach(struct client_conn *conn, void *user, struct buf *out)
{
    conn->user = user;
    conn->out = out;
}

void client_conn_close(struct client_conn *conn)
{
    if (conn->state == CLIENT_CONN_CLOSED) {
        return;
    }
    conn->state = CLIENT_CONN_CLOSED;
    loop_timer_cancel(conn->env->loop, &conn->timer);
    loop_io_remove(conn->env->loop, &conn->io);
    close(conn->io.fd);
    conn->io.fd = -1;
    list_remove(&conn->ready_link);
    list_remove(&conn->link);
    list_push_back(&conn->env->closed, &conn->link);
}

void client_conn_drop(struct client_conn *conn, const char *fmt, ...)
{
    if (conn->state == CLIENT_CONN_CLOSED) {
        return;
    }
    char peer[80];
    char reason[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    peer_address_format(&conn->peer, peer, sizeof(peer));
    log_warn("net", "closing the connection from %s: %s", peer, reason);
    conn->env->stats.dropped++;
    client_conn_close(conn);
}

struct client_conn *client_conn_take_closed(struct client_conn_env *env)
{
    struct list *link = list_pop_front(&env->closed);
    return link ? list_entry(link, struct client_conn, link) : NULL;
}

void client_conn_free(struct client_conn *conn)
{
    buf_fini(&conn->in);
    free(conn);
}

/* ---- what the socket is asked for
 * ----------------------------------------------------------------- */

static void update_interest(struct client_conn *conn)
{
    uint32_t events = 0;
    if (client_conn_is_reading(conn) || conn->state == CLIENT_CONN_LINGERING) {
        events |= EPOLLIN;
    }
    if (conn->state != CLIENT_CONN_LINGERING && buf_readable(conn->out) > 0) {
        events |= EPOLLOUT;
    }
    loop_io_change(conn->env->loop, &conn->io, events);
}

void client_conn_pause(struct client_conn *conn, enum client_conn_pause reason)
{
    conn->paused |= reason;
    if (conn->state == CLIENT_CONN_OPEN) {
        update_interest(conn);
    }
}

void client_conn_resume(struct client_conn *conn, enum client_conn_pause reason)
{
    conn->paused &= ~(unsigned)reason;
    if (!client_conn_is_reading(conn)) {
        return;
    }
    /* Being paused is not being silent. */
    conn->last_read_ms = conn->env->loop->now_ms;
    update_interest(conn);
    if (buf_readable(&conn->in) > 0 && list_is_empty(&conn->ready_link)) {
        list_push_back(&conn->env->ready, &conn->ready_link);
    }
}

/* ---- output
 * --------------------------------------------------------------------------------------- */

/* Nothing of the output is left: tell the client that this was all, and wait until it has seen
 * so. */
static void start_linger(struct client_conn *conn)
{
    if (conn->is_at_end || shutdown(conn->io.fd, SHUT_WR) < 0) {
        client_conn_close(conn);
        return;
    }
    conn->state = CLIENT_CONN_LINGERING;
    update_interest(conn);
}

static void send_output(struct client_conn *conn)
{
    struct buf *out = conn->out;
    while (buf_readable(out) > 0) {
        ssize_t sent = send(conn->io.fd, buf_head(out), buf_readable(out), MSG_NOSIGNAL);
        if (sent >= 0) {
            conn->env->stats.bytes_sent += sent;
            buf_consume(out, (size_t)sent);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            /* The client is gone, which it may. */
            client_conn_close(conn);
            return;
        }
    }
}

/* Between half and the whole of the limit nothing changes, so that it does not flutter. */
static void check_output(struct client_conn *conn)
{
    const struct client_conn_limits *limits = &conn->env->limits;
    size_t waiting = buf_readable(conn->out);
    if (waiting > limits->out_bytes_max) {
        client_conn_drop(conn, "it does not read its replies, %zu bytes wait", waiting);
    } else if (waiting > limits->out_pause_bytes) {
        client_conn_pause(conn, CLIENT_CONN_PAUSE_OUTPUT);
    } else if ((conn->paused & CLIENT_CONN_PAUSE_OUTPUT) &&
               waiting <= limits->out_pause_bytes / 2) {
        client_conn_resume(conn, CLIENT_CONN_PAUSE_OUTPUT);
    }
}

void client_conn_flush(struct client_conn *conn)
{
    if (conn->state != CLIENT_CONN_OPEN && conn->state != CLIENT_CONN_DRAINING) {
        return;
    }
    send_output(conn);
    if (conn->state == CLIENT_CONN_DRAINING && buf_readable(conn->out) == 0) {
        start_linger(conn);
    } else if (conn->state != CLIENT_CONN_CLOSED) {
        update_interest(conn);
        check_output(conn);
    }
}

void client_conn_finish(struct client_conn *conn)
{
    if (conn->state != CLIENT_CONN_OPEN) {
        return;
    }
    conn->state = CLIENT_CONN_DRAINING;
    list_remove(&conn->ready_link);
    loop_timer_set(conn->env->loop, &conn->timer, conn->env->loop->now_ms + END_TIMEOUT_MS);
    client_conn_flush(conn);
}

/* ---- input
 * ---------------------------------------------------------------------------------------- */

/* True: the bytes are a word, and the connection is on its way out. */
static bool take_word(struct client_conn *conn, const uint8_t *bytes, size_t len)
{
    if (conn->has_first || len < FRAME_HEADER_BYTES) {
        return false;
    }
    conn->has_first = true;
    if (!conn->env->ops->on_word(conn->env->arg, conn, bytes)) {
        return false;
    }
    client_conn_finish(conn);
    return true;
}

static void deliver(struct client_conn *conn, const uint8_t *body, size_t len)
{
    if (!conn->has_frame) {
        conn->has_frame = true;
        loop_timer_cancel(conn->env->loop, &conn->timer);
    }
    conn->env->ops->on_frame(conn->env->arg, conn, body, len);
    /* One read can hold thousands of requests for large answers. */
    if (conn->state == CLIENT_CONN_OPEN &&
        buf_readable(conn->out) > conn->env->limits.out_pause_bytes) {
        client_conn_pause(conn, CLIENT_CONN_PAUSE_OUTPUT);
    }
}

/* A frame over the limit at the start of bytes. Returns what is done with it now: 0, more of it must come,
 * or it is dropped. */
static size_t take_oversized(struct client_conn *conn, const uint8_t *bytes, size_t len,
                             int32_t body_len)
{
    const struct client_conn_env *env = conn->env;
    int64_t largest = (int64_t)env->limits.frame_bytes_max * CLIENT_CONN_OVERSIZED_TIMES;
    bool may_be_request = conn->has_frame && body_len > 0 && body_len <= largest;
    if (may_be_request && len < FRAME_HEADER_BYTES + CLIENT_CONN_OVERSIZED_BYTES) {
        return 0;
    }
    if (may_be_request && env->ops->on_oversized(env->arg, conn, bytes + FRAME_HEADER_BYTES)) {
        conn->skip_bytes = (size_t)body_len - CLIENT_CONN_OVERSIZED_BYTES;
        return FRAME_HEADER_BYTES + CLIENT_CONN_OVERSIZED_BYTES;
    }
    client_conn_drop(conn, "frame of %d bytes, the limit is %d", body_len,
                     env->limits.frame_bytes_max);
    return 0;
}

/* Delivers the frames at the start of bytes until one is incomplete or the connection does not
 * want any more. Returns how many bytes are done with. */
static size_t cut_frames(struct client_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t done = 0;
    while (client_conn_is_reading(conn)) {
        int32_t body_len = 0;
        size_t skipped = len - done < conn->skip_bytes ? len - done : conn->skip_bytes;
        done += skipped;
        conn->skip_bytes -= skipped;
        if (take_word(conn, bytes + done, len - done)) {
            return len;
        }
        enum frame_status status =
            frame_next(bytes + done, len - done, conn->env->limits.frame_bytes_max, &body_len);
        if (status == FRAME_PARTIAL) {
            break;
        }
        if (status == FRAME_BAD) {
            size_t taken = take_oversized(conn, bytes + done, len - done, body_len);
            done += taken;
            if (taken == 0) {
                break;
            }
            continue;
        }
        deliver(conn, bytes + done + FRAME_HEADER_BYTES, (size_t)body_len);
        done += FRAME_HEADER_BYTES + (size_t)body_len;
    }
    return done;
}

/* The connection's own buffer exists only while there is something in it. */
static void cut_buffered(struct client_conn *conn)
{
    size_t done = cut_frames(conn, buf_head(&conn->in), buf_readable(&conn->in));
    buf_consume(&conn->in, done);
    if (buf_readable(&conn->in) == 0) {
        buf_fini(&conn->in);
    }
}

static void take_bytes(struct client_conn *conn, const uint8_t *bytes, size_t len)
{
    conn->env->stats.bytes_received += (int64_t)len;
    conn->last_read_ms = conn->env->loop->now_ms;
    if (buf_readable(&conn->in) > 0) {
        buf_append(&conn->in, bytes, len);
        cut_buffered(conn);
        return;
    }
    size_t done = cut_frames(conn, bytes, len);
    if (conn->state == CLIENT_CONN_OPEN) {
        buf_append(&conn->in, bytes + done, len - done);
    }
}

/* Bytes received, 0 if there are none now, -1 at the end of input or after an error. */
static ssize_t receive(struct client_conn *conn)
{
    ssize_t got = recv(conn->io.fd, conn->env->scratch, CLIENT_CONN_READ_BYTES, 0);
    if (got > 0) {
        return got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    conn->is_at_end = true;
    return -1;
}

static void on_readable(struct client_conn *conn)
{
    ssize_t got = receive(conn);
    if (got < 0) {
        client_conn_close(conn);
    } else if (got > 0 && conn->state == CLIENT_CONN_OPEN) {
        take_bytes(conn, conn->env->scratch, (size_t)got);
    }
}

static void on_event(void *arg, uint32_t events)
{
    struct client_conn *conn = arg;
    if (events & EPOLLOUT) {
        client_conn_flush(conn);
    }
    if ((events & EPOLLIN) && (conn->io.events & EPOLLIN) && conn->state != CLIENT_CONN_CLOSED) {
        on_readable(conn);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        /* Gone in both directions, and nobody waits for what can still be read. */
        client_conn_close(conn);
    }
}

void client_conn_serve_ready(struct client_conn_env *env)
{
    /* Those that become ready meanwhile wait for the next turn. */
    struct list now;
    list_init(&now);
    struct list *link;
    while ((link = list_pop_front(&env->ready)) != NULL) {
        list_push_back(&now, link);
    }
    while ((link = list_pop_front(&now)) != NULL) {
        cut_buffered(list_entry(link, struct client_conn, ready_link));
    }
}

bool client_conn_has_ready(const struct client_conn_env *env)
{
    return !list_is_empty(&env->ready);
}

/* ---- time
 * ----------------------------------------------------------------------------------------- */

void client_conn_set_idle_timeout(struct client_conn *conn, int timeout_ms)
{
    conn->idle_timeout_ms = timeout_ms;
    if (conn->state != CLIENT_CONN_OPEN) {
        return;
    }
    if (timeout_ms > 0) {
        loop_timer_set(conn->env->loop, &conn->timer, conn->env->loop->now_ms + timeout_ms);
    } else {
        loop_timer_cancel(conn->env->loop, &conn->timer);
    }
}

/* Reading only notes the time, which is cheaper than moving the timer with every request. */
static void check_idle(struct client_conn *conn)
{
    int64_t now_ms = conn->env->loop->now_ms;
    int64_t deadline_ms = (conn->paused ? now_ms : conn->last_read_ms) + conn->idle_timeout_ms;
    if (deadline_ms > now_ms) {
        loop_timer_set(conn->env->loop, &conn->timer, deadline_ms);
    } else {
        client_conn_drop(conn, "nothing came from it for %d ms", conn->idle_timeout_ms);
    }
}

static void on_timer(void *arg)
{
    struct client_conn *conn = arg;
    if (conn->state != CLIENT_CONN_OPEN) {
        client_conn_close(conn);
    } else if (!conn->has_frame) {
        conn->env->stats.sessionless_expired++;
        client_conn_drop(conn, "no connect request within %d ms",
                         conn->env->limits.sessionless_timeout_ms);
    } else {
        check_idle(conn);
    }
}
