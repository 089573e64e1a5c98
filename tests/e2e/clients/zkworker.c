/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zkworker HOSTS NAME SEED FILE: a client on libzookeeper_mt that works through whatever fails and writes
 * down what it asked and what it was told. The same program as harness/workload.py, which describes FILE
 * and reads it, in another library: this one moves its watches along with its session.
 */
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

enum {
    SESSION_MS = 2000,
    PAUSE_MS = 5, /* between two operations */
    VALUE_BYTES = 256,
    PATH_BYTES = 256,
    REGISTERS = 3,
};

struct reg {
    const char *path;
    int version;             /* the last one this client has heard of, or -1 */
    atomic_bool needs_watch; /* nothing tells us of its next change */
};

struct ephemeral {
    int64_t session;
    char path[PATH_BYTES];
};

struct worker {
    const char *hosts;
    const char *name;
    FILE *file;
    zhandle_t *zh;
    atomic_bool is_expired;
    int count; /* operations so far */
    struct reg registers[REGISTERS];
    struct ephemeral *ephemerals; /* those that were acknowledged */
    size_t ephemeral_count;
    sem_t synced; /* an answer to sync has come */
    int sync_rc;
};

/* ---- the history ----------------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One line; fields are the JSON object's members but for the time. From any thread. */
__attribute__((format(printf, 2, 3))) static void note(struct worker *w, const char *fields, ...)
{
    va_list args;
    va_start(args, fields);
    flockfile(w->file);
    fputc('{', w->file);
    vfprintf(w->file, fields, args);
    fprintf(w->file, ", \"at\": %.9f}\n", now_s());
    fflush(w->file);
    funlockfile(w->file);
    va_end(args);
}

static const char *outcome_of(int rc)
{
    switch (rc) {
    case ZOK:
        return "ok";
    case ZBADVERSION:
    case ZNODEEXISTS:
        return "fail";
    default: /* connection lost, session expired */
        return "unknown";
    }
}

/* What was answered to the operation that is under way, without a value. */
static void note_answer(struct worker *w, int rc)
{
    note(w, "\"id\": %d, \"outcome\": \"%s\", \"error\": \"%s\"", w->count, outcome_of(rc),
         zerror(rc));
}

static int64_t session_of(const struct worker *w)
{
    return zoo_client_id(w->zh)->client_id;
}

/* ---- watches: each register is watched all the time --------------------------------------------------------- */

/* libzookeeper hands one pointer to its callbacks. */
struct watching {
    struct worker *worker;
    struct reg *reg;
};
static struct watching watchings[REGISTERS];

static void on_change(zhandle_t *zh, int type, int state, const char *path, void *context);

static void on_watched(int rc, const char *value, int len, const struct Stat *stat,
                       const void *context)
{
    const struct watching *watching = context;
    if (rc != ZOK) {
        watching->reg->needs_watch = true;
        return;
    }
    note(watching->worker,
         "\"saw\": \"%s\", \"value\": \"%.*s\", \"version\": %d, \"session\": %" PRId64,
         watching->reg->path, len, value, stat->version, session_of(watching->worker));
}

static void watch(zhandle_t *zh, struct watching *watching)
{
    watching->reg->needs_watch = false;
    if (zoo_awget(zh, watching->reg->path, on_change, watching, on_watched, watching) != ZOK) {
        watching->reg->needs_watch = true;
    }
}

static void on_change(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)state;
    (void)path;
    if (type == ZOO_CHANGED_EVENT) {
        watch(zh, context);
    } /* else an event of the session: the watch stays */
}

static void watch_what_is_not(struct worker *w)
{
    for (int i = 0; i < REGISTERS; i++) {
        if (w->registers[i].needs_watch && zoo_state(w->zh) == ZOO_CONNECTED_STATE) {
            watch(w->zh, &watchings[i]);
        }
    }
}

/* ---- the session -------------------------------------------------------------------------------------------- */

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct worker *w = context;
    (void)zh;
    (void)path;
    if (type == ZOO_SESSION_EVENT && state == ZOO_EXPIRED_SESSION_STATE) {
        w->is_expired = true;
    }
}

static void connect_anew(struct worker *w)
{
    if (w->zh) {
        zookeeper_close(w->zh);
    }
    w->is_expired = false;
    for (int i = 0; i < REGISTERS; i++) {
        w->registers[i].needs_watch = true;
    }
    w->zh = zookeeper_init(w->hosts, on_session, SESSION_MS, NULL, w, 0);
    if (!w->zh) {
        perror("zookeeper_init");
        exit(1);
    }
}

/* ---- operations --------------------------------------------------------------------------------------------- */

static void set(struct worker *w, const char *value)
{
    struct reg *reg = &w->registers[lrand48() % REGISTERS];
    int expected = drand48() < 0.6 ? reg->version : -1;
    struct Stat stat;
    note(w, "\"id\": %d, \"kind\": \"set\", \"path\": \"%s\", \"value\": \"%s\", \"expected\": %d",
         w->count, reg->path, value, expected);
    int rc = zoo_set2(w->zh, reg->path, value, (int)strlen(value), expected, &stat);
    if (rc == ZOK) {
        note(w, "\"id\": %d, \"outcome\": \"ok\", \"version\": %d", w->count, stat.version);
        reg->version = stat.version;
    } else {
        note_answer(w, rc);
        reg->version = rc == ZBADVERSION ? -1 : reg->version;
    }
}

static void on_synced(int rc, const char *value, const void *context)
{
    struct worker *w = (struct worker *)context;
    (void)value;
    w->sync_rc = rc;
    sem_post(&w->synced);
}

/* The answers come in this order: the get is one of the synced server. */
static int synced_get(struct worker *w, const char *path, char *value, int *len, struct Stat *stat)
{
    int rc = zoo_async(w->zh, "/", on_synced, w);
    if (rc != ZOK) {
        return rc;
    }
    rc = zoo_get(w->zh, path, 0, value, len, stat);
    sem_wait(&w->synced);
    return w->sync_rc == ZOK ? rc : w->sync_rc;
}

static void get(struct worker *w)
{
    struct reg *reg = &w->registers[lrand48() % REGISTERS];
    char value[VALUE_BYTES];
    int len = sizeof(value);
    struct Stat stat;
    note(w, "\"id\": %d, \"kind\": \"get\", \"path\": \"%s\"", w->count, reg->path);
    int rc = synced_get(w, reg->path, value, &len, &stat);
    if (rc == ZOK) {
        note(w, "\"id\": %d, \"outcome\": \"ok\", \"value\": \"%.*s\", \"version\": %d", w->count,
             len, value, stat.version);
        reg->version = stat.version;
    } else {
        note_answer(w, rc);
    }
}

static void remember_ephemeral(struct worker *w, int64_t session, const char *path)
{
    w->ephemerals = realloc(w->ephemerals, (w->ephemeral_count + 1) * sizeof(*w->ephemerals));
    if (!w->ephemerals) {
        abort();
    }
    struct ephemeral *e = &w->ephemerals[w->ephemeral_count++];
    e->session = session;
    snprintf(e->path, sizeof(e->path), "%s", path);
}

/* flags: 0, ZOO_EPHEMERAL, ZOO_SEQUENCE */
static void create(struct worker *w, const char *kind, const char *path, const char *value,
                   int flags)
{
    char made[PATH_BYTES];
    int64_t session = session_of(w);
    note(w, "\"id\": %d, \"kind\": \"%s\", \"path\": \"%s\", \"value\": \"%s\"", w->count, kind,
         path, value);
    int rc = zoo_create(w->zh, path, value, (int)strlen(value), &ZOO_OPEN_ACL_UNSAFE, flags, made,
                        sizeof(made));
    if (rc == ZOK) {
        note(w, "\"id\": %d, \"outcome\": \"ok\", \"path\": \"%s\"", w->count, made);
        if (flags == ZOO_EPHEMERAL && session == session_of(w)) {
            remember_ephemeral(w, session, made);
        }
    } else {
        note_answer(w, rc);
    }
}

/* The mix of harness/workload.py. */
static void one_operation(struct worker *w)
{
    char fresh[VALUE_BYTES], path[PATH_BYTES];
    snprintf(fresh, sizeof(fresh), "%s-%06d", w->name, ++w->count);
    long die = lrand48() % 20;
    if (die < 8) {
        set(w, fresh);
    } else if (die < 14) {
        get(w);
    } else if (die < 16) {
        snprintf(path, sizeof(path), "/plain/%.200s", fresh);
        create(w, "create", path, fresh, 0);
    } else if (die < 18) {
        create(w, "sequence", "/sequence/n-", fresh, ZOO_SEQUENCE);
    } else {
        snprintf(path, sizeof(path), "/ephemeral/%.200s", fresh);
        create(w, "ephemeral", path, fresh, ZOO_EPHEMERAL);
    }
}

/* ---- the life of a worker -------------------------------------------------------------------------------------- */

static void note_ephemerals(struct worker *w, int64_t session)
{
    char *text = NULL;
    size_t size = 0;
    FILE *list = open_memstream(&text, &size);
    const char *comma = "";
    for (size_t i = 0; i < w->ephemeral_count; i++) {
        if (w->ephemerals[i].session == session) {
            fprintf(list, "%s\"%s\"", comma, w->ephemerals[i].path);
            comma = ", ";
        }
    }
    fclose(list);
    note(w, "\"session\": %" PRId64 ", \"ephemerals\": [%s]", session, text);
    free(text);
}

/* The signal that came, or 0 when the pause is over. */
static int pause_for(int ms)
{
    sigset_t ours;
    struct timespec t = { 0, ms * 1000000L };
    sigemptyset(&ours);
    sigaddset(&ours, SIGUSR1);
    sigaddset(&ours, SIGTERM);
    int number = sigtimedwait(&ours, NULL, &t);
    return number > 0 ? number : 0;
}

static void keep_session(struct worker *w)
{
    if (w->is_expired) {
        connect_anew(w);
    }
    watch_what_is_not(w);
}

static void work(struct worker *w)
{
    int number;
    while ((number = pause_for(PAUSE_MS)) == 0) {
        keep_session(w);
        /* Without a server each try would be one more that may have happened for all we know: too many
         * for the search of history.py. */
        if (zoo_state(w->zh) == ZOO_CONNECTED_STATE) {
            one_operation(w);
        }
    }
    int64_t told = -1;
    while (number != SIGTERM) {
        keep_session(w);
        if (session_of(w) != told) {
            told = session_of(w);
            note_ephemerals(w, told);
        }
        number = pause_for(50);
    }
}

static long seed_of(const char *text)
{
    uint32_t hash = 5381;
    for (; *text; text++) {
        hash = hash * 33 + (uint8_t)*text;
    }
    return (long)hash;
}

/* Before libzookeeper starts its threads, which shall not take them. */
static void block_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGUSR1);
    sigaddset(&ours, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ours, NULL);
}

int main(int argc, char **argv)
{
    static struct worker w = {
        .registers = { { "/reg/a", -1, true }, { "/reg/b", -1, true }, { "/reg/c", -1, true } }
    };
    if (argc != 5) {
        fprintf(stderr, "usage: zkworker HOSTS NAME SEED FILE\n");
        return 2;
    }
    w.hosts = argv[1];
    w.name = argv[2];
    srand48(seed_of(argv[3]));
    w.file = fopen(argv[4], "w");
    if (!w.file) {
        perror(argv[4]);
        return 1;
    }
    for (int i = 0; i < REGISTERS; i++) {
        watchings[i] = (struct watching){ &w, &w.registers[i] };
    }
    sem_init(&w.synced, 0, 0);
    block_signals();
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zoo_deterministic_conn_order(1);
    connect_anew(&w);
    work(&w);
    zookeeper_close(w.zh);
    fclose(w.file);
    free(w.ephemerals);
    return 0;
}
