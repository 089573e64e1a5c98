/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_PROPERTIES_H
#define SERVER_PROPERTIES_H

/*
 * Reads the syntax of Java's properties files, which is what zoo.cfg is written in
 * (java.util.Properties.load): `key=value`, `key:value` or `key value`; comments begin with # or
 * !; a line that ends in an odd number of backslashes goes on in the next one, whose leading
 * blanks are dropped; \t \n \r \f and \uXXXX are escapes, any other escaped character stands for
 * itself. As ZooKeeper does, blanks around keys and values are trimmed.
 *
 * One deliberate difference: bytes above 127 are kept as they are, so that a UTF-8 path means the
 * path that one sees, where Java would read each byte as a Latin-1 character.
 *
 * Pure: memory only. Says what stands in the file, not what it means (config.h).
 */
#include <stddef.h>

#include "common/buf.h"

struct properties_reader {
    const char *pos;   /* borrowed text, next byte to read */
    const char *end;   /* end of the text */
    int next_line;     /* number of the line at pos, from 1 */
    int line;          /* where the current entry began */
    struct buf joined; /* logical line, escapes still in it */
    struct buf key;    /* current entry, NUL-terminated and trimmed */
    struct buf value;
};

/* The text is borrowed until properties_fini. */
void properties_init(struct properties_reader *r, const char *text, size_t len);
void properties_fini(struct properties_reader *r);

/* 1: the reader stands at the next entry; 0: no more; -1: malformed text at r->line, and *error
 * says in a constant string what is wrong. Entries come in file order, a key may come more than
 * once. */
int properties_next(struct properties_reader *r, const char **error);

/* Of the current entry; valid until the next call. */
const char *properties_key(const struct properties_reader *r);
const char *properties_value(const struct properties_reader *r);

/* Appends `key=value\n` such that properties_next gives the same key and value back. The value
 * has no NUL and no blanks at its ends. */
void properties_format(struct buf *out, const char *key, const char *value);

#endif
