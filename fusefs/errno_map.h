/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_ERRNO_MAP_H
#define FUSEFS_ERRNO_MAP_H

/*
 * ZooKeeper error -> errno: the only place where the two families meet (docs/fuse-mapping.md shows the
 * same table). Pure.
 */

/* Beside libzookeeper's numbers; in all cases nothing was changed. */
enum {
    ZKC_OFFLINE = -1001,   /* the session timeout has passed without a server */
    ZKC_TOO_LARGE = -1002, /* the value and its path would not fit a request */
    ZKC_EPHEMERAL = -1003, /* it belongs to who made it, and cannot get another name */
};

/* The positive errno for a libzookeeper result; 0 for ZOK. What is not in the table is EIO. */
int errno_from_zk(int rc);

#endif
