/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

/* The only place that reads a clock. Pure code gets its time as an argument. */
#include <stdint.h>

int64_t clock_now_ms(void); /* monotonic; only differences mean something */
int64_t clock_now_us(void); /* monotonic */
int64_t clock_wall_ms(void); /* since 1970, UTC */
/* "2026-01-31T12:00:00.123Z" into out, which holds at least 25 bytes. */
void clock_format_utc(int64_t wall_ms, char *out);

#endif
