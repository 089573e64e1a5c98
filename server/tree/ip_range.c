/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/ip_range.h"

#include <string.h>

/* What is left of the text. */
struct text {
    const char *at;
    const char *end;
};

static bool take(struct text *t, char c)
{
    if (t->at == t->end || *t->at != c) {
        return false;
    }
    t->at++;
    return true;
}

/* Decimal number of at most three digits, no more than max; -1 otherwise. */
static int take_small(struct text *t, int max)
{
    int value = 0;
    int digits = 0;
    while (t->at < t->end && *t->at >= '0' && *t->at <= '9' && digits < 3) {
        value = value * 10 + (*t->at++ - '0');
        digits++;
    }
    return digits > 0 && value <= max ? value : -1;
}

static bool take_ipv4(struct text *t, struct ip_range *out)
{
    out->bytes = 4;
    for (int i = 0; i < 4; i++) {
        int part = i > 0 && !take(t, '.') ? -1 : take_small(t, 255);
        if (part < 0) {
            return false;
        }
        out->address[i] = (uint8_t)part;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One to four hexadecimal digits; -1 otherwise. */
static int take_group(struct text *t)
{
    int value = 0;
    int digits = 0;
    while (t->at < t->end && digits < 4 && hex_value(*t->at) >= 0) {
        value = value << 4 | hex_value(*t->at++);
        digits++;
    }
    return digits > 0 ? value : -1;
}

/* Up to eight groups; "::" once stands for as many zeros as are missing. */
static bool take_ipv6(struct text *t, struct ip_range *out)
{
    uint8_t *a = out->address;
    size_t len = 0; /* bytes read */
    size_t gap = 0; /* bytes before the "::" */
    bool has_gap = false;
    out->bytes = 16;
    if (t->end - t->at >= 2 && t->at[0] == ':' && t->at[1] == ':') {
        t->at += 2;
        has_gap = true;
    }
    while (len < 16 && t->at < t->end && *t->at != '/') {
        int group = take_group(t);
        if (group < 0) {
            return false;
        }
        a[len++] = (uint8_t)(group >> 8);
        a[len++] = (uint8_t)group;
        if (!take(t, ':')) {
            break;
        }
        if (take(t, ':')) {
            if (has_gap) {
                return false;
            }
            has_gap = true;
            gap = len;
        } else if (t->at == t->end || *t->at == '/') {
            return false; /* a single colon at the end */
        }
    }
    if (!has_gap || len == 16) {
        return !has_gap && len == 16;
    }
    size_t behind = len - gap;
    memmove(a + 16 - behind, a + gap, behind);
    memset(a + gap, 0, 16 - behind - gap);
    return true;
}

bool ip_range_parse(struct slice text, struct ip_range *out)
{
    struct text t = { (const char *)text.data, (const char *)text.data + slice_size(text) };
    *out = (struct ip_range){ .bytes = 0 };
    bool is_v6 = text.len > 0 && memchr(text.data, ':', (size_t)text.len) != NULL;
    if (!(is_v6 ? take_ipv6(&t, out) : take_ipv4(&t, out))) {
        return false;
    }
    out->bits = 8 * out->bytes;
    if (take(&t, '/')) {
        out->bits = take_small(&t, out->bits);
    }
    return t.at == t.end && out->bits >= 0;
}

bool ip_range_contains(struct slice range, struct slice caller)
{
    struct ip_range want;
    struct ip_range have;
    if (!ip_range_parse(range, &want) || !ip_range_parse(caller, &have) ||
        want.bytes != have.bytes) {
        return false;
    }
    size_t whole = (size_t)want.bits / 8;
    int rest = want.bits % 8;
    if (memcmp(want.address, have.address, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((want.address[whole] ^ have.address[whole]) & mask) == 0;
}
