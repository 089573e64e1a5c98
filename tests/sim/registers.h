/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_REGISTERS_H
#define TESTS_SIM_REGISTERS_H

/*
 * The users' side alone, without zxids: writes and sync-reads of each of the nodes /r0 to /r3 are those of
 * a linearizable register (tests/lib/register.h). 0 stands for "no such node".
 */
struct world;

enum { REGISTERS = 4 };

void registers_check(struct world *w);

#endif
