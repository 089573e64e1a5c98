/* SPDX-License-Identifier: Apache-2.0 */
/* The watch table: which watches a change fires, and how they are counted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/buf.h"
#include "server/tree/watch.h"

enum { WATCHERS = 3 };

struct world {
    struct watch_table table;
    struct watcher watchers[WATCHERS];
    struct buf told; /* "0:created /a, 1:children /," */
};

static void init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    watch_table_init(&w->table, 3);
    for (int i = 0; i < WATCHERS; i++) {
        watcher_init(&w->watchers[i]);
    }
}

static void fini(struct world *w)
{
    for (int i = 0; i < WATCHERS; i++) {
        watcher_fini(&w->table, &w->watchers[i]);
    }
    assert_int_equal(w->table.data_count, 0);
    assert_int_equal(w->table.child_count, 0);
    assert_int_equal(w->table.recursive_count, 0);
    assert_int_equal(w->table.data_paths, 0);
    assert_int_equal(w->table.data_watchers, 0);
    watch_table_fini(&w->table);
    buf_fini(&w->told);
}

static void deliver(void *arg, struct watcher *watcher, enum watch_event_type type,
                    struct slice path)
{
    static const char *names[] = { "", "created", "deleted", "changed", "children" };
    struct world *w = arg;
    buf_printf(&w->told, "%d:%s %.*s,", (int)(watcher - w->watchers), names[type], path.len,
               (const char *)path.data);
}

static void add(struct world *w, int watcher, enum watch_kind kind, const char *path)
{
    watch_add(&w->table, &w->watchers[watcher], kind, slice_of_str(path));
}

static void expect(struct world *w, enum watch_event_type type, const char *path, const char *told)
{
    buf_reset(&w->told);
    watch_trigger_path(&w->table, type, slice_of_str(path), deliver, w);
    buf_append(&w->told, "", 1);
    assert_string_equal((const char *)w->told.data, told);
}

static void test_one_shot_watches_fire_once(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    add(&w, 0, WATCH_DATA, "/a");
    add(&w, 0, WATCH_DATA, "/a");
    add(&w, 1, WATCH_CHILD, "/");
    expect(&w, EVENT_NODE_CREATED, "/a", "0:created /a,1:children /,");
    expect(&w, EVENT_NODE_DELETED, "/a", "");
    fini(&w);
}

static void test_W10_kinds_on_one_path_are_apart(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    add(&w, 0, WATCH_PERSISTENT, "/a");
    add(&w, 0, WATCH_RECURSIVE, "/a");
    add(&w, 0, WATCH_DATA, "/a");
    add(&w, 0, WATCH_CHILD, "/a");
    assert_int_equal(watch_find(&w.table, &w.watchers[0], slice_of_str("/a")), WATCH_ANY);
    expect(&w, EVENT_NODE_DATA_CHANGED, "/a", "0:changed /a,");
    assert_int_equal(watch_find(&w.table, &w.watchers[0], slice_of_str("/a")),
                     WATCH_ANY & ~WATCH_DATA);
    assert_false(watch_remove(&w.table, &w.watchers[0], WATCH_DATA, slice_of_str("/a")));
    expect(&w, EVENT_NODE_CREATED, "/a/b", "0:created /a/b,0:children /a,");
    assert_true(watch_remove(&w.table, &w.watchers[0], WATCH_PERSISTENT, slice_of_str("/a")));
    expect(&w, EVENT_NODE_CREATED, "/a/c", "0:created /a/c,");
    assert_true(watch_remove(&w.table, &w.watchers[0], WATCH_ANY, slice_of_str("/a")));
    assert_false(watch_remove(&w.table, &w.watchers[0], WATCH_ANY, slice_of_str("/a")));
    expect(&w, EVENT_NODE_DELETED, "/a", "");
    fini(&w);
}

static void test_deletion_is_told_once_however_it_is_watched(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    add(&w, 0, WATCH_DATA, "/a/b");
    add(&w, 0, WATCH_CHILD, "/a/b");
    add(&w, 0, WATCH_RECURSIVE, "/a");
    add(&w, 0, WATCH_RECURSIVE, "/");
    add(&w, 1, WATCH_RECURSIVE, "/a/b");
    expect(&w, EVENT_NODE_DELETED, "/a/b", "0:deleted /a/b,1:deleted /a/b,");
    assert_int_equal(watch_find(&w.table, &w.watchers[0], slice_of_str("/a/b")), 0);
    fini(&w);
}

static void test_recursive_watch_sees_all_below_but_no_children_events(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    add(&w, 0, WATCH_RECURSIVE, "/");
    add(&w, 1, WATCH_RECURSIVE, "/a/b");
    expect(&w, EVENT_NODE_CREATED, "/a/b/c/d", "1:created /a/b/c/d,0:created /a/b/c/d,");
    expect(&w, EVENT_NODE_DATA_CHANGED, "/a/bb", "0:changed /a/bb,");
    expect(&w, EVENT_NODE_DATA_CHANGED, "/", "0:changed /,");
    expect(&w, EVENT_NODE_CREATED, "/x", "0:created /x,");
    fini(&w);
}

static void test_counts_are_apaches(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    add(&w, 0, WATCH_DATA, "/a");
    add(&w, 0, WATCH_PERSISTENT, "/a");
    add(&w, 0, WATCH_CHILD, "/b");
    add(&w, 1, WATCH_RECURSIVE, "/a");
    assert_int_equal(w.table.data_count, 2);
    assert_int_equal(w.table.child_count, 2);
    assert_int_equal(w.table.data_paths, 1);
    assert_int_equal(w.table.data_watchers, 2);
    watcher_fini(&w.table, &w.watchers[0]);
    assert_int_equal(w.table.data_count, 1);
    assert_int_equal(w.table.child_count, 0);
    fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_shot_watches_fire_once),
        cmocka_unit_test(test_W10_kinds_on_one_path_are_apart),
        cmocka_unit_test(test_deletion_is_told_once_however_it_is_watched),
        cmocka_unit_test(test_recursive_watch_sees_all_below_but_no_children_events),
        cmocka_unit_test(test_counts_are_apaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
