# SPDX-License-Identifier: Apache-2.0
"""Network namespaces by their names, as `ip netns` makes them."""
import ctypes
import os
from pathlib import Path

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    """Moves this thread into an open namespace file; sockets it has stay where they are, threads it
    starts follow."""
    if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), namespace.name)
