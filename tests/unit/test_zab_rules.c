/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One test per rule of replication (docs/zab.md), named after it: a few steps, then the actions.
 * The server under test is 1 as a follower of 3, or 3 as the leader of 1 and 2. E3, S5 and S10 on
 * the disk: test_rebuild.c; E5 among votes, E7: test_election.c, test_membership.c. The rest
 * is listed in docs/zab.md.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "server/core/sync.h"
#include "server/core/zab.h"
#include "server/core/zxid.h"
#include "server/jute/txn.h"

enum { TICK_MS = 100, INIT_TICKS = 10, SYNC_TICKS = 5, LEADER = 3 };

struct fixture {
    struct ensemble ensemble;
    struct data_tree *tree;
    struct session_table sessions;
    struct zab z;
    int64_t now_ms;
    int64_t link;
};

/* ---- steps ----------------------------------------------------------------------------------- */

static void step(struct fixture *f, struct zab_event ev)
{
    ev.now_ms = f->now_ms;
    zab_step(&f->z, &ev);
}

static void init(struct fixture *f, int64_t sid, struct zab_start start)
{
    struct data_tree_config tree_config = { .hash_seed = 5 };
    memset(f, 0, sizeof(*f));
    f->now_ms = 1000;
    f->ensemble = (struct ensemble){ .self_sid = sid, .voter_count = 3, .voters = { 1, 2, 3 },
                                     .config_text = "version=0" };
    f->tree = data_tree_new(&tree_config);
    f->tree->last_zxid = start.last_zxid;
    session_table_init(&f->sessions, sid, 1, TICK_MS, f->now_ms, 5);
    struct zab_config config = {
        .prep = { false, true, 1 << 20 },
        .ensemble = &f->ensemble,
        .tick_time_ms = TICK_MS,
        .init_limit_ticks = INIT_TICKS,
        .sync_limit_ticks = SYNC_TICKS,
        .commit_log_count = 100,
    };
    zab_init(&f->z, &config, &start, f->tree, &f->sessions, f->now_ms);
    zab_begin(&f->z, f->now_ms);
}

static void fini(struct fixture *f)
{
    zab_fini(&f->z);
    session_table_fini(&f->sessions);
    data_tree_free(f->tree);
}

static void hear(struct fixture *f, int64_t from, struct notification n)
{
    n.version = NOTIFICATION_VERSION;
    n.config = SLICE_EMPTY;
    step(f, (struct zab_event){ .type = ZAB_ON_NOTIFICATION, .notification = { from, &n } });
}

static void receive_from(struct fixture *f, int64_t link, int32_t type, int64_t zxid,
                         struct slice data)
{
    struct quorum_packet p = { type, zxid, data, VEC_NULL };
    step(f, (struct zab_event){ .type = ZAB_ON_PACKET, .packet = { link, &p } });
}

static void receive(struct fixture *f, int32_t type, int64_t zxid)
{
    receive_from(f, f->link, type, zxid, SLICE_NULL);
}

static void receive_proposal(struct fixture *f, int64_t zxid)
{
    struct txn txn = { .hdr = { 7, 1, zxid, 0, OP_ERROR } };
    struct buf entry = BUF_EMPTY;
    txn_encode(&entry, &txn);
    receive_from(f, f->link, ZAB_PROPOSAL, zxid, (struct slice){ entry.data, (int32_t)entry.len });
    buf_fini(&entry);
}

static void log_synced(struct fixture *f)
{
    step(f, (struct zab_event){ .type = ZAB_ON_LOG_SYNCED, .zxid = f->z.history.logged_zxid });
}

static void tick(struct fixture *f, int64_t ms)
{
    f->now_ms += ms;
    step(f, (struct zab_event){ .type = ZAB_ON_TICK });
}

/* ---- what it does ---------------------------------------------------------------------------- */

/* Place of the first action of this type in the last step, or -1. */
static int find(const struct fixture *f, enum zab_action_type type)
{
    for (int32_t i = 0; i < f->z.action_count; i++) {
        if (f->z.actions[i].type == type) {
            return i;
        }
    }
    return -1;
}

static bool decode(const struct fixture *f, int i, struct quorum_packet *p)
{
    const struct zab_action *a = &f->z.actions[i];
    struct wire w;
    struct slice bytes = zab_action_bytes(&f->z, a);
    wire_init(&w, bytes.data, slice_size(bytes));
    return a->type == ZAB_DO_SEND && quorum_packet_decode(&w, p);
}

/* Place of the first packet of this type that the last step sends, or -1. */
static int sent(const struct fixture *f, int32_t type, struct quorum_packet *out)
{
    for (int i = 0; i < f->z.action_count; i++) {
        if (decode(f, i, out) && out->type == type) {
            return i;
        }
    }
    return -1;
}

static bool sends(const struct fixture *f, int32_t type)
{
    struct quorum_packet ignored;
    return sent(f, type, &ignored) >= 0;
}

/* ---- as a follower of 3 ---------------------------------------------------------------------- */

/* Follows 3; the link is up and FOLLOWERINFO has left. */
static void follow_again(struct fixture *f)
{
    hear(f, 2, (struct notification){ STATE_FOLLOWING, LEADER, 0, 9, 1, 0, SLICE_NULL });
    hear(f, 3, (struct notification){ STATE_LEADING, LEADER, 0, 9, 1, 0, SLICE_NULL });
    assert_int_equal(f->z.role, STATE_FOLLOWING);
    f->link = f->z.actions[find(f, ZAB_DO_CONNECT)].link;
    step(f, (struct zab_event){ .type = ZAB_ON_LINK_UP, .link = f->link });
    assert_true(sends(f, ZAB_FOLLOWERINFO));
}

static void follow(struct fixture *f, struct zab_start start)
{
    init(f, 1, start);
    follow_again(f);
}

/* In sync phase with an empty DIFF, epoch 5, history up to (4, 10). */
static const struct zab_start at_4_10 = { .last_zxid = 0x40000000a, .accepted_epoch = 4,
                                          .current_epoch = 4,
                                          .log_from_zxid = 0x40000000a };

static void follow_to_sync(struct fixture *f)
{
    follow(f, at_4_10);
    receive(f, ZAB_LEADERINFO, zxid_make(5, 0));
    receive(f, ZAB_DIFF, 0x40000000a);
}

static void test_E1_accepted_epoch_is_durable_before_ackepoch(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow(&f, at_4_10);
    receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
    int saved = find(&f, ZAB_DO_SAVE_ACCEPTED_EPOCH);
    int acked = sent(&f, ZAB_ACKEPOCH, &p);
    assert_true(saved >= 0);
    assert_true(saved < acked);
    assert_int_equal(f.z.actions[saved].epoch, 5);
    assert_int_equal(p.zxid, 0x40000000a);
    assert_memory_equal(p.data.data, "\0\0\0\4", 4);
    fini(&f);
}

static void test_E1_an_epoch_accepted_before_does_not_count_again(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow(&f, (struct zab_start){ 0x40000000a, 5, 4, NULL, 0x40000000a });
    receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
    assert_int_equal(find(&f, ZAB_DO_SAVE_ACCEPTED_EPOCH), -1);
    assert_true(sent(&f, ZAB_ACKEPOCH, &p) >= 0);
    assert_int_equal(p.zxid, 0x40000000a);
    assert_memory_equal(p.data.data, "\xff\xff\xff\xff", 4);
    fini(&f);
}

static void test_E1_a_lower_epoch_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    follow(&f, (struct zab_start){ 0x40000000a, 6, 4, NULL, 0x40000000a });
    receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
    assert_false(sends(&f, ZAB_ACKEPOCH));
    assert_int_equal(f.z.role, STATE_LOOKING);
    fini(&f);
}

static void test_S1_E2_history_durable_then_epoch_then_ack(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow_to_sync(&f);
    receive_proposal(&f, 0x40000000b);
    receive(&f, ZAB_COMMIT, 0x40000000b);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    assert_int_equal(find(&f, ZAB_DO_SAVE_CURRENT_EPOCH), -1);
    assert_false(sends(&f, ZAB_ACK));
    log_synced(&f);
    int saved = find(&f, ZAB_DO_SAVE_CURRENT_EPOCH);
    int acked = sent(&f, ZAB_ACK, &p);
    assert_true(saved >= 0);
    assert_true(saved < acked);
    assert_int_equal(p.zxid, zxid_make(5, 0));
    fini(&f);
}

static void test_S2_the_first_ack_is_that_of_newleader(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow_to_sync(&f);
    receive_proposal(&f, 0x500000001); /* outstanding at the leader */
    log_synced(&f);
    assert_false(sends(&f, ZAB_ACK));
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    assert_true(sent(&f, ZAB_ACK, &p) >= 0);
    assert_int_equal(p.zxid, zxid_make(5, 0));
    receive(&f, ZAB_UPTODATE, -1);
    int first = sent(&f, ZAB_ACK, &p);
    assert_int_equal(p.zxid, zxid_make(5, 0));
    assert_true(decode(&f, f.z.action_count - 1, &p) || first >= 0);
    int acks = 0;
    for (int i = 0; i < f.z.action_count; i++) {
        acks += decode(&f, i, &p) && p.type == ZAB_ACK && p.zxid == 0x500000001;
    }
    assert_int_equal(acks, 1);
    fini(&f);
}

static void test_S3_a_commit_before_uptodate_finds_its_proposal(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    receive_proposal(&f, 0x500000001);
    receive(&f, ZAB_COMMIT, 0x500000001);
    assert_int_equal(find(&f, ZAB_DO_DELIVER), -1); /* S13 */
    log_synced(&f);
    int at = find(&f, ZAB_DO_DELIVER);
    assert_true(at >= 0);
    assert_int_equal(f.z.actions[at].proposal->zxid, 0x500000001);
    fini(&f);
}

static void test_S4_a_gap_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive_proposal(&f, 0x40000000c);
    assert_int_equal(f.z.role, STATE_LOOKING);
    assert_int_equal(f.z.history.logged_zxid, 0x40000000a);
    fini(&f);
}

static void test_S4_an_epoch_begins_with_1(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive_proposal(&f, 0x500000002);
    assert_int_equal(f.z.role, STATE_LOOKING);
    fini(&f);
}

/* SNAP has come and is the tree. */
static void follow_by_snap(struct fixture *f)
{
    follow(f, at_4_10);
    receive(f, ZAB_LEADERINFO, zxid_make(5, 0));
    receive(f, ZAB_SNAP, 0x400000020);
    assert_true(find(f, ZAB_DO_SNAP_LOAD) >= 0);
    f->tree->last_zxid = 0x400000020;
    step(f, (struct zab_event){ .type = ZAB_ON_SNAP_LOADED });
    assert_true(find(f, ZAB_DO_SNAP_SAVE) >= 0);
}

static void test_S5_nothing_is_logged_or_acked_before_the_snapshot_is_durable(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow_by_snap(&f);
    receive_proposal(&f, 0x400000021);
    assert_int_equal(find(&f, ZAB_DO_LOG_APPEND), -1);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    assert_false(sends(&f, ZAB_ACK));
    step(&f, (struct zab_event){ .type = ZAB_ON_SNAP_SAVED });
    assert_true(find(&f, ZAB_DO_LOG_APPEND) >= 0);
    assert_false(sends(&f, ZAB_ACK));
    log_synced(&f);
    assert_true(find(&f, ZAB_DO_SAVE_CURRENT_EPOCH) < sent(&f, ZAB_ACK, &p));
    fini(&f);
}

static void test_S5_S12_a_broken_snap_is_forgotten_by_reloading(void **state)
{
    (void)state;
    struct fixture f;
    follow_by_snap(&f);
    step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = f.link });
    assert_true(find(&f, ZAB_DO_RELOAD) >= 0);
    assert_int_equal(find(&f, ZAB_DO_SEND_VOTE), -1);
    f.tree->last_zxid = 0x40000000a;
    step(&f, (struct zab_event){ .type = ZAB_ON_RELOADED });
    assert_true(find(&f, ZAB_DO_SEND_VOTE) >= 0);
    assert_int_equal(f.z.election.own_zxid, 0x40000000a);
    fini(&f);
}

static void test_S7_a_duplicate_proposal_is_dropped(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive_proposal(&f, 0x40000000a);
    assert_int_equal(f.z.role, STATE_FOLLOWING);
    assert_int_equal(find(&f, ZAB_DO_LOG_APPEND), -1);
    fini(&f);
}

static void test_S10_a_cut_that_cannot_be_done_asks_for_snap(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow(&f, at_4_10);
    receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
    receive(&f, ZAB_TRUNC, 0x400000008);
    assert_true(find(&f, ZAB_DO_LOG_TRUNCATE) >= 0);
    step(&f, (struct zab_event){ .type = ZAB_ON_NOT_TRUNCATED });
    f.link = f.z.actions[find(&f, ZAB_DO_CONNECT)].link;
    step(&f, (struct zab_event){ .type = ZAB_ON_LINK_UP, .link = f.link });
    receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
    assert_true(sent(&f, ZAB_ACKEPOCH, &p) >= 0);
    assert_int_equal(p.zxid, zxid_make(6, 0));
    struct sync_input in = { .peer_zxid = p.zxid,
                             .max_zxid = 0x400000008,
                             .applied_zxid = 0x400000008 };
    assert_int_equal(sync_choose(&f.z.history, &in).type, ZAB_SNAP);
    fini(&f);
}

/* Nor acked or applied; and when the leader is lost in between, the disk is asked what it has. */
static void test_S10_nothing_is_logged_before_the_cut_is_done(void **state)
{
    (void)state;
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        struct fixture f;
        follow(&f, at_4_10);
        receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
        receive(&f, ZAB_TRUNC, 0x400000008);
        assert_int_equal(f.z.actions[find(&f, ZAB_DO_LOG_TRUNCATE)].zxid, 0x400000008);
        receive_proposal(&f, 0x500000001);
        receive(&f, ZAB_COMMIT, 0x500000001);
        receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
        assert_int_equal(find(&f, ZAB_DO_LOG_APPEND), -1);
        assert_int_equal(find(&f, ZAB_DO_DELIVER), -1);
        assert_false(sends(&f, ZAB_ACK));
        if (is_lost) {
            step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = f.link });
            assert_true(find(&f, ZAB_DO_RELOAD) >= 0);
            assert_int_equal(find(&f, ZAB_DO_SEND_VOTE), -1);
        } else {
            step(&f, (struct zab_event){ .type = ZAB_ON_TRUNCATED });
            assert_true(find(&f, ZAB_DO_LOG_APPEND) >= 0);
            log_synced(&f);
            assert_true(sends(&f, ZAB_ACK));
            assert_true(find(&f, ZAB_DO_DELIVER) >= 0);
        }
        fini(&f);
    }
}

static void test_S11_no_vote_before_the_log_has_settled(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive_proposal(&f, 0x40000000b);
    step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = f.link });
    assert_int_equal(f.z.role, STATE_LOOKING);
    assert_int_equal(find(&f, ZAB_DO_SEND_VOTE), -1);
    hear(&f, 2, (struct notification){ STATE_LOOKING, 2, 0, 10, 4, 0, SLICE_NULL });
    assert_int_equal(find(&f, ZAB_DO_SEND_VOTE), -1);
    log_synced(&f);
    assert_true(find(&f, ZAB_DO_SEND_VOTE) >= 0);
    assert_int_equal(f.z.election.own_zxid, 0x40000000b);
    fini(&f);
}

static void test_S13_nothing_is_applied_that_the_own_log_lacks(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive_proposal(&f, 0x40000000b);
    receive(&f, ZAB_COMMIT, 0x40000000b);
    assert_int_equal(find(&f, ZAB_DO_DELIVER), -1);
    log_synced(&f);
    assert_true(find(&f, ZAB_DO_DELIVER) >= 0);
    fini(&f);
}

static void test_a_sync_waits_for_what_was_committed_before_its_answer(void **state)
{
    (void)state;
    struct fixture f;
    follow_to_sync(&f);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    receive(&f, ZAB_UPTODATE, -1);
    step(&f, (struct zab_event){ .type = ZAB_ON_SYNC, .sync = { 77, 1 } });
    assert_true(sends(&f, ZAB_REQUEST));
    receive_proposal(&f, 0x500000001);
    receive(&f, ZAB_COMMIT, 0x500000001);
    receive(&f, ZAB_SYNC, 0);
    assert_int_equal(find(&f, ZAB_DO_DELIVER_SYNC), -1);
    log_synced(&f);
    assert_true(find(&f, ZAB_DO_DELIVER) >= 0);
    assert_true(find(&f, ZAB_DO_DELIVER) < find(&f, ZAB_DO_DELIVER_SYNC));
    fini(&f);
}

/* The role is given up, and taken again with a zxid that makes any leader send SNAP; until the snapshot
 * is saved, however often that takes. */
static void test_S14_a_tree_that_differs_is_replaced(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow_to_sync(&f);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    receive(&f, ZAB_UPTODATE, -1);
    step(&f, (struct zab_event){ .type = ZAB_ON_DIVERGED });
    assert_int_equal(f.z.role, STATE_LOOKING);
    assert_false(f.z.actions[find(&f, ZAB_DO_SERVE)].on);
    for (int i = 0; i < 2; i++) {
        follow_again(&f);
        receive(&f, ZAB_LEADERINFO, zxid_make(5, 0));
        assert_true(sent(&f, ZAB_ACKEPOCH, &p) >= 0);
        assert_int_equal(p.zxid, zxid_make(6, 0));
        assert_memory_equal(p.data.data, "\xff\xff\xff\xff", 4);
        if (i == 0) {
            step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = f.link });
        }
    }
    receive(&f, ZAB_SNAP, 0x400000020);
    f.tree->last_zxid = 0x400000020;
    step(&f, (struct zab_event){ .type = ZAB_ON_SNAP_LOADED });
    assert_true(f.z.wants_snap);
    step(&f, (struct zab_event){ .type = ZAB_ON_SNAP_SAVED });
    assert_false(f.z.wants_snap);
    fini(&f);
}

/* 3 sends and hears nothing: its votes, the best ones, arrive, and no connection to it comes up. That costs
 * syncLimit once, not initLimit, and not again at the next vote. */
static void test_a_deaf_server_is_given_up_within_sync_limit(void **state)
{
    (void)state;
    struct fixture f;
    struct notification best = { STATE_LOOKING, LEADER, 0x40000000b, 1, 4, 0, SLICE_NULL };
    init(&f, 1, at_4_10);
    hear(&f, 3, best);
    hear(&f, 2, best);
    tick(&f, 300);
    assert_int_equal(f.z.role, STATE_FOLLOWING);
    int64_t begun_ms = f.now_ms;
    while (f.z.role == STATE_FOLLOWING) {
        int dialled = find(&f, ZAB_DO_CONNECT);
        if (dialled >= 0) {
            f.link = f.z.actions[dialled].link;
            step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = f.link });
        }
        tick(&f, TICK_MS / 10);
    }
    assert_in_range(f.now_ms - begun_ms, SYNC_TICKS * TICK_MS, (SYNC_TICKS + 1) * TICK_MS);
    best.election_epoch = f.z.election.logical_clock;
    hear(&f, 2, best);
    assert_int_equal(f.z.election.proposal.leader, 1);
    tick(&f, (INIT_TICKS + SYNC_TICKS) * TICK_MS);
    hear(&f, 2, best);
    assert_int_equal(f.z.election.proposal.leader, LEADER);
    fini(&f);
}

/* ---- as the leader of 1 and 2 ---------------------------------------------------------------- */

static void join(struct fixture *f, int64_t link, int64_t sid, int64_t accepted_epoch)
{
    struct buf data = BUF_EMPTY;
    struct learner_info info = { sid, ZAB_PROTOCOL_VERSION, 0 };
    learner_info_encode(&data, &info);
    step(f, (struct zab_event){ .type = ZAB_ON_LINK_UP, .link = link });
    receive_from(f, link, ZAB_FOLLOWERINFO, zxid_make(accepted_epoch, 0),
                 (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

static void ack_epoch(struct fixture *f, int64_t link, int32_t current_epoch, int64_t last_zxid)
{
    struct buf data = BUF_EMPTY;
    put_int(&data, current_epoch);
    receive_from(f, link, ZAB_ACKEPOCH, last_zxid, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

/* 3 is elected by the votes of 1, and waits for followers. */
static void lead(struct fixture *f)
{
    init(f, 3, at_4_10);
    hear(f, 1, (struct notification){ STATE_LOOKING, 3, 0x40000000a, 1, 4, 0, SLICE_NULL });
    tick(f, 300);
    assert_int_equal(f->z.role, STATE_LEADING);
}

/* Serves, with 1 as its follower on link -1. */
static void lead_to_broadcast(struct fixture *f)
{
    lead(f);
    join(f, -1, 1, 4);
    ack_epoch(f, -1, 4, 0x40000000a);
    receive_from(f, -1, ZAB_ACK, zxid_make(5, 0), SLICE_NULL);
    assert_true(find(f, ZAB_DO_SERVE) >= 0);
}

static void propose(struct fixture *f, int32_t cxid)
{
    struct request req = { .session_id = 7, .cxid = cxid, .type = OP_SET_DATA, .body = SLICE_EMPTY,
                           .ids = VEC_NULL, .from_sid = 3, .origin = 1 };
    step(f, (struct zab_event){ .type = ZAB_ON_SUBMIT, .request = &req });
}

static void test_E1_the_leader_saves_the_epoch_before_it_tells(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    lead(&f);
    join(&f, -1, 1, 7);
    int saved = find(&f, ZAB_DO_SAVE_ACCEPTED_EPOCH);
    assert_true(saved >= 0);
    assert_true(saved < sent(&f, ZAB_LEADERINFO, &p));
    assert_int_equal(p.zxid, zxid_make(8, 0)); /* above what any of the quorum accepted */
    fini(&f);
}

static void test_E1_a_leader_makes_way_for_an_epoch_above_its_own(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    join(&f, -2, 2, 5);
    assert_true(sends(&f, ZAB_LEADERINFO));
    join(&f, -3, 2, 6);
    assert_false(sends(&f, ZAB_LEADERINFO));
    assert_int_equal(f.z.role, STATE_LOOKING);
    fini(&f);
}

static void test_E5_a_leader_steps_aside_for_a_follower_that_is_ahead(void **state)
{
    (void)state;
    static const struct {
        int32_t current_epoch;
        int64_t zxid;
        bool is_ahead;
    } cases[] = {
        { 4, 0x40000000a, false }, { 4, 0x40000000b, true }, { 3, 0x40000000b, false },
        { 5, 0x400000001, true },  { -1, 0x50000000b, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        lead(&f);
        join(&f, -1, 1, 4);
        ack_epoch(&f, -1, cases[i].current_epoch, cases[i].zxid);
        assert_int_equal(f.z.role == STATE_LOOKING, cases[i].is_ahead);
        fini(&f);
    }
}

static void test_E6_nothing_is_served_before_a_quorum_acked_newleader(void **state)
{
    (void)state;
    struct fixture f;
    lead(&f);
    join(&f, -1, 1, 4);
    ack_epoch(&f, -1, 4, 0x40000000a);
    assert_true(sends(&f, ZAB_NEWLEADER));
    assert_int_equal(find(&f, ZAB_DO_SERVE), -1);
    propose(&f, 1);
    assert_false(sends(&f, ZAB_PROPOSAL));
    receive_from(&f, -1, ZAB_ACK, zxid_make(5, 0), SLICE_NULL);
    assert_true(find(&f, ZAB_DO_SERVE) >= 0);
    assert_true(sends(&f, ZAB_UPTODATE));
    fini(&f);
}

/* It hears nobody: whether its own words arrive does not matter. */
static void test_a_leader_gives_way_within_sync_limit(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    int64_t begun_ms = f.now_ms;
    while (f.z.role == STATE_LEADING) {
        tick(&f, TICK_MS / 2);
    }
    assert_in_range(f.now_ms - begun_ms, SYNC_TICKS * TICK_MS, (SYNC_TICKS + 1) * TICK_MS);
    assert_false(f.z.actions[find(&f, ZAB_DO_SERVE)].on);
    fini(&f);
}

static void test_E8_the_zxids_of_an_epoch_are_never_used_up(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    f.z.leader.next_zxid = zxid_make(5, ZXID_COUNTER_MAX);
    propose(&f, 1);
    assert_false(sends(&f, ZAB_PROPOSAL));
    assert_int_equal(find(&f, ZAB_DO_LOG_APPEND), -1);
    assert_int_equal(f.z.role, STATE_LOOKING);
    fini(&f);
}

static void test_S6_a_learner_gets_history_newleader_and_everything_after(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    lead_to_broadcast(&f);
    propose(&f, 1); /* outstanding */
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x40000000a);
    int diff = sent(&f, ZAB_DIFF, &p);
    assert_int_equal(p.zxid, 0x40000000a);
    int proposal = sent(&f, ZAB_PROPOSAL, &p);
    assert_int_equal(p.zxid, 0x500000001);
    assert_false(sends(&f, ZAB_COMMIT));
    int newleader = sent(&f, ZAB_NEWLEADER, &p);
    assert_true(diff >= 0);
    assert_true(diff < proposal);
    assert_true(proposal < newleader);
    propose(&f, 2);
    int copies = 0;
    for (int i = 0; i < f.z.action_count; i++) {
        copies += decode(&f, i, &p) && p.type == ZAB_PROPOSAL;
    }
    assert_int_equal(copies, 2);
    fini(&f);
}

/* 1 has logged and acked what is not committed, and comes again: it is cut back and sent the
 * proposal, since an Apache follower takes a COMMIT only for what it was proposed. Its old ack does
 * not count meanwhile. */
static void test_S6_what_is_outstanding_is_cut_off_and_proposed_again(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    lead_to_broadcast(&f);
    propose(&f, 1);
    receive_from(&f, -1, ZAB_ACK, 0x500000001, SLICE_NULL);
    join(&f, -3, 1, 5);
    ack_epoch(&f, -3, -1, 0x500000001);
    int cut = sent(&f, ZAB_TRUNC, &p);
    assert_true(cut >= 0);
    assert_int_equal(p.zxid, 0x40000000a);
    int proposal = sent(&f, ZAB_PROPOSAL, &p);
    assert_int_equal(p.zxid, 0x500000001);
    assert_true(cut < proposal);
    assert_true(proposal < sent(&f, ZAB_NEWLEADER, &p));
    log_synced(&f);
    assert_false(sends(&f, ZAB_COMMIT));
    receive_from(&f, -3, ZAB_ACK, zxid_make(5, 0), SLICE_NULL);
    assert_false(sends(&f, ZAB_COMMIT));
    receive_from(&f, -3, ZAB_ACK, 0x500000001, SLICE_NULL);
    assert_true(sends(&f, ZAB_COMMIT));
    assert_true(find(&f, ZAB_DO_DELIVER) >= 0);
    fini(&f);
}

/* 2 lacks more than is in memory. Nothing goes out before the disk has been asked; then all of it
 * in one step, the part from the disk in front. */
static void test_S6_S8_a_diff_from_disk_stands_in_front_of_the_rest(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    lead_to_broadcast(&f);
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x400000003);
    int asked = find(&f, ZAB_DO_LOG_FIND);
    assert_true(asked >= 0);
    assert_int_equal(f.z.actions[asked].zxid, 0x400000003);
    assert_int_equal(f.z.actions[asked].until_zxid, 0x40000000a); /* looked through so far */
    assert_false(sends(&f, ZAB_DIFF));
    propose(&f, 1);
    struct log_place place = { true, 0x400000003, 0x400000002, 10, 1000 };
    step(&f, (struct zab_event){ .type = ZAB_ON_LOG_FOUND, .log_found = { -2, &place } });
    int diff = sent(&f, ZAB_DIFF, &p);
    int log = find(&f, ZAB_DO_LOG_SEND);
    assert_true(diff >= 0);
    assert_true(diff < log);
    assert_int_equal(f.z.actions[log].zxid, 0x400000003);
    assert_int_equal(f.z.actions[log].until_zxid, 0x40000000a);
    assert_true(log < sent(&f, ZAB_PROPOSAL, &p));
    assert_int_equal(p.zxid, 0x500000001);
    assert_true(sends(&f, ZAB_NEWLEADER));
    assert_int_equal(f.z.history.log_from_zxid, 0x400000003);
    fini(&f);
}

static void test_S8_a_log_with_a_gap_costs_a_snap(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x400000003);
    struct log_place place = { .is_known = true };
    step(&f, (struct zab_event){ .type = ZAB_ON_LOG_FOUND, .log_found = { -2, &place } });
    assert_true(find(&f, ZAB_DO_SNAP_SEND) >= 0);
    fini(&f);
}

/* A file was purged meanwhile, or cannot be read: what was sent stands, so the link is no use. */
static void test_S8_a_diff_that_breaks_off_drops_the_learner(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x400000003);
    struct log_place place = { true, 0x400000003, 0x400000002, 10, 1000 };
    step(&f, (struct zab_event){ .type = ZAB_ON_LOG_FOUND, .log_found = { -2, &place } });
    step(&f, (struct zab_event){ .type = ZAB_ON_LOG_UNREADABLE, .link = -2 });
    assert_int_equal(f.z.actions[find(&f, ZAB_DO_CLOSE)].link, -2);
    assert_int_equal(f.z.history.log_from_zxid, 0x40000000a);
    assert_int_equal(f.z.role, STATE_LEADING);
    fini(&f);
}

static void test_E2_an_ack_before_that_of_newleader_does_not_count_yet(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    propose(&f, 1);
    log_synced(&f);
    step(&f, (struct zab_event){ .type = ZAB_ON_LINK_DOWN, .link = -1 });
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x40000000a);
    receive_from(&f, -2, ZAB_ACK, 0x500000001, SLICE_NULL); /* as Apache 3.8.0 does */
    assert_int_equal(find(&f, ZAB_DO_DELIVER), -1);
    receive_from(&f, -2, ZAB_ACK, zxid_make(5, 0), SLICE_NULL);
    assert_true(find(&f, ZAB_DO_DELIVER) >= 0);
    fini(&f);
}

/* A write of session 0x77 through the learner at this link. */
static void request_from(struct fixture *f, int64_t link, int32_t cxid)
{
    struct buf data = BUF_EMPTY;
    put_long(&data, 0x77);
    put_int(&data, cxid);
    put_int(&data, OP_DELETE);
    struct delete_request r = { slice_of_str("/none"), -1 };
    delete_request_encode(&data, &r);
    receive_from(f, link, ZAB_REQUEST, -1, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
}

/* The error of the txn that the last step proposes. */
static int32_t proposed_error(const struct fixture *f)
{
    struct quorum_packet p;
    struct txn txn;
    assert_true(sent(f, ZAB_PROPOSAL, &p) >= 0);
    assert_true(txn_decode(p.data.data, slice_size(p.data), &txn));
    assert_int_equal(txn.hdr.type, OP_ERROR);
    return txn.body.error.err;
}

static void test_W6_a_request_of_a_session_that_has_moved(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    join(&f, -2, 2, 4);
    ack_epoch(&f, -2, 4, 0x40000000a);
    receive_from(&f, -2, ZAB_ACK, zxid_make(5, 0), SLICE_NULL);
    session_add(&f.sessions, 0x77, 5000, f.now_ms);
    request_from(&f, -1, 1); /* after an election the first request says where it is */
    assert_int_equal(proposed_error(&f), ZK_NO_NODE);
    struct buf data = BUF_EMPTY;
    put_long(&data, 0x77);
    put_int(&data, 5000);
    receive_from(&f, -2, ZAB_REVALIDATE, -1, (struct slice){ data.data, (int32_t)data.len });
    buf_fini(&data);
    request_from(&f, -1, 2);
    assert_int_equal(proposed_error(&f), ZK_SESSION_MOVED);
    request_from(&f, -2, 3);
    assert_int_equal(proposed_error(&f), ZK_NO_NODE);
    fini(&f);
}

static void test_W3_the_answers_to_pings_keep_sessions_alive(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    session_add(&f.sessions, 0x77, 1000, f.now_ms);
    session_add(&f.sessions, 0x78, 1000, f.now_ms);
    struct buf touched = BUF_EMPTY;
    put_long(&touched, 0x77);
    put_int(&touched, 1000);
    for (int i = 0; i < 30; i++) {
        tick(&f, TICK_MS / 2);
        assert_true(sends(&f, ZAB_PING)); /* every half tick */
        receive_from(&f, -1, ZAB_PING, 0, (struct slice){ touched.data, (int32_t)touched.len });
    }
    struct session *expired = session_next_expired(&f.sessions, f.now_ms);
    assert_non_null(expired);
    assert_int_equal(expired->id, 0x78);
    assert_null(session_next_expired(&f.sessions, f.now_ms));
    buf_fini(&touched);
    fini(&f);
}

static void test_W3_a_follower_tells_each_session_that_was_active_once(void **state)
{
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    follow_to_sync(&f);
    receive(&f, ZAB_NEWLEADER, zxid_make(5, 0));
    receive(&f, ZAB_UPTODATE, -1);
    f.sessions.reports_touches = true;
    struct session *s = session_add(&f.sessions, 0x77, 5000, f.now_ms);
    session_touch(&f.sessions, s, f.now_ms);
    session_touch(&f.sessions, s, f.now_ms);
    receive(&f, ZAB_PING, 0);
    assert_true(sent(&f, ZAB_PING, &p) >= 0);
    assert_memory_equal(p.data.data, "\0\0\0\0\0\0\0\x77\0\0\x13\x88", 12);
    assert_int_equal(p.data.len, 12);
    receive(&f, ZAB_PING, 0);
    assert_true(sent(&f, ZAB_PING, &p) >= 0);
    assert_int_equal(p.data.len, 0);
    fini(&f);
}

static void test_a_sync_is_confirmed_by_a_quorum_after_it_came(void **state)
{
    (void)state;
    struct fixture f;
    lead_to_broadcast(&f);
    step(&f, (struct zab_event){ .type = ZAB_ON_SYNC, .sync = { 77, 1 } });
    assert_true(sends(&f, ZAB_PING));
    assert_int_equal(find(&f, ZAB_DO_DELIVER_SYNC), -1);
    /* One that comes now needs a round of its own: this answer may have left before. */
    step(&f, (struct zab_event){ .type = ZAB_ON_SYNC, .sync = { 77, 2 } });
    assert_false(sends(&f, ZAB_PING));
    receive_from(&f, -1, ZAB_PING, 0, SLICE_EMPTY);
    int first = find(&f, ZAB_DO_DELIVER_SYNC);
    assert_true(first >= 0);
    assert_int_equal(f.z.actions[first].cxid, 1);
    assert_true(sends(&f, ZAB_PING));
    receive_from(&f, -1, ZAB_PING, 0, SLICE_EMPTY);
    first = find(&f, ZAB_DO_DELIVER_SYNC);
    assert_true(first >= 0);
    assert_int_equal(f.z.actions[first].cxid, 2);
    fini(&f);
}

/* The answer of a sync stands between the commits of what was proposed before and after it came. */
static void test_a_sync_is_answered_before_later_proposals_are_committed(void **state)
{
    static const uint8_t sync[16] = { [11] = 3, [15] = OP_SYNC }; /* session, cxid, type */
    (void)state;
    struct fixture f;
    struct quorum_packet p;
    lead_to_broadcast(&f);
    propose(&f, 1);
    receive_from(&f, -1, ZAB_REQUEST, -1, (struct slice){ sync, sizeof(sync) });
    step(&f, (struct zab_event){ .type = ZAB_ON_SYNC, .sync = { 77, 4 } });
    propose(&f, 2);
    receive_from(&f, -1, ZAB_ACK, 0x500000001, SLICE_NULL);
    log_synced(&f);
    assert_true(sends(&f, ZAB_COMMIT));
    assert_false(sends(&f, ZAB_SYNC)); /* nobody has confirmed it yet */
    assert_int_equal(find(&f, ZAB_DO_DELIVER_SYNC), -1);
    receive_from(&f, -1, ZAB_ACK, 0x500000002, SLICE_NULL);
    int answer = sent(&f, ZAB_SYNC, &p);
    int commit = sent(&f, ZAB_COMMIT, &p);
    assert_true(answer >= 0);
    assert_int_equal(p.zxid, 0x500000002);
    assert_true(answer < commit);
    assert_true(find(&f, ZAB_DO_DELIVER_SYNC) >= 0); /* our own client's */
    fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_E1_accepted_epoch_is_durable_before_ackepoch),
        cmocka_unit_test(test_E1_an_epoch_accepted_before_does_not_count_again),
        cmocka_unit_test(test_E1_a_lower_epoch_is_refused),
        cmocka_unit_test(test_E1_the_leader_saves_the_epoch_before_it_tells),
        cmocka_unit_test(test_E1_a_leader_makes_way_for_an_epoch_above_its_own),
        cmocka_unit_test(test_S1_E2_history_durable_then_epoch_then_ack),
        cmocka_unit_test(test_E2_an_ack_before_that_of_newleader_does_not_count_yet),
        cmocka_unit_test(test_E5_a_leader_steps_aside_for_a_follower_that_is_ahead),
        cmocka_unit_test(test_E6_nothing_is_served_before_a_quorum_acked_newleader),
        cmocka_unit_test(test_E8_the_zxids_of_an_epoch_are_never_used_up),
        cmocka_unit_test(test_S2_the_first_ack_is_that_of_newleader),
        cmocka_unit_test(test_S3_a_commit_before_uptodate_finds_its_proposal),
        cmocka_unit_test(test_S4_a_gap_is_refused),
        cmocka_unit_test(test_S4_an_epoch_begins_with_1),
        cmocka_unit_test(test_S5_nothing_is_logged_or_acked_before_the_snapshot_is_durable),
        cmocka_unit_test(test_S5_S12_a_broken_snap_is_forgotten_by_reloading),
        cmocka_unit_test(test_S6_a_learner_gets_history_newleader_and_everything_after),
        cmocka_unit_test(test_S6_what_is_outstanding_is_cut_off_and_proposed_again),
        cmocka_unit_test(test_S6_S8_a_diff_from_disk_stands_in_front_of_the_rest),
        cmocka_unit_test(test_S8_a_log_with_a_gap_costs_a_snap),
        cmocka_unit_test(test_S8_a_diff_that_breaks_off_drops_the_learner),
        cmocka_unit_test(test_S7_a_duplicate_proposal_is_dropped),
        cmocka_unit_test(test_S10_a_cut_that_cannot_be_done_asks_for_snap),
        cmocka_unit_test(test_S10_nothing_is_logged_before_the_cut_is_done),
        cmocka_unit_test(test_S11_no_vote_before_the_log_has_settled),
        cmocka_unit_test(test_S13_nothing_is_applied_that_the_own_log_lacks),
        cmocka_unit_test(test_S14_a_tree_that_differs_is_replaced),
        cmocka_unit_test(test_W3_the_answers_to_pings_keep_sessions_alive),
        cmocka_unit_test(test_W3_a_follower_tells_each_session_that_was_active_once),
        cmocka_unit_test(test_W6_a_request_of_a_session_that_has_moved),
        cmocka_unit_test(test_a_leader_gives_way_within_sync_limit),
        cmocka_unit_test(test_a_deaf_server_is_given_up_within_sync_limit),
        cmocka_unit_test(test_a_sync_waits_for_what_was_committed_before_its_answer),
        cmocka_unit_test(test_a_sync_is_confirmed_by_a_quorum_after_it_came),
        cmocka_unit_test(test_a_sync_is_answered_before_later_proposals_are_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
