/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_syslog.h"

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };
static atomic_int log_level = LOG_INFO;
static atomic_bool is_syslog;

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, (int)level);
}

void log_to_syslog(const char *ident)
{
    log_syslog_open(ident);
    atomic_store(&is_syslog, true);
}

int log_level_parse(const char *name)
{
    for (int i = 0; i <= LOG_TRACE; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int log_is_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
    if (!log_is_enabled(level)) {
        return;
    }
    char line[2048];
    char when[25];
    clock_format_utc(clock_wall_ms(), when);
    int used = snprintf(line, sizeof(line), "%s %-5s %s ", when, level_names[level], module);
    size_t text = (size_t)used - strlen(module) - 1; /* syslog has its own time and level */
    va_list ap;
    va_start(ap, fmt);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, fmt, ap);
    va_end(ap);
    size_t len = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (len > sizeof(line) - 2) {
        len = sizeof(line) - 2;
    }
    if (atomic_load_explicit(&is_syslog, memory_order_relaxed)) {
        line[len] = '\0';
        log_syslog_write(level, line + text);
        return;
    }
    line[len++] = '\n';
    /* One write per line, so that lines of several threads do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}
