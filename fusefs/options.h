/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_OPTIONS_H
#define FUSEFS_OPTIONS_H

/*
 * What a mount can be told with -o: one table, which also prints --help and --print-config.
 * Options of the process around the file system (how long to wait for the ensemble, pid file ...)
 * are mountd's.
 */
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct fuse_args;

enum fusefs_offline {
    FUSEFS_OFFLINE_STALE, /* without a server: what is cached stays readable, writes fail */
    FUSEFS_OFFLINE_ERROR, /* without a server: everything fails */
};

enum fusefs_control {
    FUSEFS_CONTROL_HIDDEN,  /* the control directory is reachable by name, not listed */
    FUSEFS_CONTROL_VISIBLE, /* listed too */
    FUSEFS_CONTROL_OFF,     /* does not exist */
};

/* One identity that the session is given with addauth. */
struct fusefs_auth {
    char *scheme;      /* owned: "digest" */
    char *credentials; /* owned: "user:password"; never logged */
};

struct fusefs_options {
    char *hosts;            /* owned: "h1:2181,h2:2181/chroot", ready for zookeeper_init */
    int session_timeout_ms; /* asked for; the server may change it */
    int timeout_ms;         /* how long a request waits for the ensemble; 0: the session timeout */
    int offline;            /* enum fusefs_offline */
    bool ro;                /* refuse every change made through this mount */
    bool ro_ok;             /* accept a read-only server */
    bool strict;            /* refuse what cannot be stored: chmod, chown, explicit times */
    bool allow_other;       /* users other than the mounting one may enter */
    bool default_permissions; /* the kernel checks the mode bits */
    bool debug;               /* log each FUSE request */
    int uid;                  /* owner shown; -1: the uid of the daemon */
    int gid;                  /* group shown; -1: the gid of the daemon */
    int umask;                /* bits taken from 0666 and 0777 */
    int max_data;             /* bytes: the ensemble's jute.maxbuffer; a value must leave room in it
                                 for its path and 20 bytes */
    int child_watches;        /* children of a known directory that are watched too, at most */
    char *scratch;            /* owned: patterns, see scratch_pattern.h; "off": no scratch files */
    int scratch_max;          /* bytes of memory for them */
    int control;              /* enum fusefs_control */
    char *control_name;       /* owned: ".zk" */
    char *auth_file;          /* owned: where auths came from, NULL: none */
    struct fusefs_auth *auths; /* owned */
    size_t auth_count;
    char *acl; /* owned: what is created gets this, lines as in acl_text.h; NULL: the open ACL */
    char
        *mount_options; /* owned: comma list for libfuse's -o: fsname, subtype, allow_other, noatime
                            ...; never "ro", which would keep the event helper out */
};

/* The defaults; hosts is NULL. */
void fusefs_options_init(struct fusefs_options *o);
void fusefs_options_fini(struct fusefs_options *o);

/* Takes `h1[:port],h2[:port][/chroot]`; a host without a port gets 2181. 0, or -EINVAL with
 * *error one line that the caller frees. */
int fusefs_options_set_hosts(struct fusefs_options *o, const char *hosts, char **error);

/* Takes every -o option out of args, reads the auth file, and builds mount_options; the hosts
 * must be set before. What fstab lines carry for other readers (_netdev, nofail, x-systemd.*
 * ...) is ignored; an unknown option is an error. 0, or -errno with *error set as above. */
int fusefs_options_parse(struct fusefs_options *o, struct fuse_args *args, char **error);

/* Appends the lines of --help that belong to -o. */
void fusefs_options_help(struct buf *out);
/* Appends the effective values as `name=value` lines, without credentials. */
void fusefs_options_print(const struct fusefs_options *o, struct buf *out);

#endif
