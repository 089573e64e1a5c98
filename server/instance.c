/* SPDX-License-Identifier: Apache-2.0 */
#include "server/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

#define CONFIG_NAME        "zoo.cfg"
#define CONFIG_DIR_LOCAL   "./conf"
#define CONFIG_DIR_DEFAULT "/etc/zookeeper/conf"

/* NULL unless it is set to something. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

char *instance_config_path(const char *arg, const char *dir)
{
    const char *name = arg ? arg : environment("ZOOCFG");
    if (!name) {
        name = CONFIG_NAME;
    }
    if (!dir) {
        dir = environment("ZOOCFGDIR");
    }
    if (strchr(name, '/')) {
        return xstrdup(name);
    }
    if (dir) {
        return xasprintf("%s/%s", dir, name);
    }
    if (arg && access(arg, F_OK) == 0) {
        return xstrdup(arg);
    }
    bool is_local = access(CONFIG_DIR_LOCAL "/" CONFIG_NAME, F_OK) == 0;
    return xasprintf("%s/%s", is_local ? CONFIG_DIR_LOCAL : CONFIG_DIR_DEFAULT, name);
}

char *instance_pid_path(const struct config *cfg)
{
    const char *named = environment("ZOOPIDFILE");
    return named ? xstrdup(named) : xasprintf("%s/zookeeper_server.pid", cfg->data_dir);
}

char *instance_log_path(const struct config *cfg)
{
    const char *dir = environment("ZOO_LOG_DIR");
    char host[256] = "localhost";
    char text[4096];
    struct passwd entry;
    struct passwd *user = NULL;
    gethostname(host, sizeof(host) - 1);
    if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &user) != 0 || !user) {
        return xasprintf("%s/zookeeper-%u-server-%s.out", dir ? dir : cfg->data_dir,
                         (unsigned)geteuid(), host);
    }
    return xasprintf("%s/zookeeper-%s-server-%s.out", dir ? dir : cfg->data_dir, user->pw_name,
                     host);
}

int instance_make_dir(const char *dir)
{
    char *path = xstrdup(dir);
    int status = 0;
    for (char *slash = path + 1; status == 0 && *path; slash++) {
        char c = *slash;
        if (c != '/' && c != '\0') {
            continue;
        }
        *slash = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
            status = -errno;
        }
        if (c == '\0') {
            break;
        }
        *slash = c;
    }
    struct stat st;
    if (status == 0 && (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))) {
        status = -ENOTDIR;
    }
    free(path);
    return status;
}

/* The number in the file; 0 if it holds none or there is no file. -errno. */
static pid_t read_pid(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        return errno == ENOENT ? 0 : -errno;
    }
    long pid = 0;
    if (fscanf(f, "%ld", &pid) != 1 || pid <= 0 || pid > INT32_MAX) {
        pid = 0;
    }
    fclose(f);
    return (pid_t)pid;
}

/* From /proc/PID/stat, `PID (NAME) STATE ...`. One that has ended and was not waited for is none. */
static bool is_server(pid_t pid)
{
    char *path = xasprintf("/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    char name[64] = "";
    char state = 'Z';
    bool is_read = f && fscanf(f, "%*d (%63[^)]) %c", name, &state) == 2;
    if (f) {
        fclose(f);
    }
    free(path);
    return is_read && state != 'Z' && (strcmp(name, "zkserver") == 0 || strcmp(name, "java") == 0);
}

pid_t instance_running_pid(const char *pid_path)
{
    pid_t pid = read_pid(pid_path);
    if (pid <= 0) {
        return pid;
    }
    return is_server(pid) ? pid : 0;
}

int instance_write_pid(const char *pid_path, pid_t pid)
{
    FILE *f = fopen(pid_path, "we");
    if (!f) {
        return -errno;
    }
    int status = fprintf(f, "%d", (int)pid) < 0 ? -EIO : 0;
    if (fclose(f) != 0 && status == 0) {
        status = -errno;
    }
    return status;
}
