/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times one file operation, on any file system: fsload OP PATH COUNT. Prints JSON: microseconds of the
 * median and of the 99th percentile.
 *
 *      stat     of the file PATH
 *      read     open + read + close of the file PATH
 *      write    open(O_TRUNC) + write of 100 bytes + close of the file PATH
 *      absent   stat of a name that is not there
 *      each     open + read + close of PATH/n0 ... , each once
 *      create   open(O_CREAT|O_EXCL) + close of PATH/c0 ...
 *      unlink   of PATH/c0 ...
 *      list     the directory PATH and an lstat of every entry, as ls -l does; COUNT times
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "fsload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void do_read(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, bytes, sizeof(bytes)) < 0 || close(fd) != 0) {
        fail(path);
    }
}

static void do_write(const char *path, int i)
{
    char bytes[100];
    memset(bytes, 'a' + i % 26, sizeof(bytes));
    int fd = open(path, O_WRONLY | O_TRUNC);
    if (fd < 0 || write(fd, bytes, sizeof(bytes)) != sizeof(bytes) || close(fd) != 0) {
        fail(path);
    }
}

static void do_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0 || close(fd) != 0) {
        fail(path);
    }
}

static void do_list(const char *path)
{
    struct stat st;
    DIR *dir = opendir(path);
    if (!dir) {
        fail(path);
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            fail(e->d_name);
        }
    }
    closedir(dir);
}

static void run(const char *op, const char *path, int i)
{
    struct stat st;
    char name[PATH_MAX];
    bool is_each = strcmp(op, "each") == 0;
    snprintf(name, sizeof(name), "%s/%c%d", path, is_each ? 'n' : 'c', i);
    if (strcmp(op, "stat") == 0) {
        if (stat(path, &st) != 0) {
            fail(path);
        }
    } else if (strcmp(op, "absent") == 0) {
        if (stat(path, &st) == 0) {
            fail(path);
        }
    } else if (strcmp(op, "read") == 0) {
        do_read(path);
    } else if (strcmp(op, "write") == 0) {
        do_write(path, i);
    } else if (strcmp(op, "list") == 0) {
        do_list(path);
    } else if (is_each) {
        do_read(name);
    } else if (strcmp(op, "create") == 0) {
        do_create(name);
    } else if (strcmp(op, "unlink") != 0 || unlink(name) != 0) {
        fail(op);
    }
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    int count = argc == 4 ? atoi(argv[3]) : 0;
    if (count <= 0) {
        fprintf(stderr, "usage: fsload OP PATH COUNT\n");
        return 2;
    }
    int64_t *times = calloc((size_t)count, sizeof(*times));
    if (!times) {
        fail("memory");
    }
    for (int i = 0; i < count; i++) {
        int64_t begin = now_ns();
        run(argv[1], argv[2], i);
        times[i] = now_ns() - begin;
    }
    qsort(times, (size_t)count, sizeof(*times), compare);
    printf("{\"p50_us\": %.2f, \"p99_us\": %.2f}\n", (double)times[count / 2] / 1000,
           (double)times[(size_t)count * 99 / 100] / 1000);
    free(times);
    return 0;
}
