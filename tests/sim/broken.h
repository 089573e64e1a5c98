/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_BROKEN_H
#define TESTS_SIM_BROKEN_H

/*
 * The checkers checked: a run that went well is falsified in one way after the other, and each time the
 * truth must complain, and of that.
 */
#include <stdbool.h>

/* Prints one line for each that went unnoticed and a total. True: none did. */
bool broken_check_all(void);

#endif
