/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_INSTANCE_H
#define SERVER_INSTANCE_H

/*
 * Where the files around a server are, by the rules of zkServer.sh, so that scripts and habits
 * carry over: the configuration, the pid file and the log of a server in the background. Not for
 * what is in the data directory (store/). Reads the environment; strings are the caller's to
 * free.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "server/config.h"

/* The configuration file to use, which need not exist. arg, if not NULL, is what the user named;
 * otherwise it is $ZOOCFG or zoo.cfg. With a slash it is a path. Without one it is a file in dir,
 * or if that is NULL in $ZOOCFGDIR; if neither is set, what the user named may be in the working
 * directory, and otherwise it is in ./conf if that has a zoo.cfg, or in /etc/zookeeper/conf. */
char *instance_config_path(const char *arg, const char *dir);

/* $ZOOPIDFILE, or zookeeper_server.pid in dataDir. */
char *instance_pid_path(const struct config *cfg);
/* zookeeper-USER-server-HOST.out in $ZOO_LOG_DIR, or in dataDir. */
char *instance_log_path(const struct config *cfg);

/* Makes dir and what is missing above it. 0 or -errno. */
int instance_make_dir(const char *dir);

/* The process in the pid file, if it runs and is a server, ours or Apache's; 0 if there is none:
 * a number that has gone to another process since does not count. -errno if the file is there and
 * cannot be read. */
pid_t instance_running_pid(const char *pid_path);
/* 0 or -errno. */
int instance_write_pid(const char *pid_path, pid_t pid);

#endif
