/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/errno_map.h"

#include <errno.h>
#include <stddef.h>
#include <zookeeper/zookeeper.h>

static const struct {
    int rc;
    int err;
} errno_table[] = {
    { ZOK, 0 },
    { ZNONODE, ENOENT },
    { ZNODEEXISTS, EEXIST },
    { ZNOTEMPTY, ENOTEMPTY },
    { ZNOAUTH, EACCES },
    { ZAUTHFAILED, EACCES },
    { ZSESSIONCLOSEDREQUIRESASLAUTH, EACCES },
    { ZBADVERSION, ESTALE },
    { ZNOCHILDRENFOREPHEMERALS, ENOTDIR },
    { ZINVALIDACL, EINVAL },
    { ZBADARGUMENTS, EINVAL },
    { ZNOTREADONLY, EROFS },
    { ZOPERATIONTIMEOUT, ETIMEDOUT },
    { ZSESSIONEXPIRED, ESTALE },
    { ZUNIMPLEMENTED, EOPNOTSUPP },
    { ZTHROTTLEDOP, EAGAIN },
    { ZKC_OFFLINE, EHOSTDOWN },
    { ZKC_TOO_LARGE, EFBIG },
    { ZKC_EPHEMERAL, EPERM },
    { -125,
      EDQUOT }, /* QUOTAEXCEEDED: newer servers send it, libzookeeper 3.8 has no name for it */
};

int errno_from_zk(int rc)
{
    for (size_t i = 0; i < sizeof(errno_table) / sizeof(errno_table[0]); i++) {
        if (errno_table[i].rc == rc) {
            return errno_table[i].err;
        }
    }
    return EIO;
}
