/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin/fourletter.h"

#include <inttypes.h>
#include <string.h>

#include "common/version.h"
#include "server/admin/environment.h"
#include "server/admin/monitor.h"

#define VERSION_TEXT "3.8.0-zkfs-" ZKFS_VERSION ", built on " ZKFS_VERSION_DATE " 00:00 UTC"

static const char not_serving[] = "This ZooKeeper instance is not currently serving requests\n";

/* What an answer is made from. */
struct request {
    const struct config *cfg;
    const struct server_view *view;
    struct buf *out;
};

const char *fourletter_version(void)
{
    return VERSION_TEXT;
}

static void answer_ruok(const struct request *r)
{
    buf_append_str(r->out, "imok");
}

static void answer_isro(const struct request *r)
{
    const struct server_view *view = r->view;
    buf_append_str(r->out, !view->is_serving ? "null" : view->is_read_only ? "ro" : "rw");
}

static void print_version(const struct request *r)
{
    buf_printf(r->out, "Zookeeper version: %s\n", VERSION_TEXT);
    if (r->view->is_read_only) {
        buf_append_str(r->out, "READ-ONLY mode; serving only read-only clients\n");
    }
}

static void print_figures(const struct request *r)
{
    const struct server_view *view = r->view;
    buf_printf(r->out, "Latency min/avg/max: %" PRId64 "/", view->latency_ms_min);
    monitor_print_ratio(view->latency_ms_sum, view->latency_count, r->out);
    buf_printf(r->out, "/%" PRId64 "\n", view->latency_ms_max);
    buf_printf(r->out, "Received: %" PRId64 "\n", view->packets_received);
    buf_printf(r->out, "Sent: %" PRId64 "\n", view->packets_sent);
    buf_printf(r->out, "Connections: %" PRId64 "\n", view->connection_count);
    buf_printf(r->out, "Outstanding: %" PRId64 "\n", view->outstanding_count);
    buf_printf(r->out, "Zxid: 0x%" PRIx64 "\n", view->last_zxid);
    buf_printf(r->out, "Mode: %s\n", view->mode);
    buf_printf(r->out, "Node count: %" PRId64 "\n", monitor_node_count(view));
    if (view->has_ensemble && view->ensemble.is_leading) {
        const struct ensemble_view *e = &view->ensemble;
        buf_printf(r->out, "Proposal sizes last/min/max: %" PRId64 "/%" PRId64 "/%" PRId64 "\n",
                   e->proposal_bytes_last, e->proposal_bytes_min, e->proposal_bytes_max);
    }
}

static void answer_srvr(const struct request *r)
{
    print_version(r);
    print_figures(r);
}

static void print_connection_brief(const struct request *r, const struct connection_view *c)
{
    /* Interest bits: 1 for reading; Apache shows 0 for a connection that waits. */
    buf_printf(r->out, " /%s[%d](queued=%" PRId64 ",recved=%" PRId64 ",sent=%" PRId64, c->address,
               c->is_reading ? 1 : 0, c->queued, c->received, c->sent);
}

static void print_connection_short(void *ctx, const struct connection_view *c)
{
    const struct request *r = ctx;
    print_connection_brief(r, c);
    buf_append_str(r->out, ")\n");
}

static void print_connection_full(void *ctx, const struct connection_view *c)
{
    const struct request *r = ctx;
    print_connection_brief(r, c);
    if (c->session_id != 0) {
        buf_printf(r->out, ",sid=0x%" PRIx64 ",lop=%s,est=%" PRId64 ",to=%" PRId32, c->session_id,
                   c->last_op, c->established_wall_ms, c->session_timeout_ms);
        if (c->last_cxid >= 0) {
            buf_printf(r->out, ",lcxid=0x%" PRIx64, c->last_cxid);
        }
        buf_printf(r->out, ",lzxid=0x%" PRIx64 ",lresp=%" PRId64 ",llat=%" PRId64, c->last_zxid,
                   c->last_response_ms, c->latency_ms_last);
        buf_printf(r->out, ",minlat=%" PRId64 ",avglat=%" PRId64 ",maxlat=%" PRId64,
                   c->latency_ms_min, c->latency_ms_avg, c->latency_ms_max);
    }
    buf_append_str(r->out, ")\n");
}

static void print_connections(const struct request *r, connection_view_fn *print)
{
    r->view->for_each_connection(r->view->arg, print, (void *)r);
    buf_append_str(r->out, "\n");
}

static void answer_stat(const struct request *r)
{
    print_version(r);
    buf_append_str(r->out, "Clients:\n");
    print_connections(r, print_connection_short);
    print_figures(r);
}

static void answer_cons(const struct request *r)
{
    print_connections(r, print_connection_full);
}

static void answer_mntr(const struct request *r)
{
    monitor_print(r->view, VERSION_TEXT, r->out);
}

static void answer_envi(const struct request *r)
{
    environment_print(VERSION_TEXT, r->out);
}

static void print_ensemble_conf(const struct ensemble_view *e, struct buf *out)
{
    buf_printf(out, "initLimit=%d\n", e->init_limit_ticks);
    buf_printf(out, "syncLimit=%d\n", e->sync_limit_ticks);
    buf_append_str(out, "electionAlg=3\n");
    buf_printf(out, "electionPort=%d\n", e->election_port);
    buf_printf(out, "quorumPort=%d\n", e->quorum_port);
    buf_printf(out, "peerType=%d\n", e->is_observer ? 1 : 0);
    buf_printf(out, "membership: \n%s", e->members);
}

static void answer_conf(const struct request *r)
{
    const struct config *cfg = r->cfg;
    buf_printf(r->out, "clientPort=%d\n", r->view->client_port);
    buf_append_str(r->out, "secureClientPort=-1\n");
    buf_printf(r->out, "dataDir=%s/version-2\n", cfg->data_dir);
    buf_printf(r->out, "dataDirSize=%" PRId64 "\n", environment_dir_bytes(cfg->data_dir));
    buf_printf(r->out, "dataLogDir=%s/version-2\n", cfg->log_dir);
    buf_printf(r->out, "dataLogSize=%" PRId64 "\n", environment_dir_bytes(cfg->log_dir));
    buf_printf(r->out, "tickTime=%d\n", cfg->tick_time_ms);
    buf_printf(r->out, "maxClientCnxns=%d\n", cfg->client_cnxns_max);
    buf_printf(r->out, "minSessionTimeout=%d\n", cfg->session_timeout_ms_min);
    buf_printf(r->out, "maxSessionTimeout=%d\n", cfg->session_timeout_ms_max);
    buf_printf(r->out, "clientPortListenBacklog=%d\n", cfg->client_port_backlog);
    buf_printf(r->out, "serverId=%d\n", r->view->server_id);
    if (r->view->has_ensemble) {
        print_ensemble_conf(&r->view->ensemble, r->out);
    }
}

/* Apache 3.8.0 swaps the two when the directories differ; we do not. */
static void answer_dirs(const struct request *r)
{
    buf_printf(r->out, "datadir_size: %" PRId64 "\n", environment_dir_bytes(r->cfg->data_dir));
    buf_printf(r->out, "logdir_size: %" PRId64 "\n", environment_dir_bytes(r->cfg->log_dir));
}

static void answer_wchs(const struct request *r)
{
    const struct server_view *view = r->view;
    buf_printf(r->out, "%" PRId64 " connections watching %" PRId64 " paths\n",
               view->data_watch_connections, view->data_watch_paths);
    buf_printf(r->out, "Total watches:%" PRId64 "\n", view->data_watch_count);
}

static void answer_crst(const struct request *r)
{
    r->view->reset_stats(r->view->arg, STATS_CONNECTIONS);
    buf_append_str(r->out, "Connection stats reset.\n");
}

static void answer_srst(const struct request *r)
{
    r->view->reset_stats(r->view->arg, STATS_SERVER);
    buf_append_str(r->out, "Server stats reset.\n");
}

static const struct word {
    char name[5];
    bool needs_serving; /* answers so while the server does not serve */
    void (*answer)(const struct request *r);
} words[] = {
    { "ruok", false, answer_ruok },
    { "isro", false, answer_isro },
    { "envi", false, answer_envi },
    { "srvr", true, answer_srvr },
    { "stat", true, answer_stat },
    { "mntr", true, answer_mntr },
    { "conf", true, answer_conf },
    { "cons", true, answer_cons },
    { "dirs", true, answer_dirs },
    { "wchs", true, answer_wchs },
    { "crst", true, answer_crst },
    { "srst", true, answer_srst },
    /* Apache's others: recognised, so that they get an answer instead of a frame error. */
    { "dump", true, NULL },
    { "wchc", true, NULL },
    { "wchp", true, NULL },
    { "hash", true, NULL },
    { "gtmk", false, NULL },
    { "stmk", false, NULL },
};

static const struct word *find_word(const uint8_t bytes[4])
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memcmp(words[i].name, bytes, 4) == 0) {
            return &words[i];
        }
    }
    return NULL;
}

bool fourletter_is_word(const uint8_t bytes[4])
{
    return find_word(bytes) != NULL;
}

/* 4lw.commands.whitelist: words with commas between them; * stands for all. Apache always allows srvr,
 * since its own zkServer.sh asks for it. */
static bool is_allowed(const struct word *word, const char *whitelist)
{
    static const char blanks[] = ", \t";
    if (memcmp(word->name, "srvr", 4) == 0) {
        return true;
    }
    const char *p = whitelist ? whitelist : "";
    for (p += strspn(p, blanks); *p; p += strspn(p, blanks)) {
        size_t len = strcspn(p, blanks);
        if ((len == 1 && *p == '*') || (len == 4 && memcmp(p, word->name, 4) == 0)) {
            return true;
        }
        p += len;
    }
    return false;
}

void fourletter_answer(const uint8_t bytes[4], const struct config *cfg,
                       const struct server_view *view, struct buf *out)
{
    const struct word *word = find_word(bytes);
    const struct request r = { .cfg = cfg, .view = view, .out = out };
    if (!word || !is_allowed(word, cfg->fourletter_whitelist)) {
        buf_printf(out, "%.4s is not executed because it is not in the whitelist.\n",
                   (const char *)bytes);
    } else if (!word->answer) {
        buf_printf(out, "%s is not implemented by this server.\n", word->name);
    } else if (word->needs_serving && !view->is_serving) {
        buf_append_str(out, not_serving);
    } else {
        word->answer(&r);
    }
}
