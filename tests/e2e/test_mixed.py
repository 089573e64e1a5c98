# SPDX-License-Identifier: Apache-2.0
"""Our servers and Apache's in one ensemble: whoever leads, the others get what they miss, by each of
the three ways, and neither side finds anything to complain about in what the other one sends.

What Apache's servers log is held against what three of Apache's log in the same stories: no WARN or
ERROR may be of a kind that they do not print among themselves."""
import re
import signal
import time
from pathlib import Path

import pytest
from kazoo.exceptions import BadVersionError, NoNodeError, NotEmptyError

from harness import rawzk as z
from harness.ensemble import log_bytes
from harness.waiting import wait_for

# The last one leads first. Each mix lives through one story; the fault tests run on more.
ONLY_APACHE = ("apache",) * 3
MIXES = {
    "operations": [("apache", "zkserver", "zkserver"), ("zkserver", "apache", "apache")],
    "synchronisation": [("zkserver", "zkserver", "apache"), ("apache", "apache", "zkserver")],
}


def name_of(kinds):
    return "-".join(kinds)


# ---- what Apache logs ----------------------------------------------------------------------------


def complaints(ensemble):
    """The kinds of WARN and ERROR lines of Apache's servers, without their numbers and names."""
    theirs = {server.name: server.sid for server in ensemble.servers if server.kind == "apache"}
    all_theirs = len(theirs) == len(ensemble.servers)
    lines = []
    for process in ensemble.bench.processes:
        if process.name in theirs:
            lines += process.log().splitlines()
    return {
        kind_of(line)
        for line in lines
        if is_complaint(line) and (all_theirs or worker_peer(line) not in theirs.values())
    }


def worker_peer(line):
    """Whom a thread of the election's connections talks to. Two of Apache's servers that dial each
    other at the same moment complain of each other, now and then: that is none of our doing."""
    thread = re.match(r"\[(?:Send|Recv)Worker:(\d+)\]", line)
    return int(thread[1]) if thread else None


def is_complaint(line):
    return re.match(r"\[.*\] (WARN|ERROR) ", line)


def kind_of(line):
    said = re.sub(r"^\[.*?\] (?=WARN|ERROR)", "", line)
    return re.sub(r"0x[0-9a-f]+|\d[\d.:]*", "N", said)


@pytest.fixture(scope="module")
def said_among_themselves():
    """Filled by the stories that three of Apache's servers live through first."""
    return set()


@pytest.fixture
def nothing_new(said_among_themselves):
    def check(ensemble, kinds):
        said = complaints(ensemble)
        if kinds == ONLY_APACHE:
            said_among_themselves.update(said)
        else:
            assert sorted(said - said_among_themselves) == []

    return check


def digests_agree(ensemble):
    for server in ensemble.running():
        figures = dict(line.split("\t", 1) for line in server.four_letter("mntr").splitlines())
        assert int(float(figures.get("zk_digest_mismatches_count", 0))) == 0, server.name


@pytest.fixture
def slow_disk(bench):
    """slow_disk(servers): a file; while it is there, their syncs take so many ms."""

    def make(servers):
        library, order = bench.path("slow_sync.so"), bench.path("sync-order")
        source = Path(__file__).parent / "faults" / "slow_sync.c"
        flags = ["-D_GNU_SOURCE", "-O1", "-shared", "-fPIC"]
        bench.run(["gcc", *flags, "-o", library, source, "-ldl"])
        for server in servers:
            server.environment = {"LD_PRELOAD": str(library), "ZKFS_SYNC_FILE": str(order)}
        return order

    return make


# ---- stories -------------------------------------------------------------------------------------


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kinds", [ONLY_APACHE, *MIXES["operations"]], ids=name_of)
def test_every_operation_through_every_server(new_ensemble, nothing_new, kinds):
    ensemble = led_by_the_last(new_ensemble(kinds))
    for server in ensemble.servers:
        everything(server, f"/s{server.sid}")
    a_session_moves(ensemble)
    digests_agree(ensemble)
    ensemble.assert_equal_trees()
    nothing_new(ensemble, kinds)


def led_by_the_last(ensemble):
    """The first two are a quorum, whichever is ready first."""
    first, second, last = ensemble.servers
    last.start(wait=False)
    first.start(wait=False)
    ensemble.wait_until_serving()
    second.start()
    assert ensemble.leader() is last
    return ensemble


def everything(server, root):
    """Creates of each kind, failures (ErrorTxn), multis, sets, deletes, and the end of a session."""
    client = server.client()
    client.create(root, b"r")
    client.create(f"{root}/null", None)
    for _ in range(3):
        client.create(f"{root}/n-", b"", sequence=True)
    client.create(f"{root}/gone", b"", ephemeral=True)
    with pytest.raises(NoNodeError):
        client.set(f"{root}/none", b"")
    with pytest.raises(BadVersionError):
        client.set(root, b"", version=7)
    with pytest.raises(NotEmptyError):
        client.delete(root)
    client.set_acls(f"{root}/null", [*client.get_acls(root)[0]])
    good = client.transaction()
    good.check(root, 0)
    good.create(f"{root}/m", b"m")
    good.set_data(root, b"by multi")
    good.delete(f"{root}/n-0000000001")
    assert [isinstance(r, Exception) for r in good.commit()] == [False] * 4
    bad = client.transaction()
    bad.create(f"{root}/not-made", b"")
    bad.delete(f"{root}/none")
    assert all(isinstance(r, Exception) for r in bad.commit())
    raw = server.raw()
    raw.ok(z.CREATE_CONTAINER, z.create_body(f"{root}/container", b"", flags=4))
    raw.ok(z.CREATE_TTL, z.create_body(f"{root}/ttl", b"", flags=5) + z.jlong(3_600_000))
    assert raw.call(z.CLOSE).err == 0
    client.stop()


def a_session_moves(ensemble):
    """From each server to the next, and its ephemeral with it; then it is closed."""
    first, *others = ensemble.servers
    conn = first.raw(timeout=8000)
    session = conn.session
    conn.ok(z.CREATE, z.create_body("/moving", b"", flags=1))
    conn.ok(z.CREATE, z.create_body("/watched"))
    for server in others:
        old, conn = conn, server.tcp()
        back = conn.connect(session=session.session, password=session.password, timeout=8000)
        assert back and back.session == session.session
        conn.ok(z.GET_DATA, z.watched("/watched", True))
        other = first.raw()
        other.ok(z.SET_DATA, z.set_body("/watched", b"x"))
        assert conn.next_event().path == "/watched"
        conn.ok(z.SET_DATA, z.set_body("/moving", b"x"))  # the session may write from here
        old.close()
    owner = conn.ok(z.EXISTS, z.watched("/moving")).owner
    assert owner == session.session
    assert conn.call(z.CLOSE).err == 0
    assert conn.is_closed()
    watcher = first.raw()
    assert watcher.call(z.SYNC, z.jstr("/")).err == 0
    assert watcher.call(z.EXISTS, z.watched("/moving")).err == -101


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kinds", [ONLY_APACHE, *MIXES["synchronisation"]], ids=name_of)
def test_diff_snap_and_trunc(new_ensemble, nothing_new, kinds):
    """A follower comes back to what it missed, more than the leader has in memory, and to a tree that
    it never had; and the old leader with a write that nobody else has, before the new one has
    written anything and after."""
    settings = {"commitLogCount": 20, "snapshotSizeFactor": 0}
    ensemble = led_by_the_last(new_ensemble(kinds, tickTime=500, **settings))
    follower = ensemble.servers[0]
    write(follower, "/before", 5)
    comes_back(ensemble, follower, "diff")
    comes_back(ensemble, follower, "snap")
    the_old_leader_comes_back(ensemble, "/never", "trunc")
    the_old_leader_comes_back(ensemble, "/nor-this", "trunc or snap", writes=5)
    digests_agree(ensemble)
    nothing_new(ensemble, kinds)


SYNCED_BY = {
    ("zkserver", "diff"): r"serving clients as a learner",
    ("zkserver", "snap"): r"received a snapshot",
    ("zkserver", "trunc"): r"log cut behind",
    ("zkserver", "trunc or snap"): r"log cut behind|received a snapshot",
    ("apache", "diff"): r"Getting a diff from the leader",
    ("apache", "snap"): r"Getting a snapshot from leader",
    ("apache", "trunc"): r"Truncating log to get in sync",
    ("apache", "trunc or snap"): r"Truncating log to get in sync|Getting a snapshot from leader",
}


def was_synced_by(server, way):
    log = server.process.log()
    assert re.search(SYNCED_BY[server.kind, way], log), log[-3000:]
    if way == "diff":
        assert not re.search(SYNCED_BY[server.kind, "snap"], log)


def write(server, parent, count):
    client = server.client()
    client.ensure_path(parent)
    for number in range(count):
        client.create(f"{parent}/{number}", b"x" * 100)
    client.stop()


def comes_back(ensemble, follower, way):
    follower.kill9()
    write(ensemble.leader(), f"/{way}", 30)
    if way == "snap":
        for file in (follower.data / "version-2").iterdir():
            file.unlink()
    follower.start()
    was_synced_by(follower, way)
    ensemble.assert_equal_trees()


def stands_still(server):
    threads = Path(f"/proc/{server.process.pid}/task").glob("*/stat")
    return all(t.read_text().rpartition(") ")[2].startswith("T") for t in threads)


def the_old_leader_comes_back(ensemble, path, way, writes=0):
    leader, followers = ensemble.leader(), ensemble.followers()
    lonely = leader.raw()
    for follower in followers:
        follower.process.signal(signal.SIGSTOP)
        wait_for("all its threads stand still", lambda f=follower: stands_still(f))
    lonely.request(z.CREATE, z.create_body(path))
    wait_for("the write reaches its log", lambda: path.encode() in log_bytes(leader))
    for server in [*followers, leader]:
        server.kill9()
    for follower in followers:
        follower.start(wait=False)
    ensemble.wait_until_serving()
    if writes:
        write(followers[0], "/after", writes)
    leader.start()
    was_synced_by(leader, way)
    assert path not in ensemble.assert_equal_trees()


@pytest.mark.timeout(90)
def test_an_apache_follower_that_has_what_is_outstanding(
    new_ensemble, bench, slow_disk, nothing_new
):
    """It has logged a write that no quorum has, and comes back in the middle of that: our leader has
    it cut off and proposes it again. Kept, it would be committed without having been proposed to
    that follower, for which Apache's ends its process."""
    bench.expect_log(r" WARN +log a sync of the transaction log took")
    ensemble = new_ensemble(("apache", "zkserver", "zkserver"), tickTime=1000)
    follower, other, leader = ensemble.servers
    disk = slow_disk([other, leader])
    led_by_the_last(ensemble)
    client = leader.client()
    client.create("/a")
    disk.write_text("4000")
    outstanding = client.create_async("/outstanding", b"")
    wait_for("the follower logs it", lambda: b"/outstanding" in log_bytes(follower))
    follower.kill9()
    begun = time.monotonic()
    follower.start(wait=False)
    wait_for("it is cut", lambda: "Truncating log to get in sync" in follower.process.log())
    assert not outstanding.ready(), f"it took {time.monotonic() - begun:.1f} s: too slow a machine"
    disk.unlink()
    outstanding.get(timeout=20)
    wait_for("it serves", follower.is_serving)
    write(follower, "/more", 10)
    assert "/outstanding" in ensemble.assert_equal_trees()
    assert follower.process.is_running()
    nothing_new(ensemble, "mixed")
