/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config_servers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/xalloc.h"
#include "server/properties.h"

static const char server_form[] =
    "expected server.N=host:port:port[:participant|:observer][|...][;[host:]port]";

/* A decimal number of digits only, within [0, max]. */
static bool parse_number(const char *s, size_t len, int64_t max, int64_t *out)
{
    int64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9' || value > (max - (s[i] - '0')) / 10) {
            return false;
        }
        value = value * 10 + (s[i] - '0');
    }
    *out = value;
    return len > 0;
}

static bool parse_port(const char *s, size_t len, int *out)
{
    int64_t port;
    if (!parse_number(s, len, 65535, &port)) {
        return false;
    }
    *out = (int)port;
    return true;
}

/* The N of `server.N`; false if the key has another prefix or N is no number. */
static bool parse_key(const char *key, const char *prefix, int64_t *number)
{
    size_t len = strlen(prefix);
    return strncmp(key, prefix, len) == 0 &&
           parse_number(key + len, strlen(key + len), INT64_MAX, number);
}

bool config_servers_is_key(const char *key)
{
    int64_t number;
    return parse_key(key, "server.", &number) || parse_key(key, "weight.", &number) ||
           parse_key(key, "group.", &number);
}

static struct config_server *find_server(const struct config *cfg, int64_t sid)
{
    for (size_t i = 0; i < cfg->server_count; i++) {
        if (cfg->servers[i].sid == sid) {
            return &cfg->servers[i];
        }
    }
    return NULL;
}

static void server_fini(struct config_server *server)
{
    for (size_t i = 0; i < server->address_count; i++) {
        free(server->addresses[i].host);
    }
    free(server->addresses);
    free(server->client_host);
}

/* Cuts the text up to the next ':' off *rest, or a bracketed address with the ':' behind it. */
static bool take_part(const char **rest, const char *end, const char **part, size_t *len)
{
    const char *p = *rest;
    if (p < end && *p == '[') {
        const char *close = memchr(p, ']', (size_t)(end - p));
        if (!close || (close + 1 < end && close[1] != ':')) {
            return false;
        }
        *part = p + 1;
        *len = (size_t)(close - p - 1);
        *rest = close + 1 < end ? close + 2 : end;
        return *len > 0;
    }
    const char *colon = p < end ? memchr(p, ':', (size_t)(end - p)) : NULL;
    *part = p;
    *len = (size_t)((colon ? colon : end) - p);
    *rest = colon ? colon + 1 : end;
    return *len > 0;
}

static bool equals(const char *part, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(part, word, len) == 0;
}

static bool parse_role(const char *part, size_t len, bool *is_observer)
{
    *is_observer = equals(part, len, "observer");
    return *is_observer || equals(part, len, "participant");
}

/* host:port:port[:role] */
static bool parse_address(const char *p, const char *end, struct config_server *server)
{
    const char *host;
    const char *part;
    size_t host_len;
    size_t len;
    struct config_address address = { NULL, 0, 0 };
    if (!take_part(&p, end, &host, &host_len) || !take_part(&p, end, &part, &len) ||
        !parse_port(part, len, &address.quorum_port) || !take_part(&p, end, &part, &len) ||
        !parse_port(part, len, &address.election_port)) {
        return false;
    }
    if (p < end && (!take_part(&p, end, &part, &len) || p < end ||
                    !parse_role(part, len, &server->is_observer))) {
        return false;
    }
    address.host = xstrndup(host, host_len);
    server->addresses =
        xrealloc(server->addresses, (server->address_count + 1) * sizeof(*server->addresses));
    server->addresses[server->address_count++] = address;
    return true;
}

/* [host:]port */
static bool parse_client(const char *p, struct config_server *server)
{
    const char *end = p + strlen(p);
    const char *part;
    size_t len;
    if (!take_part(&p, end, &part, &len)) {
        return false;
    }
    if (p < end) {
        server->client_host = xstrndup(part, len);
        if (!take_part(&p, end, &part, &len) || p < end) {
            return false;
        }
    }
    return parse_port(part, len, &server->client_port);
}

static bool parse_server(const char *value, struct config_server *server)
{
    const char *semicolon = strchr(value, ';');
    const char *end = semicolon ? semicolon : value + strlen(value);
    const char *p = value;
    for (;;) {
        const char *bar = memchr(p, '|', (size_t)(end - p));
        if (!parse_address(p, bar ? bar : end, server)) {
            return false;
        }
        if (!bar) {
            break;
        }
        p = bar + 1;
    }
    return !semicolon || parse_client(semicolon + 1, server);
}

static void insert_server(struct config *cfg, const struct config_server *server)
{
    struct config_server *old = find_server(cfg, server->sid);
    if (old) {
        server_fini(old);
        *old = *server;
        return;
    }
    cfg->servers = xrealloc(cfg->servers, (cfg->server_count + 1) * sizeof(*cfg->servers));
    size_t at = cfg->server_count++;
    while (at > 0 && cfg->servers[at - 1].sid > server->sid) {
        cfg->servers[at] = cfg->servers[at - 1];
        at--;
    }
    cfg->servers[at] = *server;
}

bool config_servers_add(struct config *cfg, const char *key, const char *value, const char **error)
{
    struct config_server server = { .weight = 1, .group = -1 };
    if (!parse_key(key, "server.", &server.sid)) {
        return true;
    }
    if (!parse_server(value, &server)) {
        server_fini(&server);
        *error = server_form;
        return false;
    }
    insert_server(cfg, &server);
    return true;
}

static bool set_group(struct config *cfg, int64_t group, const char *value, const char **error)
{
    const char *p = value;
    const char *end = value + strlen(value);
    do {
        const char *part;
        size_t len;
        int64_t sid;
        if (!take_part(&p, end, &part, &len) || !parse_number(part, len, INT64_MAX, &sid)) {
            *error = "expected group.G=N[:N]...";
            return false;
        }
        struct config_server *server = find_server(cfg, sid);
        if (!server) {
            *error = "the group names a server that has no server.N line";
            return false;
        }
        if (server->group >= 0 && server->group != group) {
            *error = "a server is in two groups";
            return false;
        }
        server->group = group;
    } while (p < end);
    return true;
}

bool config_servers_annotate(struct config *cfg, const char *key, const char *value,
                             const char **error)
{
    int64_t number;
    if (parse_key(key, "group.", &number)) {
        return set_group(cfg, number, value, error);
    }
    if (!parse_key(key, "weight.", &number)) {
        return true;
    }
    struct config_server *server = find_server(cfg, number);
    if (!server) {
        *error = "the weight is for a server that has no server.N line";
        return false;
    }
    if (!parse_number(value, strlen(value), INT32_MAX, &server->weight)) {
        *error = "expected a weight of 0 or more";
        return false;
    }
    return true;
}

bool config_servers_check(const struct config *cfg, const char **error)
{
    bool has_groups = false;
    bool has_loner = false;
    for (size_t i = 0; i < cfg->server_count; i++) {
        has_groups = has_groups || cfg->servers[i].group >= 0;
        has_loner = has_loner || (cfg->servers[i].group < 0 && !cfg->servers[i].is_observer);
    }
    if (has_groups && has_loner) {
        *error = "there are groups, but a voting server is in none of them";
        return false;
    }
    return true;
}

static void print_host(const char *host, struct buf *out)
{
    buf_printf(out, strchr(host, ':') ? "[%s]" : "%s", host);
}

static void print_server(const struct config_server *server, struct buf *out)
{
    struct buf value = BUF_EMPTY;
    for (size_t i = 0; i < server->address_count; i++) {
        const struct config_address *address = &server->addresses[i];
        buf_append_str(&value, i > 0 ? "|" : "");
        print_host(address->host, &value);
        buf_printf(&value, ":%d:%d:%s", address->quorum_port, address->election_port,
                   server->is_observer ? "observer" : "participant");
    }
    if (server->client_port > 0) {
        buf_append_str(&value, ";");
        if (server->client_host) {
            print_host(server->client_host, &value);
            buf_append_str(&value, ":");
        }
        buf_printf(&value, "%d", server->client_port);
    }
    char *key = xasprintf("server.%" PRId64, server->sid);
    char *text = buf_take_str(&value);
    properties_format(out, key, text);
    free(text);
    free(key);
    if (server->weight != 1) {
        buf_printf(out, "weight.%" PRId64 "=%" PRId64 "\n", server->sid, server->weight);
    }
}

/* All members on the line of the first one, since a key counts only once. */
static void print_group(const struct config *cfg, size_t first, struct buf *out)
{
    int64_t group = cfg->servers[first].group;
    for (size_t i = 0; i < first; i++) {
        if (cfg->servers[i].group == group) {
            return;
        }
    }
    buf_printf(out, "group.%" PRId64 "=%" PRId64, group, cfg->servers[first].sid);
    for (size_t i = first + 1; i < cfg->server_count; i++) {
        if (cfg->servers[i].group == group) {
            buf_printf(out, ":%" PRId64, cfg->servers[i].sid);
        }
    }
    buf_append_str(out, "\n");
}

void config_servers_print(const struct config *cfg, struct buf *out)
{
    for (size_t i = 0; i < cfg->server_count; i++) {
        print_server(&cfg->servers[i], out);
    }
    for (size_t i = 0; i < cfg->server_count; i++) {
        if (cfg->servers[i].group >= 0) {
            print_group(cfg, i, out);
        }
    }
}

void config_servers_fini(struct config *cfg)
{
    for (size_t i = 0; i < cfg->server_count; i++) {
        server_fini(&cfg->servers[i]);
    }
    free(cfg->servers);
}
