/* SPDX-License-Identifier: Apache-2.0 */
/*
 * START HERE: zkfs, one process per mount. The command line becomes options (options.h), what can
 * be checked is checked while the caller still looks (mountpoint.h), the process goes into the
 * background (daemonise.h) and lives through the states of mount.h. The file system itself is
 * fusefs/fusefs.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/version.h"
#include "common/xalloc.h"
#include "mountd/daemonise.h"
#include "mountd/mount.h"
#include "mountd/mountpoint.h"
#include "mountd/options.h"

static int complain(int exit_code, char *error)
{
    fprintf(stderr, "zkfs: %s\n", error);
    free(error);
    return exit_code;
}

/* Paths of the options as the daemon needs them, which leaves the current directory. */
static void make_absolute(char **path)
{
    if (*path == NULL || **path == '/') {
        return;
    }
    char *cwd = getcwd(NULL, 0);
    if (cwd != NULL) {
        char *absolute = xasprintf("%s/%s", cwd, *path);
        free(*path);
        *path = absolute;
    }
    free(cwd);
}

/* In the process that will serve the mount. */
static int serve(struct mountd_options *o, const char *mountpoint)
{
    struct daemonise d;
    int err = daemonise_init(&d, o->log_file);
    if (err == 0 && !o->foreground) {
        err = daemonise_start(&d);
    }
    if (err != 0) {
        return complain(EXIT_SYSTEM, xasprintf("cannot start: %s", strerror(-err)));
    }
    int exit_code = mount_run(o, mountpoint, &d);
    daemonise_fini(&d);
    return exit_code;
}

static int run(struct mountd_options *o)
{
    log_set_level(o->log_level);
    make_absolute(&o->embedded_dir);
    make_absolute(&o->pid_file);
    make_absolute(&o->log_file);
    char *mountpoint = NULL;
    char *error = NULL;
    if (mountpoint_check(o->mountpoint, &mountpoint, &error) != 0) {
        return complain(EXIT_MOUNT_FAILED, error);
    }
    if (mountpoint_check_means(&o->fs, &error) != 0) {
        free(mountpoint);
        return complain(EXIT_USAGE, error);
    }
    int exit_code = o->fake ? EXIT_OK : serve(o, mountpoint);
    free(mountpoint);
    return exit_code;
}

int main(int argc, char *argv[])
{
    struct mountd_options o;
    char *error;
    int exit_code = EXIT_OK;
    if (mountd_options_parse(&o, argc, argv, &error) != 0) {
        exit_code = complain(EXIT_USAGE, error);
    } else if (o.help) {
        mountd_options_help();
    } else if (o.version) {
        printf("zkfs %s\n", ZKFS_VERSION);
    } else if (o.print_config) {
        mountd_options_print(&o);
    } else {
        exit_code = run(&o);
    }
    mountd_options_fini(&o);
    return exit_code;
}
