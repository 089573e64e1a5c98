/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_opt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/option_table.h"
#include "fusefs/scratch_pattern.h"

enum {
    DEFAULT_PORT = 2181,
    AUTH_FILE_BYTES_MAX = 64 * 1024,
    TIME_MS_MAX = 24 * 3600 * 1000,
};

#define AT(field) offsetof(struct fusefs_options, field)
#define FLAG(templ, field, help)                                                                   \
    {                                                                                              \
        templ, OPTION_FLAG, AT(field), 1, 0, NULL, NULL, help                                      \
    }
#define UNFLAG(templ, field, help)                                                                 \
    {                                                                                              \
        templ, OPTION_FLAG, AT(field), 0, 0, NULL, NULL, help                                      \
    }
#define VALUE(templ, type, field, min, max, arg, help)                                             \
    {                                                                                              \
        templ, type, AT(field), min, max, NULL, arg, help                                          \
    }
#define CHOICE(templ, field, choices, help)                                                        \
    {                                                                                              \
        templ, OPTION_CHOICE, AT(field), 0, 0, choices, choices, help                              \
    }
#define IGNORED(templ)                                                                             \
    {                                                                                              \
        templ, OPTION_IGNORE, 0, 0, 0, NULL, NULL, NULL                                            \
    }
#define MOUNT(templ)                                                                               \
    {                                                                                              \
        templ, OPTION_MOUNT, 0, 0, 0, NULL, NULL, NULL                                             \
    }

/* clang-format off */
static const struct option_row rows[] = {
    VALUE("session_timeout=", OPTION_TIME, session_timeout_ms, 100, TIME_MS_MAX, "SECONDS",
          "session timeout asked of the ensemble (10)"),
    VALUE("timeout=", OPTION_TIME, timeout_ms, 0, TIME_MS_MAX, "SECONDS",
          "how long a request waits for the ensemble before it\n"
          "fails with ETIMEDOUT (0: the session timeout)"),
    CHOICE("offline=", offline, "stale|error",
           "when no server answers for longer than the session:\n"
           "cached files stay readable (stale), or all fails"),
    FLAG("ro", ro, "refuse every change through this mount"),
    UNFLAG("rw", ro, NULL),
    FLAG("ro_ok", ro_ok, "accept a server that lost its quorum, read-only"),
    VALUE("uid=", OPTION_INT, uid, 0, INT_MAX, "UID", "owner shown for every file (who mounts)"),
    VALUE("gid=", OPTION_INT, gid, 0, INT_MAX, "GID", "group shown for every file (who mounts)"),
    VALUE("umask=", OPTION_OCTAL, umask, 0, 0777, "MODE",
          "bits missing from 0666 and 0777 (022)"),
    VALUE("max_data=", OPTION_INT, max_data, 1024, 1 << 30, "BYTES",
          "jute.maxbuffer of the ensemble (1048575); a larger\nwrite fails with EFBIG"),
    VALUE("child_watches=", OPTION_INT, child_watches, 0, 10000000, "COUNT",
          "children of a known directory whose changes are\n"
          "reported though nobody opened them (10000)"),
    VALUE("scratch=", OPTION_STRING, scratch, 0, 0, "PATTERN[:PATTERN ...]",
          "names of files that are kept in memory until they are\n"
          "renamed, or off (those of common editors and tools)"),
    VALUE("scratch_max=", OPTION_INT, scratch_max, 0, INT_MAX, "BYTES",
          "memory for them (67108864); beyond it ENOSPC"),
    CHOICE("control=", control, "hidden|visible|off",
           "the control directory: reachable by name (hidden),\nlisted too, or absent"),
    VALUE("control_name=", OPTION_STRING, control_name, 0, 0, "NAME",
          "name of the control directory (.zk)"),
    VALUE("auth_file=", OPTION_STRING, auth_file, 0, 0, "FILE",
          "identities of the session, a line `scheme:credentials`\n"
          "each; the file must not be readable by others"),
    VALUE("acl=", OPTION_LINES, acl, 0, 0, "SCHEME:ID:PERMS",
          "an entry of the ACL that new znodes get, may be given\n"
          "again (world:anyone:cdrwa); auth::cdrwa stands for the\n"
          "identities of auth_file"),
    FLAG("strict", strict, "refuse chmod, chown and explicit times (EPERM), which\n"
         "cannot be stored"),
    FLAG("allow_other", allow_other, "let other users enter the mount, as far as the mode\n"
         "bits allow: implies default_permissions"),
    FLAG("default_permissions", default_permissions, "let the kernel check the mode bits"),
    FLAG("debug", debug, "log each request; stay in the foreground"),

    /* Flags of the mount itself, which libfuse passes on. */
    MOUNT("nosuid"), MOUNT("nodev"), MOUNT("noexec"), MOUNT("exec"), MOUNT("noatime"),
    MOUNT("atime"), MOUNT("nodiratime"), MOUNT("diratime"), MOUNT("sync"), MOUNT("async"),
    MOUNT("dirsync"), MOUNT("relatime"), MOUNT("norelatime"), MOUNT("strictatime"),
    MOUNT("nostrictatime"), MOUNT("context="), MOUNT("fscontext="), MOUNT("defcontext="),
    MOUNT("rootcontext="),

    /* Words of fstab that speak to mount(8), systemd or nobody. A tree of plain files has no
     * use for suid and dev, which fusermount3 refuses to ordinary users. */
    IGNORED("suid"), IGNORED("dev"),
    IGNORED("_netdev"), IGNORED("nofail"), IGNORED("fail"), IGNORED("noauto"), IGNORED("auto"),
    IGNORED("user"), IGNORED("nouser"), IGNORED("users"), IGNORED("owner"), IGNORED("group"),
    IGNORED("defaults"), IGNORED("silent"), IGNORED("loud"), IGNORED("nonempty"),
    IGNORED("comment="), IGNORED("user="), IGNORED("uhelper="), IGNORED("helper="),
    { NULL, OPTION_IGNORE, 0, 0, 0, NULL, NULL, NULL },
};
/* clang-format on */

void fusefs_options_init(struct fusefs_options *o)
{
    *o = (struct fusefs_options){
        .session_timeout_ms = 10000,
        .uid = -1,
        .gid = -1,
        .umask = 022,
        .max_data = 1048575,
        .child_watches = 10000,
        .scratch = xstrdup(SCRATCH_PATTERNS),
        .scratch_max = 64 << 20,
        .control_name = xstrdup(".zk"),
    };
}

static void auths_free(struct fusefs_options *o)
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

void fusefs_options_fini(struct fusefs_options *o)
{
    auths_free(o);
    free(o->hosts);
    free(o->control_name);
    free(o->auth_file);
    free(o->acl);
    free(o->scratch);
    free(o->mount_options);
    *o = (struct fusefs_options){ 0 };
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static bool port_is_valid(const char *port, size_t len)
{
    long n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)port[i])) {
            return false;
        }
        n = n * 10 + (port[i] - '0');
        if (n > 65535) {
            return false;
        }
    }
    return len > 0 && n > 0;
}

/* Where the name or address of "host:port" ends, host itself if there is none. An IPv6 address
 * needs brackets, or its last group reads as a port. */
static const char *host_name_end(const char *host, size_t len)
{
    if (len > 0 && *host == '[') {
        const char *bracket = memchr(host, ']', len);
        return bracket != NULL && bracket > host + 1 ? bracket + 1 : host;
    }
    const char *colon = memchr(host, ':', len);
    return colon != NULL ? colon : host + len;
}

static bool host_is_valid(const char *host, size_t len)
{
    const char *end = host + len;
    const char *name_end = host_name_end(host, len);
    for (const char *p = host; p < end; p++) {
        if (!isgraph((unsigned char)*p)) {
            return false;
        }
    }
    return name_end > host &&
           (name_end == end ||
            (*name_end == ':' && port_is_valid(name_end + 1, (size_t)(end - name_end - 1))));
}

/* Appends one host with its port. */
static int host_append(struct buf *out, const char *host, size_t len, char **error)
{
    const char *end = host + len;
    const char *name_end = host_name_end(host, len);
    if (!host_is_valid(host, len)) {
        *error = xasprintf("%.*s: expected HOST, HOST:PORT or [IPV6]:PORT", (int)len, host);
        return -EINVAL;
    }
    /* The library takes what follows the last colon as the port, and knows no brackets. */
    size_t bracket = *host == '[' ? 1 : 0;
    buf_append(out, host + bracket, (size_t)(name_end - host) - 2 * bracket);
    if (name_end < end) {
        buf_append(out, name_end, (size_t)(end - name_end));
    } else {
        buf_printf(out, ":%d", DEFAULT_PORT);
    }
    return 0;
}

/* Appends "/a/b" without a trailing slash; "/" alone means no chroot. */
static int chroot_append(struct buf *out, const char *path, char **error)
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (path[i] != '/') {
            continue;
        }
        size_t name = strcspn(path + i + 1, "/");
        bool is_dots = (name == 1 || name == 2) && memcmp(path + i + 1, "..", name) == 0;
        if (name == 0 || is_dots) {
            *error = xasprintf("%s: not a ZooKeeper path", path);
            return -EINVAL;
        }
    }
    buf_append(out, path, len);
    return 0;
}

int fusefs_options_set_hosts(struct fusefs_options *o, const char *hosts, char **error)
{
    struct buf out = BUF_EMPTY;
    size_t list_len = strcspn(hosts, "/");
    size_t at = 0;
    int err = 0;
    do {
        size_t len = strcspn(hosts + at, ",/");
        err = host_append(&out, hosts + at, len, error);
        at += len;
        if (err == 0 && at < list_len) {
            buf_append_str(&out, ",");
            at++;
        } else {
            break;
        }
    } while (at <= list_len);
    if (err == 0) {
        err = chroot_append(&out, hosts + list_len, error);
    }
    if (err != 0) {
        buf_fini(&out);
        return err;
    }
    free(o->hosts);
    o->hosts = buf_take_str(&out);
    return 0;
}

/* ---- auth file ------------------------------------------------------------------------------ */

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

static int auth_file_read(struct fusefs_options *o, char **error)
{
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

/* ---- options -------------------------------------------------------------------------------- */

struct rest {
    struct fusefs_options *o;
    char **error;
};

static void mount_option_add(struct fusefs_options *o, const char *option)
{
    if (fuse_opt_add_opt_escaped(&o->mount_options, option) != 0) {
        abort(); /* out of memory, as in xalloc */
    }
}

/* What the table left over: mount flags for libfuse, x-options of other readers, and mistakes. */
static int on_rest(void *arg, const char *text, int key, struct fuse_args *outargs)
{
    (void)outargs;
    struct rest *rest = arg;
    if (key != FUSE_OPT_KEY_OPT || *text == '-') {
        return 1;
    }
    if (strncmp(text, "x-", 2) == 0 || strncmp(text, "X-", 2) == 0) {
        return 0;
    }
    for (const struct option_row *row = rows; row->templ != NULL; row++) {
        size_t len = strlen(row->templ);
        bool takes_value = row->templ[len - 1] == '=';
        if (row->type == OPTION_MOUNT && strncmp(text, row->templ, len) == 0 &&
            (takes_value || text[len] == '\0')) {
            mount_option_add(rest->o, text);
            return 0;
        }
    }
    if (*rest->error == NULL) {
        *rest->error = xasprintf("unknown option: %s", text);
    }
    return -1;
}

static int control_name_check(const struct fusefs_options *o, char **error)
{
    const char *name = o->control_name;
    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strlen(name) > NAME_MAX) {
        *error = xasprintf("control_name=%s: not a file name", name);
        return -EINVAL;
    }
    return 0;
}

/* An ACL that the ensemble would refuse at every creation is refused now. */
static int acl_check(const struct fusefs_options *o, char **error)
{
    struct ACL_vector acl;
    if (acl_parse(o->acl, strlen(o->acl), &acl) != 0) {
        *error = xasprintf("acl=%s: expected scheme:id:perms, perms of the letters cdrwa", o->acl);
        return -EINVAL;
    }
    bool needs_auth = false;
    for (int i = 0; i < acl.count; i++) {
        needs_auth = needs_auth || strcmp(acl.data[i].id.scheme, "auth") == 0;
    }
    acl_free(&acl);
    if (needs_auth && o->auth_count == 0) {
        *error = xstrdup("acl=auth:...: there is no identity; give auth_file= too");
        return -EINVAL;
    }
    return 0;
}

static void mount_options_start(struct fusefs_options *o)
{
    free(o->mount_options);
    o->mount_options = NULL;
    mount_option_add(o, "subtype=zkfs");
    if (o->hosts != NULL) {
        char *fsname = xasprintf("fsname=%s", o->hosts);
        mount_option_add(o, fsname);
        free(fsname);
    }
    if (o->allow_other) {
        mount_option_add(o, "allow_other");
    }
    /* Or everybody could do with the mount's identity whatever the mode bits say. */
    if (o->default_permissions || o->allow_other) {
        mount_option_add(o, "default_permissions");
    }
}

int fusefs_options_parse(struct fusefs_options *o, struct fuse_args *args, char **error)
{
    *error = NULL;
    int err = option_table_parse(rows, args, o, error);
    if (err != 0) {
        return err;
    }
    mount_options_start(o);
    struct rest rest = { o, error };
    if (fuse_opt_parse(args, &rest, NULL, on_rest) != 0) {
        return -EINVAL;
    }
    err = control_name_check(o, error);
    if (err == 0 && o->auth_file != NULL) {
        auths_free(o);
        err = auth_file_read(o, error);
    }
    return err == 0 && o->acl != NULL ? acl_check(o, error) : err;
}

void fusefs_options_help(struct buf *out)
{
    option_table_help(rows, out);
}

void fusefs_options_print(const struct fusefs_options *o, struct buf *out)
{
    buf_printf(out, "hosts=%s\n", o->hosts != NULL ? o->hosts : "");
    option_table_print(rows, o, out);
}
