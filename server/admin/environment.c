/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin/environment.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static void print_user(struct buf *out)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char text[4096];
    bool is_known = getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) == 0 && found;
    buf_printf(out, "user.name=%s\n", is_known ? entry.pw_name : "<NA>");
    buf_printf(out, "user.home=%s\n", is_known ? entry.pw_dir : "<NA>");
}

/* Java's names for what uname calls x86_64. */
static const char *java_arch(const char *machine)
{
    return strcmp(machine, "x86_64") == 0 ? "amd64" : machine;
}

void environment_print(const char *version, struct buf *out)
{
    struct utsname os;
    struct sysinfo memory;
    char dir[PATH_MAX];
    enum { MB = 1024 * 1024 };
    buf_printf(out, "Environment:\nzookeeper.version=%s\n", version);
    if (uname(&os) == 0) {
        buf_printf(out, "host.name=%s\nos.name=%s\nos.arch=%s\nos.version=%s\n", os.nodename,
                   os.sysname, java_arch(os.machine), os.release);
    }
    print_user(out);
    buf_printf(out, "user.dir=%s\n", getcwd(dir, sizeof(dir)) ? dir : "<NA>");
    if (sysinfo(&memory) == 0) {
        uint64_t unit = memory.mem_unit;
        buf_printf(out, "os.memory.free=%" PRIu64 "MB\n", memory.freeram * unit / MB);
        buf_printf(out, "os.memory.max=%" PRIu64 "MB\n", memory.totalram * unit / MB);
        buf_printf(out, "os.memory.total=%" PRIu64 "MB\n", memory.totalram * unit / MB);
    }
}

/* NULL if there is none. Descriptors are not inherited and links not followed. */
static DIR *open_dir_at(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0) {
        close(fd);
    }
    return dir;
}

int64_t environment_dir_bytes(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    int64_t bytes = 0;
    DIR *dir = open_dir_at(fd, "version-2");
    if (dir) {
        struct dirent *entry;
        while ((entry = readdir(dir)) != NULL) {
            struct stat st;
            if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISREG(st.st_mode)) {
                bytes += st.st_size;
            }
        }
        closedir(dir);
    }
    close(fd);
    return bytes;
}

int64_t environment_open_fds(void)
{
    DIR *dir = open_dir_at(AT_FDCWD, "/proc/self/fd");
    if (!dir) {
        return 0;
    }
    int64_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count - 1; /* less the one that looked */
}

int64_t environment_fds_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int64_t)limit.rlim_cur : 0;
}
