/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into a server by test_server_durability.py: a disk that is slow or broken. While the file
 * named by ZKFS_SYNC_FILE exists, each fdatasync and fsync obeys its first word: a number is a delay
 * in milliseconds, anything else fails with EIO.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int sync_as_told(const char *name, int fd)
{
    const char *path = getenv("ZKFS_SYNC_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        char order[16] = { 0 };
        ssize_t len = read(file, order, sizeof(order) - 1);
        close(file);
        if (len > 0 && !isdigit((unsigned char)order[0])) {
            errno = EIO;
            return -1;
        }
        long ms = atol(order);
        struct timespec delay = { ms / 1000, ms % 1000 * 1000000 };
        nanosleep(&delay, NULL);
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fdatasync(int fd)
{
    return sync_as_told("fdatasync", fd);
}

int fsync(int fd)
{
    return sync_as_told("fsync", fd);
}
