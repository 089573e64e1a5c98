/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "server/config.h"
#include "server/config_keys.h"
#include "server/properties.h"

/* What every configuration needs. */
#define MINIMAL "dataDir=/d\nclientPort=2181\n"

static struct config *parse_ok(const char *text)
{
    struct config_report report = { 0 };
    struct config *cfg = config_parse(text, strlen(text), "zoo.cfg", &report);
    if (!cfg) {
        fail_msg("%s", report.error);
    }
    for (size_t i = 0; i < report.warning_count; i++) {
        print_message("unexpected: %s\n", report.warnings[i]);
    }
    assert_int_equal(report.warning_count, 0);
    config_report_fini(&report);
    return cfg;
}

static void expect_error(const char *text, const char *expected)
{
    struct config_report report = { 0 };
    assert_null(config_parse(text, strlen(text), "zoo.cfg", &report));
    assert_string_equal(report.error, expected);
    config_report_fini(&report);
}

static void expect_warning(const char *text, const char *expected)
{
    struct config_report report = { 0 };
    struct config *cfg = config_parse(text, strlen(text), "zoo.cfg", &report);
    assert_non_null(cfg);
    assert_int_equal(report.warning_count, 1);
    assert_string_equal(report.warnings[0], expected);
    config_free(cfg);
    config_report_fini(&report);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *cfg = parse_ok(MINIMAL);
    assert_string_equal(cfg->data_dir, "/d");
    assert_string_equal(cfg->log_dir, "/d");
    assert_int_equal(cfg->client_port, 2181);
    assert_null(cfg->client_port_address);
    assert_int_equal(cfg->client_port_backlog, -1);
    assert_int_equal(cfg->client_cnxns_max, 60);
    assert_int_equal(cfg->cnxns_max, 0);
    assert_int_equal(cfg->sessionless_timeout_ms, 10000);
    assert_int_equal(cfg->jute_maxbuffer, 0xfffff);
    assert_int_equal(cfg->outstanding_max, 1000);
    assert_string_equal(cfg->fourletter_whitelist, "srvr");
    assert_int_equal(cfg->tick_time_ms, 3000);
    assert_int_equal(cfg->session_timeout_ms_min, 6000);
    assert_int_equal(cfg->session_timeout_ms_max, 60000);
    assert_false(cfg->skip_acl);
    assert_true(cfg->digest_auth_enabled);
    assert_null(cfg->super_digest);
    assert_false(cfg->extended_types);
    assert_true(cfg->digest_enabled);
    assert_int_equal(cfg->snap_count, 100000);
    assert_int_equal(cfg->snap_size_limit_kb, 4194304);
    assert_int_equal(cfg->txnlog_size_limit_kb, -1);
    assert_int_equal(cfg->prealloc_kb, 65536);
    assert_true(cfg->force_sync);
    assert_int_equal(cfg->fsync_warning_ms, 1000);
    assert_false(cfg->snapshot_trust_empty);
    assert_int_equal(cfg->purge_retain_count, 3);
    assert_int_equal(cfg->purge_interval_ms, 3600 * 1000);
    assert_int_equal(cfg->server_count, 0);
    config_free(cfg);
}

static void test_prefix_is_optional(void **state)
{
    (void)state;
    struct config *cfg = parse_ok("zookeeper.dataDir=/a\nzookeeper.clientPort=1\n"
                                  "zookeeper.skipACL=yes\nzookeeper.jute.maxbuffer=0x200000\n"
                                  "zookeeper.extendedTypesEnabled=TRUE\nzookeeper.forceSync=no\n"
                                  "zookeeper.autopurge.purgeInterval=90m\n"
                                  "zookeeper.server.3=h:1:2\n");
    assert_string_equal(cfg->data_dir, "/a");
    assert_int_equal(cfg->client_port, 1);
    assert_true(cfg->skip_acl);
    assert_int_equal(cfg->jute_maxbuffer, 0x200000);
    assert_true(cfg->extended_types);
    assert_false(cfg->force_sync);
    assert_int_equal(cfg->purge_interval_ms, 90 * 60 * 1000);
    assert_int_equal(cfg->server_count, 1);
    config_free(cfg);
}

static void test_session_timeouts_follow_the_tick(void **state)
{
    (void)state;
    struct config *cfg = parse_ok(MINIMAL "tickTime=500\nmaxSessionTimeout=70000\n");
    assert_int_equal(cfg->session_timeout_ms_min, 1000);
    assert_int_equal(cfg->session_timeout_ms_max, 70000);
    config_free(cfg);
}

static void test_bad_values_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        { "clientPort=1\n", "zoo.cfg: dataDir is not set" },
        { "clientPort=1\ndataDir=\n", "zoo.cfg:2: dataDir is not set" },
        { "dataDir=/d\n", "zoo.cfg: clientPort is not set" },
        { "# c\n\nclientPort=x\n", "zoo.cfg:3: clientPort=x: not a number" },
        { "clientPort=\n", "zoo.cfg:1: clientPort=: not a number" },
        { "clientPort=1 # c\n", "zoo.cfg:1: clientPort=1 # c: not a number" },
        { "clientPort=65536\n", "zoo.cfg:1: clientPort=65536: must be from 0 to 65535" },
        { "tickTime=0\n", "zoo.cfg:1: tickTime=0: must be from 1 to 86400000" },
        { "tickTime=99999999999999999999\n",
          "zoo.cfg:1: tickTime=99999999999999999999: not a number" },
        { "skipACL=true\n", "zoo.cfg:1: skipACL=true: must be yes or no" },
        { "skipACL=YES\n", "zoo.cfg:1: skipACL=YES: must be yes or no" },
        { "digest.enabled=yes\n", "zoo.cfg:1: digest.enabled=yes: must be true or false" },
        { "peerType=boss\n", "zoo.cfg:1: peerType=boss: must be participant or observer" },
        { "autopurge.purgeInterval=1w\n", "zoo.cfg:1: autopurge.purgeInterval=1w: not a number of "
                                          "hours, nor a number with ms, s, m, h or d" },
        { MINIMAL "minSessionTimeout=90000\n",
          "zoo.cfg:3: minSessionTimeout (90000 ms) is larger than maxSessionTimeout (60000 ms)" },
        { MINIMAL "maxSessionTimeout=0\n",
          "zoo.cfg:3: a session timeout of 0 means that the session is refused" },
        { "a=\\u12g4\n", "zoo.cfg:1: malformed \\uXXXX escape" },
        { "x=1\nskipACL=\\u0000\n", "zoo.cfg:2: NUL byte" },
        { "server.1=host:2888\n",
          "zoo.cfg:1: server.1=host:2888: expected "
          "server.N=host:port:port[:participant|:observer][|...][;[host:]port]" },
        { "weight.1=2\n",
          "zoo.cfg:1: weight.1=2: the weight is for a server that has no server.N line" },
        { MINIMAL "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1\n",
          "zoo.cfg: there are groups, but a voting server is in none of them" },
        { MINIMAL "server.1=a:1:2\ngroup.1=1\ngroup.2=1\n",
          "zoo.cfg:5: group.2=1: a server is in two groups" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_error(cases[i].text, cases[i].error);
    }
}

static void test_what_is_not_understood_warns(void **state)
{
    (void)state;
    expect_warning(MINIMAL "zookeeper.fooBar=1\n",
                   "zoo.cfg:3: unknown key zookeeper.fooBar is ignored");
    expect_warning(MINIMAL "secureClientPort=2182\n",
                   "zoo.cfg:3: secureClientPort has no effect on this server");
    expect_warning(MINIMAL "ssl.keyStore.location=/k\n",
                   "zoo.cfg:3: ssl.keyStore.location has no effect on this server");
    expect_warning(MINIMAL "autopurge.snapRetainCount=1\n",
                   "zoo.cfg:3: autopurge.snapRetainCount=1 is too small, using 3");
    expect_warning(MINIMAL "clientPort=1\n",
                   "zoo.cfg:3: clientPort was set in line 2 already, this one counts");
    expect_warning(
        "dataDir=data\nclientPort=1\n",
        "zoo.cfg:1: dataDir=data is relative to the working directory; write ./data if that "
        "is meant");
    expect_warning(MINIMAL "snapshot.compression.method=snappy\n",
                   "zoo.cfg:3: snapshot.compression.method has no effect on this server");
    /* A key without effect that asks for what happens anyway is fine. */
    config_free(parse_ok(MINIMAL "admin.enableServer=false\nreconfigEnabled=false\nelectionAlg=3\n"
                                 "snapshot.compression.method=\n"));
}

static void test_servers(void **state)
{
    (void)state;
    struct config *cfg = parse_ok(MINIMAL "weight.2=5\ngroup.1=1:2\n"
                                          "server.2=b:2888:3888:observer\n"
                                          "server.1=[::1]:1:2|10.0.0.1:3:4;[fe80::1]:2181\n"
                                          "server.3=c:1:2:participant;2182\ngroup.7=3\n"
                                          "initLimit=10\nsyncLimit=5\n");
    assert_int_equal(cfg->init_limit_ticks, 10);
    assert_int_equal(cfg->sync_limit_ticks, 5);
    assert_int_equal(cfg->server_count, 3);
    const struct config_server *one = &cfg->servers[0];
    assert_int_equal(one->sid, 1);
    assert_int_equal(one->address_count, 2);
    assert_string_equal(one->addresses[0].host, "::1");
    assert_int_equal(one->addresses[0].quorum_port, 1);
    assert_int_equal(one->addresses[0].election_port, 2);
    assert_string_equal(one->addresses[1].host, "10.0.0.1");
    assert_int_equal(one->addresses[1].election_port, 4);
    assert_string_equal(one->client_host, "fe80::1");
    assert_int_equal(one->client_port, 2181);
    assert_false(one->is_observer);
    assert_int_equal(one->weight, 1);
    assert_int_equal(one->group, 1);
    const struct config_server *two = &cfg->servers[1];
    assert_true(two->is_observer);
    assert_int_equal(two->weight, 5);
    assert_int_equal(two->client_port, 0);
    const struct config_server *three = &cfg->servers[2];
    assert_null(three->client_host);
    assert_int_equal(three->client_port, 2182);
    assert_int_equal(three->group, 7);
    config_free(cfg);
}

/* Expected values are what java.util.Properties gives for the same text. */
static void test_properties_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected; /* key=value; of all entries */
    } cases[] = {
        { "a=b", "a=b;" },
        { "a:b\r\nc d\rE\tf", "a=b;c=d;E=f;" },
        { "  \f a \t=  b c  \n", "a=b c;" },
        { "# x=1\n  ! y=2\n\n a = : b", "a=: b;" },
        { "a=b\\\n   c\\\n\td\ne=f", "a=bcd;e=f;" },
        { "a=b\\\\\nc=d", "a=b\\;c=d;" },
        { "# comment \\\na=b", "a=b;" },
        { "a=b\\\n# no comment\n", "a=b# no comment;" },
        { "a=b\\\n\nc=d", "a=b;c=d;" },
        { "a\\ b\\=c\\:d=e", "a b=c:d=e;" },
        { "a=x\\ty\\n\\q\\\"", "a=x\ty\nq\";" },
        { "a=\\u00e9\\u20AC\\ud83d\\ude00\\ud83d",
          "a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd;" },
        { "caf\xc3\xa9=\xc3\xa9", "caf\xc3\xa9=\xc3\xa9;" },
        { "a", "a=;" },
        { "a=b\\", "a=b;" },
        { "=b", "=b;" },
        { "", "" },
        { "a\\\nb=c", "ab=c;" },
        { "\\\n#x=y\n\\\n a=b\n\\", "a=b;" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct properties_reader r;
        const char *error;
        struct buf got = BUF_EMPTY;
        properties_init(&r, cases[i].text, strlen(cases[i].text));
        while (properties_next(&r, &error) > 0) {
            buf_printf(&got, "%s=%s;", properties_key(&r), properties_value(&r));
        }
        char *text = buf_take_str(&got);
        assert_string_equal(text, cases[i].expected);
        free(text);
        properties_fini(&r);
    }
}

static char *printed(const struct config *cfg)
{
    struct buf out = BUF_EMPTY;
    config_print(cfg, &out);
    return buf_take_str(&out);
}

static void test_print_reads_back(void **state)
{
    (void)state;
    struct config *cfg = parse_ok(
        "dataDir=/zk\\\\ data\\u00e9\ndataLogDir=/log\nclientPort=0\nclientPortAddress=::1\n"
        "4lw.commands.whitelist=\nautopurge.purgeInterval=1500ms\n"
        "peerType=observer\nskipACL=yes\n"
        "server.2=[::1]:1:2:observer|h:3:4:observer;[::]:5\nserver.1=a:1:2\nserver.3=b:1:2\n"
        "weight.3=0\ngroup.2=1:3\ngroup.1=2\n");
    char *first = printed(cfg);
    struct config *again = parse_ok(first);
    char *second = printed(again);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "dataDir=/zk\\\\ data\xc3\xa9\n"));
    assert_non_null(strstr(first, "\n4lw.commands.whitelist=\n"));
    assert_non_null(strstr(first, "\nautopurge.purgeInterval=1500ms\n"));
    assert_non_null(strstr(first, "\nserver.2=[::1]:1:2:observer|h:3:4:observer;[::]:5\n"));
    assert_non_null(strstr(first, "\ngroup.2=1:3\n"));
    free(first);
    free(second);
    config_free(cfg);
    config_free(again);
}

static void test_print_keeps_the_secret(void **state)
{
    (void)state;
    struct config *cfg = parse_ok(MINIMAL "DigestAuthenticationProvider.superDigest=super:abc\n");
    assert_string_equal(cfg->super_digest, "super:abc");
    char *text = printed(cfg);
    assert_null(strstr(text, "super:abc"));
    assert_non_null(strstr(text, "# DigestAuthenticationProvider.superDigest is set\n"));
    free(text);
    config_free(cfg);
}

static void test_load_reports_the_file(void **state)
{
    (void)state;
    struct config_report report = { 0 };
    assert_null(config_load("/nonexistent/zoo.cfg", &report));
    assert_string_equal(report.error, "/nonexistent/zoo.cfg: No such file or directory");
    config_report_fini(&report);

    char path[] = "/tmp/test_config.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, MINIMAL, strlen(MINIMAL)), strlen(MINIMAL));
    close(fd);
    struct config *cfg = config_load(path, &report);
    unlink(path);
    assert_non_null(cfg);
    config_free(cfg);
    assert_null(config_load("/tmp", &report));
    assert_string_equal(report.error, "/tmp: Is a directory");
    config_report_fini(&report);
}

static char *read_text(const char *path)
{
    struct buf text = BUF_EMPTY;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t got;
    do {
        got = fread(buf_reserve(&text, 4096), 1, 4096, f);
        text.len += got;
    } while (got > 0);
    fclose(f);
    return buf_take_str(&text);
}

/* Each key that has an effect is described, with its default as it is in the table. */
static void test_manual_agrees_with_the_table(void **state)
{
    (void)state;
    char *manual = read_text("docs/man/zoo.cfg.5");
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->kind == CONFIG_INERT) {
            continue;
        }
        const char *value = key->default_text;
        char *line = xasprintf("\n.It Cm %s%s%s%s\n", key->name, value ? " =" : "",
                               value && *value ? " " : "", value ? value : "");
        if (!strstr(manual, line)) {
            fail_msg("zoo.cfg(5) has no line %s", line);
        }
        free(line);
    }
    free(manual);
}

/* No key twice, no exact key shadowed by a family, and a bound that its default keeps. */
static void test_table_is_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        assert_ptr_equal(config_key_find(config_keys[i].name), &config_keys[i]);
    }
    assert_string_equal(config_key_find("admin.serverPort")->name, "admin.");
    assert_string_equal(config_key_find("admin.enableServer")->name, "admin.enableServer");
    assert_null(config_key_find("dataDirX"));
    assert_null(config_key_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_prefix_is_optional),
        cmocka_unit_test(test_session_timeouts_follow_the_tick),
        cmocka_unit_test(test_bad_values_name_file_and_line),
        cmocka_unit_test(test_what_is_not_understood_warns),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_properties_syntax),
        cmocka_unit_test(test_print_reads_back),
        cmocka_unit_test(test_print_keeps_the_secret),
        cmocka_unit_test(test_load_reports_the_file),
        cmocka_unit_test(test_table_is_consistent),
        cmocka_unit_test(test_manual_agrees_with_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
