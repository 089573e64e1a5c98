/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/session_io.h"

#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fusefs/fs.h"

static ssize_t read_device(int fd, void *buf, size_t len, void *userdata)
{
    (void)userdata;
    return read(fd, buf, len);
}

/* iov: the whole answer, header and body; an error has no body. */
static void set_parallel_dirops(const struct iovec *iov, int count)
{
    if (count == 2 && iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
        struct fuse_init_out *answer = iov[1].iov_base;
        answer->flags |= FUSE_PARALLEL_DIROPS;
    }
}

static ssize_t write_device(int fd, struct iovec *iov, int count, void *userdata)
{
    struct fusefs *fs = userdata;
    /* The kernel sends nothing else, and nobody notifies it, before it has the answer to INIT. */
    if (!atomic_exchange(&fs->init_answered, true)) {
        set_parallel_dirops(iov, count);
    }
    return writev(fd, iov, count);
}

int session_io_attach(struct fuse_session *se)
{
    static const struct fuse_custom_io io = { .writev = write_device, .read = read_device };
    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
