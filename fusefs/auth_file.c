/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/auth_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "fusefs/options.h"

enum { AUTH_FILE_BYTES_MAX = 64 * 1024 };

void auth_file_forget(struct fusefs_options *o)
{
    for (size_t i = 0; i < o->auth_count; i++) {
        free(o->auths[i].scheme);
        /* The only copy of a password that we own should not outlive its use. */
        explicit_bzero(o->auths[i].credentials, strlen(o->auths[i].credentials));
        free(o->auths[i].credentials);
    }
    free(o->auths);
    o->auths = NULL;
    o->auth_count = 0;
}

static int auth_line_add(struct fusefs_options *o, const char *line, int number, char **error)
{
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#') {
        return 0;
    }
    const char *colon = strchr(line, ':');
    if (colon == NULL || colon == line) {
        *error = xasprintf("%s: line %d: expected scheme:credentials", o->auth_file, number);
        return -EINVAL;
    }
    o->auths = xrealloc(o->auths, (o->auth_count + 1) * sizeof(o->auths[0]));
    o->auths[o->auth_count++] = (struct fusefs_auth){
        .scheme = xstrndup(line, (size_t)(colon - line)),
        .credentials = xstrdup(colon + 1),
    };
    return 0;
}

/* Checked on the open descriptor, so that nothing can be swapped between the check and the
 * reading. */
static int auth_file_check(const char *path, int fd, char **error)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int err = -errno;
        *error = xasprintf("%s: %s", path, strerror(-err));
        return err;
    }
    if (!S_ISREG(st.st_mode)) {
        *error = xasprintf("%s: not a regular file", path);
        return -EINVAL;
    }
    if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        *error = xasprintf("%s: others may read it or change it; chmod 600 it first", path);
        return -EACCES;
    }
    return 0;
}

static int auth_lines_read(struct fusefs_options *o, FILE *file, char **error)
{
    char *line = NULL;
    size_t cap = 0;
    size_t total = 0;
    int err = 0;
    for (int number = 1; err == 0; number++) {
        ssize_t len = getline(&line, &cap, file);
        if (len < 0) {
            break;
        }
        total += (size_t)len;
        if (total > AUTH_FILE_BYTES_MAX) {
            *error = xasprintf("%s: over %d bytes", o->auth_file, AUTH_FILE_BYTES_MAX);
            err = -EFBIG;
            break;
        }
        line[strcspn(line, "\r\n")] = '\0';
        err = auth_line_add(o, line, number, error);
    }
    if (err == 0 && ferror(file)) {
        *error = xasprintf("%s: cannot be read", o->auth_file);
        err = -EIO;
    }
    if (line != NULL) {
        explicit_bzero(line, cap);
    }
    free(line);
    return err;
}

int auth_file_read(struct fusefs_options *o, char **error)
{
    auth_file_forget(o);
    int fd = open(o->auth_file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL) {
        int err = -errno;
        *error = xasprintf("%s: %s", o->auth_file, strerror(-err));
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    int err = auth_file_check(o->auth_file, fd, error);
    if (err == 0) {
        err = auth_lines_read(o, file, error);
    }
    fclose(file);
    return err;
}
