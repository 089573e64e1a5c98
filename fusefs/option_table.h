/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_OPTION_TABLE_H
#define FUSEFS_OPTION_TABLE_H

/*
 * One table describes the options of a part: how they are spelled, what they may be, where they
 * go and what --help says. fuse_opt does the splitting of `-o a,b=c`; the values are checked
 * here, because its scanf formats accept "10x" and say nothing.
 *
 *      rows --option_table_parse-->  fields of the caller's struct; what no row knows stays in args
 *           --option_table_help--->  --help
 *           --option_table_print-->  --print-config
 *
 * Single-threaded. Strings stored in the struct are owned by it.
 */
#include <stddef.h>
#include <stdint.h>

struct buf;
struct fuse_args;

enum option_type {
    OPTION_FLAG,  /* bool: set to row.value != 0; no argument */
    OPTION_INT,   /* int: row.min .. row.max */
    OPTION_OCTAL, /* int, written in octal */
    OPTION_TIME, /* int milliseconds, written as seconds: "10", "2.5", "500ms", "2m"; min, max in ms */
    OPTION_STRING, /* char *, not empty */
    OPTION_LINES,  /* char *: as STRING, but each further use adds a line */
    OPTION_CHOICE, /* int: index of the word in row.choices */
    OPTION_IGNORE, /* accepted, no effect: what fstab lines carry for other readers */
    OPTION_MOUNT,  /* kept in args: libfuse or the kernel understands it */
};

struct option_row {
    const char
        *templ; /* fuse_opt template: "ro", "timeout=", "-d", "--help"; NULL ends the table */
    enum option_type type;
    size_t offset; /* of the field */
    int64_t min;   /* FLAG: the value to set */
    int64_t max;
    const char *choices; /* CHOICE: "stale|error" */
    const char *arg;     /* placeholder in --help, NULL: none */
    const char *help;    /* NULL: not listed, a second spelling */
};

/* Takes out of args what the rows know and stores it in data; the rest stays. 0, or -EINVAL with
 * *error set to one line that the caller frees. */
int option_table_parse(const struct option_row *rows, struct fuse_args *args, void *data,
                       char **error);

/* Appends one indented line for each row that has a help text. */
void option_table_help(const struct option_row *rows, struct buf *out);

/* Appends `name=value` lines of every listed row that has a field. */
void option_table_print(const struct option_row *rows, const void *data, struct buf *out);

#endif
