/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_ENSEMBLE_H
#define SERVER_CORE_ENSEMBLE_H

/*
 * The members of an ensemble, as the protocol needs them: who votes, and the text that goes with it on
 * the wire (NEWLEADER, notifications). Addresses are the shell's. Membership is compared as text, never by
 * resolved address (E7). Immutable once made. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

enum { ENSEMBLE_VOTERS_MAX = 64 };

struct ensemble {
    int64_t self_sid;
    bool is_observer; /* this server does not vote */
    int32_t voter_count;
    int64_t voters[ENSEMBLE_VOTERS_MAX]; /* sids, ascending */
    int64_t config_version;              /* 0: static configuration */
    const char *config_text;             /* server.N lines and version=; borrowed */
};

static inline bool ensemble_is_voter(const struct ensemble *e, int64_t sid)
{
    for (int32_t i = 0; i < e->voter_count; i++) {
        if (e->voters[i] == sid) {
            return true;
        }
    }
    return false;
}

/* Are count voters more than half? */
static inline bool ensemble_is_majority(const struct ensemble *e, int32_t count)
{
    return 2 * count > e->voter_count;
}

#endif
