/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "server/membership.h"

static char dir[] = "/tmp/test_membership.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    return mkdtemp(dir) ? 0 : -1;
}

static void set_myid(const char *text)
{
    char *path = xasprintf("%s/myid", dir);
    unlink(path);
    if (text) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
    }
    free(path);
}

static int remove_dir(void **state)
{
    (void)state;
    set_myid(NULL);
    return rmdir(dir);
}

static struct config *parse(const char *servers)
{
    struct config_report report = { 0 };
    char *text = xasprintf("dataDir=%s\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n%s", dir, servers);
    struct config *cfg = config_parse(text, strlen(text), "zoo.cfg", &report);
    assert_non_null(cfg);
    config_report_fini(&report);
    free(text);
    return cfg;
}

static int init(const char *servers, const char *myid)
{
    struct membership m;
    struct config *cfg = parse(servers);
    set_myid(myid);
    int err = membership_init(&m, cfg);
    membership_fini(&m);
    config_free(cfg);
    return err;
}

static const char three[] = "server.3=c:22883:23883\nserver.1=a:22881:23881\nserver.2=b:22882:23882\n";

/* As captured from Apache, but for the hosts. */
static void test_E7_members_are_compared_by_the_text_which_is_apaches(void **state)
{
    (void)state;
    struct membership m;
    struct config *cfg = parse("server.1=127.0.0.1:22881:23881\n"
                               "server.2=127.0.0.2:22882:23882|127.0.0.1:22882:23882;2181\n"
                               "server.3=[::1]:22883:23883:participant;[::1]:21833\n"
                               "server.4=127.0.0.1:22884:23884:observer\n");
    set_myid(" 2 \n");
    assert_int_equal(membership_init(&m, cfg), 0);
    assert_string_equal(m.text, "server.1=127.0.0.1:22881:23881:participant\n"
                                "server.2=127.0.0.1:22882:23882|127.0.0.2:22882:23882:participant;"
                                "0.0.0.0:2181\n"
                                "server.3=[::1]:22883:23883:participant;[::1]:21833\n"
                                "server.4=127.0.0.1:22884:23884:observer\n"
                                "version=0");
    assert_false(m.is_alone);
    assert_int_equal(m.ensemble.self_sid, 2);
    assert_int_equal(m.ensemble.voter_count, 3);
    assert_false(ensemble_is_voter(&m.ensemble, 4));
    assert_false(m.ensemble.is_observer);
    /* The order of the line is the order of dialling. */
    const struct member *two = members_find(&m.members, 2);
    assert_int_equal(two->address_count, 2);
    assert_string_equal(two->addresses[0].host, "127.0.0.2");
    assert_int_equal(two->addresses[1].election_port, 23882);
    assert_null(members_find(&m.members, 5));
    membership_fini(&m);
    config_free(cfg);
}

static void test_one_server_is_alone_and_needs_no_myid(void **state)
{
    (void)state;
    struct membership m;
    struct config *cfg = parse("server.7=a:1:2\n");
    set_myid(NULL);
    assert_int_equal(membership_init(&m, cfg), 0);
    assert_true(m.is_alone);
    assert_int_equal(m.ensemble.voter_count, 1);
    membership_fini(&m);
    config_free(cfg);
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_int_equal(init(three, "1"), 0);
    assert_int_equal(init(three, NULL), -ENOENT);
    assert_int_equal(init(three, "4"), -EINVAL);
    assert_int_equal(init(three, "one"), -EBADMSG);
    assert_int_equal(init("server.1=a:1:2\nserver.2=b:1:2:observer\n", "1"), -EINVAL);
    assert_int_equal(init("server.1=a:1:2\nserver.255=b:1:2\n", "1"), -EINVAL);
    assert_int_equal(init("server.1=a:1:2\nserver.2=b:1:2\nweight.2=3\n", "1"), -EINVAL);
    assert_int_equal(init("server.1=a:1:2\nserver.2=b:1:2\ninitLimit=0\n", "1"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_E7_members_are_compared_by_the_text_which_is_apaches),
        cmocka_unit_test(test_one_server_is_alone_and_needs_no_myid),
        cmocka_unit_test(test_what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
