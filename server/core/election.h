/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_ELECTION_H
#define SERVER_CORE_ELECTION_H

/*
 * Fast leader election (ZAB-2; quorum-protocol 3; Apache's FastLeaderElection and its TLA+
 * specification). Each LOOKING server votes for the best history it has heard of, the larger
 * (peerEpoch, zxid, sid), until more than half agree; then it waits a moment for something better.
 *
 *      LOOKING --quorum of equal votes, then quiet--> decided: leader is me -> LEADING
 *         |                                                    else        -> FOLLOWING, OBSERVING
 *         +--a quorum and the leader itself say that they are settled--> decided
 *
 * Rules E5, E7. Thread: the core's. Pure: what to send gathers in out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/core/ensemble.h"
#include "server/jute/notification.h"

struct vote {
    int64_t leader;
    int64_t zxid;           /* the leader's last logged one */
    int64_t election_epoch; /* round of the voter */
    int64_t peer_epoch;     /* the leader's currentEpoch */
};

/* What one member last said. */
struct ballot {
    bool is_set;
    enum server_state state;
    int32_t version;
    struct vote vote;
};

/* One message to one member. */
struct election_send {
    int64_t sid;
    struct notification message;
};

struct election {
    const struct ensemble *ensemble; /* borrowed */
    int64_t logical_clock;           /* this process's rounds */
    enum server_state state;         /* ours */
    struct vote proposal;            /* while LOOKING */
    struct vote current;             /* the settled vote, shown to whoever looks */
    int64_t own_zxid;
    int64_t own_peer_epoch;
    struct ballot received[ENSEMBLE_VOTERS_MAX]; /* of this round, by index in ensemble.voters */
    struct ballot outside[ENSEMBLE_VOTERS_MAX];  /* of settled servers, whatever their round */
    int64_t resend_at_ms;
    int64_t resend_after_ms; /* doubles up to a limit */
    int64_t absent_sid;      /* the leader that we have just lost; -1: none */
    int64_t avoided_sid;      /* elected before and not to be reached; until avoided_until_ms */
    int64_t avoided_until_ms;
    int64_t settle_at_ms;    /* a quorum agrees: done at this time if nothing better comes; 0: no */
    bool is_decided;         /* the last call ended the election; state says how */
    struct election_send *out; /* of the last call; owned */
    int32_t out_count;
    int32_t out_cap;
};

void election_init(struct election *e, const struct ensemble *ensemble);
void election_fini(struct election *e);

/* A new round. zxid: last logged; peer_epoch: currentEpoch. A server that has no data votes with
 * zxid -1 and is never elected. */
void election_start(struct election *e, int64_t zxid, int64_t peer_epoch, int64_t now_ms);
/* Before election_start: this one led us, and is gone. When all others agree, nobody is left who
 * could bring a better vote, and the moment is not waited for. Its own vote counts again once it
 * hears us. */
void election_lose_leader(struct election *e, int64_t sid);
/* A notification of any state, in any state of ours. */
void election_on_notification(struct election *e, int64_t from, const struct notification *n,
                              int64_t now_ms);
void election_on_tick(struct election *e, int64_t now_ms);
/* When election_on_tick has something to do. */
int64_t election_deadline_ms(const struct election *e);
/* Nobody could reach this server after it was elected: it may be deaf, and its votes, which are
 * heard, would have it elected for ever. It is not voted for until then; safety does not depend on
 * who is elected (E5). */
void election_avoid(struct election *e, int64_t sid, int64_t until_ms);
/* In sync with a leader of this epoch: that is what we tell from now on. */
void election_set_epoch(struct election *e, int64_t peer_epoch);

#endif
