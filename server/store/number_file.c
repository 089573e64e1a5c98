/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/number_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"

enum { FILE_BYTES_MAX = 4096 };

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int parse(const uint8_t *at, const uint8_t *end, int64_t *value)
{
    int64_t number = 0;
    while (at < end && is_space(*at)) {
        at++;
    }
    const uint8_t *digits = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        if (number > (INT64_MAX - digit) / 10) {
            return -EBADMSG;
        }
        number = number * 10 + digit;
    }
    bool has_digits = at > digits;
    while (at < end && is_space(*at)) {
        at++;
    }
    if (!has_digits || (at < end && *at != '\n')) {
        return -EBADMSG;
    }
    *value = number;
    return 0;
}

int number_file_read(const struct fsops *fs, const char *dir, const char *name, int64_t *value)
{
    struct buf content = BUF_EMPTY;
    char *path = fs_join(dir, name);
    int rc = fs_read_file(fs, path, FILE_BYTES_MAX, &content);
    if (rc == 0) {
        rc = parse(buf_head(&content), buf_head(&content) + buf_readable(&content), value);
    }
    free(path);
    buf_fini(&content);
    return rc == -EFBIG ? -EBADMSG : rc;
}

int number_file_write(const struct fsops *fs, const char *dir, const char *name, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, value);
    return fs_replace_file(fs, dir, name, text, (size_t)len);
}
