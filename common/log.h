/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/*
 * One-line logger to stderr, UTC: `time LEVEL module text key=value ...`. Any thread. Levels:
 * ERROR an operator must act; WARN degraded, heals itself; INFO a change of state; DEBUG per
 * request. Never log passwords, auth data or the contents of znodes.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

void log_set_level(enum log_level level);
/* From now on lines go to syslog(3): for a daemon that lets go of its stderr. ident is kept,
 * not copied. */
void log_to_syslog(const char *ident);
/* "error", "warn", "info", "debug", "trace"; -1 for any other name. */
int log_level_parse(const char *name);
int log_is_enabled(enum log_level level);
void log_write(enum log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(module, ...) log_write(LOG_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...)  log_write(LOG_WARN, module, __VA_ARGS__)
#define log_info(module, ...)  log_write(LOG_INFO, module, __VA_ARGS__)
#define log_debug(module, ...)                                                                     \
    do {                                                                                           \
        if (log_is_enabled(LOG_DEBUG)) {                                                           \
            log_write(LOG_DEBUG, module, __VA_ARGS__);                                             \
        }                                                                                          \
    } while (0)

#endif
