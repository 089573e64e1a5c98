#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns standalone/expected.json into the lines that test_recovery compares with. See README.md."""
import json
import pathlib

here = pathlib.Path(__file__).parent
expected = json.loads((here / "standalone/expected.json").read_text())


def node_line(node):
    data = "null" if node["data"] is None else "x" + node["data"]
    stat = node["stat"]
    names = ["czxid", "mzxid", "ctime", "mtime", "version", "cversion", "aversion",
             "ephemeralOwner", "dataLength", "numChildren", "pzxid"]
    stored_owner = int(node["persistedEphemeralOwner"], 16)
    acl = ",".join(f"{a['scheme']}:{a['id']}:{a['perms']}" for a in node["acl"])
    return " ".join([node["path"]] + [str(stat[n]) for n in names]
                    + [f"{stored_owner:x}", str(node["persistedCversion"]), acl, data])


lines = [node_line(n).encode() for n in expected["nodes"]]
lines += [f"session {int(s['id'], 16):x} {s['timeoutMs']}".encode() for s in expected["sessions"]]
lines += [f"zxid {int(expected['lastZxid'], 16):x}".encode(),
          f"digest {expected['treeDigest']['value']}".encode()]
(here / "standalone/golden.txt").write_bytes(b"".join(line + b"\n" for line in sorted(lines)))
