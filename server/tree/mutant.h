/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_MUTANT_H
#define SERVER_TREE_MUTANT_H

/*
 * Planted bugs, named after the rules that they break. They are in the simulator's own build only (make
 * sim-mutants), which must find each of them: MUTANT(S1) is the constant false everywhere else.
 */
#ifdef ZAB_MUTANTS

enum zab_mutant {
    MUTANT_NONE,
    MUTANT_E1,  /* an accepted epoch is not saved */
    MUTANT_E2,  /* currentEpoch is saved when NEWLEADER comes, before the history is durable */
    MUTANT_E3,  /* the names of the epoch files are not durable */
    MUTANT_E5,  /* a leader does not step aside for a follower that is ahead */
    MUTANT_E6,  /* a leader serves before a quorum has its history */
    MUTANT_S1,  /* NEWLEADER is acked while the history is still on its way to the disk */
    MUTANT_S2,  /* proposals are acked before NEWLEADER */
    MUTANT_S3,  /* a commit between the ack of NEWLEADER and UPTODATE is dropped */
    MUTANT_S4,  /* gaps are taken, and the window for learners has some */
    MUTANT_S5,  /* the tree that came as SNAP counts before it is durable */
    MUTANT_S6,  /* what is proposed while a learner synchronises is not sent; it takes the gap */
    MUTANT_S8,  /* a log with a gap is taken for a whole one */
    MUTANT_S10, /* a log is cut before the files behind it are removed */
    MUTANT_S11, /* an election begins before the log has settled */
    MUTANT_S12, /* memory keeps a tree that the disk does not have */
    MUTANT_S13, /* a txn is applied before it is in the own log */
    MUTANT_L6,  /* snapshots are fuzzy */
    MUTANT_W1,  /* a session that is being closed may still write */
    MUTANT_W2,  /* requests are checked against what is committed, not what is under way */
    MUTANT_W3,  /* the leader does not hear what sessions do on followers */
    MUTANT_W4,  /* a leader calls a session expired without asking a quorum */
    MUTANT_W5,  /* a client that has seen more than this server is welcome */
    MUTANT_W6,  /* a session that has moved may still write at its old server */
    MUTANT_W8,  /* watches that are set again do not look at what has changed */
    MUTANT_W11, /* a read does not wait for the own writes in front of it */
    MUTANT_SYNC, /* a sync is answered without asking a quorum */
    MUTANT_COUNT,
};

extern enum zab_mutant zab_mutant; /* the one at work; set before the first step */
#define MUTANT(name) (zab_mutant == MUTANT_##name)

#else
#define MUTANT(name) 0
#endif

#endif
