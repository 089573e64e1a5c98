/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_LOCK_RUN_H
#define FUSEFS_LOCK_RUN_H

/*
 * How a lock moves (see the sketch in lock.h): one request to the ensemble, and what its answer leads to.
 * Private to lock*.c. A move is planned with the lock held, which keeps the lock alive until it has ended,
 * and carried out without it, because an answer can come at once.
 */
#include "fusefs/lock.h"

enum lock_move {
    LOCK_MOVE_NONE,
    LOCK_MOVE_CREATE,     /* its entries, all or none */
    LOCK_MOVE_MAKE_QUEUE, /* the container that the entries are to be in */
    LOCK_MOVE_LOOK,       /* at the queue */
    LOCK_MOVE_WATCH,      /* its predecessor */
    LOCK_MOVE_CHECK,      /* that its own entry is there, with a watch */
    LOCK_MOVE_LESS,       /* shared entries in the place of the exclusive ones */
    LOCK_MOVE_LESS_CHECK, /* whether that was done when the connection broke */
    LOCK_MOVE_DELETE,     /* its entries */
    LOCK_MOVE_SWEEP,      /* find entries that it does not know of, or that could not be deleted */
    LOCK_MOVE_FREE,
};

/* ---- its state; the lock is held --------------------------------------------------------------------------- */

/* NULL: none. */
struct lock *lock_find_locked(struct fusefs *fs, uint64_t id);
/* The lock that the owner holds and has been told of. */
struct lock *lock_find_held_locked(struct fusefs *fs, const struct inode *inode, uint64_t owner,
                                   bool is_flock);

/* Of the handle's file. */
struct lock *lock_find_wished(struct fusefs *fs, const struct lock_wish *wish);
/* It is held and its owner has been told so. */
bool lock_is_granted(const struct lock *l);

/* The lock starts on its way. */
enum lock_move lock_start_locked(struct lock *l);
/* The lock ends, whatever it is doing. */
enum lock_move lock_leave_locked(struct lock *l);
/* It was held, and the entries are gone: its descriptor fails from now on. */
enum lock_move lock_lose_locked(struct lock *l);
/* Keeps the lock until lock_unpin, which may find that it was to leave meanwhile. */
enum lock_move lock_plan_locked(struct lock *l, enum lock_move move);
enum lock_move lock_unpin_locked(struct lock *l);

void lock_forget_entries(struct lock *l);
bool lock_has_names(const struct lock *l);
void lock_keep_names(struct lock *l, const char *const names[LOCK_FORM_COUNT]);
/* Whether its entries were made in the session that there is now. */
bool lock_is_of_this_session(const struct lock *l);

/* ---- carrying out; without the lock, which the planned move keeps alive ------------------------------------- */

void lock_carry_out(struct lock *l, enum lock_move move);
/* Answers who has asked. */
void lock_answer(struct lock *l, int err);
/* What a move has led to: it goes on; or it cannot be had (err), then the process is told first. */
void lock_go_on(struct lock *l, enum lock_move move, int err);

/* Several at once. */
struct lock_plan {
    struct {
        struct lock *lock;
        enum lock_move move;
    } * moves; /* owned */
    size_t count;
    size_t cap;
};

void lock_plan_add(struct lock_plan *p, struct lock *l, enum lock_move move);
/* Empties it. */
void lock_plan_carry_out(struct lock_plan *p);

/* What a contender's znode says of it, for kazoo's contenders() and for people: "host:pid". */
void lock_print_identity(const struct lock *l, char *out, size_t size);
/* Whether a lock of this mode has an entry of this form. A file's queue is ours alone: there one form will do. */
bool lock_uses_form(const struct lock *l, enum lock_mode mode, enum lock_form form);

/* Steps of a multi; the path and the identity are borrowed. */
struct zkc_step lock_create_step(const char *path, const char *identity, int mode);
struct zkc_step lock_delete_step(const char *path);

/* ---- the moves --------------------------------------------------------------------------------------------------- */

void lock_send_create(struct lock *l);
void lock_send_make_queue(struct lock *l);
void lock_send_look(struct lock *l);
void lock_send_watch(struct lock *l);
void lock_send_check(struct lock *l, unsigned flags);
void lock_send_less(struct lock *l);
void lock_send_less_check(struct lock *l);
void lock_send_delete(struct lock *l);
void lock_send_sweep(struct lock *l);
void lock_free(struct lock *l);

#endif
