/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers of an Apache 3.8.0 ensemble said to each other (tests/data/fle, tests/data/zab): we read every
 * message, and what we write of what we read is the same, byte for byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/jute/notification.h"
#include "server/jute/quorum_packet.h"
#include "server/jute/txn.h"
#include "server/net/election_conn.h"
#include "server/net/quorum_frame.h"
#include "server/store/snapshot_receiver.h"
#include "server/tree/image.h"

enum { LINE_MAX_BYTES = 1 << 16, PACKETS = 466, STREAMS = 3 };

struct message {
    struct buf bytes;
    char decoded[LINE_MAX_BYTES]; /* how the capture's tool read it */
};

typedef void message_fn(const struct message *m, int64_t *count);

static void read_hex(const char *line, struct buf *out)
{
    const char *at = strstr(line, "\"hex\": \"");
    assert_non_null(at);
    buf_reset(out);
    for (at += 8; *at != '"'; at += 2) {
        unsigned byte;
        assert_int_equal(sscanf(at, "%2x", &byte), 1);
        put_byte(out, (uint8_t)byte);
    }
}

static void read_decoded(const char *line, char *out)
{
    const char *at = strstr(line, "\"decoded\": \"");
    assert_non_null(at);
    snprintf(out, LINE_MAX_BYTES, "%s", at + 12);
}

/* Calls fn for each message of each file; returns what it counted. */
static int64_t for_each_message(const char *pattern, message_fn *fn)
{
    static char line[LINE_MAX_BYTES];
    static struct message m;
    glob_t files;
    int64_t count = 0;
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *f = fopen(files.gl_pathv[i], "r");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
            read_hex(line, &m.bytes);
            read_decoded(line, m.decoded);
            fn(&m, &count);
        }
        fclose(f);
    }
    globfree(&files);
    buf_fini(&m.bytes);
    return count;
}

static int64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    at += strlen(key);
    return strncmp(at, "MIN_LONG", 8) == 0 ? INT64_MIN : (int64_t)strtoull(at, NULL, 0);
}

static void assert_same(const struct buf *ours, const void *data, size_t len)
{
    assert_int_equal(ours->len, len);
    assert_memory_equal(ours->data, data, len);
}

/* ---- election port ------------------------------------------------------------------------------------ */

static void check_notification(const struct message *m, int64_t *count)
{
    struct notification n;
    struct buf again = BUF_EMPTY;
    if (strncmp(m->decoded, "NOTIFICATION", 12) != 0) {
        return;
    }
    (*count)++;
    assert_true(notification_decode(m->bytes.data + 4, m->bytes.len - 4, &n));
    assert_int_equal(n.state, number_after(m->decoded, "state="));
    assert_int_equal(n.leader, number_after(m->decoded, "leader="));
    assert_int_equal(n.zxid, number_after(m->decoded, "zxid="));
    assert_int_equal(n.election_epoch, number_after(m->decoded, "electionEpoch="));
    assert_int_equal(n.peer_epoch, number_after(m->decoded, "peerEpoch="));
    notification_encode(&again, &n);
    assert_same(&again, m->bytes.data + 4, m->bytes.len - 4);
    buf_fini(&again);
}

static void test_notifications(void **state)
{
    (void)state;
    assert_int_equal(for_each_message("tests/data/fle/*.jsonl", check_notification), 78);
}

/* The sid that an election port hears in a handshake. */
static void note_sid(void *arg, struct election_conn *conn, int64_t sid)
{
    (void)conn;
    *(int64_t *)arg = sid;
}

static void fail_on_loss(void *arg, struct election_conn *conn, const char *why)
{
    (void)arg;
    (void)conn;
    fail_msg("%s", why);
}

static int64_t hear_handshake(const struct buf *bytes)
{
    static const struct election_conn_ops ops = { .on_handshake = note_sid,
                                                  .on_lost = fail_on_loss };
    struct loop loop;
    int fds[2];
    int64_t sid = -1;
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct election_conn *conn = election_conn_accept(&loop, fds[0], 10000, &ops, &sid);
    assert_non_null(conn);
    assert_int_equal(write(fds[1], bytes->data, bytes->len), bytes->len);
    for (int64_t end_ms = clock_now_ms() + 5000; sid < 0 && clock_now_ms() < end_ms;) {
        loop_turn(&loop, 10);
    }
    election_conn_close(conn);
    election_conn_free(conn);
    close(fds[1]);
    loop_fini(&loop);
    return sid;
}

/* addr="HOST:PORT|HOST:PORT": takes text apart. Returns how many there are. */
static size_t parse_addresses(char *text, struct member_address *out, size_t max)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *one = strtok_r(text, "|", &rest); one && count < max;
         one = strtok_r(NULL, "|", &rest)) {
        char *colon = strrchr(one, ':');
        assert_non_null(colon);
        *colon = '\0';
        out[count++] = (struct member_address){ one, 0, atoi(colon + 1) };
    }
    return count;
}

static void check_handshake(const struct message *m, int64_t *count)
{
    static const char key[] = "addr=\\\"";
    char text[256];
    struct member_address addresses[4];
    struct buf ours = BUF_EMPTY;
    if (strncmp(m->decoded, "HANDSHAKE", 9) != 0) {
        return;
    }
    (*count)++;
    const char *at = strstr(m->decoded, key);
    assert_non_null(at);
    at += sizeof(key) - 1;
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "\\"), at);
    struct member self = { number_after(m->decoded, "sid="), addresses, 0 };
    self.address_count = parse_addresses(text, addresses, 4);
    assert_int_equal(hear_handshake(&m->bytes), self.sid);
    election_handshake_encode(&ours, &self);
    assert_same(&ours, m->bytes.data, m->bytes.len);
    buf_fini(&ours);
}

static void test_handshakes(void **state)
{
    (void)state;
    assert_int_equal(for_each_message("tests/data/fle/*.jsonl", check_handshake), 35);
}

/* ---- quorum port ---------------------------------------------------------------------------------------- */

static bool is_packet(const struct message *m)
{
    return strstr(m->decoded, " type=") != NULL && m->bytes.len >= 20 && m->bytes.data[0] == 0 &&
           strncmp(m->decoded, "SNAPSHOT", 8) != 0;
}

static void check_txn(struct slice entry)
{
    struct txn txn;
    struct buf again = BUF_EMPTY;
    assert_true(txn_decode(entry.data, slice_size(entry), &txn));
    txn_encode(&again, &txn);
    assert_same(&again, entry.data, slice_size(entry));
    buf_fini(&again);
}

static void check_learner_info(struct slice data)
{
    struct wire w;
    struct learner_info info;
    struct buf again = BUF_EMPTY;
    wire_init(&w, data.data, slice_size(data));
    assert_true(learner_info_decode(&w, &info));
    assert_int_equal(info.protocol_version, ZAB_PROTOCOL_VERSION);
    learner_info_encode(&again, &info);
    assert_same(&again, data.data, slice_size(data));
    buf_fini(&again);
}

static void check_packet(const struct message *m, int64_t *count)
{
    struct wire w;
    struct quorum_packet p;
    struct buf again = BUF_EMPTY;
    size_t len = 0;
    if (!is_packet(m)) {
        return;
    }
    (*count)++;
    assert_int_equal(quorum_frame_next(m->bytes.data, m->bytes.len, 1 << 20, &len), FRAME_COMPLETE);
    assert_int_equal(len, m->bytes.len);
    wire_init(&w, m->bytes.data, m->bytes.len);
    assert_true(quorum_packet_decode(&w, &p));
    assert_int_equal(wire_left(&w), 0);
    assert_int_equal(p.type, number_after(m->decoded, " type="));
    assert_int_equal(p.zxid, number_after(m->decoded, " zxid="));
    if (p.type == ZAB_PROPOSAL || p.type == ZAB_INFORM) {
        check_txn(p.data);
    } else if (p.type == ZAB_INFORMANDACTIVATE) {
        check_txn((struct slice){ p.data.data + 8, p.data.len - 8 });
    } else if (p.type == ZAB_FOLLOWERINFO || p.type == ZAB_OBSERVERINFO) {
        check_learner_info(p.data);
    }
    quorum_packet_encode(&again, &p);
    assert_same(&again, m->bytes.data, m->bytes.len);
    buf_fini(&again);
}

static void test_packets(void **state)
{
    (void)state;
    assert_int_equal(for_each_message("tests/data/zab/*.jsonl", check_packet), PACKETS);
}

/* Behind the sessions, which have no order, our image of the tree is what Apache sent. */
static void check_stream(const struct message *m, int64_t *count)
{
    struct data_tree_config config = { .hash_seed = 5, .extended_types = true };
    struct saved_session *sessions;
    struct data_tree *tree;
    size_t session_count;
    if (is_packet(m) || m->bytes.len < 40) {
        return;
    }
    (*count)++;
    struct snapshot_receiver *r = snapshot_receiver_new(&config, 1 << 20);
    assert_int_equal(snapshot_receiver_feed(r, m->bytes.data, m->bytes.len), m->bytes.len);
    assert_true(snapshot_receiver_is_done(r));
    assert_int_equal(snapshot_receiver_take(r, 0x100000010, &tree, &sessions, &session_count), 0);
    snapshot_receiver_free(r);
    struct tree_image image;
    tree_image_begin(&image, tree);
    assert_true(tree_image_step(&image, 1 << 20));
    put_slice(&image.out, slice_of_str(ZAB_SNAP_SIGNATURE));
    size_t head = 4 + 12 * session_count;
    assert_same(&image.out, m->bytes.data + head, m->bytes.len - head);
    tree_image_end(&image);
    data_tree_free(tree);
    free(sessions);
}

static void test_snapshot_streams(void **state)
{
    (void)state;
    assert_int_equal(for_each_message("tests/data/zab/*.jsonl", check_stream), STREAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notifications),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_snapshot_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
