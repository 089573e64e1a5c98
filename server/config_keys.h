/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CONFIG_KEYS_H
#define SERVER_CONFIG_KEYS_H

/* The table of zoo.cfg's keys. Constant data; config.c interprets it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
    CONFIG_INT,        /* int, within min and max */
    CONFIG_LONG,       /* int64_t, within min and max */
    CONFIG_HOURS,      /* int64_t ms; hours, or a number with one of the suffixes ms s m h d */
    CONFIG_FACTOR,     /* int32_t percent; a decimal number, negative: -100 */
    CONFIG_TRUE_FALSE, /* bool */
    CONFIG_YES_NO,     /* bool */
    CONFIG_TEXT,       /* char *; an empty value is NULL */
    CONFIG_SECRET,     /* char *, never printed */
    CONFIG_PEER_TYPE,
    /* Apache knows it, this server does not act on it: accepted with a warning, unless the value
     * asks for what happens anyway (default_text). A name that ends in '.' stands for all that
     * begin so. */
    CONFIG_INERT,
};

struct config_key {
    const char *name; /* as in zoo.cfg, without the prefix zookeeper. */
    enum config_kind kind;
    size_t offset;            /* in struct config */
    const char *default_text; /* NULL: none, or derived from other keys */
    int64_t min;              /* for numbers; smaller is an error, or raised to it if is_raised */
    int64_t max;
    bool is_raised; /* smaller ones become min with a warning; Apache does so silently */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* By name without prefix; also finds the family a name belongs to. NULL: unknown. */
const struct config_key *config_key_find(const char *name);

#endif
