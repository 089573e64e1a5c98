/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config_keys.h"

#include <string.h>

#include "server/config.h"

#define AT(field) offsetof(struct config, field)
#define TEXT(key, field, dflt)                                                                     \
    {                                                                                              \
        key, CONFIG_TEXT, AT(field), dflt, 0, 0, false                                             \
    }
#define YESNO(key, field, dflt)                                                                    \
    {                                                                                              \
        key, CONFIG_YES_NO, AT(field), dflt, 0, 0, false                                           \
    }
#define BOOL(key, field, dflt)                                                                     \
    {                                                                                              \
        key, CONFIG_TRUE_FALSE, AT(field), dflt, 0, 0, false                                       \
    }
#define INT(key, field, dflt, lo, hi)                                                              \
    {                                                                                              \
        key, CONFIG_INT, AT(field), dflt, lo, hi, false                                            \
    }
#define RAISED(key, field, dflt, lo)                                                               \
    {                                                                                              \
        key, CONFIG_INT, AT(field), dflt, lo, INT32_MAX, true                                      \
    }
#define LONG(key, field, dflt)                                                                     \
    {                                                                                              \
        key, CONFIG_LONG, AT(field), dflt, INT64_MIN, INT64_MAX / 1024, false                      \
    }
#define INERT(key, same)                                                                           \
    {                                                                                              \
        key, CONFIG_INERT, 0, same, 0, 0, false                                                    \
    }

/* The largest port, and a day: no timeout of a client connection is longer. */
enum { PORT_MAX = 65535, DAY_MS = 24 * 3600 * 1000 };

const struct config_key config_keys[] = {
    TEXT("dataDir", data_dir, NULL),
    TEXT("dataLogDir", log_dir, NULL),
    BOOL("datadir.autocreate", datadir_autocreate, "true"),

    INT("clientPort", client_port, NULL, 0, PORT_MAX),
    TEXT("clientPortAddress", client_port_address, NULL),
    INT("clientPortListenBacklog", client_port_backlog, "-1", -1, INT32_MAX),
    INT("maxClientCnxns", client_cnxns_max, "60", 0, INT32_MAX),
    INT("maxCnxns", cnxns_max, "0", 0, INT32_MAX),
    BOOL("clientTcpKeepAlive", client_keepalive, "false"),
    INT("nio.sessionlessCnxnTimeout", sessionless_timeout_ms, "10000", 1, DAY_MS),
    /* Below this not even a request header with a short path fits; above it Java has no arrays.
     * */
    INT("jute.maxbuffer", jute_maxbuffer, "1048575", 1024, INT32_MAX / 2),
    INT("globalOutstandingLimit", outstanding_max, "1000", 1, INT32_MAX),
    INT("connection_throttle_tokens", connect_tokens_max, "0", 0, INT32_MAX),
    INT("connection_throttle_fill_time", connect_fill_ms, "1", 1, DAY_MS),
    INT("connection_throttle_fill_count", connect_fill_count, "1", 1, INT32_MAX),
    INT("largeRequestThreshold", large_request_bytes, "-1", -1, INT32_MAX),
    INT("largeRequestMaxBytes", large_requests_max, "104857600", 1, INT32_MAX),
    TEXT("4lw.commands.whitelist", fourletter_whitelist, "srvr"),

    INT("tickTime", tick_time_ms, "3000", 1, DAY_MS),
    INT("minSessionTimeout", session_timeout_ms_min, "-1", -1, INT32_MAX),
    INT("maxSessionTimeout", session_timeout_ms_max, "-1", -1, INT32_MAX),

    YESNO("skipACL", skip_acl, "no"),
    BOOL("DigestAuthenticationProvider.enabled", digest_auth_enabled, "true"),
    { "DigestAuthenticationProvider.superDigest", CONFIG_SECRET, AT(super_digest), NULL, 0, 0,
      false },

    TEXT("DigestAuthenticationProvider.digestAlg", digest_alg, "SHA1"),
    BOOL("enforce.auth.enabled", auth_is_enforced, "false"),
    TEXT("enforce.auth.schemes", enforced_schemes, NULL),
    BOOL("enforceQuota", quota_is_enforced, "false"),

    BOOL("extendedTypesEnabled", extended_types, "false"),
    BOOL("digest.enabled", digest_enabled, "true"),
    INT("znode.container.checkIntervalMs", container_check_interval_ms, "60000", 0, INT32_MAX),
    INT("znode.container.maxPerMinute", container_max_per_minute, "10000", 1, INT32_MAX),
    LONG("znode.container.maxNeverUsedIntervalMs", container_never_used_ms, "0"),

    RAISED("snapCount", snap_count, "100000", 2),
    LONG("snapSizeLimitInKb", snap_size_limit_kb, "4194304"),
    LONG("txnLogSizeLimitInKb", txnlog_size_limit_kb, "-1"),
    INT("preAllocSize", prealloc_kb, "65536", 0, INT32_MAX),
    YESNO("forceSync", force_sync, "yes"),
    INT("fsync.warningthresholdms", fsync_warning_ms, "1000", 0, INT32_MAX),
    BOOL("snapshot.trust.empty", snapshot_trust_empty, "false"),
    RAISED("autopurge.snapRetainCount", purge_retain_count, "3", 3),
    /* Apache's default is 0, and full disks are the best-known way to lose an ensemble. */
    { "autopurge.purgeInterval", CONFIG_HOURS, AT(purge_interval_ms), "1", 0, INT64_MAX, false },

    INT("initLimit", init_limit_ticks, "0", 0, INT32_MAX),
    INT("syncLimit", sync_limit_ticks, "0", 0, INT32_MAX),
    INT("cnxTimeout", connect_timeout_ms, "5000", 1, DAY_MS),
    /* Apache's default of 500 is gone in a moment, and then a whole tree is sent for a short absence. */
    INT("commitLogCount", commit_log_count, "10000", 0, INT32_MAX),
    BOOL("forceSnapshotSync", force_snapshot_sync, "false"),
    { "snapshotSizeFactor", CONFIG_FACTOR, AT(snapshot_size_percent), "0.33", 0, 0, false },
    BOOL("quorumListenOnAllIPs", quorum_listens_on_all, "false"),
    { "peerType", CONFIG_PEER_TYPE, AT(peer_is_observer), "participant", 0, 0, false },

    /* Known to Apache only. The value is what this server does in any case. */
    INERT("secureClientPort", NULL),
    INERT("secureClientPortAddress", NULL),
    INERT("client.portUnification", "false"),
    INERT("admin.enableServer", "false"),
    INERT("admin.", NULL),
    INERT("audit.enable", "false"),
    INERT("audit.", NULL),
    INERT("authProvider.", NULL),
    INERT("closeSessionTxn.enabled", "true"),
    INERT("connectToLearnerMasterLimit", NULL),
    INERT("connection_throttle_", NULL),
    INERT("connectionMaxTokens", "0"),
    INERT("connectionTokenFillTime", NULL),
    INERT("connectionTokenFillCount", NULL),
    INERT("db.autocreate", "true"),
    INERT("dynamicConfigFile", NULL),
    INERT("electionAlg", "3"),
    INERT("electionPortBindRetry", NULL),
    INERT("emulate353TTLNodes", "false"),
    INERT("enableEagerACLCheck", "false"),
    INERT("fastleader.", NULL),
    INERT("flushDelay", "0"),
    INERT("leader.", NULL),
    INERT("leaderConnectDelayDuringRetryMs", NULL),
    INERT("leaderServes", "yes"),
    INERT("localSessionsEnabled", "false"),
    INERT("localSessionsUpgradingEnabled", "false"),
    INERT("maxBatchSize", NULL),
    INERT("maxConcurrentDiffSyncs", NULL),
    INERT("maxConcurrentSnapSyncs", NULL),
    INERT("maxGetChildrenResponseCacheSize", NULL),
    INERT("maxResponseCacheSize", NULL),
    INERT("maxWriteQueuePollTime", NULL),
    INERT("metricsProvider.", NULL),
    INERT("multiAddress.enabled", "false"),
    INERT("multiAddress.", NULL),
    INERT("observerMasterPort", "0"),
    INERT("portUnification", "false"),
    INERT("quorum.auth.enableSasl", "false"),
    INERT("quorum.auth.", NULL),
    INERT("quorumCnxnTimeoutMs", "-1"),
    INERT("readonlymode.enabled", "false"),
    INERT("reconfigEnabled", "false"),
    INERT("request_throttle_max_requests", "0"),
    INERT("request_throttle_", NULL),
    INERT("serializeLastProcessedZxid.enabled", NULL),
    INERT("serverCnxnFactory", NULL),
    INERT("sessionRequireClientSASLAuth", "false"),
    INERT("snapshot.compression.method", ""),
    INERT("ssl.", NULL),
    INERT("sslQuorum", "false"),
    INERT("sslQuorumReloadCertFiles", "false"),
    INERT("standaloneEnabled", "true"),
    INERT("superUser", NULL),
    INERT("syncEnabled", "true"),
    INERT("tcpKeepAlive", "false"),
    INERT("throttled_op_wait_time", "0"),
};

const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);

/* A family is an entry that ends where a longer name could go on. */
static bool is_in_family(const struct config_key *key, const char *name)
{
    size_t len = strlen(key->name);
    char last = key->name[len - 1];
    return key->kind == CONFIG_INERT && (last == '.' || last == '_') &&
           strncmp(key->name, name, len) == 0;
}

const struct config_key *config_key_find(const char *name)
{
    const struct config_key *family = NULL;
    for (size_t i = 0; i < config_key_count; i++) {
        if (strcmp(config_keys[i].name, name) == 0) {
            return &config_keys[i];
        }
        if (!family && is_in_family(&config_keys[i], name)) {
            family = &config_keys[i];
        }
    }
    return family;
}
