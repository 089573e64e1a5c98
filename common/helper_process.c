/* SPDX-License-Identifier: Apache-2.0 */
#include "common/helper_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

static void ignore_signals(void)
{
    /* They are meant for the daemon, which ends its helpers in its own time. */
    const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        signal(ignored[i], SIG_IGN);
    }
    signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void helper_process_isolate(const char *name, int fd)
{
    ignore_signals();
    setsid(); /* not in the terminal's foreground group: no ^C, no ^Z */
    prctl(PR_SET_NAME, name);
    /* A pipe of the caller's that it held would never end. */
    int null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(null_fd, STDERR_FILENO) < 0 || dup2(fd, HELPER_PROCESS_FD) < 0 ||
        close_range(HELPER_PROCESS_FD + 1, ~0U, 0) != 0 || chdir("/") != 0) {
        _exit(1);
    }
}
