/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A load generator for any ZooKeeper server on loopback: CONNECTIONS sessions, each with DEPTH
 * requests in flight, all the same (get or set of the session's own node, or create below it), for
 * SECONDS; prints one line of JSON. One thread with epoll, so that the generator takes little of a
 * small machine.
 *
 *      zkload PORT get|set|create CONNECTIONS DEPTH SECONDS
 *
 * It knows six frames of the client protocol and no more: connect, create, get, set, close and the
 * head of an answer. Any error ends it with a message.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/xalloc.h"

enum {
    OP_CREATE = 1,
    OP_GET_DATA = 4,
    OP_SET_DATA = 5,
    OP_CLOSE = -11,
    ERR_NODEEXISTS = -110,
    VALUE_BYTES = 100,
    CONNECTIONS_MAX = 1024,
    DEPTH_MAX = 1024,
    READ_BYTES = 65536,
    SLOTS = 20000, /* of the latency histogram */
    SLOT_US = 10,  /* width of one; the last slot takes the rest */
    SESSION_MS = 30000,
};

struct conn {
    int fd;
    char path[32];
    int32_t xid;      /* of the last request */
    struct buf in;    /* received, not yet a whole frame */
    struct buf out;   /* not yet sent */
    int64_t *sent_us; /* ring of DEPTH send times, oldest at count_answered % depth */
    uint64_t sent, answered;
    bool wants_write;
};

struct load {
    int port, op, connections, depth, epoll_fd;
    struct conn *conns;
    int64_t begin_us, end_us;
    uint64_t answered;
    uint64_t histogram[SLOTS];
};

static void die(const char *what)
{
    fprintf(stderr, "zkload: %s: %s\n", what, errno ? strerror(errno) : "unexpected answer");
    exit(1);
}

/* ---- frames ------------------------------------------------------------------------------------ */

static void put_int(struct buf *b, int32_t value)
{
    uint32_t be = htonl((uint32_t)value);
    buf_append(b, &be, sizeof(be));
}

static void put_string(struct buf *b, const char *s)
{
    put_int(b, (int32_t)strlen(s));
    buf_append_str(b, s);
}

static void put_value(struct buf *b)
{
    static const char value[VALUE_BYTES];
    put_int(b, VALUE_BYTES);
    buf_append(b, value, VALUE_BYTES);
}

/* Reserves the length of a frame; end_frame fills it in. */
static size_t begin_frame(struct buf *b)
{
    put_int(b, 0);
    return b->len;
}

static void end_frame(struct buf *b, size_t begin)
{
    uint32_t be = htonl((uint32_t)(b->len - begin));
    memcpy(b->data + begin - sizeof(be), &be, sizeof(be));
}

static void put_connect(struct buf *b)
{
    static const uint8_t zeros[16];
    size_t frame = begin_frame(b);
    put_int(b, 0);           /* protocol version */
    buf_append(b, zeros, 8); /* last zxid seen */
    put_int(b, SESSION_MS);
    buf_append(b, zeros, 8);   /* session id: a new one */
    put_int(b, sizeof(zeros)); /* password */
    buf_append(b, zeros, sizeof(zeros));
    buf_append(b, zeros, 1); /* read only */
    end_frame(b, frame);
}

static size_t begin_request(struct conn *c, int32_t op)
{
    size_t frame = begin_frame(&c->out);
    put_int(&c->out, ++c->xid);
    put_int(&c->out, op);
    return frame;
}

static void put_create(struct conn *c, const char *path)
{
    size_t frame = begin_request(c, OP_CREATE);
    put_string(&c->out, path);
    put_value(&c->out);
    put_int(&c->out, 1);  /* one ACL entry */
    put_int(&c->out, 31); /* all permissions */
    put_string(&c->out, "world");
    put_string(&c->out, "anyone");
    put_int(&c->out, 0); /* persistent */
    end_frame(&c->out, frame);
}

static void put_get_or_set(struct conn *c, int op)
{
    size_t frame = begin_request(c, op);
    put_string(&c->out, c->path);
    if (op == OP_GET_DATA) {
        buf_append(&c->out, "", 1); /* no watch */
    } else {
        put_value(&c->out);
        put_int(&c->out, -1); /* any version */
    }
    end_frame(&c->out, frame);
}

/* A run that follows another finds its names taken: they carry the process id. */
static void put_create_child(struct conn *c)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%d-%" PRIu64, c->path, (int)getpid(), c->sent);
    put_create(c, path);
}

static int32_t int_at(const uint8_t *p)
{
    uint32_t be;
    memcpy(&be, p, sizeof(be));
    return (int32_t)ntohl(be);
}

/* ---- one connection, while it is set up: blocking ------------------------------------------------- */

static void flush_blocking(struct conn *c)
{
    while (buf_readable(&c->out) > 0) {
        ssize_t n = send(c->fd, buf_head(&c->out), buf_readable(&c->out), MSG_NOSIGNAL);
        if (n < 0) {
            die("send");
        }
        buf_consume(&c->out, (size_t)n);
    }
}

/* Reads one frame; returns the int at offset in it. */
static int32_t frame_int_blocking(struct conn *c, size_t offset)
{
    uint8_t head[4];
    uint8_t body[1024];
    errno = 0;
    if (recv(c->fd, head, sizeof(head), MSG_WAITALL) != sizeof(head)) {
        die("recv");
    }
    size_t len = (size_t)int_at(head);
    if (len > sizeof(body) || len < offset + 4) {
        die("frame");
    }
    if (recv(c->fd, body, len, MSG_WAITALL) != (ssize_t)len) {
        die("recv");
    }
    return int_at(body + offset);
}

static void conn_open(struct load *l, struct conn *c, int number)
{
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)l->port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int on = 1;
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        die("connect");
    }
    snprintf(c->path, sizeof(c->path), "/zkload-%d", number);
    buf_init(&c->in);
    buf_init(&c->out);
    c->sent_us = xcalloc((size_t)l->depth, sizeof(*c->sent_us));

    put_connect(&c->out);
    flush_blocking(c);
    if (frame_int_blocking(c, 4) <= 0) { /* the negotiated time-out */
        die("session");
    }
    put_create(c, c->path);
    flush_blocking(c);
    int32_t err = frame_int_blocking(c, 12);
    if (err != 0 && err != ERR_NODEEXISTS) {
        die("create");
    }
}

static void conn_close(struct conn *c)
{
    size_t frame = begin_request(c, OP_CLOSE);
    end_frame(&c->out, frame);
    ssize_t ignored = send(c->fd, buf_head(&c->out), buf_readable(&c->out), MSG_NOSIGNAL);
    (void)ignored;
    close(c->fd);
    buf_fini(&c->in);
    buf_fini(&c->out);
    free(c->sent_us);
}

/* ---- the load ------------------------------------------------------------------------------------- */

static void want_write(struct load *l, struct conn *c, bool on)
{
    if (c->wants_write == on) {
        return;
    }
    c->wants_write = on;
    struct epoll_event ev = { .events = EPOLLIN | (on ? (uint32_t)EPOLLOUT : 0), .data.ptr = c };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0) {
        die("epoll_ctl");
    }
}

static void conn_flush(struct load *l, struct conn *c)
{
    while (buf_readable(&c->out) > 0) {
        ssize_t n =
            send(c->fd, buf_head(&c->out), buf_readable(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            die("send");
        }
        buf_consume(&c->out, (size_t)n);
    }
    want_write(l, c, buf_readable(&c->out) > 0);
}

/* Fills the pipeline up to DEPTH. */
static void conn_ask(struct load *l, struct conn *c)
{
    int64_t now = clock_now_us();
    while (now < l->end_us && c->sent - c->answered < (uint64_t)l->depth) {
        c->sent_us[c->sent % (uint64_t)l->depth] = now;
        c->sent++;
        if (l->op == OP_CREATE) {
            put_create_child(c);
        } else {
            put_get_or_set(c, l->op);
        }
    }
    conn_flush(l, c);
}

static void note_answer(struct load *l, struct conn *c, const uint8_t *frame, int64_t now)
{
    if (int_at(frame + 12) != 0) {
        errno = 0;
        die("request failed");
    }
    int64_t slot = (now - c->sent_us[c->answered % (uint64_t)l->depth]) / SLOT_US;
    l->histogram[slot < SLOTS ? slot : SLOTS - 1]++;
    c->answered++;
    l->answered++;
}

static void conn_on_readable(struct load *l, struct conn *c)
{
    errno = 0;
    ssize_t n = recv(c->fd, buf_reserve(&c->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        die("connection lost");
    }
    c->in.len += (size_t)n;
    int64_t now = clock_now_us();
    while (buf_readable(&c->in) >= 4) {
        size_t len = (size_t)int_at(buf_head(&c->in));
        if (buf_readable(&c->in) < 4 + len) {
            break;
        }
        note_answer(l, c, buf_head(&c->in) + 4, now);
        buf_consume(&c->in, 4 + len);
    }
    conn_ask(l, c);
}

static bool is_finished(const struct load *l)
{
    for (int i = 0; i < l->connections; i++) {
        if (l->conns[i].answered != l->conns[i].sent) {
            return false;
        }
    }
    return clock_now_us() >= l->end_us;
}

static void load_run(struct load *l, int seconds)
{
    l->epoll_fd = epoll_create1(0);
    l->begin_us = clock_now_us();
    l->end_us = l->begin_us + seconds * INT64_C(1000000);
    for (int i = 0; i < l->connections; i++) {
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &l->conns[i] };
        if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->conns[i].fd, &ev) != 0) {
            die("epoll_ctl");
        }
        conn_ask(l, &l->conns[i]);
    }
    struct epoll_event events[64];
    while (!is_finished(l)) {
        int n = epoll_wait(l->epoll_fd, events, 64, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                conn_on_readable(l, c);
            } else {
                conn_flush(l, c);
            }
        }
    }
    l->end_us = clock_now_us();
    close(l->epoll_fd);
}

/* The latency that this share of the requests did not exceed. */
static int64_t percentile_us(const struct load *l, double share)
{
    uint64_t wanted = (uint64_t)((double)l->answered * share);
    uint64_t seen = 0;
    for (int slot = 0; slot < SLOTS; slot++) {
        seen += l->histogram[slot];
        if (seen > wanted) {
            return (slot + 1) * (int64_t)SLOT_US;
        }
    }
    return SLOTS * (int64_t)SLOT_US;
}

static const char *op_name(int op)
{
    return op == OP_GET_DATA ? "get" : op == OP_SET_DATA ? "set" : "create";
}

static int op_or_die(const char *name)
{
    static const int ops[] = { OP_GET_DATA, OP_SET_DATA, OP_CREATE };
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (strcmp(name, op_name(ops[i])) == 0) {
            return ops[i];
        }
    }
    fprintf(stderr, "zkload: not get, set or create: %s\n", name);
    exit(2);
}

static void load_print(const struct load *l)
{
    double seconds = (double)(l->end_us - l->begin_us) / 1e6;
    printf("{\"op\": \"%s\", \"connections\": %d, \"depth\": %d, \"seconds\": %.3f, \"count\": "
           "%" PRIu64 ", \"per_second\": %.0f, \"p50_us\": %" PRId64 ", \"p99_us\": %" PRId64 "}\n",
           op_name(l->op), l->connections, l->depth, seconds, l->answered,
           (double)l->answered / seconds, percentile_us(l, 0.50), percentile_us(l, 0.99));
}

static int number_or_die(const char *text, int max)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*end != '\0' || n < 1 || n > max) {
        fprintf(stderr, "zkload: not a number from 1 to %d: %s\n", max, text);
        exit(2);
    }
    return (int)n;
}

int main(int argc, char *argv[])
{
    if (argc != 6) {
        fprintf(stderr, "usage: zkload PORT get|set|create CONNECTIONS DEPTH SECONDS\n");
        return 2;
    }
    struct load *l = xcalloc(1, sizeof(*l));
    l->port = number_or_die(argv[1], 65535);
    l->op = op_or_die(argv[2]);
    l->connections = number_or_die(argv[3], CONNECTIONS_MAX);
    l->depth = number_or_die(argv[4], DEPTH_MAX);
    l->conns = xcalloc((size_t)l->connections, sizeof(*l->conns));
    for (int i = 0; i < l->connections; i++) {
        conn_open(l, &l->conns[i], i);
    }
    load_run(l, number_or_die(argv[5], 3600));
    load_print(l);
    for (int i = 0; i < l->connections; i++) {
        conn_close(&l->conns[i]);
    }
    free(l->conns);
    free(l);
    return 0;
}
