/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/mountpoint.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "fusefs/options.h"
#include "mountd/find_program.h"

/* mountinfo writes blank, tab, newline and backslash as three octal digits. In place. */
static void unescape_octal(char *s)
{
    char *out = s;
    for (; *s != '\0'; out++) {
        if (s[0] == '\\' && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
            isdigit((unsigned char)s[3])) {
            *out = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *out = *s++;
        }
    }
    *out = '\0';
}

/* Splits `id parent dev root MOUNTPOINT options [optional...] - TYPE source ...`; in place. */
static bool mountinfo_split(char *line, char **mountpoint, char **type)
{
    char *save = NULL;
    char *field = strtok_r(line, " \n", &save);
    for (int i = 1; field != NULL && i < 5; i++) {
        field = strtok_r(NULL, " \n", &save);
    }
    *mountpoint = field;
    while (field != NULL && strcmp(field, "-") != 0) {
        field = strtok_r(NULL, " \n", &save);
    }
    *type = field != NULL ? strtok_r(NULL, " \n", &save) : NULL;
    return *type != NULL;
}

bool mountpoint_is_zkfs(const char *path, const char *mountinfo)
{
    FILE *file = fopen(mountinfo != NULL ? mountinfo : "/proc/self/mountinfo", "re");
    if (file == NULL) {
        return false; /* cannot tell; the mount itself will */
    }
    char *line = NULL;
    size_t cap = 0;
    bool is_zkfs = false;
    while (getline(&line, &cap, file) >= 0) {
        char *mountpoint;
        char *type;
        if (mountinfo_split(line, &mountpoint, &type)) {
            unescape_octal(mountpoint);
            /* Later lines are mounted over earlier ones. */
            if (strcmp(mountpoint, path) == 0) {
                is_zkfs = strcmp(type, "fuse.zkfs") == 0;
            }
        }
    }
    free(line);
    fclose(file);
    return is_zkfs;
}

static int check_error(const char *path, int err, char **error)
{
    if (err == -ENOTCONN || err == -ECONNABORTED) {
        *error = xasprintf("%s: a dead mount is still here, its daemon has gone; remove it with "
                           "`fusermount3 -uz %s` or `umount -l %s`",
                           path, path, path);
    } else if (err == -ENOENT) {
        *error = xasprintf("%s: no such directory; make it with `mkdir -p %s`", path, path);
    } else {
        *error = xasprintf("%s: %s", path, strerror(-err));
    }
    return err;
}

int mountpoint_check(const char *path, char **resolved, char **error)
{
    /* stat(2), unlike open and opendir, does not trigger an automount at the end of the path. */
    struct stat st;
    if (stat(path, &st) != 0) {
        return check_error(path, -errno, error);
    }
    if (!S_ISDIR(st.st_mode)) {
        *error = xasprintf("%s: not a directory", path);
        return -ENOTDIR;
    }
    char *absolute = realpath(path, NULL);
    if (absolute == NULL) {
        return check_error(path, -errno, error);
    }
    if (mountpoint_is_zkfs(absolute, NULL)) {
        /* The kernel may have answered the stat above itself, for a daemon that has gone. */
        struct statx stx;
        if (statx(AT_FDCWD, absolute, AT_STATX_FORCE_SYNC, STATX_TYPE, &stx) != 0) {
            free(absolute);
            return check_error(path, -errno, error);
        }
        *error = xasprintf("%s: already mounted; unmount it with `fusermount3 -u %s`", path, path);
        free(absolute);
        return -EBUSY;
    }
    *resolved = absolute;
    return 0;
}

/* ---- the means ------------------------------------------------------------------------------ */

bool fuse_conf_allows_other(const char *name)
{
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return false;
    }
    char *line = NULL;
    size_t cap = 0;
    bool is_allowed = false;
    while (!is_allowed && getline(&line, &cap, file) >= 0) {
        char *word = line + strspn(line, " \t");
        word[strcspn(word, "# \t\r\n")] = '\0';
        is_allowed = strcmp(word, "user_allow_other") == 0;
    }
    free(line);
    fclose(file);
    return is_allowed;
}

bool mountpoint_has_fusermount(void)
{
    char *program = find_program("fusermount3");
    free(program);
    return program != NULL;
}

int mountpoint_check_means(const struct fusefs_options *o, char **error)
{
    if (access("/dev/fuse", F_OK) != 0) {
        *error =
            xstrdup("/dev/fuse is missing; load the kernel module with `modprobe fuse`, or in a "
                    "container pass the device in");
        return -ENODEV;
    }
    if (geteuid() == 0) {
        return 0;
    }
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        *error = xasprintf("/dev/fuse: %s; mount as root", strerror(errno));
        return -EACCES;
    }
    if (!mountpoint_has_fusermount()) {
        *error = xstrdup("fusermount3 is missing, which mounts for ordinary users; install the "
                         "package fuse3, or mount as root");
        return -ENOENT;
    }
    if (o->allow_other && !fuse_conf_allows_other("/etc/fuse.conf")) {
        *error = xstrdup("allow_other: only root may, unless /etc/fuse.conf has the line "
                         "user_allow_other");
        return -EPERM;
    }
    return 0;
}
