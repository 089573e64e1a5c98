# SPDX-License-Identifier: Apache-2.0
"""Container and TTL nodes: who deletes them, when, and that every server knows them again in the
other's files."""
import pytest

from harness import rawzk as z
from harness.ensemble import Ensemble
from harness.servers import QUICK_JVM
from harness.waiting import holds_for, wait_for

# Apache takes it from the command line, ours from zoo.cfg.
INTERVAL = {"znode__container__checkIntervalMs": 200}
JVM = [*QUICK_JVM, "-Dznode.container.checkIntervalMs=200"]
SLOW = {"znode__container__checkIntervalMs": 3600000}
SLOW_JVM = [*QUICK_JVM, "-Dznode.container.checkIntervalMs=3600000"]


def fill(conn, ttl=1):
    """A container that was used, one that was not, and TTL nodes of which two are kept."""
    conn.ok(z.CREATE_CONTAINER, z.create_body("/used", None, flags=4))
    conn.ok(z.CREATE_CONTAINER, z.create_body("/unused", None, flags=4))
    conn.ok(z.CREATE, z.create_body("/used/x"))
    conn.ok(z.DELETE, z.versioned("/used/x"))
    conn.ok(z.CREATE_TTL, z.ttl_body("/short", b"s", ttl=ttl))
    conn.ok(z.CREATE_TTL, z.ttl_body("/short-", b"s", flags=6, ttl=ttl))
    conn.ok(z.CREATE_TTL, z.ttl_body("/parent", b"p", ttl=ttl))
    conn.ok(z.CREATE, z.create_body("/parent/x"))
    conn.ok(z.CREATE_TTL, z.ttl_body("/long", b"l", ttl=3600000))


KEPT = ["long", "parent", "unused", "zookeeper"]


def children(conn):
    return conn.ok(z.GET_CHILDREN, z.watched("/"))


def test_what_is_over_is_deleted_and_watchers_hear_it(new_server, server_kind):
    server = new_server(server_kind, jvm=JVM, **INTERVAL).start()
    conn = server.raw()
    conn.ok(z.CREATE_CONTAINER, z.create_body("/watched", None, flags=4))
    conn.ok(z.CREATE, z.create_body("/watched/x"))
    conn.ok(z.EXISTS, z.watched("/watched", True))
    conn.ok(z.DELETE, z.versioned("/watched/x"))
    assert conn.next_event().kind == "deleted"
    fill(conn)
    wait_for(lambda: children(conn), lambda: children(conn) == KEPT)
    assert holds_for(0.5, lambda: children(conn) == KEPT)


@pytest.mark.parametrize("first, second", [("zkserver", "apache"), ("apache", "zkserver")])
@pytest.mark.parametrize("snap_count", [100000, 7], ids=["log only", "with snapshots"])
def test_other_server_knows_them_again(new_server, first, second, snap_count):
    """A client cannot see the kind, but whoever deletes them can."""
    one = new_server(first, first, jvm=SLOW_JVM, snapCount=snap_count, **SLOW).start()
    fill(one.raw())
    one.kill9()
    one.close_clients()
    other = new_server(second, second, data=one.data, jvm=JVM, snapCount=snap_count, **INTERVAL)
    conn = other.start().raw()
    wait_for(lambda: children(conn), lambda: children(conn) == KEPT)
    conn.ok(z.DELETE, z.versioned("/parent/x"))
    wait_for(lambda: children(conn), lambda: "parent" not in children(conn))
    other.kill9()
    other.close_clients()
    assert children(one.start().raw()) == ["long", "unused", "zookeeper"]


@pytest.mark.parametrize(
    "kinds",
    [("zkserver",) * 3, ("apache", "apache", "zkserver")],
    ids=["ours", "Apache's follow ours"],
)
def test_leader_deletes_for_all(bench, kinds):
    ensemble = Ensemble(bench, kinds, **INTERVAL).start()
    try:
        assert ensemble.leader().sid == 3
        conn = ensemble.servers[0].raw()
        fill(conn)
        wait_for(lambda: children(conn), lambda: children(conn) == KEPT)
        ensemble.assert_equal_trees()
        for server in ensemble.running():
            assert "zk_digest_mismatches_count\t0" in server.four_letter("mntr")
    finally:
        ensemble.close()
