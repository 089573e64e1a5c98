/* SPDX-License-Identifier: Apache-2.0 */
#include "mountd/find_program.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static char *beside_us(const char *name)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0) {
        return NULL;
    }
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) {
        return NULL;
    }
    return xasprintf("%.*s/%s", (int)(slash - self), self, name);
}

char *find_program(const char *name)
{
    char *found = beside_us(name);
    if (found != NULL && access(found, X_OK) == 0) {
        return found;
    }
    free(found);
    const char *path = getenv("PATH");
    if (path == NULL || *path == '\0') {
        path = default_path;
    }
    while (*path != '\0') {
        size_t len = strcspn(path, ":");
        /* Only absolute folders: the current one is the caller's, and a daemon leaves it. */
        if (*path == '/') {
            found = xasprintf("%.*s/%s", (int)len, path, name);
            if (access(found, X_OK) == 0) {
                return found;
            }
            free(found);
        }
        path += len + (path[len] == ':' ? 1 : 0);
    }
    return NULL;
}
