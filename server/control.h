/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

/*
 * The commands that handle a server from outside, with the words and exit statuses of
 * zkServer.sh: what is printed here is read by other people's scripts. Each prints to standard
 * output and returns the exit status.
 */
#include "server/config.h"

struct control {
    const char *program;     /* path of zkserver, for print-cmd and for what start executes */
    const char *config_path; /* of the server in question */
    const struct config *cfg;
    const char *log_level; /* for the started server; NULL: its default */
};

/* Starts the server in the background and waits until it serves, or until it has lived for half a
 * minute without failing: a large log takes its time. */
int control_start(const struct control *c);
/* Asks it to end, waits, and kills it if it does not: what was acknowledged is on disk in any
 * case. */
int control_stop(const struct control *c);
int control_restart(const struct control *c);
/* Asks it over the network for its mode. */
int control_status(const struct control *c);
/* Prints the command that start runs. */
int control_print_command(const struct control *c);

#endif
