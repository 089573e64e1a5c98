/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_NODE_PARTS_H
#define TESTS_SIM_NODE_PARTS_H

/*
 * What the files of a node share:
 *
 *      node.c           life and death, the clock, and a turn: step the core, then do what gathered
 *      node_ports.c     what arrives from other servers and users becomes an event; answers leave
 *      node_shell.c     what the core asks for in the middle of a step (server/server_zab.c in the product)
 *      node_disk.c      log thread, recovery, a disk that fails (server/server_store.c)
 *      node_bridge.c    the log to a learner that lacks much of it (server/log_sender.c)
 *      node_snapshot.c  the tree to the disk: slice by slice, or at once when it came from a leader
 */
#include "server/store/epoch_file.h"
#include "tests/sim/node.h"

enum { FRAME_BYTES_MAX = 1048575 };

/* ---- node.c ---- */

/* One event through the core, with all that comes of it. */
void node_turn(struct world *w, struct node *n, struct peer_event ev);
void node_zab_turn(struct world *w, struct node *n, struct zab_event ev);
/* Started again after a while, as by its init system. */
void node_restart_later(struct world *w, const struct node *n);
/* The end of a turn: tells the core what its actions came to, answers users, logs. */
void node_finish_turn(struct world *w, struct node *n);
/* The core alone: without what follows at the end of a turn. */
void node_step(struct world *w, struct node *n, struct peer_event *ev);

/* ---- node_ports.c ---- */

void node_flush_clients(struct world *w, struct node *n);
void node_forget_client(struct world *w, struct node *n, struct client *c);

/* ---- node_shell.c ---- */

/* A peer_zab_action_fn; arg is the node. */
void node_on_action(void *arg, const struct zab *z, const struct zab_action *a);

/* ---- node_disk.c ---- */

/* What the disk has; ends the run if it can be read no more and no fault has been planned. */
int node_recover(struct world *w, struct node *n, struct recovery *out);
/* The last txns of the log; after an error none. */
void node_read_tail(const struct world *w, struct node *n, int64_t last_zxid,
                    struct history_tail *out);
int node_read_epochs(struct world *w, struct node *n, const char *dir, int64_t last_zxid,
                     struct epochs *out);
/* Takes the tree in place of the one in memory. */
void node_replace_tree(struct world *w, struct node *n, struct recovery *state);
void node_restore_sessions(struct world *w, struct node *n, const struct recovery *state);

void node_reopen_log(struct node *n, int64_t last_zxid);
/* Hands what is queued to the log thread, if it is idle. */
void node_kick_log(struct world *w, struct node *n);
/* The process ends: the log thread may have been anywhere in its write. */
void node_write_log_in_part(struct world *w, struct node *n);

void node_save_epoch(struct world *w, struct node *n, const struct zab_action *a);
void node_truncate_log(struct world *w, struct node *n, int64_t zxid);
void node_save_tree_later(struct world *w, struct node *n, int64_t zxid);
void node_reload_later(struct world *w, struct node *n);
/* How long something takes that is larger than a write. */
int64_t node_job_us(struct world *w, const struct node *n);
/* After a file call has failed: until it works again nothing is asked of the disk. */
void node_suspend_disk(struct world *w, struct node *n);

/* ---- node_bridge.c ---- */

void node_find_in_log(struct world *w, struct node *n, const struct zab_action *a);
void node_send_log(struct world *w, struct node *n, const struct zab_action *a);

/* ---- node_snapshot.c ---- */

/* snapshot.<zxid> of the tree as it is now. 0 or -errno. */
int node_write_snapshot(struct node *n);
/* The same while the tree goes on. */
void node_begin_snapshot(struct world *w, struct node *n);
void node_give_up_snapshot(struct node *n);

#endif
