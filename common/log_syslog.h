/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_LOG_SYSLOG_H
#define COMMON_LOG_SYSLOG_H

/* syslog(3) behind names of our own: its macros LOG_INFO and LOG_DEBUG are those of enum
 * log_level with other values, so the two headers must not meet. For common/log.c only. */

/* ident is kept, not copied. */
void log_syslog_open(const char *ident);
/* level as in enum log_level. Any thread. */
void log_syslog_write(int level, const char *line);

#endif
