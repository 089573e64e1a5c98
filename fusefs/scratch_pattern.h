/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_SCRATCH_PATTERN_H
#define FUSEFS_SCRATCH_PATTERN_H

/* Which names are those of scratch files, by the list of option scratch=. PURE. */
#include <stdbool.h>

/* Shell patterns, each but the last followed by a colon. See docs/fuse-mapping.md for whose names they are. */
#define SCRATCH_PATTERNS                                                                           \
    ".*.sw?:.*.swpx:4913:*~:.#*:#*#:*.tmp:.goutputstream-*:config.lock:.gitconfig.lock:"           \
    "sed??????:XX??????:.*.??????"

/* Whether one of the patterns matches. One that ends in ?????? stands for what mkstemp(3) makes up: it
 * matches only what is created as mkstemp does, since any word of six letters would fit. */
bool scratch_pattern_match(const char *patterns, const char *name, bool is_mkstemp);

#endif
