# SPDX-License-Identifier: Apache-2.0
"""A whole tree as a dictionary, to be compared with another one."""
from . import rawzk as z

# Kept by each server for itself, not part of what is replicated or promised.
OWN = "/zookeeper"


def read_tree(server, path="/"):
    """path -> (data, stat, acl) of every node, read with super rights."""
    conn = server.raw()
    assert conn.auth("digest", b"super:secret").err == 0
    tree, todo = {}, [path]
    while todo:
        path = todo.pop()
        data, stat = conn.ok(z.GET_DATA, z.watched(path))
        acl, _ = conn.ok(z.GET_ACL, z.jstr(path))
        tree[path] = (data, stat, acl)
        children, same = conn.ok(z.GET_CHILDREN2, z.watched(path))
        assert same == stat, f"getData and getChildren2 disagree about {path}"
        todo += [f"{path.rstrip('/')}/{child}" for child in children]
    conn.call(z.CLOSE)
    return tree


def differences(one, other):
    """One line for each node that differs; empty if the trees are equal."""
    lines = []
    for path in sorted(one.keys() | other.keys()):
        if one.get(path) != other.get(path):
            lines.append(f"{path}: {one.get(path)} | {other.get(path)}")
    return lines
