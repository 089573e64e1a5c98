/* SPDX-License-Identifier: Apache-2.0 */
#include "server/membership.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "server/store/number_file.h"

/* A server alone has this id in its session ids, as Apache's has (client-protocol 2). */
enum { STANDALONE_SID = 1 };

/* The id stands in the top byte of session ids, where 255 marks a TTL node's owner. */
enum { SID_MAX = 254 };

static const char module[] = "config";

/* ---- the text --------------------------------------------------------------------------------------------- */

static void put_host(struct buf *out, const char *host)
{
    buf_printf(out, strchr(host, ':') ? "[%s]" : "%s", host);
}

static int compare_hosts(const void *a, const void *b)
{
    const struct config_address *const *x = a;
    const struct config_address *const *y = b;
    return strcmp((*x)->host, (*y)->host);
}

static void put_addresses(struct buf *out, const struct config_server *server)
{
    const struct config_address **sorted = xcalloc(server->address_count, sizeof(*sorted));
    for (size_t i = 0; i < server->address_count; i++) {
        sorted[i] = &server->addresses[i];
    }
    qsort(sorted, server->address_count, sizeof(*sorted), compare_hosts);
    for (size_t i = 0; i < server->address_count; i++) {
        buf_append_str(out, i > 0 ? "|" : "");
        put_host(out, sorted[i]->host);
        buf_printf(out, ":%d:%d", sorted[i]->quorum_port, sorted[i]->election_port);
    }
    free(sorted);
}

static char *config_text(const struct config *cfg)
{
    struct buf out = BUF_EMPTY;
    for (size_t i = 0; i < cfg->server_count; i++) {
        const struct config_server *server = &cfg->servers[i];
        buf_printf(&out, "server.%" PRId64 "=", server->sid);
        put_addresses(&out, server);
        buf_append_str(&out, server->is_observer ? ":observer" : ":participant");
        if (server->client_port > 0) {
            buf_append_str(&out, ";");
            put_host(&out, server->client_host ? server->client_host : "0.0.0.0");
            buf_printf(&out, ":%d", server->client_port);
        }
        buf_append_str(&out, "\n");
    }
    buf_append_str(&out, "version=0");
    return buf_take_str(&out);
}

/* ---- what is refused ----------------------------------------------------------------------------------------- */

static int refuse(const char *text)
{
    log_error(module, "%s", text);
    return -EINVAL;
}

static int check_servers(const struct config *cfg)
{
    size_t voters = 0;
    for (size_t i = 0; i < cfg->server_count; i++) {
        const struct config_server *server = &cfg->servers[i];
        if (server->sid > SID_MAX) {
            log_error(module, "server.%" PRId64 ": the number must be from 0 to %d", server->sid,
                      SID_MAX);
            return -EINVAL;
        }
        if (server->group >= 0 || server->weight != 1) {
            return refuse("groups and weights of servers are not supported");
        }
        voters += !server->is_observer;
    }
    if (voters < 2) {
        return refuse("an ensemble needs at least two servers that vote (:participant)");
    }
    if (voters > ENSEMBLE_VOTERS_MAX) {
        return refuse("too many servers vote; make most of them observers");
    }
    if (cfg->init_limit_ticks == 0 || cfg->sync_limit_ticks == 0) {
        return refuse("an ensemble needs initLimit and syncLimit, in ticks; 10 and 5 are usual");
    }
    return 0;
}

static const struct config_server *find_server(const struct config *cfg, int64_t sid)
{
    for (size_t i = 0; i < cfg->server_count; i++) {
        if (cfg->servers[i].sid == sid) {
            return &cfg->servers[i];
        }
    }
    return NULL;
}

/* Which of them are we? */
static int read_self(const struct config *cfg, const struct config_server **self)
{
    int64_t sid;
    int err = number_file_read(&fsops_posix, cfg->data_dir, "myid", &sid);
    if (err == -ENOENT) {
        log_error(module,
                  "%s/myid is missing: it must hold the N of this server's own server.N line, "
                  "for example: echo 1 > %s/myid",
                  cfg->data_dir, cfg->data_dir);
        return err;
    }
    if (err < 0) {
        log_error(module, "%s/myid: %s", cfg->data_dir,
                  err == -EBADMSG ? "not a number" : strerror(-err));
        return err;
    }
    *self = find_server(cfg, sid);
    if (!*self) {
        log_error(module, "%s/myid says %" PRId64 ", but there is no server.%" PRId64 " line",
                  cfg->data_dir, sid, sid);
        return -EINVAL;
    }
    return 0;
}

/* ---- filling --------------------------------------------------------------------------------------------------- */

static void fill_members(struct membership *m, const struct config *cfg)
{
    size_t address_count = 0;
    for (size_t i = 0; i < cfg->server_count; i++) {
        address_count += cfg->servers[i].address_count;
    }
    m->list = xcalloc(cfg->server_count, sizeof(*m->list));
    m->addresses = xcalloc(address_count, sizeof(*m->addresses));
    struct member_address *next = m->addresses;
    for (size_t i = 0; i < cfg->server_count; i++) {
        const struct config_server *server = &cfg->servers[i];
        m->list[i] = (struct member){ server->sid, next, server->address_count };
        for (size_t k = 0; k < server->address_count; k++) {
            const struct config_address *a = &server->addresses[k];
            *next++ = (struct member_address){ a->host, a->quorum_port, a->election_port };
        }
    }
}

static void fill_ensemble(struct membership *m, const struct config *cfg,
                          const struct config_server *self)
{
    m->text = config_text(cfg);
    struct ensemble *e = &m->ensemble;
    e->self_sid = self->sid;
    e->is_observer = self->is_observer;
    e->config_text = m->text;
    for (size_t i = 0; i < cfg->server_count; i++) {
        if (!cfg->servers[i].is_observer) {
            e->voters[e->voter_count++] = cfg->servers[i].sid;
        }
    }
}

int membership_init(struct membership *m, const struct config *cfg)
{
    *m = (struct membership){ .is_alone = cfg->server_count <= 1 };
    if (m->is_alone) {
        m->ensemble = (struct ensemble){ .self_sid = STANDALONE_SID,
                                         .voter_count = 1,
                                         .voters = { STANDALONE_SID },
                                         .config_text = "" };
        return 0;
    }
    const struct config_server *self = NULL;
    int err = check_servers(cfg);
    if (err == 0) {
        err = read_self(cfg, &self);
    }
    if (err < 0) {
        return err;
    }
    if (cfg->peer_is_observer && !self->is_observer) {
        log_warn(module,
                 "peerType=observer, but server.%" PRId64 "'s line says that it votes; it does",
                 self->sid);
    }
    fill_members(m, cfg);
    fill_ensemble(m, cfg, self);
    m->members = (struct members){ .self_sid = self->sid,
                                   .list = m->list,
                                   .count = cfg->server_count,
                                   .listen_on_all = cfg->quorum_listens_on_all,
                                   .connect_timeout_ms = cfg->connect_timeout_ms };
    return 0;
}

void membership_fini(struct membership *m)
{
    free(m->list);
    free(m->addresses);
    free(m->text);
}
