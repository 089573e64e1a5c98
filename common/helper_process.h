/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_HELPER_PROCESS_H
#define COMMON_HELPER_PROCESS_H

/*
 * A process that a daemon forks for one small task of its own, and speaks to over one descriptor.
 * It must not look busy to anybody, nor hold what is the daemon's.
 */

enum { HELPER_PROCESS_FD = 3 };

/* In the child: a session of its own and no signal from a terminal or a service manager short
 * of SIGKILL; /dev/null for stdin, stdout and stderr; "/" as current directory; every
 * descriptor closed but fd, which becomes HELPER_PROCESS_FD. name, up to 15 characters, is
 * what ps and audit logs show. Ends the process if something of that fails. Calls
 * async-signal-safe functions only. */
void helper_process_isolate(const char *name, int fd);

#endif
