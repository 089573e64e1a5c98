/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <fuse_opt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/options.h"

/* Parses `zkfs -o list` over the defaults; on success the caller finishes o. */
static int parse(struct fusefs_options *o, const char *list, char **error)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&args, "zkfs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, list);
    fusefs_options_init(o);
    *error = NULL;
    char *hosts_error = NULL;
    assert_int_equal(fusefs_options_set_hosts(o, "h", &hosts_error), 0);
    int err = fusefs_options_parse(o, &args, error);
    if (err == 0) {
        assert_int_equal(args.argc, 1);
        assert_null(*error);
    }
    fuse_opt_free_args(&args);
    return err;
}

static void assert_refused(const char *list, const char *part_of_error)
{
    struct fusefs_options o;
    char *error;
    assert_true(parse(&o, list, &error) < 0);
    assert_non_null(error);
    if (strstr(error, part_of_error) == NULL) {
        fail_msg("%s: the error \"%s\" does not say \"%s\"", list, error, part_of_error);
    }
    free(error);
    fusefs_options_fini(&o);
}

static void test_hosts(void **state)
{
    (void)state;
    const struct {
        const char *given;
        const char *want; /* NULL: refused */
    } cases[] = {
        { "h", "h:2181" },
        { "h:1", "h:1" },
        { "a,b:2182,c", "a:2181,b:2182,c:2181" },
        { "a/app/x", "a:2181/app/x" },
        { "a,b/app/", "a:2181,b:2181/app" },
        { "a/", "a:2181" },
        { "[::1]", "::1:2181" },
        { "[::1]:99,a/x", "::1:99,a:2181/x" },
        { "a/..b", "a:2181/..b" },
        { "", NULL },
        { "/app", NULL },
        { "a,", NULL },
        { ",a", NULL },
        { "a,,b", NULL },
        { "a:", NULL },
        { "a:0", NULL },
        { "a:65536", NULL },
        { "a:12x", NULL },
        { "::1", NULL },
        { "[::1", NULL },
        { "[::1]2181", NULL },
        { "[]", NULL },
        { "a b", NULL },
        { "a//x", NULL },
        { "a/x/../y", NULL },
        { "a/.", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fusefs_options o;
        fusefs_options_init(&o);
        char *error = NULL;
        int err = fusefs_options_set_hosts(&o, cases[i].given, &error);
        if (cases[i].want != NULL) {
            assert_int_equal(err, 0);
            assert_string_equal(o.hosts, cases[i].want);
        } else {
            if (err == 0) {
                fail_msg("\"%s\" was accepted", cases[i].given);
            }
            assert_null(o.hosts);
            free(error);
        }
        fusefs_options_fini(&o);
    }
}

static void test_values_arrive(void **state)
{
    (void)state;
    struct fusefs_options o;
    char *error;
    int err = parse(&o,
                    "session_timeout=2.5,timeout=1500ms,offline=error,ro,ro_ok,strict,uid=7,gid=8,"
                    "umask=077,max_data=2048,child_watches=0,control=off,control_name=.ctl",
                    &error);
    assert_int_equal(err, 0);
    assert_int_equal(o.session_timeout_ms, 2500);
    assert_int_equal(o.timeout_ms, 1500);
    assert_int_equal(o.offline, FUSEFS_OFFLINE_ERROR);
    assert_true(o.ro);
    assert_true(o.ro_ok);
    assert_true(o.strict);
    assert_int_equal(o.uid, 7);
    assert_int_equal(o.gid, 8);
    assert_int_equal(o.umask, 077);
    assert_int_equal(o.max_data, 2048);
    assert_int_equal(o.child_watches, 0);
    assert_int_equal(o.control, FUSEFS_CONTROL_OFF);
    assert_string_equal(o.control_name, ".ctl");
    fusefs_options_fini(&o);

    assert_int_equal(parse(&o, "ro,rw,timeout=2m", &error), 0);
    assert_false(o.ro);
    assert_int_equal(o.timeout_ms, 120000);
    fusefs_options_fini(&o);
}

static void test_bad_values_are_named(void **state)
{
    (void)state;
    assert_refused("timeout=10x", "timeout=10x: expected seconds from 0");
    assert_refused("timeout=", "timeout=");
    assert_refused("timeout=-1", "timeout=-1");
    assert_refused("timeout=1.2345", "timeout=");
    assert_refused("timeout=99999999999999999999", "timeout=");
    assert_refused("session_timeout=0", "from 100ms to");
    assert_refused("uid=-1", "uid=-1: expected a whole number from 0");
    assert_refused("uid= 1", "uid=");
    assert_refused("umask=8", "umask=8: expected an octal number from 0 to 777");
    assert_refused("umask=1000", "umask=1000");
    assert_refused("max_data=2147483648", "max_data=");
    assert_refused("offline=maybe", "offline=maybe: expected one of stale|error");
    assert_refused("control=o", "one of hidden|visible|off");
    assert_refused("control_name=", "control_name=: expected a value");
    assert_refused("control_name=a/b", "not a file name");
    assert_refused("control_name=..", "not a file name");
    assert_refused("bogus", "unknown option: bogus");
    assert_refused("bogus=1", "unknown option: bogus=1");
    assert_refused("nosuidx", "unknown option: nosuidx");
}

static void test_fstab_words_are_ignored(void **state)
{
    (void)state;
    struct fusefs_options o;
    char *error;
    int err = parse(&o,
                    "defaults,_netdev,nofail,noauto,auto,user,users,rw,suid,dev,exec,"
                    "x-systemd.automount,x-systemd.idle-timeout=60,X-mount.mkdir,comment=x,"
                    "nosuid,noatime,allow_other,default_permissions",
                    &error);
    assert_int_equal(err, 0);
    assert_string_equal(o.mount_options,
                        "subtype=zkfs,fsname=h:2181,allow_other,default_permissions,"
                        "exec,nosuid,noatime");
    fusefs_options_fini(&o);
}

static void test_hosts_with_commas_stay_one_mount_option(void **state)
{
    (void)state;
    struct fusefs_options o;
    char *error = NULL;
    fusefs_options_init(&o);
    assert_int_equal(fusefs_options_set_hosts(&o, "a,b/x", &error), 0);
    assert_int_equal(fusefs_options_parse(&o, &(struct fuse_args)FUSE_ARGS_INIT(0, NULL), &error),
                     0);
    assert_string_equal(o.mount_options, "subtype=zkfs,fsname=a:2181\\,b:2181/x");
    fusefs_options_fini(&o);
}

/* A file with the given text and mode, in a place of its own; the caller unlinks and frees the
 * name. */
static char *auth_file(const char *text, mode_t mode)
{
    char *path = xstrdup("/tmp/zkfs-auth-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static void test_auth_file(void **state)
{
    (void)state;
    char *path = auth_file("# who we are\n\ndigest:bob:s3:cret\r\nip:\n", 0640);
    char *list = xasprintf("auth_file=%s", path);
    struct fusefs_options o;
    char *error;
    assert_int_equal(parse(&o, list, &error), 0);
    assert_int_equal(o.auth_count, 2);
    assert_string_equal(o.auths[0].scheme, "digest");
    assert_string_equal(o.auths[0].credentials, "bob:s3:cret");
    assert_string_equal(o.auths[1].scheme, "ip");
    assert_string_equal(o.auths[1].credentials, "");

    struct buf out = BUF_EMPTY;
    fusefs_options_print(&o, &out);
    char *shown = buf_take_str(&out);
    assert_non_null(strstr(shown, path));
    assert_null(strstr(shown, "cret"));
    free(shown);
    fusefs_options_fini(&o);

    const mode_t refused[] = { 0644, 0604, 0620, 0602 };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(chmod(path, refused[i]), 0);
        assert_refused(list, "chmod 600");
    }
    unlink(path);
    assert_refused(list, "No such file");
    free(list);
    free(path);

    path = auth_file("digest:a:b\nnothing\n", 0600);
    list = xasprintf("auth_file=%s", path);
    assert_refused(list, "line 2: expected scheme:credentials");
    unlink(path);
    free(list);
    free(path);
    assert_refused("auth_file=/tmp", "not a regular file");
}

static void test_acl(void **state)
{
    (void)state;
    struct fusefs_options o;
    char *error;
    assert_int_equal(parse(&o, "acl=world:anyone:r,acl=ip:10.0.0.1:cdrwa", &error), 0);
    assert_string_equal(o.acl, "world:anyone:r\nip:10.0.0.1:cdrwa");
    struct buf out = BUF_EMPTY;
    fusefs_options_print(&o, &out);
    char *text = buf_take_str(&out);
    assert_non_null(strstr(text, "\nacl=world:anyone:r,ip:10.0.0.1:cdrwa\n"));
    free(text);
    fusefs_options_fini(&o);
    assert_refused("acl=world:anyone", "expected scheme:id:perms");
    assert_refused("acl=world:anyone:rx", "expected scheme:id:perms");
    assert_refused("acl=auth::r", "give auth_file= too");
}

static void test_help_and_print_cover_the_table(void **state)
{
    (void)state;
    struct fusefs_options o;
    char *error;
    assert_int_equal(parse(&o, "timeout=1.25,offline=error,umask=27", &error), 0);
    struct buf out = BUF_EMPTY;
    fusefs_options_help(&out);
    fusefs_options_print(&o, &out);
    char *text = buf_take_str(&out);
    assert_non_null(strstr(text, "    timeout=SECONDS             how long"));
    assert_non_null(strstr(text, "\n                                fails with ETIMEDOUT"));
    assert_non_null(strstr(text, "\nhosts=h:2181\n"));
    assert_non_null(strstr(text, "\ntimeout=1250ms\n"));
    assert_non_null(strstr(text, "\noffline=error\n"));
    assert_non_null(strstr(text, "\numask=0027\n"));
    assert_non_null(strstr(text, "\nallow_other=false\n"));
    assert_null(strstr(text, "_netdev"));
    free(text);
    fusefs_options_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_bad_values_are_named),
        cmocka_unit_test(test_fstab_words_are_ignored),
        cmocka_unit_test(test_hosts_with_commas_stay_one_mount_option),
        cmocka_unit_test(test_auth_file),
        cmocka_unit_test(test_acl),
        cmocka_unit_test(test_help_and_print_cover_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
