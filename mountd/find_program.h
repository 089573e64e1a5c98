/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTD_FIND_PROGRAM_H
#define MOUNTD_FIND_PROGRAM_H

/* Where a program of this name is: beside our own binary, else in PATH, else where PATH
 * usually points (mount(8) runs its helpers with none). Owned by the caller; NULL: nowhere. */
char *find_program(const char *name);

#endif
