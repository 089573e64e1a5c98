/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/broken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/reads.h"
#include "server/core/zxid.h"
#include "tests/sim/registers.h"
#include "tests/sim/world.h"

/* ---- what there is to falsify --------------------------------------------------------------------- */

static struct op *succeeded(struct world *w, int32_t type)
{
    for (int64_t i = 0; i < w->truth.answer_count; i++) {
        struct op *op = &w->truth.ops[i];
        if (op->type == type && op->err == ZK_OK && op->answer.len > 0) {
            return op;
        }
    }
    return NULL;
}

static struct op *sync_read(struct world *w)
{
    for (int64_t i = 0; i < w->truth.answer_count; i++) {
        struct op *op = &w->truth.ops[i];
        if (op->type == OP_GET_DATA && op->err == ZK_OK && op->synced_us != 0 &&
            strncmp(op->path, "/r", 2) == 0) {
            return op;
        }
    }
    return NULL;
}

static struct known_txn *known(struct world *w, int64_t zxid)
{
    struct truth *t = &w->truth;
    for (size_t i = 0; i < t->txn_count; i++) {
        if (t->txns[i]->zxid == zxid) {
            return t->txns[i];
        }
    }
    return NULL;
}

/* A committed one that is known to be behind another. */
static struct known_txn *in_the_middle(struct world *w)
{
    for (int64_t i = w->truth.committed_count - 1; i > 0; i--) {
        struct known_txn *k = known(w, w->truth.committed[i]);
        if (zxid_counter(k->prev) != 0) {
            return k;
        }
    }
    return NULL;
}

static struct node *server(struct world *w, bool is_leader)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        if (w->nodes[i].peer->is_leader == is_leader) {
            return &w->nodes[i];
        }
    }
    return NULL;
}

static void forget_committed(struct world *w, int64_t zxid)
{
    struct truth *t = &w->truth;
    int64_t kept = 0;
    for (int64_t i = 0; i < t->committed_count; i++) {
        t->committed[kept] = t->committed[i];
        kept += t->committed[i] != zxid;
    }
    t->committed_count = kept;
}

static void flip(struct op *op, size_t at)
{
    op->answer.data[op->answer.len - 1 - at] ^= 1;
}

/* ---- at the end ------------------------------------------------------------------------------------- */

static void answer_what_never_happened(struct world *w)
{
    succeeded(w, OP_SET_DATA)->zxid += (int64_t)1 << 32;
}

static void lose_what_was_answered(struct world *w)
{
    forget_committed(w, succeeded(w, OP_SET_DATA)->zxid);
}

static void answer_another_outcome(struct world *w)
{
    succeeded(w, OP_SET_DATA)->err = ZK_BAD_VERSION;
}

static void answer_another_stat(struct world *w)
{
    flip(succeeded(w, OP_SET_DATA), 0);
}

static void answer_another_path(struct world *w)
{
    flip(succeeded(w, OP_CREATE), 0);
}

static void fail_a_multi(struct world *w)
{
    for (int64_t i = 0; i < w->truth.answer_count; i++) {
        struct op *op = &w->truth.ops[i];
        if (op->type == OP_MULTI && op->err == ZK_OK && op->answer.data[0] != 0xff) {
            memset(op->answer.data, 0xff, 4);
            return;
        }
    }
}

static void read_another_state(struct world *w)
{
    flip(succeeded(w, OP_GET_DATA), 0);
}

static void read_no_node(struct world *w)
{
    succeeded(w, OP_GET_DATA)->err = ZK_NO_NODE;
}

static void read_too_little(struct world *w)
{
    struct op *op = sync_read(w);
    op->floor_zxid = op->zxid + 1;
}

static void answer_before_an_earlier_one(struct world *w)
{
    struct op *last = NULL;
    for (int64_t i = 0; i < w->truth.answer_count; i++) {
        struct op *op = &w->truth.ops[i];
        last = opcode_is_write(op->type) && (!last || op->zxid > last->zxid) ? op : last;
    }
    last->answered_us = 1;
}

static void tell_late(struct world *w)
{
    for (int64_t i = 0; i < w->truth.watch_count; i++) {
        w->truth.watches[i].seen_zxid = INT64_MAX - 1;
    }
}

static void fire_for_nothing(struct world *w)
{
    for (int64_t i = 0; i < w->truth.watch_count; i++) {
        strcpy(w->truth.watches[i].path, "/nowhere");
    }
}

/* The session's writes then come from one that is not there. */
static void lose_a_session(struct world *w)
{
    int64_t id = succeeded(w, OP_SET_DATA)->session_id;
    for (int64_t i = 0; i < w->truth.committed_count; i++) {
        const struct known_txn *k = known(w, w->truth.committed[i]);
        struct txn txn;
        txn_decode(k->entry.data, k->entry.len, &txn);
        if (txn.hdr.type == OP_CREATE_SESSION && txn.hdr.session_id == id) {
            forget_committed(w, k->zxid);
            return;
        }
    }
}

static void remember_another_tree(struct world *w)
{
    in_the_middle(w)->has_digest = true;
    in_the_middle(w)->digest ^= 1;
}

static void change_a_tree(struct world *w)
{
    w->nodes[1].tree->digest ^= 1;
}

static void leave_a_server_behind(struct world *w)
{
    w->nodes[1].peer->zab.history.delivered_zxid = 1;
}

static void read_what_nobody_wrote(struct world *w)
{
    struct op *op = sync_read(w);
    op->answer.data[4] = '9'; /* users are 0 to 7 */
    registers_check(w);
}

/* ---- after each step ---------------------------------------------------------------------------------- */

static void log_what_nobody_made(struct world *w)
{
    struct node *n = server(w, false);
    truth_proposed(w, n, n->appended_zxid + 1, "", 0);
}

static void log_something_else(struct world *w)
{
    const struct known_txn *k = in_the_middle(w);
    w->nodes[0].appended_zxid = k->prev;
    truth_proposed(w, &w->nodes[0], k->zxid, "", 0);
}

static void log_behind_another(struct world *w)
{
    const struct known_txn *k = in_the_middle(w);
    w->nodes[0].appended_zxid = k->prev - 1;
    truth_proposed(w, &w->nodes[0], k->zxid, k->entry.data, k->entry.len);
}

static void log_backwards(struct world *w)
{
    truth_proposed(w, &w->nodes[0], w->nodes[0].appended_zxid, "", 0);
}

static void empty_the_disks(struct world *w)
{
    for (int32_t i = 0; i < w->plan.server_count; i++) {
        truth_durable(w, &w->nodes[i], 0);
    }
}

static void read_over_a_gap(struct world *w)
{
    const struct known_txn *k = in_the_middle(w);
    truth_neighbours(w, &w->nodes[0], k->prev - 1, k->zxid);
}

static void deliver_what_nobody_logged(struct world *w)
{
    struct node *n = server(w, true);
    n->peer->zab.history.delivered_zxid += 5;
    truth_check_node(w, n);
}

static void forget_a_commit(struct world *w)
{
    struct node *n = server(w, false);
    n->told_zxid = ++n->peer->zab.history.synced_zxid;
    truth_check_node(w, n);
}

static void lead_twice(struct world *w)
{
    struct node *n = server(w, true);
    n->life++;
    n->was_serving = false;
    truth_check_node(w, n);
}

static void expire_the_living(struct world *w)
{
    for (int32_t i = 0; i < w->plan.user_count; i++) {
        if (w->users[i].state == USER_READY) {
            truth_expired(w, w->users[i].session_id);
        }
    }
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

struct broken {
    const char *name;
    void (*falsify)(struct world *w);
    const char *complaint;
};

#define BROKEN(fn, complaint)                                                                      \
    {                                                                                              \
#fn, fn, complaint                                                                         \
    }

static const struct broken all[] = {
    BROKEN(answer_what_never_happened, "an answered write is not in the committed history"),
    BROKEN(lose_what_was_answered, "an answered write is not in the committed history"),
    BROKEN(answer_another_outcome, "the history has another outcome"),
    BROKEN(answer_another_stat, "another Stat was answered"),
    BROKEN(answer_another_path, "another path was created"),
    BROKEN(fail_a_multi, "a multi failed that should have succeeded"),
    BROKEN(read_another_state, "a read shows another state"),
    BROKEN(read_no_node, "a read shows a node that is not there, or not one that is"),
    BROKEN(read_too_little, "a read behind a sync shows less"),
    BROKEN(answer_before_an_earlier_one, "after another's answer has a lower zxid"),
    BROKEN(tell_late, "had been shown"),
    BROKEN(fire_for_nothing, "fired without a change"),
    BROKEN(lose_a_session, "a session that has ended is answered as a living one"),
    BROKEN(remember_another_tree, "the servers had another tree"),
    BROKEN(change_a_tree, "end with different trees"),
    BROKEN(leave_a_server_behind, "the last committed is"),
    BROKEN(read_what_nobody_wrote, "is not linearizable"),
    BROKEN(log_what_nobody_made, "which no leader has made"),
    BROKEN(log_something_else, "logs another txn with zxid"),
    BROKEN(log_behind_another, "others behind"),
    BROKEN(log_backwards, "logs 0x"),
    BROKEN(empty_the_disks, "has taken it off too many disks"),
    BROKEN(read_over_a_gap, "which was behind"),
    BROKEN(deliver_what_nobody_logged, "which nobody has logged"),
    BROKEN(forget_a_commit, "was told that"),
    BROKEN(lead_twice, "both lead epoch"),
    BROKEN(expire_the_living, "was called expired, but it is alive"),
};

enum { SEED = 4 }; /* has seen everything that is falsified here */

static void complain_into(int fd, const struct broken *b)
{
    dup2(fd, STDOUT_FILENO);
    struct world *w = world_live(SEED, false);
    b->falsify(w);
    truth_check_end(w);
    _exit(0);
}

/* Everything that is written to fd. */
static void read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    ssize_t got;
    while (len + 1 < size && (got = read(fd, text + len, size - 1 - len)) > 0) {
        len += (size_t)got;
    }
    text[len] = '\0';
}

static bool is_noticed(const struct broken *b)
{
    char text[400];
    int fds[2];
    int status = 0;
    fflush(stdout);
    if (pipe(fds) != 0) {
        perror("pipe");
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        complain_into(fds[1], b);
    }
    close(fds[1]);
    read_all(fds[0], text, sizeof(text));
    close(fds[0]);
    waitpid(pid, &status, 0);
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == SIM_FAILED && strstr(text, b->complaint);
    if (!ok) {
        printf("%s: expected \"%s\", got: %s\n", b->name, b->complaint, text);
    }
    return ok;
}

bool broken_check_all(void)
{
    const size_t count = sizeof(all) / sizeof(all[0]);
    size_t noticed = 0;
    for (size_t i = 0; i < count; i++) {
        noticed += is_noticed(&all[i]);
    }
    printf("checkers: %zu passed, %zu failed\n", noticed, count - noticed);
    return noticed == count;
}
