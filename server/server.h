/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

/*
 * A whole server: the core and the shell around it. It owns every part and knows nothing of processes:
 * signals, the pid file and the command line are main.c's.
 *
 *      server_new -> server_serve (blocks) -> server_free
 *
 * Several servers may live in one process, each on its own thread.
 */
struct config;
struct server;

/* Recovers the data directory and opens the client port: clients may connect from here on and are served
 * once server_serve runs. cfg is borrowed until server_free. 0 or -errno, after an ERROR line. */
int server_new(const struct config *cfg, struct server **out);

/* Serves until server_stop. 0, or -errno if the server cannot go on: the log could not be written. */
int server_serve(struct server *s);

/* Ends server_serve soon. Any thread, and safe in a signal handler. */
void server_stop(struct server *s);

/* The port that is bound; the configuration may have said 0. */
int server_client_port(const struct server *s);

/* Brings what was accepted to disk, closes all connections. NULL is fine. */
void server_free(struct server *s);

#endif
