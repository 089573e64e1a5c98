/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CORE_QUORUM_H
#define SERVER_CORE_QUORUM_H

/*
 * Who votes and what a majority is. Acknowledgements are cumulative: a voter that acked a zxid has
 * everything before it in its log. Standalone is a quorum of one. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

enum { QUORUM_VOTERS_MAX = 64 };

struct quorum {
    int32_t voter_count;
    int64_t sids[QUORUM_VOTERS_MAX];
    int64_t acked_zxid[QUORUM_VOTERS_MAX]; /* by index of sids */
};

/* acked_zxid of everybody starts at zxid. voter_count is 1 to QUORUM_VOTERS_MAX. */
void quorum_init(struct quorum *q, const int64_t *sids, int32_t voter_count, int64_t zxid);
/* False if sid is no voter: its word does not count. */
bool quorum_ack(struct quorum *q, int64_t sid, int64_t zxid);
/* Have more than half of the voters acked zxid? */
bool quorum_has_majority(const struct quorum *q, int64_t zxid);
/* The highest zxid that more than half of the voters have acked. */
int64_t quorum_committed(const struct quorum *q);
/* Its log is being replaced: what it acked does not count any more. */
void quorum_forget(struct quorum *q, int64_t sid);

#endif
