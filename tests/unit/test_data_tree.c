/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/prng.h"
#include "server/tree/data_tree.h"
#include "server/tree/image.h"

static struct data_tree *new_tree(void)
{
    struct data_tree_config config = { .hash_seed = 42, .extended_types = true };
    return data_tree_new(&config);
}

static struct txn create_txn(int64_t zxid, const char *path, const char *data, int32_t cversion)
{
    struct txn txn = { .hdr = { .session_id = 7, .zxid = zxid, .time_ms = 1000 + zxid,
                                .type = OP_CREATE } };
    txn.body.create = (struct create_txn){ slice_of_str(path), slice_of_str(data), acl_open(), false,
                                           cversion };
    return txn;
}

static struct txn delete_txn(int64_t zxid, const char *path)
{
    struct txn txn = { .hdr = { .zxid = zxid, .type = OP_DELETE } };
    txn.body.delete.path = slice_of_str(path);
    return txn;
}

static struct txn set_txn(int64_t zxid, const char *path, const char *data, int32_t version)
{
    struct txn txn = { .hdr = { .zxid = zxid, .time_ms = 1000 + zxid, .type = OP_SET_DATA } };
    txn.body.set_data = (struct set_data_txn){ slice_of_str(path), slice_of_str(data), version };
    return txn;
}

static enum zk_err apply(struct data_tree *t, struct txn txn)
{
    struct apply_result r = { .subs = NULL };
    data_tree_apply(t, &txn, &r);
    enum zk_err err = r.top.err;
    apply_result_fini(&r);
    return err;
}

static struct znode_stat stat_of(struct data_tree *t, const char *path)
{
    struct znode *n = data_tree_find(t, slice_of_str(path));
    assert_non_null(n);
    return data_tree_stat(t, n);
}

static void test_empty_tree_digest_is_apaches(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    assert_int_equal(t->digest, 1371985504);
    struct znode_stat root = stat_of(t, "/");
    assert_int_equal(root.cversion, -1);
    assert_int_equal(root.num_children, 1);
    data_tree_free(t);
}

static void test_stat_arithmetic(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    assert_int_equal(apply(t, create_txn(1, "/a", "x", 1)), ZK_OK);
    assert_int_equal(apply(t, create_txn(2, "/a/b", NULL, 1)), ZK_OK);
    assert_int_equal(apply(t, create_txn(3, "/a/c", "", 2)), ZK_OK);
    assert_int_equal(stat_of(t, "/a").cversion, 2);
    assert_int_equal(apply(t, delete_txn(4, "/a/b")), ZK_OK);
    struct znode_stat a = stat_of(t, "/a");
    assert_int_equal(a.cversion, 3);
    assert_int_equal(a.pzxid, 4);
    assert_int_equal(a.mzxid, 1);
    assert_int_equal(a.num_children, 1);
    assert_int_equal(apply(t, set_txn(5, "/a/c", "12345", 1)), ZK_OK);
    struct znode_stat c = stat_of(t, "/a/c");
    assert_int_equal(c.version, 1);
    assert_int_equal(c.data_length, 5);
    assert_int_equal(c.mzxid, 5);
    assert_int_equal(stat_of(t, "/a").pzxid, 4);
    assert_int_equal(t->last_zxid, 5);
    data_tree_free(t);
}

static void test_null_data_is_not_empty_data(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    apply(t, create_txn(1, "/null", NULL, 1));
    apply(t, create_txn(2, "/empty", "", 2));
    assert_true(slice_is_null(znode_data(data_tree_find(t, slice_of_str("/null")))));
    assert_int_equal(znode_data(data_tree_find(t, slice_of_str("/empty"))).len, 0);
    data_tree_free(t);
}

static void test_replay_over_a_newer_tree_changes_nothing_but_the_parent(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    apply(t, create_txn(1, "/a", "x", 1));
    struct persisted_stat newer = data_tree_find(t, slice_of_str("/a"))->stat;
    assert_int_equal(apply(t, create_txn(2, "/a", "older", 9)), ZK_NODE_EXISTS);
    struct znode *a = data_tree_find(t, slice_of_str("/a"));
    assert_memory_equal(&a->stat, &newer, sizeof(newer));
    assert_int_equal(a->data_len, 1);
    assert_int_equal(t->root->stat.cversion, 9);
    assert_int_equal(t->root->stat.pzxid, 2);
    assert_int_equal(apply(t, delete_txn(3, "/gone")), ZK_NO_NODE);
    assert_int_equal(t->root->stat.pzxid, 3);
    data_tree_free(t);
}

/* ---- the image -------------------------------------------------------------------------------------- */

/* Reads an image back into a fresh tree. */
static struct data_tree *tree_of_image(const struct buf *bytes, int64_t zxid)
{
    struct data_tree *t = new_tree();
    data_tree_clear(t);
    struct wire w;
    wire_init(&w, bytes->data, bytes->len);
    int32_t acl_count = wire_int(&w);
    for (int32_t i = 0; i < acl_count; i++) {
        struct acl_map_entry entry;
        assert_true(acl_map_entry_decode(&w, &entry));
        assert_true(data_tree_load_acl(t, entry.acl_id, entry.acl));
    }
    for (;;) {
        struct slice path = wire_slice(&w);
        assert_true(wire_ok(&w));
        if (slice_eq_str(path, "/")) {
            break;
        }
        struct slice data = wire_slice(&w);
        int64_t acl_id = wire_long(&w);
        struct persisted_stat stat;
        assert_true(persisted_stat_decode(&w, &stat));
        assert_true(data_tree_load_node(t, path, data, acl_id, &stat));
    }
    assert_int_equal(wire_left(&w), 0);
    assert_true(data_tree_load_done(t, zxid));
    return t;
}

/* A random txn over a small set of paths; invalid ones are harmless. */
static void random_change(struct data_tree *t, struct prng *rng)
{
    static const char *const paths[] = { "/a", "/a/b", "/a/b/c", "/d", "/d/e", "/d/f", "/d/f/g" };
    const char *path = paths[prng_below(rng, 7)];
    int64_t zxid = t->last_zxid + 1;
    switch (prng_below(rng, 3)) {
    case 0:
        apply(t, create_txn(zxid, path, "new", -1));
        break;
    case 1:
        apply(t, delete_txn(zxid, path));
        break;
    default:
        apply(t, set_txn(zxid, path, "changed data", (int32_t)zxid));
        break;
    }
}

/* L6: whatever happens while the image is written, it shows the tree of its beginning. */
static void test_L6_image_is_a_point_in_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng rng;
        prng_init(&rng, seed);
        struct data_tree *t = new_tree();
        for (int i = 0; i < 30; i++) {
            random_change(t, &rng);
        }
        uint64_t digest = t->digest;
        int64_t count = data_tree_count(t);
        struct tree_image im;
        tree_image_begin(&im, t);
        while (!tree_image_step(&im, 1)) {
            for (uint64_t n = prng_below(&rng, 4); n > 0; n--) {
                random_change(t, &rng);
            }
        }
        assert_int_equal(im.digest, digest);
        struct data_tree *copy = tree_of_image(&im.out, im.zxid);
        assert_int_equal(copy->digest, digest);
        assert_int_equal(data_tree_count(copy), count);
        assert_int_equal(im.node_count, count);
        tree_image_end(&im);
        data_tree_free(copy);
        data_tree_free(t);
    }
}

static void test_closing_a_session_takes_its_ephemerals(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    struct txn txn = create_txn(1, "/e", "", 1);
    txn.body.create.ephemeral = true;
    apply(t, txn);
    assert_int_equal(stat_of(t, "/e").ephemeral_owner, 7);
    struct txn close = { .hdr = { .session_id = 7, .zxid = 2, .type = OP_CLOSE_SESSION } };
    close.body.close_session.paths = VEC_NULL;
    apply(t, close);
    assert_null(data_tree_find(t, slice_of_str("/e")));
    assert_int_equal(t->ephemerals_count, 0);
    assert_int_equal(t->root->stat.pzxid, 2);
    data_tree_free(t);
}

struct seen {
    const struct data_tree *tree;
    int64_t zxid; /* of the tree when the last change was told */
    int count;
};

static void on_changed(void *arg, const struct tree_change *change)
{
    struct seen *seen = arg;
    (void)change;
    seen->zxid = seen->tree->last_zxid;
    seen->count++;
}

/* While only some of its ops are applied, nobody takes the tree for one that has the txn. */
static void test_L7_the_zxid_moves_after_all_ops_of_a_multi(void **state)
{
    (void)state;
    struct data_tree *t = new_tree();
    struct seen seen = { .tree = t };
    struct buf subs = BUF_EMPTY;
    struct buf body = BUF_EMPTY;
    static const char *const paths[] = { "/a", "/b", "/c" };
    apply(t, create_txn(4, "/before", "", 1));
    for (int i = 0; i < 3; i++) {
        struct txn op = create_txn(5, paths[i], "", 2 + i);
        buf_reset(&body);
        txn_body_encode(&body, OP_CREATE, &op.body);
        sub_txn_encode(&subs,
                       &(struct sub_txn){ OP_CREATE, { body.data, (int32_t)body.len } });
    }
    t->observer = (struct tree_observer){ on_changed, &seen };
    struct txn multi = { .hdr = { .zxid = 5, .type = OP_MULTI } };
    multi.body.multi.txns = (struct vec){ 3, { subs.data, (int32_t)subs.len } };
    apply(t, multi);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.zxid, 4);
    assert_int_equal(t->last_zxid, 5);
    buf_fini(&subs);
    buf_fini(&body);
    data_tree_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_tree_digest_is_apaches),
        cmocka_unit_test(test_stat_arithmetic),
        cmocka_unit_test(test_null_data_is_not_empty_data),
        cmocka_unit_test(test_replay_over_a_newer_tree_changes_nothing_but_the_parent),
        cmocka_unit_test(test_L6_image_is_a_point_in_time),
        cmocka_unit_test(test_closing_a_session_takes_its_ephemerals),
        cmocka_unit_test(test_L7_the_zxid_moves_after_all_ops_of_a_multi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
