/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "mountd/options.h"

enum { ARGS_MAX = 16 };

/* Parses a command line written with blanks between the words. */
static int parse(struct mountd_options *o, const char *line, char **error)
{
    char words[512];
    char *argv[ARGS_MAX];
    int argc = 0;
    strncpy(words, line, sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = w;
    }
    return mountd_options_parse(o, argc, argv, error);
}

static void accept(struct mountd_options *o, const char *line)
{
    char *error;
    if (parse(o, line, &error) != 0) {
        fail_msg("\"%s\" was refused: %s", line, error);
    }
    assert_null(error);
}

static void refuse(const char *line, const char *part_of_error)
{
    struct mountd_options o;
    char *error;
    assert_true(parse(&o, line, &error) < 0);
    assert_non_null(error);
    if (strstr(error, part_of_error) == NULL) {
        fail_msg("\"%s\": the error \"%s\" does not say \"%s\"", line, error, part_of_error);
    }
    free(error);
    mountd_options_fini(&o);
}

static void test_hosts_and_mountpoint(void **state)
{
    (void)state;
    struct mountd_options o;
    accept(&o, "zkfs a,b:3000/app /mnt");
    assert_string_equal(o.fs.hosts, "a:2181,b:3000/app");
    assert_string_equal(o.mountpoint, "/mnt");
    assert_false(o.foreground);
    assert_false(o.is_embedded);
    assert_int_equal(o.mount_timeout_ms, 30000);
    mountd_options_fini(&o);

    refuse("zkfs", "expected HOSTS and MOUNTPOINT");
    refuse("zkfs a", "expected HOSTS and MOUNTPOINT");
    refuse("zkfs a /mnt extra", "expected HOSTS and MOUNTPOINT");
    refuse("zkfs a: /mnt", "a:");
}

static void test_options_go_to_their_part(void **state)
{
    (void)state;
    struct mountd_options o;
    /* Options may stand before, between and after the words, as mount(8) and people write them. */
    accept(&o, "zkfs -o ro,mount_timeout=0 a -f /mnt -opid_file=/p,timeout=3 -o log_level=warn");
    assert_true(o.fs.ro);
    assert_true(o.foreground);
    assert_int_equal(o.mount_timeout_ms, 0);
    assert_int_equal(o.fs.timeout_ms, 3000);
    assert_string_equal(o.pid_file, "/p");
    assert_int_equal(o.log_level, LOG_WARN);
    assert_string_equal(o.mountpoint, "/mnt");
    mountd_options_fini(&o);

    accept(&o, "zkfs a /mnt -d");
    assert_true(o.fs.debug);
    assert_true(o.foreground);
    assert_int_equal(o.log_level, LOG_DEBUG);
    mountd_options_fini(&o);

    refuse("zkfs a /mnt -o bogus", "unknown option: bogus");
    refuse("zkfs a /mnt -q", "unknown option: -q");
    refuse("zkfs a /mnt --embed", "unknown option: --embed");
    refuse("zkfs a /mnt -o mount_timeout=soon", "mount_timeout=soon: expected seconds");
    refuse("zkfs a /mnt -o", "lacks its argument");
}

static void test_embedded(void **state)
{
    (void)state;
    struct mountd_options o;
    accept(&o, "zkfs --embedded /mnt");
    assert_true(o.is_embedded);
    assert_null(o.embedded_dir);
    assert_null(o.fs.hosts);
    mountd_options_fini(&o);

    accept(&o, "zkfs --embedded=/var/x /mnt -o ro");
    assert_true(o.is_embedded);
    assert_string_equal(o.embedded_dir, "/var/x");
    mountd_options_fini(&o);

    /* As an fstab line arrives: its first field cannot be left out. */
    accept(&o, "zkfs none /mnt -o rw,embedded=/var/x,_netdev");
    assert_true(o.is_embedded);
    assert_string_equal(o.embedded_dir, "/var/x");
    assert_string_equal(o.mountpoint, "/mnt");
    mountd_options_fini(&o);

    refuse("zkfs --embedded a:2181 /mnt", "exclude each other");
    refuse("zkfs --embedded", "expected MOUNTPOINT");
    refuse("zkfs --embedded= /mnt", "--embedded=");
}

static void test_as_a_mount_helper(void **state)
{
    (void)state;
    struct mountd_options o;
    accept(&o, "/sbin/mount.zkfs a /mnt -sv -n -t fuse.zkfs -N /proc/7/ns/mnt -o rw,noatime");
    assert_string_equal(o.mountpoint, "/mnt");
    assert_non_null(strstr(o.fs.mount_options, "noatime"));
    assert_false(o.fake);
    assert_false(o.foreground);
    mountd_options_fini(&o);

    accept(&o, "mount.zkfs a /mnt -f");
    assert_true(o.fake);
    assert_false(o.foreground);
    mountd_options_fini(&o);

    refuse("mount.zkfs a /mnt -x", "unknown option: -x");
    refuse("zkfs a /mnt -s", "unknown option: -s");
}

static void test_help_and_version_need_nothing_else(void **state)
{
    (void)state;
    struct mountd_options o;
    accept(&o, "zkfs --help");
    assert_true(o.help);
    mountd_options_fini(&o);
    accept(&o, "zkfs -V");
    assert_true(o.version);
    mountd_options_fini(&o);
    accept(&o, "zkfs a /mnt --print-config");
    assert_true(o.print_config);
    mountd_options_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_and_mountpoint),
        cmocka_unit_test(test_options_go_to_their_part),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_as_a_mount_helper),
        cmocka_unit_test(test_help_and_version_need_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
