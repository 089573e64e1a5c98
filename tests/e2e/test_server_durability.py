# SPDX-License-Identifier: Apache-2.0
"""An acknowledged write is on the disk, in files that Apache's server reads and that are read
from it."""
import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from harness import rawzk as z
from harness.load import Writer
from harness.tree import differences, read_tree
from harness.waiting import wait_for

DATADIR = Path(__file__).resolve().parents[1] / "data" / "datadir-standalone"


@pytest.mark.timeout(240)
@pytest.mark.own_server()
def test_kill_9_under_load_twenty_times(server):
    rng = random.Random(7)
    for round_number in range(20):
        writers = [Writer(server, f"r{round_number}-{i}").start() for i in range(4)]
        enough = rng.randint(50, 1500)
        wait_for("some writes", lambda: sum(w.acknowledged() for w in writers) > enough, seconds=30)
        server.kill9()
        for writer in writers:
            writer.join()
            assert writer.refused == []
        server.close_clients()
        server.start()
        conn = server.raw()
        assert [lost for w in writers for lost in w.missing(conn)] == []
    print(f"20 kills survived, last zxid {server.zxid():#x}")


@pytest.mark.own_server()
def test_state_is_the_same_after_kill_9_and_after_a_stop(server):
    owner = fill(server)
    before = read_tree(server)
    server.kill9()
    server.start()
    zxid = server.zxid()
    assert zxid_less_sessions(read_tree(server)) == zxid_less_sessions(before)
    server.restart()
    assert zxid_less_sessions(read_tree(server)) == zxid_less_sessions(before)
    assert server.zxid() > zxid
    back = server.tcp().connect(session=owner.session, password=owner.password)
    assert back.session == owner.session, "sessions survive a restart with a full time-out"


def zxid_less_sessions(tree):
    """Reading a tree takes a session of its own, which changes no node."""
    return {path: node for path, node in tree.items() if not path.startswith("/zookeeper")}


def fill(server):
    """One node of every kind and state. Returns the session that owns the ephemerals."""
    conn = server.raw(timeout=10000)
    conn.auth("digest", b"bob:pw")
    for path, data, flags in [
        ("/plain", b"value", 0),
        ("/null", None, 0),
        ("/empty", b"", 0),
        ("/ephemeral", b"here", 1),
        ("/dir", None, 0),
        ("/dir/s-", b"1", 2),
        ("/dir/es-", b"2", 3),
        ("/dir/gone", b"", 0),
        ("/日本", "ü".encode(), 0),
        ("/big", os.urandom(500_000), 0),
    ]:
        conn.ok(z.CREATE, z.create_body(path, data, flags=flags))
    conn.ok(
        z.CREATE, z.create_body("/locked", b"s", acl=[(31, "auth", ""), (1, "world", "anyone")])
    )
    conn.ok(z.SET_DATA, z.set_body("/plain", b"second value", 0))
    conn.ok(z.SET_ACL, z.jstr("/empty") + z.jacl([(31, "ip", "127.0.0.0/8")]) + z.jint(0))
    conn.ok(z.DELETE, z.versioned("/dir/gone"))
    ops = [(z.CREATE, z.create_body("/multi", b"m")), (z.SET_DATA, z.set_body("/multi", b"n"))]
    assert conn.call(z.MULTI, z.multi_body(ops)).err == 0
    assert conn.err(z.CREATE, z.create_body("/plain")) == -110
    return conn.session


def newest(server, prefix):
    folder = server.data / "version-2"
    return max(folder.glob(f"{prefix}.*"), key=lambda f: int(f.name.split(".")[1], 16))


def end_of_records(log):
    """Where the preallocated zeros of a log begin."""
    data = log.read_bytes()
    return len(data.rstrip(b"\0"))


@pytest.mark.own_server()
@pytest.mark.parametrize("cut", [1, 5, 20])
def test_torn_tail_is_cut_and_only_the_torn_write_is_gone(server, bench, cut):
    """As after a power failure in the middle of the last append."""
    bench.expect_log(r" WARN .*(torn|cut|tail|truncat)")
    conn = server.raw()
    for name in ("/one", "/two", "/three"):
        conn.ok(z.CREATE, z.create_body(name, b"data of " + name.encode()))
    server.kill9()
    log = newest(server, "log")
    end = end_of_records(log)
    with open(log, "r+b") as file:
        file.seek(end - cut)
        file.write(bytes(cut))
    server.start()
    conn = server.raw()
    assert conn.ok(z.GET_DATA, z.watched("/two"))[0] == b"data of /two"
    assert conn.err(z.EXISTS, z.watched("/three")) == -101
    conn.ok(z.CREATE, z.create_body("/three", b"again"))
    server.kill9()
    server.start()
    assert server.raw().ok(z.GET_DATA, z.watched("/three"))[0] == b"again"


def test_garbage_behind_the_last_record(new_server, bench):
    """Ours only (rule L4): Apache's server does not start after this."""
    bench.expect_log(r" WARN .*(torn|cut|tail|truncat)")
    server = new_server("zkserver").start()
    server.raw().ok(z.CREATE, z.create_body("/one"))
    server.kill9()
    log = newest(server, "log")
    with open(log, "r+b") as file:
        file.seek(end_of_records(log))
        file.write(z.jlong(12345) + z.jint(40) + os.urandom(40))
    server.start()
    conn = server.raw()
    conn.ok(z.EXISTS, z.watched("/one"))
    conn.ok(z.CREATE, z.create_body("/two"))
    server.kill9()
    server.start()
    assert server.raw().ok(z.GET_CHILDREN, z.watched("/")) == ["one", "two", "zookeeper"]


def test_corrupt_record_in_the_middle_stops_the_start(new_server, bench):
    """Ours only: a bad record with good ones behind it is damage, not a torn tail."""
    bench.expect_log(r" ERROR ")
    server = new_server("zkserver").start()
    conn = server.raw()
    for number in range(20):
        conn.ok(
            z.CREATE, z.create_body(f"/n{number}", b"some data that is easy to find %d." % number)
        )
    server.kill9()
    log = newest(server, "log")
    data = log.read_bytes()
    at = data.index(b"easy to find 5.")
    log.write_bytes(data[:at] + b"X" + data[at + 1 :])
    server.start(wait=False)
    assert server.process.wait() != 0
    errors = [line for line in server.process.log().splitlines() if " ERROR " in line]
    assert any(log.name in line for line in errors), errors


# ---- a slow and a broken disk ---------------------------------------------------------------------


@pytest.fixture
def disk(request, bench, new_server, server_kind):
    """A running server whose fdatasync obeys disk.order: "300" is a delay in ms, "fail" an EIO."""
    marker = request.node.get_closest_marker("own_server")
    library = bench.path("slow_sync.so")
    source = Path(__file__).parent / "faults" / "slow_sync.c"
    bench.run(["gcc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"])
    server = new_server(server_kind, **(marker.kwargs if marker else {}))
    server.order = bench.path("sync-order")
    server.environment = {"LD_PRELOAD": str(library), "ZKFS_SYNC_FILE": str(server.order)}
    return server.start()


def test_no_answer_before_the_write_is_on_the_disk(disk):
    conn = disk.raw()
    conn.ok(z.CREATE, z.create_body("/x"))
    disk.order.write_text("300")
    for number in range(3):
        begin = time.monotonic()
        conn.ok(z.SET_DATA, z.set_body("/x", b"%d" % number))
        assert time.monotonic() - begin >= 0.3


@pytest.mark.parametrize("server_kind", ["zkserver"])  # Apache's readers queue behind the sync
def test_slow_disk_holds_up_no_reader_and_commits_in_groups(disk):
    writer, reader = disk.raw(), disk.raw()
    writer.ok(z.CREATE, z.create_body("/x", b"old"))
    disk.order.write_text("500")
    begin = time.monotonic()
    for number in range(100):
        writer.request(z.SET_DATA, z.set_body("/x", b"%d" % number))
    for _ in range(20):
        assert reader.ok(z.GET_DATA, z.watched("/x"))[0] == b"old", "nobody sees what may be lost"
        reader.ping()
    assert time.monotonic() - begin < 0.5
    for _ in range(100):
        assert writer.answer().err == 0
    assert time.monotonic() - begin < 3, "a hundred writes share a few syncs"


@pytest.mark.own_server(forceSync="no")
def test_force_sync_no_does_not_wait(disk):
    conn = disk.raw()
    disk.order.write_text("5000")
    begin = time.monotonic()
    for number in range(20):
        conn.ok(z.CREATE, z.create_body(f"/n{number}"))
    assert time.monotonic() - begin < 3
    disk.order.unlink()


def test_disk_that_fails_ends_the_server_and_acknowledges_nothing(disk, bench, server_kind):
    """Rule L1: a failed fsync is never tried again."""
    bench.expect_log(r" (WARN|ERROR) ")
    conn = disk.raw()
    conn.ok(z.CREATE, z.create_body("/x", b"acknowledged"))
    disk.order.write_text("fail")
    assert conn.call(z.SET_DATA, z.set_body("/x", b"lost")) is None
    status = disk.process.wait()
    assert status != 0 or server_kind == "apache"
    disk.order.unlink()
    disk.start()
    assert disk.raw().ok(z.GET_DATA, z.watched("/x"))[0] in (b"acknowledged", b"lost")


# ---- each other's files --------------------------------------------------------------------------


@pytest.mark.parametrize("first, second", [("zkserver", "apache"), ("apache", "zkserver")])
@pytest.mark.parametrize("snap_count", [100000, 7], ids=["log only", "with snapshots"])
def test_one_server_opens_the_others_data(new_server, first, second, snap_count):
    one = new_server(first, first, snapCount=snap_count).start()
    owner = fill(one)
    before = read_tree(one)
    one.kill9()
    other = new_server(second, second, data=one.data, snapCount=snap_count).start()
    assert differences(zxid_less_sessions(before), zxid_less_sessions(read_tree(other))) == []
    back = other.tcp().connect(session=owner.session, password=owner.password)
    assert back.session == owner.session
    other.raw().ok(z.CREATE, z.create_body("/added", b"by the other"))
    after = read_tree(other)
    other.kill9()
    one.start()
    assert differences(zxid_less_sessions(after), zxid_less_sessions(read_tree(one))) == []


def expected_tree():
    tree = {}
    for node in json.loads((DATADIR / "expected.json").read_text())["nodes"]:
        s = node["stat"]
        names = "czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength"
        names += " numChildren pzxid"
        stat = z.Stat(*(int(s[n], 16) if isinstance(s[n], str) else s[n] for n in names.split()))
        data = None if node["data"] is None else bytes.fromhex(node["data"])
        tree[node["path"]] = (data, stat, [(a["perms"], a["scheme"], a["id"]) for a in node["acl"]])
    return tree


@pytest.mark.parametrize("files", ["newest", "oldest"])
def test_apaches_data_directory_opens_as_it_is(new_server, server_kind, files):
    server = new_server(server_kind)
    shutil.copytree(DATADIR / "version-2", server.data / "version-2", copy_function=shutil.copyfile)
    if files == "oldest":
        (server.data / "version-2" / "snapshot.36").unlink()
    server.start()
    assert differences(expected_tree(), read_tree(server)) == []
    for session in json.loads((DATADIR / "expected.json").read_text())["sessions"]:
        number = int(session["id"], 16)
        password = bytes.fromhex(session["passwd"])
        assert server.tcp().connect(session=number, password=password).session == number


@pytest.mark.own_server()
def test_logs_without_a_snapshot_are_not_trusted(server, bench):
    """Rule L9: a directory whose snapshots were lost must not come up as an emptier tree."""
    bench.expect_log(r" ERROR ")
    server.raw().ok(z.CREATE, z.create_body("/x"))
    server.stop()
    for snapshot in (server.data / "version-2").glob("snapshot.*"):
        snapshot.unlink()
    server.start(wait=False)
    assert server.process.wait() != 0


# ---- snapshots -----------------------------------------------------------------------------------


@pytest.mark.own_server(snapCount=200)
def test_snapshots_are_taken_while_writes_go_on(server):
    writer = Writer(server, "w").start()
    wait_for("many writes", lambda: writer.acknowledged() > 3000, seconds=40)
    wait_for("a snapshot", lambda: newest(server, "snapshot").name != "snapshot.0")
    server.kill9()
    writer.join()
    server.close_clients()
    server.start()
    assert writer.missing(server.raw()) == []
    assert not list((server.data / "version-2").glob("*.tmp*"))


def test_old_files_are_purged_by_default(new_server):
    """Ours only: Apache's default never purges."""
    server = new_server("zkserver", snapCount=100).start()
    writer = Writer(server, "w").start()

    def snapshots():
        return sorted(
            (server.data / "version-2").glob("snapshot.*"), key=lambda f: int(f.suffix[1:], 16)
        )

    wait_for("many writes", lambda: writer.acknowledged() > 4000, seconds=40)
    wait_for(lambda: f"{snapshots()}", lambda: 2 <= len(snapshots()) <= 4)
    server.kill9()
    writer.join()
    server.close_clients()
    oldest = int(snapshots()[0].suffix[1:], 16)
    logs = sorted(int(f.suffix[1:], 16) for f in (server.data / "version-2").glob("log.*"))
    assert logs[0] <= oldest + 1, "the log behind the oldest kept snapshot is there"
    assert len([log for log in logs if log <= oldest]) <= 1, "older logs are gone"
    server.start()
    assert writer.missing(server.raw()) == []


def test_newest_snapshot_is_damaged_the_one_before_is_used(new_server, server_kind, bench):
    bench.expect_log(r" WARN ")
    server = new_server(server_kind, snapCount=50, autopurge__snapRetainCount=5).start()
    conn = server.raw()
    for number in range(200):
        conn.ok(z.CREATE, z.create_body(f"/n{number:03}"))
    before = read_tree(server)
    wait_for(
        "two snapshots", lambda: len(list((server.data / "version-2").glob("snapshot.*"))) >= 3
    )
    server.kill9()
    server.close_clients()
    snapshot = newest(server, "snapshot")
    data = snapshot.read_bytes()
    snapshot.write_bytes(data[: len(data) // 2])
    server.start()
    assert differences(zxid_less_sessions(before), zxid_less_sessions(read_tree(server))) == []
