/* SPDX-License-Identifier: Apache-2.0 */
/* Container and TTL nodes: how they are made, and how the leader deletes them. */
#include "tests/unit/peer_world.h"

#include "server/tree/containers.h"

static void world_init_reaping(struct world *w, int32_t max_per_minute, int64_t never_used_ms_max)
{
    struct peer_config config = world_config();
    config.reaper = (struct reaper_config){ 60000, max_per_minute, never_used_ms_max };
    world_init_with(w, &config);
}

static void send_container(struct world *w, struct client *c, int32_t xid, const char *path)
{
    struct create_request r = { slice_of_str(path), SLICE_NULL, acl_open(), CREATE_CONTAINER };
    begin(w, xid, OP_CREATE_CONTAINER);
    create_request_encode(&w->frame, &r);
    send_frame(w, c);
    sync_log(w);
}

static void send_ttl(struct world *w, struct client *c, int32_t xid, const char *path, int flags,
                     int64_t ttl_ms)
{
    struct create_ttl_request r = { slice_of_str(path), slice_of_str("t"), acl_open(), flags, ttl_ms };
    begin(w, xid, OP_CREATE_TTL);
    create_ttl_request_encode(&w->frame, &r);
    send_frame(w, c);
    sync_log(w);
}

static void send_delete(struct world *w, struct client *c, int32_t xid, const char *path)
{
    struct delete_request r = { slice_of_str(path), -1 };
    begin(w, xid, OP_DELETE);
    delete_request_encode(&w->frame, &r);
    send_frame(w, c);
    sync_log(w);
}

static bool exists(const struct world *w, const char *path)
{
    return data_tree_find(w->tree, slice_of_str(path)) != NULL;
}

/* All slices of the next round, in time. */
static void reap_once(struct world *w)
{
    tick(w, w->peer->reaper.next_ms - w->now_ms);
    sync_log(w);
    while (w->peer->reaper.left > 0) {
        tick(w, w->peer->reaper.next_ms - w->now_ms);
        sync_log(w);
    }
}

static void test_container_goes_with_its_last_child_and_not_before_its_first(void **state)
{
    (void)state;
    struct world w;
    world_init_reaping(&w, 10000, 0);
    struct client *c = connected(&w);
    send_container(&w, c, 1, "/c");
    expect_reply(c, 1, 0);
    send_container(&w, c, 2, "/never");
    send_create(&w, c, 3, "/c/x", 0);
    sync_log(&w);
    buf_reset(&c->out);
    reap_once(&w);
    assert_true(exists(&w, "/c"));
    send_delete(&w, c, 4, "/c/x");
    send_read(&w, c, 5, OP_EXISTS, "/c", true);
    buf_reset(&c->out);
    reap_once(&w);
    assert_false(exists(&w, "/c"));
    assert_true(exists(&w, "/never"));
    expect_event(c, EVENT_NODE_DELETED, "/c");
    assert_int_equal(w.tree->containers_count, 1);
    assert_int_equal(w.peer->stats.reaped, 1);
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_container_never_used_goes_when_it_is_old_enough(void **state)
{
    (void)state;
    struct world w;
    world_init_reaping(&w, 10000, 100000);
    struct client *c = connected(&w);
    send_container(&w, c, 1, "/never");
    reap_once(&w);
    assert_true(exists(&w, "/never"));
    reap_once(&w);
    assert_false(exists(&w, "/never"));
    close_conn(&w, c);
    world_fini(&w);
}

static void test_ttl_counts_from_the_last_write_and_waits_for_children(void **state)
{
    (void)state;
    struct world w;
    world_init_reaping(&w, 10000, 0);
    struct client *c = connected(&w);
    send_ttl(&w, c, 1, "/idle", CREATE_TTL, 50000);
    send_ttl(&w, c, 2, "/busy", CREATE_TTL, 50000);
    send_ttl(&w, c, 3, "/parent", CREATE_TTL, 50000);
    send_ttl(&w, c, 4, "/s-", CREATE_TTL_SEQUENTIAL, 200000);
    send_create(&w, c, 5, "/parent/x", 0);
    tick(&w, 30000);
    send_set(&w, c, 6, "/busy", "again");
    sync_log(&w);
    reap_once(&w);
    assert_false(exists(&w, "/idle"));
    assert_true(exists(&w, "/busy"));
    assert_true(exists(&w, "/parent"));
    assert_true(exists(&w, "/s-0000000003"));
    reap_once(&w);
    assert_false(exists(&w, "/busy"));
    assert_int_equal(w.peer->stats.digest_mismatches, 0);
    close_conn(&w, c);
    world_fini(&w);
}

/* The write stands in the log before the delete does, though neither is in the tree yet. */
static void test_write_under_way_saves_a_node_whose_time_was_over(void **state)
{
    (void)state;
    struct world w;
    world_init_reaping(&w, 10000, 0);
    struct client *c = connected(&w);
    send_ttl(&w, c, 1, "/ttl", CREATE_TTL, 1000);
    send_container(&w, c, 2, "/c");
    send_create(&w, c, 3, "/c/x", 0);
    sync_log(&w);
    send_delete(&w, c, 4, "/c/x");
    tick(&w, 59990);
    send_set(&w, c, 5, "/ttl", "again");
    send_create(&w, c, 6, "/c/y", 0);
    tick(&w, 10);
    assert_int_equal(w.peer->stats.reaped, 2);
    sync_log(&w);
    assert_true(exists(&w, "/ttl"));
    assert_true(exists(&w, "/c/y"));
    close_conn(&w, c);
    world_fini(&w);
}

static void test_no_more_are_deleted_than_max_per_minute(void **state)
{
    (void)state;
    struct world w;
    world_init_reaping(&w, 60, 0);
    struct client *c = connected(&w);
    for (int i = 0; i < 20; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/n%d", i);
        send_ttl(&w, c, i, path, CREATE_TTL, 1);
    }
    tick(&w, 60000);
    for (int second = 1; second < 10; second++) {
        assert_int_equal(w.peer->stats.reaped, second);
        tick(&w, 999);
        assert_int_equal(w.peer->stats.reaped, second);
        tick(&w, 1);
    }
    sync_log(&w);
    assert_int_equal(w.tree->containers_count, 10);
    close_conn(&w, c);
    world_fini(&w);
}

static void test_ttl_that_does_not_go_with_its_flags_is_refused(void **state)
{
    (void)state;
    static const struct {
        int flags;
        int64_t ttl_ms;
        int32_t err;
    } cases[] = {
        { CREATE_TTL, 1, ZK_OK },
        { CREATE_TTL_SEQUENTIAL, TTL_MS_MAX, ZK_OK },
        { CREATE_TTL, TTL_MS_MAX + 1, ZK_BAD_ARGUMENTS },
        { CREATE_TTL, 0, ZK_BAD_ARGUMENTS },
        { CREATE_TTL, -1, ZK_BAD_ARGUMENTS },
        { CREATE_PERSISTENT, 5, ZK_BAD_ARGUMENTS },
        { CREATE_PERSISTENT, -1, ZK_BAD_ARGUMENTS },
        { 7, 5, ZK_BAD_ARGUMENTS },
    };
    struct world w;
    world_init(&w);
    struct client *c = connected(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[16];
        snprintf(path, sizeof(path), "/n%zu", i);
        send_ttl(&w, c, (int32_t)i, path, cases[i].flags, cases[i].ttl_ms);
        expect_reply(c, (int32_t)i, cases[i].err);
    }
    w.tree->extended_types = false;
    send_ttl(&w, c, 100, "/off", CREATE_TTL, 5);
    expect_reply(c, 100, ZK_UNIMPLEMENTED);
    w.tree->extended_types = true;
    close_conn(&w, c);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container_goes_with_its_last_child_and_not_before_its_first),
        cmocka_unit_test(test_container_never_used_goes_when_it_is_old_enough),
        cmocka_unit_test(test_ttl_counts_from_the_last_write_and_waits_for_children),
        cmocka_unit_test(test_write_under_way_saves_a_node_whose_time_was_over),
        cmocka_unit_test(test_no_more_are_deleted_than_max_per_minute),
        cmocka_unit_test(test_ttl_that_does_not_go_with_its_flags_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
