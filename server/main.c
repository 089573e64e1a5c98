/* SPDX-License-Identifier: Apache-2.0 */
/*
 * START HERE: zkserver's command line (zkserver(8)). Finds and reads the configuration, then
 * either handles a server from outside (control.h) or is one: server.h does the work, this file
 * owns the process around it, that is, signals, limits and the word that it is ready.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/version.h"
#include "common/xalloc.h"
#include "server/config.h"
#include "server/control.h"
#include "server/instance.h"
#include "server/ready.h"
#include "server/server.h"

/* Exit statuses; zkserver(8) lists them. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_BAD_CONFIG = 2 };

/* An orderly stop that takes longer is cut short. Nothing that was acknowledged depends on it. */
enum { STOP_SECONDS_MAX = 10 };

enum option_key { OPTION_CONFIG = 256, OPTION_LOG_LEVEL, OPTION_PRINT_CONFIG, OPTION_READY_FD };

struct options {
    const char *args[2];    /* COMMAND and ZOO.CFG, or ZOO.CFG alone for --print-config */
    const char *config_dir; /* NULL: the default */
    const char *log_level;  /* NULL: info */
    bool print_config;
    int ready_fd; /* -1: none */
};

/* What is done from outside; the others are start-foreground and version. */
static const struct command {
    const char *name;
    int (*run)(const struct control *c);
} control_commands[] = {
    { "start", control_start },
    { "stop", control_stop },
    { "restart", control_restart },
    { "status", control_status },
    { "print-cmd", control_print_command },
};

static const struct command *find_control(const char *name)
{
    for (size_t i = 0; i < sizeof(control_commands) / sizeof(control_commands[0]); i++) {
        if (strcmp(name, control_commands[i].name) == 0) {
            return &control_commands[i];
        }
    }
    return NULL;
}

static bool is_command(const char *name, const char *expected)
{
    return name && strcmp(name, expected) == 0;
}

static const struct argp_option option_table[] = {
    { "config", OPTION_CONFIG, "DIR", 0,
      "configuration directory (default: $ZOOCFGDIR, ./conf if it "
      "has a zoo.cfg, /etc/zookeeper/conf)",
      0 },
    { "log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warn, info (default), debug or trace", 0 },
    { "print-config", OPTION_PRINT_CONFIG, NULL, 0,
      "print the whole effective configuration and exit", 0 },
    { "ready-fd", OPTION_READY_FD, "N", 0,
      "write `ready port=PORT' and a newline to descriptor N when clients are served", 0 },
    { 0 },
};

static const char program_doc[] =
    "A ZooKeeper server. ZOO.CFG is a path, or the name of a file in the configuration directory "
    "(default: zoo.cfg).\v"
    "Commands:\n"
    "  start             start in the background and wait until it serves\n"
    "  start-foreground  be the server; log to standard error\n"
    "  stop              stop the one in the background\n"
    "  restart           stop, then start\n"
    "  status            ask for its mode; exit status 1 if it does not answer\n"
    "  version           print the version\n"
    "  print-cmd         print the command that start runs\n";

/* Reads a descriptor number; -1 for anything else. */
static int parse_fd(const char *text)
{
    char *end;
    errno = 0;
    long fd = strtol(text, &end, 10);
    return errno != 0 || end == text || *end || fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case OPTION_CONFIG:
        options->config_dir = arg;
        return 0;
    case OPTION_LOG_LEVEL:
        options->log_level = arg;
        if (log_level_parse(arg) < 0) {
            argp_error(state, "unknown log level %s", arg);
        }
        return 0;
    case OPTION_PRINT_CONFIG:
        options->print_config = true;
        return 0;
    case OPTION_READY_FD:
        options->ready_fd = parse_fd(arg);
        if (options->ready_fd < 0) {
            argp_error(state, "%s is not a descriptor", arg);
        }
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) {
            argp_error(state, "too many arguments");
        }
        options->args[state->arg_num] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!options->args[0] && !options->print_config) {
            argp_usage(state);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "zkserver %s %s\n", ZKFS_VERSION, ZKFS_VERSION_DATE);
}

/* The configuration, after its warnings and errors went to the log. NULL: it cannot be used. */
static struct config *load_config(const char *path, bool with_warnings)
{
    struct config_report report = { 0 };
    struct config *cfg = config_load(path, &report);
    for (size_t i = 0; with_warnings && i < report.warning_count; i++) {
        log_warn("config", "%s", report.warnings[i]);
    }
    if (!cfg) {
        log_error("config", "%s", report.error);
    }
    config_report_fini(&report);
    return cfg;
}

/* ---- being the server
 * ----------------------------------------------------------------------------- */

static struct server *served; /* for the signal handler; set before it is installed */

static void on_stop_signal(int number)
{
    (void)number;
    alarm(STOP_SECONDS_MAX);
    server_stop(served);
}

static void handle_signals(void)
{
    struct sigaction stop = { .sa_handler = on_stop_signal, .sa_flags = SA_RESTART };
    sigemptyset(&stop.sa_mask);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

/* Each client needs a descriptor, and the usual soft limit is 1024. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* With datadir.autocreate=false a missing directory means that a disk is not mounted. */
static bool has_dir(const char *dir)
{
    char *path = xasprintf("%s/version-2", dir);
    struct stat st;
    bool ok = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (!ok) {
        log_error("main", "%s is missing, and datadir.autocreate is false", path);
    }
    free(path);
    return ok;
}

static int serve(const struct config *cfg, int ready_fd)
{
    signal(SIGPIPE, SIG_IGN);
    raise_fd_limit();
    if (!cfg->datadir_autocreate && (!has_dir(cfg->data_dir) || !has_dir(cfg->log_dir))) {
        return EXIT_FAILED;
    }
    /* Until it exists, a signal ends the process at once, which loses nothing. */
    if (server_new(cfg, &served) < 0) {
        return EXIT_FAILED;
    }
    handle_signals();
    ready_announce(ready_fd, server_client_port(served));
    int status = server_serve(served);
    ready_announce_stop();
    server_free(served);
    return status < 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- commands
 * ------------------------------------------------------------------------------------- */

static int print_config(const struct config *cfg)
{
    struct buf out = BUF_EMPTY;
    config_print(cfg, &out);
    bool ok = fwrite(buf_head(&out), 1, buf_readable(&out), stdout) == buf_readable(&out) &&
              fflush(stdout) == 0;
    buf_fini(&out);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int run_control(const struct command *command, const struct config *cfg, const char *path,
                       const char *log_level)
{
    char program[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[len > 0 ? len : 0] = '\0';
    const struct control c = { program, path, cfg, log_level };
    return command->run(&c);
}

/* Any command but version; command NULL is the server itself. */
static int run(const struct options *options, const struct command *command, const char *path)
{
    if (command) {
        fprintf(stderr, "Using config: %s\n", path);
    }
    struct config *cfg = load_config(path, !command);
    if (!cfg) {
        return EXIT_BAD_CONFIG;
    }
    int status;
    if (options->print_config) {
        status = print_config(cfg);
    } else if (command) {
        status = run_control(command, cfg, path, options->log_level);
    } else {
        log_info("main", "zkserver %s, configuration %s", ZKFS_VERSION, path);
        status = serve(cfg, options->ready_fd);
    }
    config_free(cfg);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = { option_table, parse_option, "COMMAND [ZOO.CFG]",
                                      program_doc,  NULL,         NULL,
                                      NULL };
    struct options options = { .ready_fd = -1 };
    argp_program_version_hook = print_version;
    argp_err_exit_status = EXIT_BAD_CONFIG;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0) {
        return EXIT_BAD_CONFIG;
    }
    if (options.log_level) {
        log_set_level((enum log_level)log_level_parse(options.log_level));
    }
    const char *name = options.args[0];
    const char *config_arg = options.args[1];
    const struct command *command = name ? find_control(name) : NULL;
    if (is_command(name, "version")) {
        print_version(stdout, NULL);
        return EXIT_OK;
    }
    if (name && !command && !is_command(name, "start-foreground")) {
        if (!options.print_config || config_arg) {
            fprintf(stderr, "zkserver: unknown command %s; see zkserver --help\n", name);
            return EXIT_BAD_CONFIG;
        }
        config_arg = name;
    }
    char *path = instance_config_path(config_arg, options.config_dir);
    int status = run(&options, command, path);
    free(path);
    return status;
}
