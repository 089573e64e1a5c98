/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/lock_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "fusefs/name.h"

enum { NUMBER_LEN = 10, UUID_LEN = 36, LOCK_NAME_LEN_MIN = 50 };

static const char queue_prefix[] = ".zklock.";
static const char curator_prefix[] = "_c_";

/* Indexed by form and mode; NULL: there is none. */
static const char *const markers[LOCK_FORM_COUNT][2] = {
    [LOCK_FORM_KAZOO] = { "__rlock__", "__lock__" },
    [LOCK_FORM_MUTEX] = { NULL, "-lock-" },
    [LOCK_FORM_READ_WRITE] = { "-__READ__", "-__WRIT__" },
};

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Where a UUID has its dashes. */
static bool is_dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

/* Takes the digits from a GUID of len characters, with or without dashes. */
static bool parse_guid(const char *s, size_t len, char out[LOCK_GUID_SIZE])
{
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        if (len == UUID_LEN && is_dash_at(i)) {
            if (s[i] != '-') {
                return false;
            }
        } else if (is_hex(s[i])) {
            out[digits++] = s[i];
        } else {
            return false;
        }
    }
    out[digits] = '\0';
    return true;
}

/* The server prints "%010d": a counter that has wrapped around has a sign among its ten characters. */
static bool parse_number(const char *s, int32_t *out)
{
    const char *digits = *s == '-' ? s + 1 : s;
    size_t len = strlen(s);
    if (len < NUMBER_LEN || strspn(digits, "0123456789") != strlen(digits)) {
        return false;
    }
    long long number = strtoll(s, NULL, 10);
    if (len > NUMBER_LEN + 1 || number < INT32_MIN || number > INT32_MAX) {
        return false;
    }
    *out = (int32_t)number;
    return true;
}

static bool parse_form(const char *name, enum lock_form form, enum lock_mode mode,
                       struct lock_entry *out)
{
    const char *marker = markers[form][mode];
    bool is_curator = form != LOCK_FORM_KAZOO;
    size_t prefix_len = is_curator ? strlen(curator_prefix) : 0;
    size_t guid_len = is_curator ? UUID_LEN : LOCK_GUID_SIZE - 1;
    if (!marker || (is_curator && strncmp(name, curator_prefix, prefix_len) != 0)) {
        return false;
    }
    size_t fixed_len = prefix_len + guid_len + strlen(marker);
    if (strlen(name) <= fixed_len ||
        strncmp(name + prefix_len + guid_len, marker, strlen(marker)) != 0) {
        return false;
    }
    out->form = form;
    out->mode = mode;
    return parse_guid(name + prefix_len, guid_len, out->guid) &&
           parse_number(name + fixed_len, &out->number);
}

bool lock_name_parse(const char *name, struct lock_entry *out)
{
    if (strlen(name) < LOCK_NAME_LEN_MIN) {
        return false; /* most of what a directory lists */
    }
    for (enum lock_form form = 0; form < LOCK_FORM_COUNT; form++) {
        if (parse_form(name, form, LOCK_SHARED, out) ||
            parse_form(name, form, LOCK_EXCLUSIVE, out)) {
            return true;
        }
    }
    return false;
}

void lock_name_guid(const uint8_t random[16], char out[LOCK_GUID_SIZE])
{
    for (size_t i = 0; i < 16; i++) {
        snprintf(out + 2 * i, 3, "%02x", random[i]);
    }
    out[0] = (char)('a' + random[0] % 6);
}

bool lock_name_has_form(enum lock_mode mode, enum lock_form form)
{
    return markers[form][mode] != NULL;
}

void lock_name_prefix(enum lock_form form, enum lock_mode mode, const char *guid,
                      char out[LOCK_NAME_SIZE])
{
    const char *marker = markers[form][mode];
    if (form == LOCK_FORM_KAZOO) {
        snprintf(out, LOCK_NAME_SIZE, "%s%s", guid, marker);
    } else {
        snprintf(out, LOCK_NAME_SIZE, "%s%.8s-%.4s-%.4s-%.4s-%.12s%s", curator_prefix, guid,
                 guid + 8, guid + 12, guid + 16, guid + 20, marker);
    }
}

void lock_name_print(const struct lock_entry *entry, char out[LOCK_NAME_SIZE])
{
    lock_name_prefix(entry->form, entry->mode, entry->guid, out);
    size_t len = strlen(out);
    snprintf(out + len, LOCK_NAME_SIZE - len, "%010d", entry->number);
}

char *lock_name_queue(const char *path)
{
    const char *name = name_base(path);
    return xasprintf("%.*s%s%s", (int)(name - path), path, queue_prefix, name);
}

bool lock_name_is_queue(const char *name)
{
    return strncmp(name, queue_prefix, strlen(queue_prefix)) == 0;
}

bool lock_name_is_hidden(const char *name)
{
    struct lock_entry entry;
    return lock_name_is_queue(name) || lock_name_parse(name, &entry);
}
