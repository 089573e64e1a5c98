/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_JUTE_OPCODE_H
#define SERVER_JUTE_OPCODE_H

/* Request opcodes and txn types share one number space (ZooDefs.OpCode). */
enum opcode {
    OP_NONE = 0, /* notification; never valid as a request */
    OP_CREATE = 1,
    OP_DELETE = 2,
    OP_EXISTS = 3,
    OP_GET_DATA = 4,
    OP_SET_DATA = 5,
    OP_GET_ACL = 6,
    OP_SET_ACL = 7,
    OP_GET_CHILDREN = 8,
    OP_SYNC = 9,
    OP_PING = 11,
    OP_GET_CHILDREN2 = 12,
    OP_CHECK = 13,
    OP_MULTI = 14,
    OP_CREATE2 = 15,
    OP_RECONFIG = 16,
    OP_CHECK_WATCHES = 17,
    OP_REMOVE_WATCHES = 18,
    OP_CREATE_CONTAINER = 19,
    OP_DELETE_CONTAINER = 20,
    OP_CREATE_TTL = 21,
    OP_MULTI_READ = 22,
    OP_AUTH = 100,
    OP_SET_WATCHES = 101,
    OP_GET_EPHEMERALS = 103,
    OP_GET_ALL_CHILDREN_NUMBER = 104,
    OP_SET_WATCHES2 = 105,
    OP_ADD_WATCH = 106,
    OP_WHO_AM_I = 107,
    OP_CREATE_SESSION = -10,
    OP_CLOSE_SESSION = -11,
    OP_ERROR = -1, /* txn type of a write that failed; result type inside multi */
};

/* CreateRequest.flags (CreateMode). */
enum create_flag {
    CREATE_PERSISTENT = 0,
    CREATE_EPHEMERAL = 1,
    CREATE_SEQUENTIAL = 2,
    CREATE_EPHEMERAL_SEQUENTIAL = 3,
    CREATE_CONTAINER = 4,
    CREATE_TTL = 5,
    CREATE_TTL_SEQUENTIAL = 6,
};

/* AddWatchRequest.mode. */
enum add_watch_mode {
    ADD_WATCH_PERSISTENT = 0,
    ADD_WATCH_RECURSIVE = 1,
};

/* The type of checkWatches and removeWatches (Watcher.WatcherType; the last two since 3.9). */
enum watcher_type {
    WATCHER_CHILDREN = 1,
    WATCHER_DATA = 2,
    WATCHER_ANY = 3,
    WATCHER_PERSISTENT = 4,
    WATCHER_RECURSIVE = 5,
};

/* Special xids (client-protocol: 3). */
enum {
    XID_NOTIFICATION = -1,
    XID_PING = -2,
};

/* WatcherEvent.type and .state; the server sends these four types and one state. */
enum watch_event_type {
    EVENT_NODE_CREATED = 1,
    EVENT_NODE_DELETED = 2,
    EVENT_NODE_DATA_CHANGED = 3,
    EVENT_NODE_CHILDREN_CHANGED = 4,
};
enum { EVENT_STATE_SYNC_CONNECTED = 3 };

/* ACL permission bits. */
enum {
    PERM_READ = 1,
    PERM_WRITE = 2,
    PERM_CREATE = 4,
    PERM_DELETE = 8,
    PERM_ADMIN = 16,
    PERM_ALL = 31,
};

#endif
