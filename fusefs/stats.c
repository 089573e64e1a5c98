/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/stats.h"

#include "fusefs/event_helper.h"

static const char *const op_names[STATS_OP_COUNT] = {
    [STATS_LOOKUP] = "lookup",
    [STATS_FORGET] = "forget",
    [STATS_GETATTR] = "getattr",
    [STATS_SETATTR] = "setattr",
    [STATS_MKNOD] = "mknod",
    [STATS_MKDIR] = "mkdir",
    [STATS_UNLINK] = "unlink",
    [STATS_RMDIR] = "rmdir",
    [STATS_RENAME] = "rename",
    [STATS_SYMLINK] = "symlink",
    [STATS_LINK] = "link",
    [STATS_CREATE] = "create",
    [STATS_OPEN] = "open",
    [STATS_READ] = "read",
    [STATS_WRITE] = "write",
    [STATS_FLUSH] = "flush",
    [STATS_FSYNC] = "fsync",
    [STATS_RELEASE] = "release",
    [STATS_OPENDIR] = "opendir",
    [STATS_READDIR] = "readdir",
    [STATS_READDIRPLUS] = "readdirplus",
    [STATS_RELEASEDIR] = "releasedir",
    [STATS_STATFS] = "statfs",
    [STATS_GETXATTR] = "getxattr",
    [STATS_SETXATTR] = "setxattr",
    [STATS_LISTXATTR] = "listxattr",
    [STATS_FALLOCATE] = "fallocate",
    [STATS_LOCK] = "lock",
    [STATS_POLL] = "poll",
    [STATS_HELPER] = "helper",
};

static const char *const event_names[STATS_EVENT_COUNT] = {
    [EVENT_FILE_CHANGED] = "file_changed", [EVENT_FILE_CREATED] = "file_created",
    [EVENT_FILE_DELETED] = "file_deleted", [EVENT_DIR_CREATED] = "dir_created",
    [EVENT_DIR_DELETED] = "dir_deleted",   [EVENT_ATTRIB] = "attrib",
};

const char *stats_op_name(enum stats_op op)
{
    return op_names[op];
}

const char *stats_event_name(int event_kind)
{
    return event_names[event_kind];
}
