/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log_syslog.h"

#include <syslog.h>

void log_syslog_open(const char *ident)
{
    openlog(ident, LOG_PID, LOG_DAEMON);
}

void log_syslog_write(int level, const char *line)
{
    static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG };
    syslog(priorities[level], "%s", line);
}
