/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_REPLAY_H
#define TESTS_SIM_REPLAY_H

/* The end of a run: the committed row on a tree of its own, beside what the users were told (truth.h). */
struct world;

void replay_check(struct world *w);

#endif
