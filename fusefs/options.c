/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/options.h"

#include <errno.h>
#include <fuse_opt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "fusefs/acl_text.h"
#include "fusefs/auth_file.h"
#include "fusefs/hosts.h"
#include "fusefs/option_table.h"
#include "fusefs/scratch_pattern.h"

enum {
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

void fusefs_options_fini(struct fusefs_options *o)
{
    auth_file_forget(o);
    free(o->hosts);
    free(o->control_name);
    free(o->auth_file);
    free(o->acl);
    free(o->scratch);
    free(o->mount_options);
    *o = (struct fusefs_options){ 0 };
}

int fusefs_options_set_hosts(struct fusefs_options *o, const char *hosts, char **error)
{
    char *text = NULL;
    int err = hosts_parse(hosts, &text, error);
    if (err == 0) {
        free(o->hosts);
        o->hosts = text;
    }
    return err;
}

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
