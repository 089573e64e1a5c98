/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/options.h"

#include <errno.h>
#include <fuse_opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "fusefs/option_table.h"

enum { TIME_MS_MAX = 24 * 3600 * 1000, POSITIONAL_MAX = 2 };

#define AT(field) offsetof(struct mountd_options, field)
#define FLAG(templ, field, help)                                                                   \
    {                                                                                              \
        templ, OPTION_FLAG, AT(field), 1, 0, NULL, NULL, help                                      \
    }
#define UNFLAG(templ, field)                                                                       \
    {                                                                                              \
        templ, OPTION_FLAG, AT(field), 0, 0, NULL, NULL, NULL                                      \
    }
#define VALUE(templ, type, field, max, arg, help)                                                  \
    {                                                                                              \
        templ, type, AT(field), 0, max, NULL, arg, help                                            \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, OPTION_IGNORE, 0, 0, 0, NULL, NULL, NULL                                             \
    }

/* clang-format off */
static const struct option_row command_rows[] = {
    FLAG("--help", help, "print this text"), FLAG("-h", help, NULL),
    FLAG("--version", version, "print the version"), FLAG("-V", version, NULL),
    FLAG("--print-config", print_config, "print the effective options and end"),
    FLAG("-f", foreground, "stay in the foreground, log to stderr"),
    FLAG("-d", fs.debug, "log each request; implies -f"),
    FLAG("--embedded", is_embedded, NULL),
    VALUE("--embedded=", OPTION_STRING, embedded_dir, 0, "DIR",
          "start a private server with its data in DIR; without\n"
          "=DIR in $XDG_STATE_HOME/zkfs or ~/.local/state/zkfs"),
    END,
};

static const struct option_row o_rows[] = {
    VALUE("mount_timeout=", OPTION_TIME, mount_timeout_ms, TIME_MS_MAX, "SECONDS",
          "how long to wait for the ensemble before giving up\n(30); 0: mount without waiting"),
    FLAG("auto_unmount", auto_unmount, "unmount when the daemon is killed (on)"),
    UNFLAG("no_auto_unmount", auto_unmount),
    VALUE("pid_file=", OPTION_STRING, pid_file, 0, "FILE", "write the daemon's process id to FILE"),
    VALUE("log_file=", OPTION_STRING, log_file, 0, "FILE", "log to FILE instead of syslog"),
    { "log_level=", OPTION_CHOICE, AT(log_level), 0, 0, "error|warn|info|debug|trace",
      "LEVEL", "error, warn, info, debug or trace (info)" },
    FLAG("embedded", is_embedded, NULL),
    VALUE("embedded=", OPTION_STRING, embedded_dir, 0, "DIR", "as --embedded, for fstab"),
    END,
};
/* clang-format on */

/* ---- what mount(8) passes to a helper ------------------------------------------------------- */

static bool is_mount_helper(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strncmp(slash != NULL ? slash + 1 : program, "mount.", 6) == 0;
}

/* Copies the command line, without the switches that mount(8) adds to a helper's. */
static void args_copy(struct mountd_options *o, int argc, char *argv[], struct fuse_args *args)
{
    bool is_helper = argc > 0 && is_mount_helper(argv[0]);
    fuse_opt_add_arg(args, "zkfs");
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (is_helper && (strcmp(arg, "-t") == 0 || strcmp(arg, "-N") == 0)) {
            i++;
            continue;
        }
        if (is_helper && arg[0] == '-' && arg[1] != '\0' &&
            arg[1 + strspn(arg + 1, "sfnvw")] == '\0') {
            o->fake = o->fake || strchr(arg, 'f') != NULL;
            continue;
        }
        if (fuse_opt_add_arg(args, arg) != 0) {
            abort(); /* out of memory, as in xalloc */
        }
    }
}

/* ---- positional arguments ------------------------------------------------------------------- */

struct positionals {
    char *values[POSITIONAL_MAX]; /* owned, as the next */
    char *bad_option;
    int count; /* all there were, also beyond the two */
};

static void positionals_free(struct positionals *p)
{
    free(p->values[0]);
    free(p->values[1]);
    free(p->bad_option);
}

static int on_rest(void *arg, const char *text, int key, struct fuse_args *outargs)
{
    (void)outargs;
    struct positionals *p = arg;
    if (key == FUSE_OPT_KEY_NONOPT) {
        if (p->count < POSITIONAL_MAX) {
            p->values[p->count] = xstrdup(text);
        }
        p->count++;
        return 0;
    }
    if (*text == '-' && p->bad_option == NULL) {
        p->bad_option = xstrdup(text);
    }
    return 1; /* an -o option, for the file system */
}

/* HOSTS MOUNTPOINT, or MOUNTPOINT alone with an embedded server; there fstab needs a first
 * field, and "none" or "embedded" will do. */
static int positionals_apply(struct mountd_options *o, const struct positionals *p, char **error)
{
    if (p->bad_option != NULL) {
        *error = xasprintf("unknown option: %s", p->bad_option);
        return -EINVAL;
    }
    int wanted = o->is_embedded && p->count != 2 ? 1 : 2;
    if (p->count != wanted) {
        *error = xstrdup(o->is_embedded ? "expected MOUNTPOINT; see --help"
                                        : "expected HOSTS and MOUNTPOINT; see --help");
        return -EINVAL;
    }
    o->mountpoint = xstrdup(p->values[wanted - 1]);
    if (!o->is_embedded) {
        return fusefs_options_set_hosts(&o->fs, p->values[0], error);
    }
    if (wanted == 2 && strcmp(p->values[0], "none") != 0 && strcmp(p->values[0], "embedded") != 0) {
        *error =
            xasprintf("%s: an embedded server and an ensemble exclude each other", p->values[0]);
        return -EINVAL;
    }
    return 0;
}

/* ---- the whole line ------------------------------------------------------------------------- */

static void mountd_options_init(struct mountd_options *o)
{
    *o = (struct mountd_options){
        .mount_timeout_ms = 30000,
        .auto_unmount = true,
        .log_level = LOG_INFO,
    };
    fusefs_options_init(&o->fs);
}

void mountd_options_fini(struct mountd_options *o)
{
    fusefs_options_fini(&o->fs);
    free(o->mountpoint);
    free(o->embedded_dir);
    free(o->pid_file);
    free(o->log_file);
    *o = (struct mountd_options){ 0 };
}

static int parse(struct mountd_options *o, struct fuse_args *args, char **error)
{
    int err = option_table_parse(command_rows, args, o, error);
    if (err != 0 || o->help || o->version) {
        return err;
    }
    err = option_table_parse(o_rows, args, o, error);
    if (err != 0) {
        return err;
    }
    o->is_embedded = o->is_embedded || o->embedded_dir != NULL;
    struct positionals p = { .count = 0 };
    fuse_opt_parse(args, &p, NULL, on_rest);
    err = positionals_apply(o, &p, error);
    positionals_free(&p);
    if (err == 0) {
        err = fusefs_options_parse(&o->fs, args, error);
    }
    o->foreground = o->foreground || o->fs.debug;
    if (o->fs.debug && o->log_level < LOG_DEBUG) {
        o->log_level = LOG_DEBUG;
    }
    return err;
}

int mountd_options_parse(struct mountd_options *o, int argc, char *argv[], char **error)
{
    *error = NULL;
    mountd_options_init(o);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    args_copy(o, argc, argv, &args);
    int err = parse(o, &args, error);
    fuse_opt_free_args(&args);
    return err;
}

void mountd_options_help(void)
{
    struct buf text = BUF_EMPTY;
    buf_append_str(&text,
                   "usage: zkfs HOSTS[/CHROOT] MOUNTPOINT [-o OPTION[,OPTION...]] [options]\n"
                   "       zkfs --embedded[=DIR] MOUNTPOINT [-o OPTION[,OPTION...]] [options]\n"
                   "\n"
                   "Mounts a ZooKeeper tree. HOSTS is HOST[:PORT][,HOST[:PORT]...].\n"
                   "\n"
                   "options:\n");
    option_table_help(command_rows, &text);
    buf_append_str(&text, "\n-o options (defaults in brackets):\n");
    option_table_help(o_rows, &text);
    fusefs_options_help(&text);
    buf_append_str(&text, "\nUnmount with `fusermount3 -u MOUNTPOINT` or umount(8).\n");
    fwrite(text.data, 1, text.len, stdout);
    buf_fini(&text);
}

void mountd_options_print(const struct mountd_options *o)
{
    struct buf text = BUF_EMPTY;
    buf_printf(&text, "mountpoint=%s\n", o->mountpoint);
    buf_printf(&text, "foreground=%s\n", o->foreground ? "true" : "false");
    option_table_print(o_rows, o, &text);
    fusefs_options_print(&o->fs, &text);
    fwrite(text.data, 1, text.len, stdout);
    buf_fini(&text);
}
