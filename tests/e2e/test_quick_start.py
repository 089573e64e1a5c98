# SPDX-License-Identifier: Apache-2.0
"""The first steps of every ZooKeeper tutorial, with the clients that people have, on both servers
and from both sides: a ZooKeeper client and a shell in the mount."""
import pytest
from kazoo.exceptions import NoNodeError

from harness.waiting import wait_for

ZKCLI = "/usr/share/zookeeper/bin/zkCli.sh"
C_CLI = "/usr/lib/zookeeper/bin/cli_mt"


def test_kazoo_creates_reads_sets_and_deletes(zk):
    assert zk.create("/zkPro", b"MyData") == "/zkPro"
    data, stat = zk.get("/zkPro")
    assert (data, stat.version, stat.dataLength) == (b"MyData", 0, 6)
    assert zk.set("/zkPro", b"NewData").version == 1
    assert zk.get("/zkPro")[0] == b"NewData"
    assert set(zk.get_children("/")) == {"zkPro", "zookeeper"}
    zk.delete("/zkPro")
    assert zk.exists("/zkPro") is None
    with pytest.raises(NoNodeError):
        zk.get("/zkPro")


def zkcli(bench, server, *commands):
    """What Apache's own shell prints for these commands."""
    script = "\n".join(commands) + "\nquit\n"
    done = bench.run([ZKCLI, "-server", server.hosts], stdin=script, seconds=30, check=False)
    return done.stdout + done.stderr


def test_apaches_own_shell(bench, server):
    told = zkcli(
        bench,
        server,
        "create /zkPro MyData",
        "get /zkPro",
        "set /zkPro shenlan",
        "get -s /zkPro",
        "ls /",
        "create -e -s /zkPro/member- x",
        "delete /zkPro",
        "deleteall /zkPro",
        "get /zkPro",
    )
    expected = [
        "Created /zkPro",
        "MyData",
        "shenlan",
        "dataVersion = 1",
        "dataLength = 7",
        "numChildren = 0",
        "[zkPro, zookeeper]",
        "Created /zkPro/member-0000000000",
        "Node not empty: /zkPro",
        "Node does not exist: /zkPro",
    ]
    lines = [line.strip() for line in told.splitlines()]
    assert lines.index("MyData") < lines.index("shenlan")
    for line in expected:
        assert line in lines, f"'{line}' is missing in\n{told}"


def test_debians_c_client(bench, server):
    def cli(command):
        done = bench.run([C_CLI, "-h", server.hosts, "-c", command])
        return done.stdout + done.stderr

    assert "[/zkPro]: rc = 0" in cli("create /zkPro")
    assert "/zkPro: rc = 0" in cli("set /zkPro MyData")
    assert "value_len = 6\nMyData" in cli("get /zkPro")
    assert {"\tzkPro", "\tzookeeper"} <= set(cli("ls /").splitlines())
    assert "/zkPro: rc = 0" in cli("delete /zkPro")
    assert "/zkPro: rc = -101" in cli("get /zkPro")


def test_the_same_steps_in_a_shell(bench, mount, zk):
    bench.sh("mkdir zk; echo -n MyData > zkPro", cwd=mount.path)
    assert zk.get("/zkPro")[0] == b"MyData"
    assert zk.get("/zk")[0] in (b"", None)
    assert bench.sh("ls", cwd=mount.path).split() == ["zk", "zkPro", "zookeeper"]
    assert bench.sh("cat zkPro", cwd=mount.path) == "MyData"
    bench.sh("echo NewData > zkPro; mkdir zk/child; rmdir zk/child", cwd=mount.path)
    assert zk.get("/zkPro")[0] == b"NewData\n"
    bench.sh("rm zkPro; rmdir zk", cwd=mount.path)
    assert set(zk.get_children("/")) == {"zookeeper"}


def test_each_side_sees_what_the_other_does(mount, zk):
    zk.create("/zkPro", b"MyData")
    wait_for("the mount shows zkPro", lambda: mount.read("zkPro") == b"MyData")
    zk.set("/zkPro", b"changed elsewhere")
    wait_for("the mount shows the new value", lambda: mount.read("zkPro") == b"changed elsewhere")
    mount.write("zkPro", b"changed here")
    assert zk.get("/zkPro")[0] == b"changed here"
    zk.delete("/zkPro")
    wait_for("zkPro is gone from the mount", lambda: not (mount / "zkPro").exists())
