# SPDX-License-Identifier: Apache-2.0
"""Three and five servers elect, replicate, lose members and take them back, among themselves and
together with Apache's."""
import contextlib
import signal
import subprocess
import time
import zlib

import pytest
from kazoo.client import KazooState
from kazoo.exceptions import NodeExistsError

from harness import rawzk
from harness.bench import ZKSERVER
from harness.ensemble import Writer, log_bytes
from harness.waiting import holds_for, wait_for


@pytest.fixture
def three(new_ensemble):
    return new_ensemble().start()


def write_some(ensemble, parent, count, server=None):
    client = ensemble.client([server] if server else None)
    client.ensure_path(parent)
    for number in range(count):
        client.create(f"{parent}/n{number}", b"v%d" % number)
    client.stop()


# ---- election ------------------------------------------------------------------------------------


def test_the_largest_sid_leads_when_all_are_new(three):
    assert three.leader().sid == 3
    assert [three.mode(s) for s in three.servers] == ["follower", "follower", "leader"]


def test_one_of_three_does_not_serve(new_ensemble):
    ensemble = new_ensemble()
    server = ensemble.servers[0].start(wait=False)
    not_serving = "This ZooKeeper instance is not currently serving requests\n"
    wait_for("its client port", lambda: server.four_letter("srvr") == not_serving)
    assert holds_for(1, lambda: server.four_letter("mntr") == not_serving)
    assert server.four_letter("ruok") == "imok"
    assert server.four_letter("isro") == "null"


def test_servers_that_come_one_by_one(new_ensemble):
    """Two are enough, and the third follows whoever leads, whatever its sid."""
    ensemble = new_ensemble()
    one, two, three = ensemble.servers
    one.start(wait=False)
    two.start(wait=False)
    ensemble.wait_until_serving()
    assert ensemble.leader() is two
    write_some(ensemble, "/early", 20, one)
    three.start()
    assert ensemble.leader() is two
    ensemble.assert_equal_trees()


def test_the_longer_log_wins_over_the_larger_sid(three):
    three.servers[2].kill9()
    write_some(three, "/late", 10, three.servers[0])
    for server in three.servers[:2]:
        server.kill9()
    # One that has the writes and the one that misses them: half of each other's quorum.
    three.servers[2].start(wait=False)
    three.servers[0].start(wait=False)
    three.wait_until_serving()
    assert three.leader() is three.servers[0]
    assert len([p for p in three.assert_equal_trees() if p.startswith("/late/")]) == 10


def test_more_requests_than_the_outstanding_limit(new_ensemble):
    """The clients that had to wait are read again when the followers' acks come, not only when the
    leader's own disk has answered."""
    ensemble = new_ensemble(globalOutstandingLimit=20).start()
    clients = [ensemble.client([s]) for s in ensemble.servers]
    clients[0].ensure_path("/many")
    waiting = [
        client.create_async(f"/many/{number}-{of}", b"x")
        for number in range(1500)
        for of, client in enumerate(clients)
    ]
    for request in waiting:
        request.get(timeout=30)
    clients[0].sync("/many")  # its own writes it has, those through other servers perhaps not yet
    assert len(clients[0].get_children("/many")) == len(waiting)


# ---- members that go and come back ---------------------------------------------------------------


def test_follower_comes_back_with_its_data(three):
    follower = three.followers()[0]
    write_some(three, "/a", 50)
    follower.kill9()
    write_some(three, "/b", 50, three.leader())
    follower.start()
    assert "received a snapshot" not in follower.process.log()
    three.assert_equal_trees()


def test_a_leader_that_has_restarted_still_knows_the_last_txns(three):
    """The follower misses less than the leader's log ends with: no snapshot is sent."""
    follower, other = three.followers()
    write_some(three, "/a", 50)
    follower.kill9()
    write_some(three, "/b", 100, other)
    for server in three.running():
        server.kill9()
    for server in three.servers:
        server.start(wait=False)
    three.wait_until_serving()
    assert three.leader() is not follower
    assert "received a snapshot" not in follower.process.log()
    assert len([p for p in three.assert_equal_trees() if p.startswith("/b/")]) == 100


def test_follower_comes_back_empty(new_ensemble):
    """What it misses is no longer in anybody's memory: it gets a snapshot."""
    three = new_ensemble(commitLogCount=500).start()
    follower = three.followers()[0]
    write_some(three, "/a", 700, three.leader())
    follower.kill9()
    for file in (follower.data / "version-2").iterdir():
        file.unlink()
    follower.start()
    assert "received a snapshot" in follower.process.log()
    three.assert_equal_trees()
    follower.kill9()
    follower.start()
    assert "received a snapshot" not in follower.process.log(), "its log goes on behind it"
    three.assert_equal_trees()


def write_many(ensemble, parent, count, server):
    client = ensemble.client([server])
    client.ensure_path(parent)
    answers = [client.create_async(f"{parent}/{number}", b"v") for number in range(count)]
    for answer in answers:
        answer.get(timeout=30)
    client.stop()


@pytest.mark.parametrize("restarted", [False, True], ids=["leader-stays", "all-restart"])
def test_follower_far_behind_gets_the_log_from_disk(new_ensemble, restarted):
    """More than memory holds, and yet no snapshot is sent."""
    three = new_ensemble(commitLogCount=500, snapshotSizeFactor=0, snapCount=3000).start()
    follower, other = three.followers()
    write_some(three, "/a", 50)
    follower.kill9()
    write_many(three, "/b", 5000, other)
    if restarted:
        for server in three.running():
            server.kill9()
            server.start(wait=False)
        three.wait_until_serving()
    follower.start()
    assert "received a snapshot" not in follower.process.log()
    assert "sending the log from" in three.leader().process.log()
    figures = mntr(three.leader())
    assert int(figures["zk_diff_count"]) >= 1
    assert figures["zk_snap_count"] == "0"
    assert len(three.assert_equal_trees()) > 5000


def test_a_log_that_is_large_beside_the_tree_is_not_sent(new_ensemble):
    three = new_ensemble(commitLogCount=500).start()
    follower, other = three.followers()
    write_some(three, "/a", 1)
    follower.kill9()
    client = three.client([other])
    for _ in range(600):
        client.set_async("/a/n0", b"x" * 100)
    client.set("/a/n0", b"last")
    client.stop()
    follower.start()
    assert "received a snapshot" in follower.process.log()
    assert mntr(three.leader())["zk_snap_count"] == "1"
    three.assert_equal_trees()


def test_two_followers_come_back_empty_at_once(new_ensemble):
    """One snapshot goes out at a time; the second follower waits for its turn."""
    five = new_ensemble(("zkserver",) * 5, commitLogCount=500).start()
    client = five.client([five.leader()])
    client.ensure_path("/a")
    for number in range(600):
        client.create_async(f"/a/{number}", b"x" * 5000)
    client.create("/a/last")
    client.stop()
    empty = five.followers()[:2]
    for server in empty:
        server.kill9()
        for file in (server.data / "version-2").iterdir():
            file.unlink()
    for server in empty:
        server.start(wait=False)
    five.wait_until_serving()
    for server in empty:
        assert server.process.log().count("received a snapshot") == 1
        assert server.process.log().count("looking for a leader") == 0
    assert len(five.assert_equal_trees()) > 600


def test_old_leader_drops_what_nobody_has_committed(three):
    """The leader logs a write that nobody else reads, dies, and comes back to a newer leader."""
    leader, followers = three.leader(), three.followers()
    write_some(three, "/a", 5)
    lonely = three.client([leader])
    for follower in followers:
        follower.process.signal(signal.SIGSTOP)
    request = lonely.create_async("/never", b"")
    wait_for("the write reaches its log", lambda: b"/never" in log_bytes(leader))
    for server in [*followers, leader]:
        server.kill9()
    assert not request.ready() or request.exception is not None
    for follower in followers:
        follower.start(wait=False)
    three.wait_until_serving()
    write_some(three, "/b", 5, followers[0])
    assert b"/never" in log_bytes(leader)
    leader.start()
    assert "log cut behind" in leader.process.log()
    assert "/never" not in three.assert_equal_trees()
    assert b"/never" not in log_bytes(leader)


def test_a_log_that_cannot_be_cut_is_replaced(three):
    """The same, but only a snapshot that holds the write is left of what went before it."""
    leader, followers = three.leader(), three.followers()
    write_some(three, "/a", 5)
    lonely = three.client([leader])
    for follower in followers:
        follower.process.signal(signal.SIGSTOP)
    lonely.create_async("/never", b"")
    wait_for("the write reaches its log", lambda: b"/never" in log_bytes(leader))
    for server in [*followers, leader]:
        server.kill9()
    leader.start(wait=False)
    wait_for("it makes a snapshot", lambda: "snapshot written" in leader.process.log())
    leader.kill9()
    files = leader.data / "version-2"
    newest = max(files.glob("snapshot.*"), key=lambda f: int(f.suffix[1:], 16))
    for file in [*files.glob("snapshot.*"), *files.glob("log.*")]:
        if file != newest:
            file.unlink()
    for follower in followers:
        follower.start(wait=False)
    three.wait_until_serving()
    leader.start()
    log = leader.process.log()
    assert "cannot cut the log" in log
    assert "received a snapshot" in log
    assert "/never" not in three.assert_equal_trees()


def test_S14_a_tree_that_differs_from_the_leaders_is_replaced(three, bench):
    """A snapshot that was changed under its seals: nothing shows until the next txn brings the
    leader's digest."""
    bench.expect_log(r" WARN +(store|server) .*digest", r" WARN +server 1 txns left a tree")
    follower = three.followers()[0]
    client = three.client([three.leader()])
    client.create("/a", b"as it was written")
    follower.kill9()
    follower.start()
    wait_for("it makes a snapshot", lambda: "snapshot written" in follower.process.log())
    follower.kill9()
    reseal_with(follower, b"as it was written", b"as it was altered")
    follower.start()
    client.create("/b")
    wait_for("it asks for a snapshot", lambda: "received a snapshot" in follower.process.log())
    wait_for("it serves", follower.is_serving)
    client.create("/c")
    assert "asking for a snapshot" in follower.process.log()
    assert three.assert_equal_trees()["/a"]
    assert int(mntr(follower)["zk_digest_mismatches_count"]) >= 1
    assert follower.process.log().count("received a snapshot") == 1


def reseal_with(server, old, new):
    """The three checksums of the newest snapshot are those of its new content (docs/on-disk.md)."""
    files = (server.data / "version-2").glob("snapshot.*")
    newest = max(files, key=lambda f: int(f.suffix[1:], 16))
    content = bytearray(newest.read_bytes())
    assert content.count(old) == 1 and len(old) == len(new)
    content = content.replace(old, new)
    for seal in (67, 34, 13):  # bytes from its start to the end of the file
        at = len(content) - seal
        content[at : at + 8] = zlib.adler32(content[:at]).to_bytes(8, "big")
    newest.write_bytes(content)


@pytest.mark.timeout(120)
def test_no_acknowledged_write_is_lost_when_leaders_are_killed(three, measure):
    write_some(three, "/w", 0)
    for number in range(4):
        write_some(three, f"/w/{number}", 0)
    writers = [Writer(three, f"/w/{number}").start() for number in range(4)]
    stalls = []
    for _ in range(5):
        wait_for("some writes", lambda n=total(writers): total(writers) > n + 200, seconds=30)
        leader = three.leader()
        leader.kill9()
        moment = time.monotonic()
        wait_for("writes go on", lambda m=moment: all(w.next_after(m) for w in writers), seconds=20)
        stalls.append(min(w.next_after(moment) for w in writers))
        leader.start()
    for writer in writers:
        writer.stop()
    tree = three.assert_equal_trees()
    lost = [p for w in writers for p in w.acknowledged if p not in tree]
    assert lost == []
    measure("kill -9 of the leader to the next acknowledged write, median", sorted(stalls)[2])
    measure("kill -9 of the leader to the next acknowledged write, worst", max(stalls))


def total(writers):
    return sum(len(w.acknowledged) for w in writers)


def test_all_down_at_once(three):
    write_some(three, "/a", 100)
    for server in three.servers:
        server.kill9()
    for server in three.servers:
        server.start(wait=False)
    three.wait_until_serving()
    assert len([p for p in three.assert_equal_trees() if p.startswith("/a/")]) == 100


@pytest.mark.parametrize("kinds", [["zkserver"] * 4, ["zkserver", "apache", "zkserver", "zkserver"]])
def test_an_observer_serves_and_does_not_vote(new_ensemble, kinds):
    ensemble = new_ensemble(kinds)
    observer = ensemble.servers[3]
    for server in ensemble.servers:
        server.settings["server.4"] += ":observer"
        server.write_config()
    ensemble.start()
    assert ensemble.mode(observer) == "observer"
    write_some(ensemble, "/through-observer", 20, observer)
    observer.kill9()
    write_some(ensemble, "/without-observer", 20, ensemble.leader())
    observer.start()
    ensemble.leader().kill9()
    ensemble.leader()
    ensemble.wait_until_serving()
    write_some(ensemble, "/after-the-leader", 20, observer)
    ensemble.assert_equal_trees()
    ensemble.followers()[0].kill9()
    wait_for("one voter and an observer do not serve", lambda: not ensemble.mode(observer))


def test_five_servers_survive_two(new_ensemble):
    five = new_ensemble(("zkserver",) * 5).start()
    assert five.leader().sid == 5
    write_some(five, "/a", 20)
    five.servers[4].kill9()
    five.servers[3].kill9()
    assert five.leader().sid == 3
    write_some(five, "/b", 20, five.servers[0])
    third = five.servers[2]
    third.kill9()
    server = five.servers[0]
    wait_for("two of five do not serve", lambda: "not currently" in server.four_letter("srvr"))
    for server in five.servers[2:]:
        server.start(wait=False)
    five.wait_until_serving()
    tree = five.assert_equal_trees()
    assert {f"/a/n{n}" for n in range(20)} | {f"/b/n{n}" for n in range(20)} <= tree.keys()


# ---- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(bench):
    """small_disk(server): its data directory is a disk of 12 MiB."""
    points = []

    def make(server):
        bench.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", server.data])
        points.append(server.data)
        (server.data / "myid").write_text(f"{server.sid}\n")

    yield make
    for point in points:
        subprocess.run(["umount", "-l", point], check=False)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_full_disk_takes_one_server_out_until_there_is_room(new_ensemble, small_disk, bench, role):
    bench.expect_log(r" ERROR .*No space left", r" WARN +server cannot write snapshot")
    three = new_ensemble()
    victim = three.servers[2 if role == "leader" else 0]
    small_disk(victim)
    three.start()
    assert three.mode(victim) == role
    (victim.data / "ballast").write_bytes(b"x" * (7 << 20))
    others = [s for s in three.servers if s is not victim]
    client = three.client(others, timeout=4.0)
    client.create("/a")
    number = 0
    while "leaving the quorum" not in victim.process.log():
        create_once(client, f"/a/{number}", b"x" * 100_000)
        number += 1
        assert number < 200
    not_serving = "not currently serving"
    wait_for("it is out", lambda: not_serving in victim.four_letter("srvr"))
    for number in range(number, number + 20):
        create_once(client, f"/a/{number}", b"more")
    assert holds_for(2, lambda: not_serving in victim.four_letter("srvr"))
    assert victim.process.is_running()
    (victim.data / "ballast").unlink()
    wait_for("it is back", victim.is_serving, seconds=20)
    assert "the disk works again" in victim.process.log()
    three.assert_equal_trees()
    client.stop()
    for server in three.servers:
        server.stop()


def create_once(client, path, value):
    """Whether an answer that was lost said yes shows when it is tried again."""
    with contextlib.suppress(NodeExistsError):
        client.retry(client.create, path, value)


# ---- sessions ------------------------------------------------------------------------------------


def test_a_session_moves_with_its_ephemerals_and_watches(three):
    leader, (first, second) = three.leader(), three.followers()
    client = three.client([first, second], timeout=10.0)
    other = three.client([leader])
    states, events = [], []
    client.add_listener(states.append)
    client.create("/eph", b"", ephemeral=True)
    client.create("/watched", b"1")
    client.get("/watched", watch=events.append)
    session = client.client_id[0]
    assert session >> 56 == first.sid
    first.kill9()
    wait_for("the client is on the other server", lambda: KazooState.CONNECTED in states)
    assert client.client_id[0] == session
    assert KazooState.LOST not in states
    other.set("/watched", b"2")
    wait_for("the watch fires on the new server", lambda: events)
    assert other.exists("/eph").ephemeralOwner == session
    client.stop()
    wait_for("the ephemeral goes with its session", lambda: not other.exists("/eph"))


def test_sessions_outlive_the_leader_and_expire_without_their_client(three):
    leader, (first, _) = three.leader(), three.followers()
    lives = three.client([first], timeout=10.0)
    lives.create("/lives", b"", ephemeral=True)
    dies = first.raw(timeout=2000)
    dies.ok(rawzk.CREATE, rawzk.create_body("/dies", b"", flags=1))
    leader.kill9()
    new_leader = three.leader()
    dies.close()
    watcher = three.client([new_leader])
    wait_for("the leader expires it", lambda: not watcher.exists("/dies"), seconds=15)
    assert watcher.exists("/lives")


def test_a_new_leader_gives_every_session_its_full_time(three, measure):
    """A client that is silent when the leader is lost has its whole time-out again, and no more."""
    leader, (first, _) = three.leader(), three.followers()
    watcher = three.client([s for s in three.servers if s is not leader])
    silent = first.raw(timeout=4000)
    silent.ok(rawzk.CREATE, rawzk.create_body("/silent", b"", flags=1))
    time.sleep(2.5)
    leader.kill9()
    killed = time.monotonic()
    watcher.retry(watcher.sync, "/")  # the new leader answers
    watcher.retry(watcher.exists, "/silent")
    wait_for("it expires", lambda: not watcher.exists("/silent"), seconds=15, pause=0.02)
    lived = time.monotonic() - killed
    measure("session of 4 s, silent for 2.5 s at the loss of the leader, lives on for", lived)
    assert lived >= 4


def test_a_write_through_one_follower_is_read_through_another_after_a_sync(three):
    first, second = three.followers()
    writer, reader = three.client([first]), three.client([second])
    writer.create("/a", b"0")
    for number in range(100):
        writer.set("/a", b"%d" % number)
        reader.sync("/")
        assert reader.get("/a")[0] == b"%d" % number


# ---- the example ---------------------------------------------------------------------------------


# ---- administration ------------------------------------------------------------------------------


def test_figures_of_leader_and_follower(three):
    write_some(three, "/a", 10)
    leader, (follower, _) = three.leader(), three.followers()
    figures = mntr(leader)
    assert figures["zk_server_state"] == "leader"
    assert figures["zk_peer_state"] == "leading - broadcast"
    assert figures["zk_synced_followers"] == "2"
    assert figures["zk_learners"] == "2"
    assert figures["zk_quorum_size"] == "3"
    assert int(figures["zk_max_proposal_size"]) > int(figures["zk_min_proposal_size"]) > 0
    assert "Proposal sizes last/min/max: " in leader.four_letter("srvr")
    figures = mntr(follower)
    assert figures["zk_peer_state"] == "following - broadcast"
    assert int(figures["zk_learner_commit_received_count"]) >= 11
    assert "zk_synced_followers" not in figures
    assert follower.four_letter("isro") == "rw"
    conf = follower.four_letter("conf")
    assert f"serverId={follower.sid}\n" in conf
    membership = conf.partition("membership: \n")[2]
    client = three.client([follower])
    assert client.get("/zookeeper/config")[0].decode() == membership
    assert membership.endswith("version=0")


def mntr(server):
    return dict(line.split("\t", 1) for line in server.four_letter("mntr").splitlines())


def test_status_says_who_leads(three, bench):
    for server in three.servers:
        said = bench.run([ZKSERVER, "status", server.config]).stdout
        assert f"Mode: {three.mode(server)}\n" in said


@pytest.mark.parametrize(
    "myid, says",
    [
        (None, "myid is missing"),
        ("7\n", "there is no server.7 line"),
        ("one\n", "not a number"),
    ],
)
def test_a_wrong_myid_is_explained(new_ensemble, bench, myid, says):
    server = new_ensemble().servers[0]
    bench.expect_log(r" ERROR config .*myid")
    (server.data / "myid").unlink()
    if myid:
        (server.data / "myid").write_text(myid)
    server.start(wait=False)
    assert server.process.wait() == 1
    assert says in server.process.log()


# ---- together with Apache ------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("apache_sid", [1, 3])
def test_apache_among_ours(new_ensemble, apache_sid):
    """Each kind leads once and follows once."""
    kinds = ["zkserver"] * 3
    kinds[apache_sid - 1] = "apache"
    ensemble = new_ensemble(kinds, tickTime=500).start()
    apache = ensemble.servers[apache_sid - 1]
    for server in ensemble.servers:
        write_some(ensemble, f"/through{server.sid}", 20, server)
    ensemble.assert_equal_trees()
    leader = ensemble.leader()
    leader.kill9()
    ensemble.leader()
    write_some(ensemble, "/between", 20, ensemble.running()[0])
    leader.start()
    if apache is not leader:
        apache.kill9()
        ensemble.leader()
        write_some(ensemble, "/without-apache", 20, ensemble.running()[0])
        apache.start()
    ensemble.wait_until_serving()
    ensemble.assert_equal_trees()
    assert mntr(ensemble.servers[1])["zk_digest_mismatches_count"] == "0"


@pytest.mark.timeout(90)
def test_syncs_and_writes_through_an_apache_follower(new_ensemble):
    """It stops answering everybody if our leader answers one of its requests out of turn."""
    ensemble = new_ensemble(["apache", "zkserver", "zkserver"]).start()
    follower = ensemble.servers[0]
    assert ensemble.mode(follower) == "follower"
    clients = [ensemble.client([follower], timeout=10.0) for _ in range(4)]
    clients[0].ensure_path("/a")
    asked = []
    for number in range(200):
        for of, client in enumerate(clients):
            asked.append(client.sync_async("/") if (number + of) % 2 else None)
            asked.append(client.create_async(f"/a/{number}-{of}", b""))
    for request in filter(None, asked):
        request.get(timeout=30)
    assert len(clients[0].get_children("/a")) == 800
