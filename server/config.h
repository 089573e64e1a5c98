/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

/*
 * zoo.cfg as one immutable struct. Every key may be written with and without the prefix
 * `zookeeper.`; the last one in the file counts. An unknown key is a warning, a bad value is an
 * error that names file and line. What each key means and its default is in one table
 * (config_keys.c), which drives parsing and printing; zoo.cfg(5) is held against it by a test.
 *
 * Reads one file and nothing else: no log, no environment, no clock. Once loaded it may be read
 * by any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* One way to reach a server of the ensemble. */
struct config_address {
    char *host; /* as written: a name or an address, without brackets */
    int quorum_port;
    int election_port;
};

/* One `server.N` line with its `group` and `weight`. */
struct config_server {
    int64_t sid;
    struct config_address *addresses; /* at least one */
    size_t address_count;
    bool is_observer;
    char *client_host; /* NULL: all addresses */
    int client_port;   /* 0: not in the line */
    int64_t weight;    /* of its vote */
    int64_t group;     /* -1: no groups are configured */
};

struct config {
    /* files */
    char *data_dir;
    char *log_dir; /* of transaction logs; equal to data_dir unless dataLogDir is set */
    bool datadir_autocreate;

    /* clients */
    int client_port;           /* 0: any free port */
    char *client_port_address; /* NULL: all addresses */
    int client_port_backlog;   /* -1: the system's */
    int client_cnxns_max;      /* per address; 0: no limit */
    int cnxns_max;             /* in all; 0: no limit */
    bool client_keepalive;
    int sessionless_timeout_ms; /* a connection without a session is closed after it */
    int jute_maxbuffer;         /* largest frame, bytes */
    int connect_tokens_max;     /* connect requests at once; 0: no limit */
    int connect_fill_ms;        /* so often ... */
    int connect_fill_count;     /* ... so many more */
    int large_request_bytes;    /* what is larger counts as large; 0 or less: nothing does */
    int large_requests_max;     /* bytes of large requests in process */
    int outstanding_max;        /* requests in process before reading is throttled */
    char *fourletter_whitelist; /* comma-separated words, or * */

    /* time */
    int tick_time_ms;
    int session_timeout_ms_min;
    int session_timeout_ms_max;

    /* access */
    bool skip_acl;
    bool digest_auth_enabled;
    char *digest_alg;       /* of the digest scheme, as Java names it */
    char *super_digest;     /* NULL: no super user */
    bool auth_is_enforced;  /* a client must prove an id of ... */
    char *enforced_schemes; /* ... one of these, comma-separated; NULL: none */
    bool quota_is_enforced; /* hard limits refuse */

    /* tree */
    bool extended_types;
    bool digest_enabled;
    int container_check_interval_ms; /* 0: container and TTL nodes are never deleted */
    int container_max_per_minute;    /* deletes */
    int64_t container_never_used_ms; /* 0: one that never had a child stays */

    /* log and snapshots */
    int snap_count;               /* transactions between snapshots */
    int64_t snap_size_limit_kb;   /* of log between snapshots; <= 0: no limit */
    int64_t txnlog_size_limit_kb; /* of one log file; <= 0: no limit */
    int prealloc_kb;
    bool force_sync;
    int fsync_warning_ms;
    bool snapshot_trust_empty;
    int purge_retain_count;    /* snapshots to keep */
    int64_t purge_interval_ms; /* 0: never purge; else after each snapshot */

    /* ensemble; one server alone uses none of it */
    int init_limit_ticks; /* 0: not set */
    int sync_limit_ticks; /* 0: not set */
    int connect_timeout_ms;     /* to another server */
    int commit_log_count;       /* committed txns kept for servers that come back */
    bool force_snapshot_sync;   /* servers that come back get the whole tree, always */
    int32_t snapshot_size_percent; /* they get the log from disk if it is not larger than this share
                                      of a snapshot; 0: of any size, < 0: never */
    bool quorum_listens_on_all; /* both ports on all addresses, not on that of the server.N line */
    bool peer_is_observer;
    struct config_server *servers; /* by sid, ascending */
    size_t server_count;
};

/* What loading had to say. Zeroed before, freed with config_report_fini. */
struct config_report {
    char *error; /* NULL if it went well; otherwise one line, `file:line: text` or `file: text` */
    char **warnings; /* same form */
    size_t warning_count;
};

void config_report_fini(struct config_report *report);

/* Reads the file. NULL on failure, and report->error says why. Free with config_free. */
struct config *config_load(const char *path, struct config_report *report);
/* The same from memory; name stands for the file in messages. The text may hold any bytes. */
struct config *config_parse(const char *text, size_t len, const char *name,
                            struct config_report *report);
void config_free(struct config *cfg);

/* Appends the whole effective configuration as a zoo.cfg that gives an equal struct config,
 * except that the super user's digest is left out. */
void config_print(const struct config *cfg, struct buf *out);

#endif
