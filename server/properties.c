/* SPDX-License-Identifier: Apache-2.0 */
#include "server/properties.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void properties_init(struct properties_reader *r, const char *text, size_t len)
{
    memset(r, 0, sizeof(*r));
    r->pos = text;
    r->end = text + len;
    r->next_line = 1;
}

void properties_fini(struct properties_reader *r)
{
    buf_fini(&r->joined);
    buf_fini(&r->key);
    buf_fini(&r->value);
}

const char *properties_key(const struct properties_reader *r)
{
    return (const char *)r->key.data;
}

const char *properties_value(const struct properties_reader *r)
{
    return (const char *)r->value.data;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* The next line of the file without its end and its leading blanks. */
static void take_natural_line(struct properties_reader *r, const char **line, size_t *len)
{
    const char *p = r->pos;
    while (p < r->end && is_blank(*p)) {
        p++;
    }
    *line = p;
    while (p < r->end && *p != '\n' && *p != '\r') {
        p++;
    }
    *len = (size_t)(p - *line);
    if (p < r->end) {
        bool crlf = *p == '\r' && p + 1 < r->end && p[1] == '\n';
        p += crlf ? 2 : 1;
    }
    r->pos = p;
    r->next_line++;
}

static bool ends_in_open_backslash(const char *line, size_t len)
{
    size_t backslashes = 0;
    while (backslashes < len && line[len - 1 - backslashes] == '\\') {
        backslashes++;
    }
    return backslashes % 2 == 1;
}

/* Nothing to read in it: empty, a comment, or only the mark that says that it goes on. */
static bool is_skipped(const char *line, size_t len)
{
    return len == 0 || line[0] == '#' || line[0] == '!' || (len == 1 && line[0] == '\\');
}

/* Joins the next logical line that has something in it; false at the end of the text. */
static bool take_logical_line(struct properties_reader *r)
{
    const char *line;
    size_t len;
    do {
        if (r->pos == r->end) {
            return false;
        }
        r->line = r->next_line;
        take_natural_line(r, &line, &len);
    } while (is_skipped(line, len));

    buf_reset(&r->joined);
    buf_reserve(&r->joined, len + 1);
    for (;;) {
        bool goes_on = ends_in_open_backslash(line, len);
        buf_append(&r->joined, line, goes_on ? len - 1 : len);
        if (!goes_on || r->pos == r->end) {
            return true;
        }
        take_natural_line(r, &line, &len);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        return (c | 0x20) - 'a' + 10;
    }
    return -1;
}

/* The four digits of \uXXXX; -1 if they are not there. */
static int32_t read_unit(const char *p, const char *end)
{
    if (end - p < 4) {
        return -1;
    }
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

static void append_utf8(struct buf *out, int32_t point)
{
    uint8_t bytes[4];
    size_t len = 0;
    if (point < 0x80) {
        bytes[len++] = (uint8_t)point;
    } else if (point < 0x800) {
        bytes[len++] = (uint8_t)(0xc0 | (point >> 6));
        bytes[len++] = (uint8_t)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        bytes[len++] = (uint8_t)(0xe0 | (point >> 12));
        bytes[len++] = (uint8_t)(0x80 | ((point >> 6) & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | (point & 0x3f));
    } else {
        bytes[len++] = (uint8_t)(0xf0 | (point >> 18));
        bytes[len++] = (uint8_t)(0x80 | ((point >> 12) & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | ((point >> 6) & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | (point & 0x3f));
    }
    buf_append(out, bytes, len);
}

/* p is after `\u`. Returns where to go on, or NULL. Half a surrogate pair becomes U+FFFD. */
static const char *unescape_unit(const char *p, const char *end, struct buf *out)
{
    int32_t unit = read_unit(p, end);
    if (unit < 0) {
        return NULL;
    }
    p += 4;
    if (unit >= 0xd800 && unit <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int32_t low = read_unit(p + 2, end);
        if (low >= 0xdc00 && low <= 0xdfff) {
            append_utf8(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return p + 6;
        }
    }
    append_utf8(out, unit >= 0xd800 && unit <= 0xdfff ? 0xfffd : unit);
    return p;
}

static bool unescape(const char *p, const char *end, struct buf *out)
{
    static const char names[] = "tnrf";
    static const char meanings[] = "\t\n\r\f";
    buf_reset(out);
    while (p < end) {
        if (*p != '\\' || p + 1 == end) {
            buf_append(out, p++, 1);
            continue;
        }
        p++;
        if (*p == 'u') {
            p = unescape_unit(p + 1, end, out);
            if (!p) {
                return false;
            }
            continue;
        }
        const char *name = memchr(names, *p, sizeof(names) - 1);
        buf_append(out, name ? &meanings[name - names] : p, 1);
        p++;
    }
    return true;
}

/* As String.trim: everything up to and including the space counts as blank. False: there is a
 * NUL. */
static bool trim_and_terminate(struct buf *b)
{
    while (b->len > b->head && b->data[b->len - 1] <= ' ' && b->data[b->len - 1] != 0) {
        b->len--;
    }
    size_t skip = 0;
    while (skip < b->len && b->data[skip] <= ' ' && b->data[skip] != 0) {
        skip++;
    }
    buf_consume(b, skip);
    if (b->head > 0) {
        memmove(b->data, b->data + b->head, b->len - b->head);
        b->len -= b->head;
        b->head = 0;
    }
    *buf_reserve(b, 1) = '\0';
    return strlen((const char *)b->data) == b->len;
}

/* Where the key ends: at the first separator that is not escaped. */
static const char *find_key_end(const char *p, const char *end)
{
    while (p < end && *p != '=' && *p != ':' && !is_blank(*p)) {
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    }
    return p;
}

static const char *skip_separator(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) {
        p++;
    }
    if (p < end && (*p == '=' || *p == ':')) {
        p++;
        while (p < end && is_blank(*p)) {
            p++;
        }
    }
    return p;
}

int properties_next(struct properties_reader *r, const char **error)
{
    if (!take_logical_line(r)) {
        return 0;
    }
    const char *line = (const char *)buf_head(&r->joined);
    const char *end = line + buf_readable(&r->joined);
    const char *key_end = find_key_end(line, end);
    if (!unescape(line, key_end, &r->key) ||
        !unescape(skip_separator(key_end, end), end, &r->value)) {
        *error = "malformed \\uXXXX escape";
        return -1;
    }
    if (!trim_and_terminate(&r->key) || !trim_and_terminate(&r->value)) {
        *error = "NUL byte";
        return -1;
    }
    return 1;
}

static void format_escaped(struct buf *out, const char *s, bool is_key)
{
    static const char names[] = "tnrf";
    static const char meanings[] = "\t\n\r\f";
    for (const char *p = s; *p; p++) {
        const char *special = strchr(meanings, *p);
        if (special) {
            buf_printf(out, "\\%c", names[special - meanings]);
        } else if (*p == '\\' || (is_key && strchr("=: #!", *p))) {
            buf_printf(out, "\\%c", *p);
        } else {
            buf_append(out, p, 1);
        }
    }
}

void properties_format(struct buf *out, const char *key, const char *value)
{
    format_escaped(out, key, true);
    buf_append_str(out, "=");
    format_escaped(out, value, false);
    buf_append_str(out, "\n");
}
