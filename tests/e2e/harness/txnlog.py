# SPDX-License-Identifier: Apache-2.0
"""What a server has written into its transaction log: ours and Apache's have the same format."""
import struct
from collections import namedtuple

from . import rawzk

Txn = namedtuple("Txn", "zxid kind path")

_KINDS = {
    1: "create",
    15: "create",
    19: "create",
    21: "create",
    2: "delete",
    5: "setData",
    7: "setACL",
}
_MULTI = 14
_FILE_HEADER, _RECORD_HEADER, _TXN_HEADER = 16, 12, 32


def _changes(zxid, kind, body):
    """The changes of one transaction; those of a multi one by one."""
    cursor = rawzk.Cursor(body)
    if kind == _MULTI:
        for part in cursor.vec(lambda: (cursor.int(), cursor.buf())):
            yield from _changes(zxid, *part)
    elif kind in _KINDS:
        yield Txn(zxid, _KINDS[kind], cursor.str())


def read_changes(server, after=0):
    """All changes with a zxid above after, in order. What has been acknowledged is among them."""
    found = []
    for file in (server.data / "version-2").glob("log.*"):
        data, at = file.read_bytes(), _FILE_HEADER
        while at + _RECORD_HEADER <= len(data):
            length = struct.unpack(">i", data[at + 8 : at + _RECORD_HEADER])[0]
            at += _RECORD_HEADER
            if length <= 0 or at + length >= len(data) or data[at + length] != ord("B"):
                break  # room that is not written yet
            _, _, zxid, _, kind = struct.unpack(">qiqqi", data[at : at + _TXN_HEADER])
            if zxid > after:
                found += _changes(zxid, kind, data[at + _TXN_HEADER : at + length])
            at += length + 1
    return sorted(found, key=lambda txn: txn.zxid)
