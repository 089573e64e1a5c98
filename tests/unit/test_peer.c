/* SPDX-License-Identifier: Apache-2.0 */
/* The core through its one door: events in, bytes and log entries out. */
#include "tests/unit/peer_world.h"

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_L1_no_answer_before_the_log_is_durable(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    send_create(&w, c, 1, "/a", 0);
    expect_silence(c);
    assert_true(w.peer->actions.log_batch.len > 0);
    assert_null(data_tree_find(w.tree, slice_of_str("/a")));
    sync_log(&w);
    expect_reply(c, 1, 0);
    assert_non_null(data_tree_find(w.tree, slice_of_str("/a")));
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_W11_read_waits_for_own_writes_only(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *a = connected(&w);
    struct client *b = connected(&w);
    send_create(&w, a, 1, "/a", 0);
    send_read(&w, a, 2, OP_GET_DATA, "/a", false);
    send_set(&w, a, 3, "/a", "second");
    send_read(&w, a, 4, OP_GET_DATA, "/a", false);
    send_read(&w, b, 1, OP_EXISTS, "/a", false);
    expect_silence(a);
    expect_reply(b, 1, ZK_NO_NODE);
    sync_log(&w);
    expect_reply(a, 1, 0);
    expect_data(a, 2, "data");
    expect_reply(a, 3, 0);
    expect_data(a, 4, "second");
    expect_silence(a);
    close_conn(&w, a);
    close_conn(&w, b);
    world_fini(&w);
}

static void test_requests_before_the_session_is_settled_are_held(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = peer_client_open(w.peer, NULL, "127.0.0.1");
    struct path_request sync = { slice_of_str("/") };
    send_connect(&w, c, 0, SLICE_NULL, 0);
    send_read(&w, c, 1, OP_EXISTS, "/a", false);
    begin(&w, 2, OP_SYNC);
    path_request_encode(&w.frame, &sync);
    send_frame(&w, c);
    send_create(&w, c, 3, "/a", 0);
    send_read(&w, c, 4, OP_GET_DATA, "/a", false);
    sync_log(&w);
    /* The connect response has no reply header. */
    assert_true(buf_readable(&c->out) > 41);
    c->out.head += 41;
    expect_reply(c, 1, ZK_NO_NODE);
    expect_reply(c, 2, 0);
    expect_silence(c);
    sync_log(&w);
    expect_reply(c, 3, 0);
    expect_data(c, 4, "data");
    close_conn(&w, c);
    world_fini(&w);
}

static void test_W7_event_comes_before_the_reply_that_caused_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *a = connected(&w);
    struct client *b = connected(&w);
    send_create(&w, a, 1, "/a", 0);
    sync_log(&w);
    buf_reset(&a->out);
    send_read(&w, a, 2, OP_GET_DATA, "/a", true);
    send_read(&w, b, 1, OP_GET_DATA, "/a", true);
    send_read(&w, b, 2, OP_GET_DATA, "/a", true);
    buf_reset(&a->out);
    buf_reset(&b->out);
    send_set(&w, a, 3, "/a", "new");
    sync_log(&w);
    send_read(&w, b, 3, OP_GET_DATA, "/a", false);
    expect_event(a, EVENT_NODE_DATA_CHANGED, "/a");
    expect_reply(a, 3, 0);
    expect_event(b, EVENT_NODE_DATA_CHANGED, "/a");
    expect_data(b, 3, "new");
    expect_silence(b);
    assert_int_equal(w.peer->watches.by_key.count, 0);
    close_conn(&w, a);
    close_conn(&w, b);
    world_fini(&w);
}

static void test_W4_resume_with_password_refuse_without(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *a = connected(&w);
    int64_t id = a->session_id;
    uint8_t passwd[SESSION_PASSWD_BYTES];
    session_password(id, passwd);
    struct client *thief = peer_client_open(w.peer, NULL, "127.0.0.1");
    send_connect(&w, thief, id, (struct slice){ (const uint8_t *)"0123456789abcdef", 16 }, 0);
    assert_int_equal(thief->state, CLIENT_CLOSING);
    assert_int_equal(a->state, CLIENT_READY);
    struct client *b = peer_client_open(w.peer, NULL, "127.0.0.1");
    send_connect(&w, b, id, (struct slice){ passwd, sizeof(passwd) }, 0);
    assert_int_equal(b->state, CLIENT_READY);
    assert_int_equal(a->state, CLIENT_CLOSING);
    struct client *stranger = peer_client_open(w.peer, NULL, "127.0.0.1");
    session_password(id + 77, passwd);
    send_connect(&w, stranger, id + 77, (struct slice){ passwd, sizeof(passwd) }, 0);
    assert_int_equal(stranger->state, CLIENT_CLOSING);
    assert_int_equal(session_count(&w.peer->sessions), 1);
    close_conn(&w, a);
    close_conn(&w, b);
    close_conn(&w, thief);
    close_conn(&w, stranger);
    world_fini(&w);
}

static void test_W5_client_from_the_future_is_closed_without_a_reply(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = peer_client_open(w.peer, NULL, "127.0.0.1");
    send_connect(&w, c, 0, SLICE_NULL, 1000);
    assert_int_equal(c->state, CLIENT_CLOSING);
    expect_silence(c);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_W1_close_session_takes_pending_ephemerals(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    send_create(&w, c, 1, "/old", CREATE_EPHEMERAL);
    sync_log(&w);
    send_create(&w, c, 2, "/new", CREATE_EPHEMERAL);
    begin(&w, 3, OP_CLOSE_SESSION);
    send_frame(&w, c);
    send_create(&w, c, 4, "/late", CREATE_EPHEMERAL);
    buf_reset(&c->out);
    sync_log(&w);
    expect_reply(c, 2, 0);
    expect_reply(c, 3, 0);
    assert_int_equal(c->state, CLIENT_CLOSING);
    assert_int_equal(w.tree->ephemerals_count, 0);
    assert_null(data_tree_find(w.tree, slice_of_str("/late")));
    assert_int_equal(session_count(&w.peer->sessions), 0);
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_W9_watches_go_with_their_connection_and_the_counts_with_them(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *a = connected(&w);
    struct client *b = connected(&w);
    send_create(&w, a, 1, "/a", 0);
    sync_log(&w);
    send_read(&w, a, 2, OP_GET_DATA, "/a", true);
    send_read(&w, a, 3, OP_EXISTS, "/none", true);
    send_read(&w, a, 4, OP_GET_CHILDREN, "/", true);
    send_read(&w, b, 1, OP_GET_DATA, "/a", true);
    const struct watch_table *table = &w.peer->watches;
    assert_int_equal(table->data_count, 3);
    assert_int_equal(table->child_count, 1);
    close_conn(&w, a);
    assert_int_equal(table->data_count, 1);
    assert_int_equal(table->child_count, 0);
    assert_int_equal(table->data_paths, 1);
    assert_int_equal(table->data_watchers, 1);
    begin(&w, 2, OP_CLOSE_SESSION);
    send_frame(&w, b);
    sync_log(&w);
    assert_int_equal(table->data_count, 0);
    assert_int_equal(table->data_watchers, 0);
    close_conn(&w, b);
    world_fini(&w);
}

/* Equal states give equal snapshots: no order of a hash table in a file. */
static void test_sessions_are_written_in_order_of_id(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (int64_t i = 0; i < 500; i++) {
        peer_restore_session(w.peer, i * 7919 % 500 + 1, 10000 + (int32_t)i, w.now_ms);
    }
    struct buf out = BUF_EMPTY;
    struct wire r;
    peer_encode_sessions(w.peer, &out);
    wire_init(&r, buf_head(&out), buf_readable(&out));
    assert_int_equal(wire_int(&r), 500);
    for (int64_t id = 1; id <= 500; id++) {
        assert_int_equal(wire_long(&r), id);
        assert_in_range(wire_int(&r), 10000, 10499);
    }
    assert_true(wire_ok(&r));
    assert_int_equal(wire_left(&r), 0);
    buf_fini(&out);
    world_fini(&w);
}

/* More ephemerals than a txn can list: all of them go, and every peer can read the txn. */
static void test_L11_close_session_with_too_many_ephemerals_to_list(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    char path[150];
    for (int i = 0; i < COUNT; i++) {
        snprintf(path, sizeof(path), "/%0130d", i);
        send_create(&w, c, i, path, CREATE_EPHEMERAL);
        if (i % 100 == 0) {
            sync_log(&w);
        }
    }
    sync_log(&w);
    assert_int_equal(w.tree->ephemerals_count, COUNT);
    buf_reset(&c->out);
    begin(&w, COUNT, OP_CLOSE_SESSION);
    send_frame(&w, c);
    struct log_entry_head head;
    assert_true(w.peer->actions.log_batch.len > sizeof(head));
    memcpy(&head, buf_head(&w.peer->actions.log_batch), sizeof(head));
    assert_in_range(head.len, 2 * 0xfffff - 300, 2 * 0xfffff);
    sync_log(&w);
    expect_reply(c, COUNT, 0);
    assert_int_equal(w.tree->ephemerals_count, 0);
    assert_int_equal(session_count(&w.peer->sessions), 0);
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_expiry_deletes_ephemerals_then_closes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    struct client *other = connected(&w);
    send_create(&w, c, 1, "/e", CREATE_EPHEMERAL);
    sync_log(&w);
    send_read(&w, other, 1, OP_EXISTS, "/e", true);
    buf_reset(&other->out);
    for (int i = 0; i < 4; i++) {
        tick(&w, 2000);
        begin(&w, XID_PING, OP_PING);
        send_frame(&w, other);
        assert_int_equal(c->state, CLIENT_READY);
    }
    tick(&w, 2000);
    tick(&w, 2000);
    sync_log(&w);
    assert_int_equal(c->state, CLIENT_CLOSING);
    assert_int_equal(other->state, CLIENT_READY);
    assert_null(data_tree_find(w.tree, slice_of_str("/e")));
    for (int i = 0; i < 4; i++) {
        expect_reply(other, XID_PING, 0);
    }
    expect_event(other, EVENT_NODE_DELETED, "/e");
    assert_int_equal(w.peer->stats.expired_sessions, 1);
    close_conn(&w, c);
    close_conn(&w, other);
    world_fini(&w);
}

static void put_multi_op(struct world *w, int32_t type)
{
    struct multi_header h = { type, false, -1 };
    multi_header_encode(&w->frame, &h);
}

static void test_failed_multi_changes_nothing_and_says_which(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    struct create_request good = { slice_of_str("/m"), SLICE_EMPTY, acl_open(), 0 };
    struct delete_request bad = { slice_of_str("/none"), -1 };
    struct multi_header end = { -1, true, -1 };
    begin(&w, 1, OP_MULTI);
    put_multi_op(&w, OP_CREATE);
    create_request_encode(&w.frame, &good);
    put_multi_op(&w, OP_DELETE);
    delete_request_encode(&w.frame, &bad);
    put_multi_op(&w, OP_CREATE);
    create_request_encode(&w.frame, &good);
    multi_header_encode(&w.frame, &end);
    send_frame(&w, c);
    send_create(&w, c, 2, "/m", 0); /* prepared while the multi is pending: it must not see /m */
    sync_log(&w);
    struct reply_header h;
    struct wire r = next_reply(c, &h);
    assert_int_equal(h.err, 0);
    static const int32_t codes[] = { 0, ZK_NO_NODE, ZK_RUNTIME_INCONSISTENCY };
    for (int i = 0; i < 3; i++) {
        struct multi_header sub;
        assert_true(multi_header_decode(&r, &sub));
        assert_int_equal(sub.type, -1);
        assert_int_equal(sub.err, codes[i]);
        assert_int_equal(wire_int(&r), codes[i]);
    }
    expect_reply(c, 2, 0);
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_W2_sequence_counts_pending_creates(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    send_create(&w, c, 1, "/q", 0);
    for (int i = 0; i < 3; i++) {
        send_create(&w, c, 2 + i, "/q/n-", CREATE_SEQUENTIAL);
    }
    sync_log(&w);
    assert_non_null(data_tree_find(w.tree, slice_of_str("/q/n-0000000000")));
    assert_non_null(data_tree_find(w.tree, slice_of_str("/q/n-0000000002")));
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_unknown_opcode_is_unimplemented_and_the_connection_stays(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    static const int32_t unknown[] = { 0, 13, 500, OP_CREATE_SESSION, OP_DELETE_CONTAINER, 999 };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        begin(&w, 7, unknown[i]);
        send_frame(&w, c);
        expect_reply(c, 7, ZK_UNIMPLEMENTED);
    }
    begin(&w, 8, OP_GET_DATA); /* no body */
    send_frame(&w, c);
    expect_reply(c, 8, ZK_MARSHALLING_ERROR);
    assert_int_equal(c->state, CLIENT_READY);
    close_conn(&w, c);
    world_fini(&w);
}

static void send_large(struct world *w, struct client *c, int32_t xid)
{
    static const uint8_t data[400];
    struct set_data_request r = { slice_of_str("/a"), { data, sizeof(data) }, -1 };
    begin(w, xid, OP_SET_DATA);
    set_data_request_encode(&w->frame, &r);
    send_frame(w, c);
}

static void test_large_requests_in_process_are_limited(void **state)
{
    (void)state;
    struct world w;
    struct peer_config config = world_config();
    config.large_request_bytes = 100;
    config.large_requests_max = 1000;
    world_init_with(&w, &config);
    struct client *c = connected(&w);
    struct client *other = connected(&w);
    send_create(&w, c, 1, "/a", 0);
    send_large(&w, c, 2);
    send_large(&w, c, 3);
    assert_int_equal(c->state, CLIENT_READY);
    assert_true(w.peer->large_bytes > 800 && w.peer->large_bytes < 1000);
    send_large(&w, c, 4);
    assert_int_equal(c->state, CLIENT_CLOSING);
    send_create(&w, other, 1, "/small", 0);
    close_conn(&w, c);
    assert_int_equal(w.peer->large_bytes, 0);
    send_large(&w, other, 2);
    sync_log(&w);
    expect_reply(other, 1, 0);
    expect_reply(other, 2, 0);
    assert_int_equal(w.peer->large_bytes, 0);
    close_conn(&w, other);
    world_fini(&w);
}

static void test_oversized_request_is_answered_in_its_turn(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    send_create(&w, c, 1, "/a", 0);
    step(&w, (struct peer_event){ .type = PEER_CLIENT_OVERSIZED, .oversized = { c, 2 } });
    send_read(&w, c, 3, OP_EXISTS, "/a", false);
    expect_silence(c);
    sync_log(&w);
    expect_reply(c, 1, 0);
    expect_reply(c, 2, ZK_MARSHALLING_ERROR);
    expect_reply(c, 3, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_enforced_identity_comes_before_everything(void **state)
{
    (void)state;
    struct world w;
    struct peer_config config = world_config();
    struct buf schemes = BUF_EMPTY;
    put_slice(&schemes, slice_of_str("digest"));
    config.enforced_schemes = (struct vec){ 1, { schemes.data, (int32_t)schemes.len } };
    world_init_with(&w, &config);
    struct client *stranger = connected(&w);
    struct client *known = connected(&w);
    struct buf ids = BUF_EMPTY;
    id_encode(&ids, &(struct id){ slice_of_str("digest"), slice_of_str("bob:x") });
    step(&w, (struct peer_event){
                 .type = PEER_CLIENT_AUTH,
                 .auth = { known, -4, true, { 1, { ids.data, (int32_t)ids.len } } } });
    expect_reply(known, -4, 0);
    send_read(&w, known, 1, OP_EXISTS, "/", false);
    expect_reply(known, 1, 0);
    send_read(&w, stranger, 1, OP_EXISTS, "/", false);
    expect_reply(stranger, 1, ZK_SESSION_CLOSED_REQUIRES_AUTH);
    assert_int_equal(stranger->state, CLIENT_CLOSING);
    close_conn(&w, stranger);
    close_conn(&w, known);
    buf_fini(&ids);
    world_fini(&w);
    buf_fini(&schemes);
}

static void test_session_password_is_the_shared_one(void **state)
{
    (void)state;
    static const uint8_t expected[] = { 0xae, 0x63, 0x2a, 0x7e, 0xa3, 0xf6, 0x97, 0x62,
                                        0x3c, 0x41, 0x8f, 0xe2, 0x24, 0xf7, 0x8c, 0xec };
    uint8_t passwd[SESSION_PASSWD_BYTES];
    session_password(0x01000013ae740000, passwd);
    assert_memory_equal(passwd, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_L1_no_answer_before_the_log_is_durable),
        cmocka_unit_test(test_W11_read_waits_for_own_writes_only),
        cmocka_unit_test(test_requests_before_the_session_is_settled_are_held),
        cmocka_unit_test(test_W7_event_comes_before_the_reply_that_caused_it),
        cmocka_unit_test(test_W4_resume_with_password_refuse_without),
        cmocka_unit_test(test_W5_client_from_the_future_is_closed_without_a_reply),
        cmocka_unit_test(test_W1_close_session_takes_pending_ephemerals),
        cmocka_unit_test(test_W9_watches_go_with_their_connection_and_the_counts_with_them),
        cmocka_unit_test(test_sessions_are_written_in_order_of_id),
        cmocka_unit_test(test_L11_close_session_with_too_many_ephemerals_to_list),
        cmocka_unit_test(test_expiry_deletes_ephemerals_then_closes),
        cmocka_unit_test(test_failed_multi_changes_nothing_and_says_which),
        cmocka_unit_test(test_W2_sequence_counts_pending_creates),
        cmocka_unit_test(test_unknown_opcode_is_unimplemented_and_the_connection_stays),
        cmocka_unit_test(test_large_requests_in_process_are_limited),
        cmocka_unit_test(test_oversized_request_is_answered_in_its_turn),
        cmocka_unit_test(test_enforced_identity_comes_before_everything),
        cmocka_unit_test(test_session_password_is_the_shared_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
