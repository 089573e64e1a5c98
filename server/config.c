/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/assert.h"
#include "common/xalloc.h"
#include "server/config_keys.h"
#include "server/config_servers.h"
#include "server/properties.h"

enum { HOUR_MS = 3600 * 1000, CONFIG_FILE_BYTES_MAX = 1024 * 1024 };

/* A log that much larger than a snapshot is of any size. */
enum { FACTOR_MAX = 1000000 };

/* One load. Everything in it lives as long as the call. */
struct load {
    const char *name; /* of the file, for messages */
    struct config_report *report;
    struct config *cfg;
    int *lines; /* per table entry: where it was set last; 0: not in the file */
    int line;   /* being read; 0: a default, or no line in particular */
};

static char *format_message(const struct load *l, int line, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static char *format_message(const struct load *l, int line, const char *fmt, va_list ap)
{
    struct buf b = BUF_EMPTY;
    buf_append_str(&b, l->name);
    if (line > 0) {
        buf_printf(&b, ":%d", line);
    }
    buf_append_str(&b, ": ");
    buf_vprintf(&b, fmt, ap);
    return buf_take_str(&b);
}

/* The first error is the one that counts. Returns false, for `return fail(...)`. */
static bool fail(struct load *l, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(struct load *l, int line, const char *fmt, ...)
{
    if (!l->report->error) {
        va_list ap;
        va_start(ap, fmt);
        l->report->error = format_message(l, line, fmt, ap);
        va_end(ap);
    }
    return false;
}

static void warn(struct load *l, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void warn(struct load *l, int line, const char *fmt, ...)
{
    struct config_report *report = l->report;
    report->warnings =
        xrealloc(report->warnings, (report->warning_count + 1) * sizeof(*report->warnings));
    va_list ap;
    va_start(ap, fmt);
    report->warnings[report->warning_count++] = format_message(l, line, fmt, ap);
    va_end(ap);
}

void config_report_fini(struct config_report *report)
{
    free(report->error);
    for (size_t i = 0; i < report->warning_count; i++) {
        free(report->warnings[i]);
    }
    free(report->warnings);
    memset(report, 0, sizeof(*report));
}

static void *field_of(struct config *cfg, const struct config_key *key)
{
    return (char *)cfg + key->offset;
}

static const void *const_field_of(const struct config *cfg, const struct config_key *key)
{
    return (const char *)cfg + key->offset;
}

/* ---- values
 * --------------------------------------------------------------------------------------- */

/* A whole number at the start of text, decimal or 0x; *rest is what follows. Never octal. */
static bool parse_number(const char *text, int64_t *out, const char **rest)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9') {
        return false;
    }
    bool is_hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, is_hex ? 16 : 10);
    if (errno != 0) {
        return false;
    }
    *out = value;
    *rest = end;
    return true;
}

static bool set_number(struct load *l, const struct config_key *key, const char *text)
{
    int64_t value;
    const char *rest;
    if (!parse_number(text, &value, &rest) || *rest != '\0') {
        return fail(l, l->line, "%s=%s: not a number", key->name, text);
    }
    if (value < key->min && key->is_raised) {
        warn(l, l->line, "%s=%s is too small, using %" PRId64, key->name, text, key->min);
        value = key->min;
    }
    if (value < key->min || value > key->max) {
        return fail(l, l->line, "%s=%s: must be from %" PRId64 " to %" PRId64, key->name, text,
                    key->min, key->max);
    }
    if (key->kind == CONFIG_INT) {
        *(int *)field_of(l->cfg, key) = (int)value;
    } else {
        *(int64_t *)field_of(l->cfg, key) = value;
    }
    return true;
}

/* Hours as ever, or with a suffix as ZooKeeper 3.10 has it. */
static bool set_hours(struct load *l, const struct config_key *key, const char *text)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = { { "", HOUR_MS }, { "ms", 1 },      { "s", 1000 },
                  { "m", 60000 },  { "h", HOUR_MS }, { "d", 24 * (int64_t)HOUR_MS } };
    int64_t value;
    const char *rest;
    if (parse_number(text, &value, &rest) && value >= 0) {
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strcmp(rest, units[i].suffix) == 0 && value <= INT64_MAX / units[i].ms) {
                *(int64_t *)field_of(l->cfg, key) = value * units[i].ms;
                return true;
            }
        }
    }
    return fail(l, l->line, "%s=%s: not a number of hours, nor a number with ms, s, m, h or d",
                key->name, text);
}

/* Two decimals are kept. */
static bool set_factor(struct load *l, const struct config_key *key, const char *text)
{
    char *rest = NULL;
    bool is_decimal = text[0] != '\0' && strspn(text, "0123456789.-") == strlen(text);
    double value = is_decimal ? strtod(text, &rest) : 0;
    if (!is_decimal || *rest != '\0' || value > FACTOR_MAX) {
        return fail(l, l->line, "%s=%s: not a number up to %d", key->name, text, FACTOR_MAX);
    }
    *(int32_t *)field_of(l->cfg, key) = value < 0 ? -100 : (int32_t)(value * 100 + 0.5);
    return true;
}

static bool set_flag(struct load *l, const struct config_key *key, const char *text, bool is_true,
                     bool is_false, const char *choices)
{
    if (!is_true && !is_false) {
        return fail(l, l->line, "%s=%s: must be %s", key->name, text, choices);
    }
    *(bool *)field_of(l->cfg, key) = is_true;
    return true;
}

static bool set_text(struct load *l, const struct config_key *key, const char *text)
{
    char **field = field_of(l->cfg, key);
    free(*field);
    *field = *text ? xstrdup(text) : NULL;
    return true;
}

static bool set_inert(struct load *l, const struct config_key *key, const char *name,
                      const char *text)
{
    if (!key->default_text || strcasecmp(text, key->default_text) != 0) {
        warn(l, l->line, "%s has no effect on this server", name);
    }
    return true;
}

/* name is what stands in the file, without the prefix: it differs from key->name for a family. */
static bool set_value(struct load *l, const struct config_key *key, const char *name,
                      const char *text)
{
    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_LONG:
        return set_number(l, key, text);
    case CONFIG_HOURS:
        return set_hours(l, key, text);
    case CONFIG_FACTOR:
        return set_factor(l, key, text);
    case CONFIG_TRUE_FALSE:
        return set_flag(l, key, text, strcasecmp(text, "true") == 0, strcasecmp(text, "false") == 0,
                        "true or false");
    case CONFIG_YES_NO:
        /* Exact, as Apache compares: skipACL=YES there means no, and must not mean yes here. */
        return set_flag(l, key, text, strcmp(text, "yes") == 0, strcmp(text, "no") == 0,
                        "yes or no");
    case CONFIG_PEER_TYPE:
        return set_flag(l, key, text, strcasecmp(text, "observer") == 0,
                        strcasecmp(text, "participant") == 0, "participant or observer");
    case CONFIG_TEXT:
    case CONFIG_SECRET:
        return set_text(l, key, text);
    case CONFIG_INERT:
        return set_inert(l, key, name, text);
    }
    return false;
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */

static bool set_defaults(struct load *l)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->kind != CONFIG_INERT && key->default_text &&
            !set_value(l, key, key->name, key->default_text)) {
            return false;
        }
    }
    return true;
}

static const char *without_prefix(const char *name)
{
    static const char prefix[] = "zookeeper.";
    size_t len = sizeof(prefix) - 1;
    return strncmp(name, prefix, len) == 0 ? name + len : name;
}

static bool take_entry(struct load *l, const char *full_name, const char *value)
{
    const char *name = without_prefix(full_name);
    const char *error = NULL;
    if (config_servers_is_key(name)) {
        return config_servers_add(l->cfg, name, value, &error) ||
               fail(l, l->line, "%s=%s: %s", name, value, error);
    }
    const struct config_key *key = config_key_find(name);
    if (!key) {
        warn(l, l->line, "unknown key %s is ignored", full_name);
        return true;
    }
    int *line = &l->lines[key - config_keys];
    if (*line > 0 && strcmp(key->name, name) == 0) {
        warn(l, l->line, "%s was set in line %d already, this one counts", name, *line);
    }
    *line = l->line;
    return set_value(l, key, name, value);
}

/* Weights and groups may stand above the servers that they speak of, so they wait for a second
 * pass. */
static bool annotate_entry(struct load *l, const char *full_name, const char *value)
{
    const char *name = without_prefix(full_name);
    const char *error = NULL;
    return config_servers_annotate(l->cfg, name, value, &error) ||
           fail(l, l->line, "%s=%s: %s", name, value, error);
}

static bool for_each_entry(struct load *l, const char *text, size_t len,
                           bool (*take)(struct load *, const char *, const char *))
{
    struct properties_reader r;
    const char *error = NULL;
    bool ok = true;
    int status = 1;
    properties_init(&r, text, len);
    while (ok && (status = properties_next(&r, &error)) > 0) {
        l->line = r.line;
        ok = take(l, properties_key(&r), properties_value(&r));
    }
    if (ok && status < 0) {
        ok = fail(l, r.line, "%s", error);
    }
    properties_fini(&r);
    l->line = 0;
    return ok;
}

static int line_of(const struct load *l, const char *name)
{
    return l->lines[config_key_find(name) - config_keys];
}

static bool settle_dirs(struct load *l)
{
    struct config *cfg = l->cfg;
    if (!cfg->data_dir) {
        return fail(l, line_of(l, "dataDir"), "dataDir is not set");
    }
    /* Apache says the same: a bare name is more often a forgotten slash than meant. */
    if (cfg->data_dir[0] != '/' && cfg->data_dir[0] != '.') {
        warn(l, line_of(l, "dataDir"),
             "dataDir=%s is relative to the working directory; write ./%s if that is meant",
             cfg->data_dir, cfg->data_dir);
    }
    if (!cfg->log_dir) {
        cfg->log_dir = xstrdup(cfg->data_dir);
    }
    return true;
}

static bool settle_session_timeouts(struct load *l)
{
    struct config *cfg = l->cfg;
    if (cfg->session_timeout_ms_min < 0) {
        cfg->session_timeout_ms_min = 2 * cfg->tick_time_ms;
    }
    if (cfg->session_timeout_ms_max < 0) {
        cfg->session_timeout_ms_max = 20 * cfg->tick_time_ms;
    }
    if (cfg->session_timeout_ms_min == 0 || cfg->session_timeout_ms_max == 0) {
        bool is_min = cfg->session_timeout_ms_min == 0;
        return fail(l, line_of(l, is_min ? "minSessionTimeout" : "maxSessionTimeout"),
                    "a session timeout of 0 means that the session is refused");
    }
    if (cfg->session_timeout_ms_min > cfg->session_timeout_ms_max) {
        int line = line_of(l, "minSessionTimeout");
        return fail(l, line > 0 ? line : line_of(l, "maxSessionTimeout"),
                    "minSessionTimeout (%d ms) is larger than maxSessionTimeout (%d ms)",
                    cfg->session_timeout_ms_min, cfg->session_timeout_ms_max);
    }
    return true;
}

/* A scheme that nobody can prove, or none at all, would lock everybody out. */
static bool settle_enforced_auth(struct load *l)
{
    const struct config *cfg = l->cfg;
    if (!cfg->auth_is_enforced) {
        return true;
    }
    const char *at = cfg->enforced_schemes ? cfg->enforced_schemes : "";
    int count = 0;
    for (; *at; at += strspn(at, ", ")) {
        size_t len = strcspn(at, ", ");
        bool is_known = (len == 6 && memcmp(at, "digest", len) == 0) ||
                        (len == 2 && memcmp(at, "ip", len) == 0);
        if (!is_known) {
            return fail(l, line_of(l, "enforce.auth.schemes"),
                        "enforce.auth.schemes=%s: only digest and ip can be proved to this server",
                        cfg->enforced_schemes);
        }
        count++;
        at += len;
    }
    return count > 0 || fail(l, line_of(l, "enforce.auth.enabled"),
                             "enforce.auth.enabled=true needs enforce.auth.schemes");
}

/* What one key says about another, once all are read. */
static bool settle(struct load *l)
{
    const char *error = NULL;
    if (!settle_dirs(l) || !settle_session_timeouts(l) || !settle_enforced_auth(l)) {
        return false;
    }
    if (line_of(l, "clientPort") == 0) {
        return fail(l, 0, "clientPort is not set");
    }
    return config_servers_check(l->cfg, &error) || fail(l, 0, "%s", error);
}

struct config *config_parse(const char *text, size_t len, const char *name,
                            struct config_report *report)
{
    struct load l = { .name = name, .report = report };
    l.cfg = xcalloc(1, sizeof(*l.cfg));
    l.lines = xcalloc(config_key_count, sizeof(*l.lines));
    bool ok = set_defaults(&l) && for_each_entry(&l, text, len, take_entry) &&
              for_each_entry(&l, text, len, annotate_entry) && settle(&l);
    free(l.lines);
    if (!ok) {
        config_free(l.cfg);
        return NULL;
    }
    return l.cfg;
}

/* 0 or -errno; -EFBIG for what cannot be a configuration. */
static int read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        return -errno;
    }
    int status = 0;
    size_t got;
    do {
        got = fread(buf_reserve(out, 4096), 1, 4096, f);
        out->len += got;
        if (ferror(f)) {
            status = errno ? -errno : -EIO;
        } else if (out->len > CONFIG_FILE_BYTES_MAX) {
            status = -EFBIG;
        }
    } while (got > 0 && status == 0);
    fclose(f);
    return status;
}

struct config *config_load(const char *path, struct config_report *report)
{
    struct buf text = BUF_EMPTY;
    struct config *cfg = NULL;
    int status = read_file(path, &text);
    if (status < 0) {
        report->error = xasprintf("%s: %s", path, strerror(-status));
    } else {
        cfg = config_parse(text.data ? (const char *)text.data : "", text.len, path, report);
    }
    buf_fini(&text);
    return cfg;
}

void config_free(struct config *cfg)
{
    if (!cfg) {
        return;
    }
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_keys[i].kind == CONFIG_TEXT || config_keys[i].kind == CONFIG_SECRET) {
            free(*(char **)field_of(cfg, &config_keys[i]));
        }
    }
    config_servers_fini(cfg);
    free(cfg);
}

/* ---- printing
 * ------------------------------------------------------------------------------------- */

static void print_hours(const struct config_key *key, int64_t ms, struct buf *out)
{
    bool is_whole = ms % HOUR_MS == 0;
    buf_printf(out, "%s=%" PRId64 "%s\n", key->name, is_whole ? ms / HOUR_MS : ms,
               is_whole ? "" : "ms");
}

static void print_text(const struct config_key *key, const char *text, struct buf *out)
{
    if (text) {
        properties_format(out, key->name, text);
    } else if (key->default_text) {
        /* Set to nothing, which is not the same as not set. */
        properties_format(out, key->name, "");
    }
}

static void print_key(const struct config *cfg, const struct config_key *key, struct buf *out)
{
    const void *field = const_field_of(cfg, key);
    const char *text = NULL;
    switch (key->kind) {
    case CONFIG_INT:
        buf_printf(out, "%s=%d\n", key->name, *(const int *)field);
        return;
    case CONFIG_LONG:
        buf_printf(out, "%s=%" PRId64 "\n", key->name, *(const int64_t *)field);
        return;
    case CONFIG_HOURS:
        print_hours(key, *(const int64_t *)field, out);
        return;
    case CONFIG_FACTOR:
        buf_printf(out, "%s=%.2f\n", key->name, (double)*(const int32_t *)field / 100);
        return;
    case CONFIG_TEXT:
        print_text(key, *(char *const *)field, out);
        return;
    case CONFIG_SECRET:
        if (*(char *const *)field) {
            buf_printf(out, "# %s is set\n", key->name);
        }
        return;
    case CONFIG_TRUE_FALSE:
        text = *(const bool *)field ? "true" : "false";
        break;
    case CONFIG_YES_NO:
        text = *(const bool *)field ? "yes" : "no";
        break;
    case CONFIG_PEER_TYPE:
        text = *(const bool *)field ? "observer" : "participant";
        break;
    case CONFIG_INERT:
        return;
    }
    zk_assert(text != NULL);
    buf_printf(out, "%s=%s\n", key->name, text);
}

void config_print(const struct config *cfg, struct buf *out)
{
    for (size_t i = 0; i < config_key_count; i++) {
        print_key(cfg, &config_keys[i], out);
    }
    config_servers_print(cfg, out);
}
