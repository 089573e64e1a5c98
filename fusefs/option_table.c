/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/option_table.h"

#include <errno.h>
#include <fuse_opt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/buf.h"
#include "common/xalloc.h"

enum { ROWS_MAX = 96, HELP_COLUMN = 32 };

struct parse {
    const struct option_row *rows;
    void *data;
    char **error;
};

static void *field_of(const struct option_row *row, void *data)
{
    return (char *)data + row->offset;
}

static size_t word_count(const char *choices)
{
    size_t count = 1;
    for (const char *p = choices; (p = strchr(p, '|')) != NULL; p++) {
        count++;
    }
    return count;
}

/* The word number index of "a|b|c", and its length. */
static const char *word_at(const char *choices, size_t index, size_t *len)
{
    for (; index > 0; index--) {
        choices = strchr(choices, '|') + 1;
    }
    *len = strcspn(choices, "|");
    return choices;
}

static int choice_parse(const struct option_row *row, const char *value, int *field)
{
    for (size_t i = 0; i < word_count(row->choices); i++) {
        size_t len;
        const char *word = word_at(row->choices, i, &len);
        if (strlen(value) == len && memcmp(word, value, len) == 0) {
            *field = (int)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int int_parse(const struct option_row *row, const char *value, int base, int *field)
{
    /* strtoll would take leading blanks and signs; no option wants them. */
    if (*value < '0' || *value > '9') {
        return -EINVAL;
    }
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, base);
    if (*end != '\0' || errno != 0 || n < row->min || n > row->max) {
        return -EINVAL;
    }
    *field = (int)n;
    return 0;
}

/* Seconds with up to three decimals and an optional unit; never through floating point, whose
 * decimal sign depends on the locale. */
static int time_parse(const struct option_row *row, const char *value, int *field)
{
    int64_t number = 0;
    int decimals = -1;
    const char *p = value;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && decimals < 0 && p > value); p++) {
        if (*p == '.') {
            decimals = 0;
            continue;
        }
        number = number * 10 + (*p - '0');
        if (decimals >= 0) {
            decimals++;
        }
        if (decimals > 3 || number > INT_MAX) {
            return -EINVAL;
        }
    }
    int64_t unit_ms = 1000;
    if (strcmp(p, "ms") == 0) {
        unit_ms = 1;
    } else if (strcmp(p, "m") == 0) {
        unit_ms = 60000;
    } else if (*p != '\0' && strcmp(p, "s") != 0) {
        return -EINVAL;
    }
    int64_t ms = number * unit_ms;
    for (; decimals > 0; decimals--) {
        ms /= 10;
    }
    if (p == value || ms < row->min || ms > row->max) {
        return -EINVAL;
    }
    *field = (int)ms;
    return 0;
}

static void print_ms(int64_t ms, struct buf *out)
{
    if (ms % 1000 == 0) {
        buf_printf(out, "%" PRId64, ms / 1000);
    } else {
        buf_printf(out, "%" PRId64 "ms", ms);
    }
}

/* What a row accepts, for the message about a value that it does not. */
static void print_expected(const struct option_row *row, struct buf *out)
{
    switch (row->type) {
    case OPTION_INT:
        buf_printf(out, "a whole number from %" PRId64 " to %" PRId64, row->min, row->max);
        break;
    case OPTION_OCTAL:
        buf_printf(out, "an octal number from 0 to %" PRIo64, row->max);
        break;
    case OPTION_TIME:
        buf_append_str(out, "seconds from ");
        print_ms(row->min, out);
        buf_append_str(out, " to ");
        print_ms(row->max, out);
        buf_append_str(out, ", or a number with the unit ms, s or m");
        break;
    case OPTION_CHOICE:
        buf_printf(out, "one of %s", row->choices);
        break;
    default:
        buf_append_str(out, "a value");
        break;
    }
}

static int row_store(const struct option_row *row, const char *value, void *data)
{
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)field_of(row, data) = row->min != 0;
        return 0;
    case OPTION_INT:
        return int_parse(row, value, 10, field_of(row, data));
    case OPTION_OCTAL:
        return int_parse(row, value, 8, field_of(row, data));
    case OPTION_TIME:
        return time_parse(row, value, field_of(row, data));
    case OPTION_CHOICE:
        return choice_parse(row, value, field_of(row, data));
    case OPTION_STRING:
    case OPTION_LINES: {
        if (*value == '\0') {
            return -EINVAL;
        }
        char **field = field_of(row, data);
        bool adds = row->type == OPTION_LINES && *field != NULL;
        char *text = adds ? xasprintf("%s\n%s", *field, value) : xstrdup(value);
        free(*field);
        *field = text;
        return 0;
    }
    case OPTION_IGNORE:
    case OPTION_MOUNT:
        return 0;
    }
    return -EINVAL;
}

/* The value behind the "=" of "name=value", or behind a template that ends in a blank ("-l
 * FILE"). */
static const char *value_of(const struct option_row *row, const char *arg)
{
    size_t len = strlen(row->templ);
    if (row->templ[len - 1] == '=') {
        return arg + len;
    }
    if (row->templ[len - 1] == ' ') {
        return arg + len - 1;
    }
    return "";
}

static int on_option(void *arg, const char *text, int key, struct fuse_args *outargs)
{
    (void)outargs;
    struct parse *p = arg;
    if (key < 0) {
        return 1;
    }
    const struct option_row *row = &p->rows[key];
    const char *value = value_of(row, text);
    if (row_store(row, value, p->data) != 0) {
        if (*p->error == NULL) {
            struct buf line = BUF_EMPTY;
            buf_printf(&line, "%s: expected ", text);
            print_expected(row, &line);
            *p->error = buf_take_str(&line);
        }
        return -1;
    }
    return row->type == OPTION_MOUNT ? 1 : 0;
}

int option_table_parse(const struct option_row *rows, struct fuse_args *args, void *data,
                       char **error)
{
    struct fuse_opt opts[ROWS_MAX + 1];
    int count = 0;
    for (; rows[count].templ != NULL; count++) {
        zk_assert(count < ROWS_MAX);
        opts[count] = (struct fuse_opt)FUSE_OPT_KEY(rows[count].templ, count);
    }
    opts[count] = (struct fuse_opt)FUSE_OPT_END;

    char *first_error = NULL;
    struct parse p = { rows, data, &first_error };
    if (fuse_opt_parse(args, &p, opts, on_option) == 0) {
        return 0;
    }
    /* fuse_opt itself refuses only an option without its argument; it has said so on stderr. */
    *error = first_error != NULL ? first_error : xstrdup("an option lacks its argument");
    return -EINVAL;
}

void option_table_help(const struct option_row *rows, struct buf *out)
{
    for (const struct option_row *row = rows; row->templ != NULL; row++) {
        if (row->help == NULL) {
            continue;
        }
        size_t start = out->len;
        buf_printf(out, "    %s%s", row->templ, row->arg != NULL ? row->arg : "");
        size_t width = out->len - start;
        /* The text may have line breaks; each line starts in the same column. */
        const char *text = row->help;
        for (;;) {
            size_t len = strcspn(text, "\n");
            int pad = width < HELP_COLUMN ? (int)(HELP_COLUMN - width) : 1;
            buf_printf(out, "%*s%.*s\n", pad, "", (int)len, text);
            if (text[len] == '\0') {
                break;
            }
            text += len + 1;
            width = 0;
        }
    }
}

static void print_value(const struct option_row *row, const void *field, struct buf *out)
{
    switch (row->type) {
    case OPTION_FLAG:
        buf_append_str(out, (*(const bool *)field == (row->min != 0)) ? "true" : "false");
        break;
    case OPTION_INT:
        buf_printf(out, "%d", *(const int *)field);
        break;
    case OPTION_OCTAL:
        buf_printf(out, "%04o", (unsigned)*(const int *)field);
        break;
    case OPTION_TIME:
        print_ms(*(const int *)field, out);
        break;
    case OPTION_CHOICE: {
        size_t len;
        const char *word = word_at(row->choices, (size_t) * (const int *)field, &len);
        buf_append(out, word, len);
        break;
    }
    case OPTION_STRING:
    case OPTION_LINES: {
        const char *s = *(char *const *)field;
        for (; s != NULL && *s != '\0'; s++) {
            buf_append(out, *s == '\n' ? "," : s, 1);
        }
        break;
    }
    case OPTION_IGNORE:
    case OPTION_MOUNT:
        break;
    }
}

void option_table_print(const struct option_row *rows, const void *data, struct buf *out)
{
    for (const struct option_row *row = rows; row->templ != NULL; row++) {
        if (row->help == NULL || row->type == OPTION_IGNORE || row->type == OPTION_MOUNT) {
            continue;
        }
        const char *name = row->templ + strspn(row->templ, "-");
        buf_printf(out, "%.*s=", (int)strcspn(name, "= "), name);
        print_value(row, (const char *)data + row->offset, out);
        buf_append_str(out, "\n");
    }
}
