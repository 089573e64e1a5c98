/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_REGISTER_H
#define TESTS_LIB_REGISTER_H

/*
 * Is there an order of these operations that a single register could have carried out, one after the other,
 * each between its beginning and its answer? (Herlihy & Wing 1990; the search is Wing & Gong's, with
 * the states it has been in remembered, after Lowe 2017.)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum register_kind { REGISTER_READ, REGISTER_WRITE };

/* No answer came: a write may have happened at any time since, or not at all. */
#define REGISTER_UNANSWERED INT64_MAX

struct register_op {
    enum register_kind kind;
    int64_t value;
    int64_t invoked_us;
    int64_t answered_us;
};

enum register_verdict {
    REGISTER_OK,
    REGISTER_BROKEN,
    REGISTER_UNDECIDED, /* the search was given up */
};

/* The register begins with initial. Sorts ops. Reads without an answer must be left out. */
enum register_verdict register_check(struct register_op *ops, size_t count, int64_t initial);

#endif
