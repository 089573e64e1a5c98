/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_ZK_ERR_H
#define SERVER_JUTE_ZK_ERR_H

/*
 * ZooKeeper's error codes as they stand in a ReplyHeader (KeeperException.Code). Only the core speaks
 * them; store and net return 0 or -errno. The two families overlap in number and are never mixed.
 */
enum zk_err {
    ZK_OK = 0,
    ZK_RUNTIME_INCONSISTENCY = -2, /* multi: an op behind the one that failed */
    ZK_MARSHALLING_ERROR = -5,
    ZK_UNIMPLEMENTED = -6,
    ZK_BAD_ARGUMENTS = -8,
    ZK_NO_NODE = -101,
    ZK_NO_AUTH = -102,
    ZK_BAD_VERSION = -103,
    ZK_NO_CHILDREN_FOR_EPHEMERALS = -108,
    ZK_NODE_EXISTS = -110,
    ZK_NOT_EMPTY = -111,
    ZK_SESSION_EXPIRED = -112,
    ZK_INVALID_ACL = -114,
    ZK_AUTH_FAILED = -115,
    ZK_SESSION_MOVED = -118,
    ZK_NO_WATCHER = -121,
    ZK_RECONFIG_DISABLED = -123,
    ZK_SESSION_CLOSED_REQUIRES_AUTH = -124,
    ZK_QUOTA_EXCEEDED = -125,
};

#endif
