/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/scratch_pattern.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

static const char random_part[] = "??????";

static bool ends_random(const char *pattern, size_t len)
{
    size_t tail = sizeof(random_part) - 1;
    return len >= tail && memcmp(pattern + len - tail, random_part, tail) == 0;
}

bool scratch_pattern_match(const char *patterns, const char *name, bool is_mkstemp)
{
    bool is_off = strcmp(patterns, "off") == 0;
    for (const char *p = patterns; !is_off && *p;) {
        char pattern[NAME_MAX + 1];
        size_t len = strcspn(p, ":");
        if (len < sizeof(pattern) && (is_mkstemp || !ends_random(p, len))) {
            memcpy(pattern, p, len);
            pattern[len] = '\0';
            if (fnmatch(pattern, name, 0) == 0) {
                return true;
            }
        }
        p += len + (p[len] == ':');
    }
    return false;
}
