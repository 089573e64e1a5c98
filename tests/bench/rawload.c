/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount is measured against: the plain libzookeeper client. Prints JSON, microseconds.
 *
 *      rawload PORT get|exists|set|create|delete|list PATH COUNT
 *          the latency of one synchronous call; list: the children of PATH and a pipelined burst that reads
 *          each, COUNT times
 *      rawload PORT events PATH MOUNTED RATE SECONDS
 *          sets the children of PATH in turn, RATE times a second, and compares when a data watch of another
 *          session tells of it with when inotify does on the directory MOUNTED, which shows PATH. Both are
 *          counted from the acknowledgement of the set; a set that was overtaken by a later one of the
 *          same node counts as told with that one.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { SESSION_MS = 10000, NODES = 100, LAST_MS = 2000 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

_Noreturn static void fail(const char *what, int rc)
{
    fprintf(stderr, "rawload: %s: %s\n", what, zerror(rc));
    exit(1);
}

static zhandle_t *connect_to(const char *port)
{
    char hosts[64];
    snprintf(hosts, sizeof(hosts), "127.0.0.1:%s", port);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = zookeeper_init(hosts, NULL, SESSION_MS, NULL, NULL, 0);
    if (!zh) {
        fail("connect", ZSYSTEMERROR);
    }
    zoo_set_servers_resolution_delay(zh, -1);
    while (zoo_state(zh) != ZOO_CONNECTED_STATE) {
        usleep(1000);
    }
    return zh;
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_times(const char *name, double *times_us, int count)
{
    if (count == 0) {
        printf("\"%s\": null", name);
        return;
    }
    qsort(times_us, (size_t)count, sizeof(*times_us), compare);
    printf("\"%s\": {\"p50_us\": %.2f, \"p99_us\": %.2f}", name, times_us[count / 2],
           times_us[count * 99 / 100]);
}

/* ---- one call ----------------------------------------------------------------------------------- */

struct burst {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int open; /* by lock */
};

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
    struct burst *b = (void *)(uintptr_t)data;
    (void)rc;
    (void)stat;
    pthread_mutex_lock(&b->lock);
    if (--b->open == 0) {
        pthread_cond_signal(&b->done);
    }
    pthread_mutex_unlock(&b->lock);
}

static int list(zhandle_t *zh, const char *path)
{
    struct burst b = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
    struct String_vector names;
    char name[512];
    int rc = zoo_get_children(zh, path, 0, &names);
    if (rc != ZOK) {
        return rc;
    }
    b.open = names.count;
    for (int i = 0; i < names.count; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, names.data[i]);
        zoo_aexists(zh, name, 0, on_stat, &b);
    }
    pthread_mutex_lock(&b.lock);
    while (b.open > 0) {
        pthread_cond_wait(&b.done, &b.lock);
    }
    pthread_mutex_unlock(&b.lock);
    deallocate_String_vector(&names);
    return ZOK;
}

static int run(zhandle_t *zh, const char *op, const char *path, int i)
{
    char name[512];
    char value[4096];
    int len = sizeof(value);
    struct Stat stat;
    memset(value, 'a' + i % 26, 100);
    snprintf(name, sizeof(name), "%s/c%d", path, i);
    if (strcmp(op, "get") == 0) {
        return zoo_get(zh, path, 0, value, &len, &stat);
    }
    if (strcmp(op, "exists") == 0) {
        return zoo_exists(zh, path, 0, &stat);
    }
    if (strcmp(op, "set") == 0) {
        return zoo_set(zh, path, value, 100, -1);
    }
    if (strcmp(op, "create") == 0) {
        return zoo_create(zh, name, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    }
    if (strcmp(op, "delete") == 0) {
        return zoo_delete(zh, name, -1);
    }
    return strcmp(op, "list") == 0 ? list(zh, path) : ZBADARGUMENTS;
}

static int measure_calls(const char *port, const char *op, const char *path, int count)
{
    zhandle_t *zh = connect_to(port);
    double *times = calloc((size_t)count, sizeof(*times));
    for (int i = 0; i < count; i++) {
        int64_t begin = now_ns();
        int rc = run(zh, op, path, i);
        times[i] = (double)(now_ns() - begin) / 1000;
        if (rc != ZOK) {
            fail(op, rc);
        }
    }
    printf("{");
    print_times(op, times, count);
    printf("}\n");
    free(times);
    zookeeper_close(zh);
    return 0;
}

/* ---- events ------------------------------------------------------------------------------------- */

/* When each set was told, one way. */
struct told {
    int64_t *at_ns;  /* by number of the set; 0: not yet */
    int last[NODES]; /* the newest set of each node that has been told; -1: none */
};

struct events {
    const char *port;
    const char *path;
    const char *mounted;
    int count;
    int64_t *acked_ns;
    struct told watch;
    struct told inotify;
    zhandle_t *watcher;
    atomic_bool is_over;
};

static struct events e;

/* The node showed the value of set number at that time: so did all sets of it before. */
static void note(struct told *t, int node, int number, int64_t at_ns)
{
    for (int i = t->last[node] < 0 ? node : t->last[node] + NODES; i <= number; i += NODES) {
        t->at_ns[i] = at_ns;
    }
    if (number > t->last[node]) {
        t->last[node] = number;
    }
}

static int number_in(const char *value, int len)
{
    char text[32] = "";
    memcpy(text, value, len > 0 && len < 31 ? (size_t)len : 0);
    return text[0] ? atoi(text) : -1;
}

static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *arg);

struct reading {
    int node;
    int64_t at_ns; /* of the watch event; 0: the first read, which tells nothing */
};

static void on_value(int rc, const char *value, int len, const struct Stat *stat, const void *data)
{
    struct reading *r = (void *)(uintptr_t)data;
    (void)stat;
    if (rc == ZOK && r->at_ns && number_in(value, len) >= 0) {
        note(&e.watch, r->node, number_in(value, len), r->at_ns);
    }
    free(r);
}

static void read_again(int node, int64_t at_ns)
{
    char name[512];
    struct reading *r = malloc(sizeof(*r));
    *r = (struct reading){ node, at_ns };
    snprintf(name, sizeof(name), "%s/n%d", e.path, node);
    zoo_awget(e.watcher, name, on_watch, NULL, on_value, r);
}

static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
    (void)zh;
    (void)state;
    (void)arg;
    if (type == ZOO_CHANGED_EVENT) {
        read_again(atoi(strrchr(path, '/') + 2), now_ns());
    }
}

/* The number that the file holds now. */
static void look(const char *name, int64_t at_ns)
{
    char path[1024];
    char value[32];
    snprintf(path, sizeof(path), "%s/%s", e.mounted, name);
    FILE *f = fopen(path, "r");
    if (!f) {
        return;
    }
    int len = (int)fread(value, 1, sizeof(value), f);
    fclose(f);
    if (number_in(value, len) >= 0) {
        note(&e.inotify, atoi(name + 1), number_in(value, len), at_ns);
    }
}

static void *watch_directory(void *arg)
{
    int fd = *(int *)arg;
    _Alignas(struct inotify_event) char buf[65536];
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    while (!e.is_over) {
        if (poll(&ready, 1, 100) <= 0) {
            continue;
        }
        ssize_t len = read(fd, buf, sizeof(buf));
        int64_t at_ns = now_ns();
        const struct inotify_event *event;
        for (char *p = buf; p < buf + len; p += sizeof(*event) + event->len) {
            event = (const struct inotify_event *)p;
            if (event->len > 0) {
                look(event->name, at_ns);
            }
        }
    }
    return NULL;
}

static void set_in_turn(int rate)
{
    zhandle_t *zh = connect_to(e.port);
    int64_t begin = now_ns();
    for (int i = 0; i < e.count; i++) {
        char name[512];
        char value[32];
        struct timespec due = { 0, 0 };
        int64_t at = begin + i * INT64_C(1000000000) / rate;
        due.tv_sec = at / 1000000000;
        due.tv_nsec = at % 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        snprintf(name, sizeof(name), "%s/n%d", e.path, i % NODES);
        int len = snprintf(value, sizeof(value), "%d", i);
        int rc = zoo_set(zh, name, value, len, -1);
        e.acked_ns[i] = now_ns();
        if (rc != ZOK) {
            fail("set", rc);
        }
    }
    zookeeper_close(zh);
}

static int lost(const struct told *t)
{
    int count = 0;
    for (int i = e.count > NODES ? e.count - NODES : 0; i < e.count; i++) {
        count += t->at_ns[i] == 0;
    }
    return count;
}

static void print_told(const char *name, const struct told *t)
{
    double *times = calloc((size_t)e.count, sizeof(*times));
    int count = 0;
    for (int i = 0; i < e.count; i++) {
        if (t->at_ns[i]) {
            times[count++] = (double)(t->at_ns[i] - e.acked_ns[i]) / 1000;
        }
    }
    print_times(name, times, count);
    printf(", \"%s_lost\": %d", name, lost(t));
    free(times);
}

static void told_init(struct told *t)
{
    t->at_ns = calloc((size_t)e.count, sizeof(*t->at_ns));
    for (int i = 0; i < NODES; i++) {
        t->last[i] = -1;
    }
}

static int measure_events(const char *port, const char *path, const char *mounted, int rate,
                          int seconds)
{
    e.port = port;
    e.path = path;
    e.mounted = mounted;
    e.count = rate * seconds;
    e.acked_ns = calloc((size_t)e.count, sizeof(*e.acked_ns));
    told_init(&e.watch);
    told_init(&e.inotify);
    int fd = inotify_init1(IN_CLOEXEC);
    if (inotify_add_watch(fd, mounted, IN_MODIFY) < 0) {
        fail(mounted, ZSYSTEMERROR);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, watch_directory, &fd);
    e.watcher = connect_to(port);
    for (int i = 0; i < NODES; i++) {
        read_again(i, 0);
    }
    usleep(200000);
    set_in_turn(rate);
    for (int ms = 0; ms < LAST_MS && lost(&e.watch) + lost(&e.inotify) > 0; ms++) {
        usleep(1000);
    }
    e.is_over = true;
    pthread_join(thread, NULL);
    zookeeper_close(e.watcher);
    printf("{");
    print_told("watch", &e.watch);
    printf(", ");
    print_told("inotify", &e.inotify);
    printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[2], "events") == 0) {
        return measure_events(argv[1], argv[3], argv[4], atoi(argv[5]), atoi(argv[6]));
    }
    if (argc == 5 && atoi(argv[4]) > 0) {
        return measure_calls(argv[1], argv[2], argv[3], atoi(argv[4]));
    }
    fprintf(stderr, "usage: rawload PORT OP PATH COUNT | PORT events PATH MOUNTED RATE SECONDS\n");
    return 2;
}
