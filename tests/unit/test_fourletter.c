/* SPDX-License-Identifier: Apache-2.0 */
/* Expected texts are captures of an Apache 3.8.0 server, with our version in their place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/version.h"
#include "server/admin/environment.h"
#include "server/admin/fourletter.h"
#include "server/admin/monitor.h"

#define VERSION "3.8.0-zkfs-" ZKFS_VERSION ", built on " ZKFS_VERSION_DATE " 00:00 UTC"

struct fixture {
    struct config cfg;
    struct server_view view;
    int resets[2];
};

static void two_connections(void *arg, connection_view_fn *fn, void *ctx)
{
    (void)arg;
    struct connection_view session = {
        .address = "127.0.0.1:32810",
        .is_reading = true,
        .received = 5,
        .sent = 5,
        .session_id = 0x100002098b10009,
        .last_op = "GETD",
        .established_wall_ms = 1795400281646,
        .session_timeout_ms = 30000,
        .last_cxid = 4,
        .last_zxid = 0x4a,
        .last_response_ms = 2142145,
        .latency_ms_max = 1,
    };
    struct connection_view asking = {
        .address = "[0:0:0:0:0:0:0:1]:32824",
        .received = 1,
        .last_op = "NA",
        .last_cxid = -1,
    };
    fn(ctx, &session);
    fn(ctx, &asking);
}

static void count_reset(void *arg, enum stats_scope scope)
{
    struct fixture *f = arg;
    f->resets[scope]++;
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->cfg.fourletter_whitelist = (char *)"*";
    f->cfg.data_dir = (char *)"/nonexistent/data";
    f->cfg.log_dir = (char *)"/nonexistent/log";
    f->cfg.tick_time_ms = 2000;
    f->cfg.client_cnxns_max = 60;
    f->cfg.session_timeout_ms_min = 4000;
    f->cfg.session_timeout_ms_max = 40000;
    f->cfg.client_port_backlog = -1;
    f->view = (struct server_view){
        .is_serving = true,
        .mode = "standalone",
        .client_port = 21810,
        .last_zxid = 0x4a,
        .znode_count = 21,
        .connection_count = 3,
        .packets_received = 133,
        .packets_sent = 146,
        .latency_ms_max = 8,
        .latency_ms_sum = 155,
        .latency_count = 122,
        .data_watch_connections = 2,
        .data_watch_paths = 2,
        .data_watch_count = 3,
        .arg = f,
        .for_each_connection = two_connections,
        .reset_stats = count_reset,
    };
}

static char *answer(struct fixture *f, const char *word)
{
    struct buf out = BUF_EMPTY;
    fourletter_answer((const uint8_t *)word, &f->cfg, &f->view, &out);
    return buf_take_str(&out);
}

static void expect(struct fixture *f, const char *word, const char *expected)
{
    char *got = answer(f, word);
    assert_string_equal(got, expected);
    free(got);
}

#define FIGURES                                                                                    \
    "Latency min/avg/max: 0/1.2705/8\nReceived: 133\nSent: 146\nConnections: 3\n"                  \
    "Outstanding: 0\nZxid: 0x4a\nMode: standalone\nNode count: 22\n"

static void test_forms(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    expect(&f, "ruok", "imok");
    expect(&f, "isro", "rw");
    expect(&f, "srvr", "Zookeeper version: " VERSION "\n" FIGURES);
    expect(&f, "stat",
           "Zookeeper version: " VERSION "\nClients:\n"
           " /127.0.0.1:32810[1](queued=0,recved=5,sent=5)\n"
           " /[0:0:0:0:0:0:0:1]:32824[0](queued=0,recved=1,sent=0)\n\n" FIGURES);
    expect(&f, "cons",
           " /127.0.0.1:32810[1](queued=0,recved=5,sent=5,sid=0x100002098b10009,lop=GETD,"
           "est=1795400281646,to=30000,lcxid=0x4,lzxid=0x4a,lresp=2142145,llat=0,minlat=0,avglat=0,"
           "maxlat=1)\n"
           " /[0:0:0:0:0:0:0:1]:32824[0](queued=0,recved=1,sent=0)\n\n");
    expect(&f, "conf",
           "clientPort=21810\nsecureClientPort=-1\ndataDir=/nonexistent/data/version-2\n"
           "dataDirSize=0\ndataLogDir=/nonexistent/log/version-2\ndataLogSize=0\ntickTime=2000\n"
           "maxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n"
           "clientPortListenBacklog=-1\nserverId=0\n");
    expect(&f, "wchs", "2 connections watching 2 paths\nTotal watches:3\n");
    expect(&f, "dirs", "datadir_size: 0\nlogdir_size: 0\n");
}

static void test_resets(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    expect(&f, "crst", "Connection stats reset.\n");
    expect(&f, "srst", "Server stats reset.\n");
    assert_int_equal(f.resets[STATS_CONNECTIONS], 1);
    assert_int_equal(f.resets[STATS_SERVER], 1);
    f.cfg.fourletter_whitelist = (char *)"srvr";
    expect(&f, "srst", "srst is not executed because it is not in the whitelist.\n");
    assert_int_equal(f.resets[STATS_SERVER], 1);
}

static void test_whitelist(void **state)
{
    (void)state;
    static const struct {
        const char *whitelist;
        bool allows_ruok;
    } cases[] = {
        { "*", true },           { " * ", true }, { "ruok", true },    { "srvr, ruok ,isro", true },
        { "srvr,ruok2", false }, { "", false },   { NULL, false },     { "srvr", false },
        { "ruo", false },        { "**", false }, { ",,ruok,", true }, { "stat,*", true },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f.cfg.fourletter_whitelist = (char *)cases[i].whitelist;
        expect(&f, "ruok",
               cases[i].allows_ruok ? "imok"
                                    : "ruok is not executed because it is not in the whitelist.\n");
        char *srvr = answer(&f, "srvr");
        assert_null(strstr(srvr, "whitelist"));
        free(srvr);
    }
}

static void test_words_are_told_from_lengths(void **state)
{
    (void)state;
    assert_true(fourletter_is_word((const uint8_t *)"mntr"));
    assert_true(fourletter_is_word((const uint8_t *)"wchp"));
    assert_false(fourletter_is_word((const uint8_t *)"RUOK"));
    assert_false(fourletter_is_word((const uint8_t *)"\0\0\0\x2d"));
    struct fixture f;
    fixture_init(&f);
    expect(&f, "dump", "dump is not implemented by this server.\n");
}

static void test_while_not_serving(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.view.is_serving = false;
    static const char text[] = "This ZooKeeper instance is not currently serving requests\n";
    expect(&f, "srvr", text);
    expect(&f, "mntr", text);
    expect(&f, "isro", "null");
    expect(&f, "ruok", "imok");
}

static void test_read_only(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.view.is_read_only = true;
    f.view.mode = "read-only";
    expect(&f, "isro", "ro");
    char *got = answer(&f, "srvr");
    assert_non_null(strstr(got, "\nREAD-ONLY mode; serving only read-only clients\nLatency"));
    free(got);
}

/* The keys that monitoring tools rely on, in the form key, tab, value. */
static void test_mntr(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "zk_version\t" VERSION "\n",
        "zk_server_state\tstandalone\n",
        "zk_avg_latency\t1.2705\n",
        "zk_min_latency\t0\n",
        "zk_max_latency\t8\n",
        "zk_packets_received\t133\n",
        "zk_packets_sent\t146\n",
        "zk_num_alive_connections\t3\n",
        "zk_outstanding_requests\t0\n",
        "zk_znode_count\t22\n",
        "zk_watch_count\t7\n",
        "zk_ephemerals_count\t2\n",
        "zk_approximate_data_size\t163\n",
        "zk_uptime\t6208\n",
        "zk_global_sessions\t9\n",
        "zk_local_sessions\t0\n",
        "zk_avg_fsynctime\t0.0405\n",
        "zk_cnt_fsynctime\t74\n",
    };
    struct fixture f;
    fixture_init(&f);
    f.view.watch_count = 7;
    f.view.ephemeral_count = 2;
    f.view.data_bytes = 162;
    f.view.uptime_ms = 6208;
    f.view.session_count = 9;
    f.view.fsync_ms_sum = 3;
    f.view.fsync_count = 74;
    char *got = answer(&f, "mntr");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(got, lines[i])) {
            fail_msg("no line %s in\n%s", lines[i], got);
        }
    }
    long long open_fds = 0;
    long long fds_max = 0;
    assert_int_equal(
        sscanf(strstr(got, "zk_open_file"), "zk_open_file_descriptor_count %lld", &open_fds), 1);
    assert_int_equal(
        sscanf(strstr(got, "zk_max_file"), "zk_max_file_descriptor_count %lld", &fds_max), 1);
    assert_true(open_fds >= 1 && open_fds < fds_max);
    free(got);
}

/* kazoo and Curator read the version from here. */
static void test_envi(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char *got = answer(&f, "envi");
    static const char start[] = "Environment:\nzookeeper.version=" VERSION "\nhost.name=";
    assert_memory_equal(got, start, strlen(start));
    assert_non_null(strstr(got, "\nos.name=Linux\n"));
    assert_non_null(strstr(got, "\nuser.dir=/"));
    free(got);
}

/* As Java prints a double rounded half up to four places, but never with an exponent. */
static void test_ratio(void **state)
{
    (void)state;
    static const struct {
        int64_t sum;
        int64_t count;
        const char *text;
    } cases[] = {
        { 0, 0, "0.0" },
        { 0, 5, "0.0" },
        { 6, 2, "3.0" },
        { 1, 3, "0.3333" },
        { 2, 3, "0.6667" },
        { 1, 20000, "0.0001" },
        { 1, 100000, "0.0" },
        { 30, 3, "10.0" },
        { 1, 8, "0.125" },
        { 100, 1, "100.0" },
        { INT64_MAX, INT64_MAX, "1.0" },
        { 7, 10000, "0.0007" },
        { 10, 10000, "0.001" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = BUF_EMPTY;
        monitor_print_ratio(cases[i].sum, cases[i].count, &out);
        char *got = buf_take_str(&out);
        assert_string_equal(got, cases[i].text);
        free(got);
    }
}

static void test_dir_bytes(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_fourletter.XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[128];
    snprintf(path, sizeof(path), "%s/version-2", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/version-2/log.1", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("12345", file);
    fclose(file);
    assert_int_equal(environment_dir_bytes(dir), 5);
    unlink(path);
    snprintf(path, sizeof(path), "%s/version-2", dir);
    rmdir(path);
    assert_int_equal(environment_dir_bytes(dir), 0);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_whitelist),
        cmocka_unit_test(test_words_are_told_from_lengths),
        cmocka_unit_test(test_while_not_serving),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_mntr),
        cmocka_unit_test(test_envi),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_dir_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
