/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All records of zookeeper.jute that this server reads or writes, fields in wire order. No include guard:
 * records.h and records.c expand JUTE_RECORDS with their own R(name, FIELDS), where FIELDS applies
 * F(type, field); types: bool int long string buffer acls ids strings txns.
 */
#define ID_FIELDS(F)  F(string, scheme) F(string, id)
#define ACL_FIELDS(F) F(int, perms) F(string, scheme) F(string, id)
/* One entry of a snapshot's ACL map. */
#define ACL_MAP_ENTRY_FIELDS(F) F(long, acl_id) F(acls, acl)
/* Stat as a client sees it. */
#define ZNODE_STAT_FIELDS(F)                                                                       \
    F(long, czxid) F(long, mzxid) F(long, ctime_ms) F(long, mtime_ms) F(int, version)              \
    F(int, cversion) F(int, aversion) F(long, ephemeral_owner) F(int, data_length)                 \
    F(int, num_children) F(long, pzxid)
/* StatPersisted: cversion counts child creations, ephemeral_owner carries container and TTL marks. */
#define PERSISTED_STAT_FIELDS(F)                                                                   \
    F(long, czxid) F(long, mzxid) F(long, ctime_ms) F(long, mtime_ms) F(int, version)              \
    F(int, cversion) F(int, aversion) F(long, ephemeral_owner) F(long, pzxid)

#define REQUEST_HEADER_FIELDS(F) F(int, xid) F(int, type)
#define REPLY_HEADER_FIELDS(F)   F(int, xid) F(long, zxid) F(int, err)
#define MULTI_HEADER_FIELDS(F)   F(int, type) F(bool, done) F(int, err)
#define WATCHER_EVENT_FIELDS(F)  F(int, type) F(int, state) F(string, path)
/* Both connect records are followed by a readOnly byte, which old clients leave out. */
#define CONNECT_REQUEST_FIELDS(F)                                                                  \
    F(int, protocol_version) F(long, last_zxid_seen) F(int, timeout_ms) F(long, session_id)        \
    F(buffer, passwd)
#define CONNECT_RESPONSE_FIELDS(F)                                                                 \
    F(int, protocol_version) F(int, timeout_ms) F(long, session_id) F(buffer, passwd)
#define AUTH_PACKET_FIELDS(F) F(int, type) F(string, scheme) F(buffer, auth)

#define CREATE_REQUEST_FIELDS(F)     F(string, path) F(buffer, data) F(acls, acl) F(int, flags)
#define CREATE_TTL_REQUEST_FIELDS(F) CREATE_REQUEST_FIELDS(F) F(long, ttl_ms)
#define DELETE_REQUEST_FIELDS(F)     F(string, path) F(int, version)
#define SET_DATA_REQUEST_FIELDS(F)   F(string, path) F(buffer, data) F(int, version)
#define SET_ACL_REQUEST_FIELDS(F)    F(string, path) F(acls, acl) F(int, version)
#define CHECK_REQUEST_FIELDS(F)      F(string, path) F(int, version)
/* exists, getData, getChildren, getChildren2 */
#define WATCHED_READ_FIELDS(F)       F(string, path) F(bool, watch)
/* getACL, sync, getEphemerals, getAllChildrenNumber */
#define PATH_REQUEST_FIELDS(F)       F(string, path)
/* addWatch, whose type is a mode; checkWatches, removeWatches */
#define WATCH_REQUEST_FIELDS(F)      F(string, path) F(int, type)
#define SET_WATCHES_FIELDS(F)                                                                      \
    F(long, relative_zxid) F(strings, data) F(strings, exist) F(strings, child)
#define SET_WATCHES2_FIELDS(F) SET_WATCHES_FIELDS(F) F(strings, persistent) F(strings, recursive)

#define TXN_HEADER_FIELDS(F)                                                                       \
    F(long, session_id) F(int, cxid) F(long, zxid) F(long, time_ms) F(int, type)
#define TXN_DIGEST_FIELDS(F)    F(int, version) F(long, digest)
#define CREATE_TXN_V0_FIELDS(F) F(string, path) F(buffer, data) F(acls, acl) F(bool, ephemeral)
#define CREATE_TXN_FIELDS(F)    CREATE_TXN_V0_FIELDS(F) F(int, parent_cversion)
#define CREATE_CONTAINER_TXN_FIELDS(F)                                                             \
    F(string, path) F(buffer, data) F(acls, acl) F(int, parent_cversion)
#define CREATE_TTL_TXN_FIELDS(F)     CREATE_CONTAINER_TXN_FIELDS(F) F(long, ttl_ms)
#define DELETE_TXN_FIELDS(F)         F(string, path)
#define SET_DATA_TXN_FIELDS(F)       F(string, path) F(buffer, data) F(int, version)
#define SET_ACL_TXN_FIELDS(F)        F(string, path) F(acls, acl) F(int, version)
#define CHECK_TXN_FIELDS(F)          F(string, path) F(int, version)
#define CREATE_SESSION_TXN_FIELDS(F) F(int, timeout_ms)
#define CLOSE_SESSION_TXN_FIELDS(F)  F(strings, paths)
#define ERROR_TXN_FIELDS(F)          F(int, err)
#define MULTI_TXN_FIELDS(F)          F(txns, txns)
#define SUB_TXN_FIELDS(F)            F(int, type) F(buffer, data)

/* The quorum port: no outer length, authinfo null but for REQUEST (quorum-protocol: 4). */
#define QUORUM_PACKET_FIELDS(F) F(int, type) F(long, zxid) F(buffer, data) F(ids, authinfo)
#define LEARNER_INFO_FIELDS(F)  F(long, sid) F(int, protocol_version) F(long, config_version)

#define JUTE_RECORDS(R)                                                                            \
    R(id, ID_FIELDS)                                                                               \
    R(acl, ACL_FIELDS)                                                                             \
    R(acl_map_entry, ACL_MAP_ENTRY_FIELDS)                                                         \
    R(znode_stat, ZNODE_STAT_FIELDS)                                                               \
    R(persisted_stat, PERSISTED_STAT_FIELDS)                                                       \
    R(request_header, REQUEST_HEADER_FIELDS)                                                       \
    R(reply_header, REPLY_HEADER_FIELDS)                                                           \
    R(multi_header, MULTI_HEADER_FIELDS)                                                           \
    R(watcher_event, WATCHER_EVENT_FIELDS)                                                         \
    R(connect_request, CONNECT_REQUEST_FIELDS)                                                     \
    R(connect_response, CONNECT_RESPONSE_FIELDS)                                                   \
    R(auth_packet, AUTH_PACKET_FIELDS)                                                             \
    R(create_request, CREATE_REQUEST_FIELDS)                                                       \
    R(create_ttl_request, CREATE_TTL_REQUEST_FIELDS)                                               \
    R(delete_request, DELETE_REQUEST_FIELDS)                                                       \
    R(set_data_request, SET_DATA_REQUEST_FIELDS)                                                   \
    R(set_acl_request, SET_ACL_REQUEST_FIELDS)                                                     \
    R(check_request, CHECK_REQUEST_FIELDS)                                                         \
    R(watched_read, WATCHED_READ_FIELDS)                                                           \
    R(path_request, PATH_REQUEST_FIELDS)                                                           \
    R(watch_request, WATCH_REQUEST_FIELDS)                                                         \
    R(set_watches, SET_WATCHES_FIELDS)                                                             \
    R(set_watches2, SET_WATCHES2_FIELDS)                                                           \
    R(txn_header, TXN_HEADER_FIELDS)                                                               \
    R(txn_digest, TXN_DIGEST_FIELDS)                                                               \
    R(create_txn_v0, CREATE_TXN_V0_FIELDS)                                                         \
    R(create_txn, CREATE_TXN_FIELDS)                                                               \
    R(create_container_txn, CREATE_CONTAINER_TXN_FIELDS)                                           \
    R(create_ttl_txn, CREATE_TTL_TXN_FIELDS)                                                       \
    R(delete_txn, DELETE_TXN_FIELDS)                                                               \
    R(set_data_txn, SET_DATA_TXN_FIELDS)                                                           \
    R(set_acl_txn, SET_ACL_TXN_FIELDS)                                                             \
    R(check_txn, CHECK_TXN_FIELDS)                                                                 \
    R(create_session_txn, CREATE_SESSION_TXN_FIELDS)                                               \
    R(close_session_txn, CLOSE_SESSION_TXN_FIELDS)                                                 \
    R(error_txn, ERROR_TXN_FIELDS)                                                                 \
    R(multi_txn, MULTI_TXN_FIELDS)                                                                 \
    R(sub_txn, SUB_TXN_FIELDS)                                                                     \
    R(quorum_packet, QUORUM_PACKET_FIELDS)                                                         \
    R(learner_info, LEARNER_INFO_FIELDS)
