# SPDX-License-Identifier: Apache-2.0
"""The first steps of every ZooKeeper tutorial, with the clients that people have."""
import pytest


@pytest.mark.asan
def test_kazoo_creates_reads_sets_and_deletes(zk):
    assert zk.create("/zkPro", b"MyData") == "/zkPro"
    data, stat = zk.get("/zkPro")
    assert (data, stat.version, stat.dataLength) == (b"MyData", 0, 6)
    assert zk.set("/zkPro", b"NewData").version == 1
    assert zk.get("/zkPro")[0] == b"NewData"
    assert set(zk.get_children("/")) == {"zkPro", "zookeeper"}
    zk.delete("/zkPro")
    assert zk.exists("/zkPro") is None
