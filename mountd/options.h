/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_OPTIONS_H
#define MOUNTD_OPTIONS_H

/*
 * The command line of zkfs:
 *
 *      zkfs HOSTS[/chroot] MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d]
 *      zkfs --embedded[=DIR] MOUNTPOINT [...]
 *      mount.zkfs HOSTS[/chroot] MOUNTPOINT [-sfnv] [-N NS] [-t TYPE] [-o ...]   for mount(8)
 *
 * -o options are split between the process (here) and the file system (fusefs/options.h).
 */
#include <stdbool.h>

#include "fusefs/options.h"

struct mountd_options {
    struct fusefs_options fs;
    char *mountpoint; /* owned; as it was given */
    bool help;        /* --help: print and end, as the next two */
    bool version;
    bool print_config;
    bool fake;            /* mount -f: check the arguments only */
    bool foreground;      /* stay the child of the caller, log to stderr */
    bool is_embedded;     /* start a private server */
    char *embedded_dir;   /* owned; its data; NULL: the default place */
    int mount_timeout_ms; /* how long to wait for the ensemble before mounting; 0: not at all */
    bool auto_unmount;    /* unmount when the daemon is killed */
    char *pid_file;       /* owned or NULL */
    char *log_file;       /* owned; NULL: syslog once in the background */
    int log_level;        /* enum log_level */
};

/* 0, or -errno with *error one line that the caller frees; o is to be finished in both cases. With
 * --help or --version the rest of the line is not checked. */
int mountd_options_parse(struct mountd_options *o, int argc, char *argv[], char **error);
void mountd_options_fini(struct mountd_options *o);

/* To stdout. */
void mountd_options_help(void);
void mountd_options_print(const struct mountd_options *o);

#endif
