# SPDX-License-Identifier: Apache-2.0
"""Servers and clients on hosts of their own, with what goes wrong between and below them. While it
does, clients write and read; afterwards their history must be one that a single correct server could
have given them, nothing acknowledged may be lost, and all servers must have the same tree."""
import os
import signal
import subprocess
import time

import pytest
from kazoo.exceptions import ConnectionLoss, SessionExpiredError

from harness import history as h
from harness import workload as w
from harness.ensemble import Ensemble
from harness.hosts import NAMESPACES, Network, remove_stale
from harness.tree import OWN
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(150)

# What servers say about lines that break and peers that are gone, and about a disk that is shared
# with everybody else on this machine.
EXPECTED_LOG = (
    r" WARN +net dropping quorum link",
    r" WARN +net closing the connection from",
    r" WARN +log a sync of the transaction log took",
)


class Scene:
    """Servers s1, s2 ... and clients c1, c2 ... on their hosts."""

    def __init__(self, bench, seed, network, servers, **settings):
        bench.expect_log(*EXPECTED_LOG)
        self.bench, self.seed, self.network = bench, seed, network
        self.clients = []
        self.reads = []  # of the test's own clients
        self.client_names = [name for name in network.hosts if name.startswith("c")]
        hosts = [network[name] for name in network.hosts if name.startswith("s")]
        settings = {"preAllocSize": 64, **settings}
        self.ensemble = Ensemble(bench, ["zkserver"] * servers, hosts, **settings)
        self.servers = self.ensemble.servers

    def start(self):
        self.ensemble.start()
        client = self.ensemble.client()
        for path in w.PARENTS:
            client.create(path)
        for path in w.REGISTERS:
            client.create(path, w.INITIAL.value.encode())
        client.stop()
        for number, name in enumerate(self.client_names):
            # Each begins with another server.
            order = self.servers[number % len(self.servers) :]
            order = order + [s for s in self.servers if s not in order]
            host = self.network[name]
            self.clients.append(w.Client(self.bench, host, order, f"{self.seed} {name}"))
        w.wait_for_writes(self.clients, 0)
        return self

    def names(self, servers):
        return [s.host.name for s in servers]

    def leader_among(self, servers, seconds=30):
        """The one of these that leads, once there is one."""

        def look():
            return [s for s in servers if self.ensemble.mode(s) == "leader"]

        return wait_for("one of the majority leads", look, seconds=seconds)[0]

    def gives_way(self, server, seconds=30):
        """It does not lead any more."""
        wait_for(
            f"server.{server.sid} gives up leading",
            lambda: self.ensemble.mode(server) != "leader",
            seconds=seconds,
            pause=0.1,
        )

    def writes_go_on(self, clients=None, count=50, seconds=40):
        """Each client gets writes acknowledged that it asks for from now on."""
        w.wait_for_writes(clients or self.clients, time.monotonic(), count, seconds)

    def heal(self):
        self.network.heal()
        self.ensemble.wait_until_serving(seconds=40)
        self.writes_go_on()

    def finish(self):
        """The clients end, and everything is held against what they were told."""
        for client in self.clients:
            client.rest()
        self.ephemerals_go_with_their_sessions()
        self.ensemble.assert_equal_trees()
        for client in self.clients:
            client.stop()
        reader = self.ensemble.client()
        wait_for("no ephemeral is left", lambda: not reader.get_children(w.EPHEMERAL_PARENT))
        reader.stop()
        ops = self.reads + [op for client in self.clients for op in client.ops]
        check(ops, self.ensemble.assert_equal_trees())

    def note_read(self, path, begin, got):
        """Takes the answer of a kazoo client's get, if there is one, into the history."""
        try:
            value, stat = got.get(timeout=30)
        except (ConnectionLoss, SessionExpiredError):
            return
        end = time.monotonic()
        read = h.Op("reader", h.GET, path, begin, end, value=value.decode(), version=stat.version)
        self.reads.append(read)

    def ephemerals_go_with_their_sessions(self):
        """Those that were acknowledged to a session that lives are there; those of others go."""
        reader = self.ensemble.client()

        def settled():
            reader.sync("/")
            owned = dict(c.owns() for c in self.clients)
            there = {f"{w.EPHEMERAL_PARENT}/{n}" for n in reader.get_children(w.EPHEMERAL_PARENT)}
            lost = {path for paths in owned.values() for path in paths} - there
            strangers = [p for p in there if reader.exists(p).ephemeralOwner not in owned]
            return not lost and not strangers

        wait_for("the ephemerals are those of the living sessions", settled, seconds=30, pause=0.1)
        reader.stop()

    def close(self):
        for client in self.clients:
            client.process.kill9()
        self.ensemble.close()


def check(ops, tree):
    """Everything that clients were told, against itself and against the tree of the end."""
    values = {path: node[0].decode() for path, node in tree.items() if not path.startswith(OWN)}
    complaints = h.check_created(ops, values) + h.check_sequence(ops)
    for path in w.REGISTERS:
        of_register = [o for o in ops if o.path == path]
        now = time.monotonic()
        of_register.append(
            h.Op("end", h.GET, path, now, now, value=values[path], version=tree[path][1].version)
        )
        complaints += [f"{path}: {c}" for c in h.check_register(of_register, w.INITIAL)]
    assert complaints == []


@pytest.fixture
def new_network():
    """new_network(names): hosts, which are gone afterwards."""
    made = []

    def make(names):
        made.append(Network(names))
        return made[-1]

    yield make
    for network in reversed(made):
        network.close()


@pytest.fixture
def new_scene(bench, request, new_network):
    """new_scene(servers=3, clients=4, **zoo_cfg), not started yet."""
    made = []

    def make(servers=3, clients=4, **settings):
        names = [f"s{n}" for n in range(1, servers + 1)] + [f"c{n}" for n in range(1, clients + 1)]
        scene = Scene(bench, request.node.name, new_network(names), servers, **settings)
        made.append(scene)
        return scene

    yield make
    for scene in made:
        scene.close()


@pytest.fixture
def three(new_scene):
    return new_scene().start()


# ---- partitions ----------------------------------------------------------------------------------


def test_leader_cut_off_from_the_others(three, measure):
    leader = three.ensemble.leader()
    others = [s for s in three.servers if s is not leader]
    begin = time.monotonic()
    three.network.split(three.names([leader]), three.names(others))
    three.leader_among(others)
    measure("leader cut off, another one leads", since(begin))
    three.writes_go_on()
    measure("leader cut off, longest time without writes", gap(three, begin))
    three.gives_way(leader)
    three.heal()
    three.finish()


def gap(scene, begin):
    """How long nobody was able to write; a client's search for another server is part of it."""
    return w.longest_gap(scene.clients, begin, time.monotonic())


def since(begin):
    return time.monotonic() - begin


def test_splits_with_clients_on_both_sides(new_scene, measure):
    """Five servers: the leader with the minority, then a follower with it."""
    five = new_scene(servers=5).start()
    for side in ("leader", "followers"):
        leader = five.ensemble.leader()
        followers = [s for s in five.servers if s is not leader]
        minority = [leader, followers[0]] if side == "leader" else followers[:2]
        majority = [s for s in five.servers if s not in minority]
        begin = time.monotonic()
        five.network.split(
            five.names(minority) + five.client_names[:1],
            five.names(majority) + five.client_names[1:],
        )
        cut = time.monotonic()
        five.leader_among(majority)
        if side == "leader":
            measure("two of five cut off with the leader, another one leads", since(begin))
        five.writes_go_on(five.clients[1:])
        measure(f"two of five cut off with {side}, longest time without writes", gap(five, begin))
        assert five.clients[0].writes_since(cut) == [], "the minority acknowledges writes"
        five.heal()
    five.finish()


@pytest.mark.parametrize("deaf", [True, False], ids=["deaf", "mute"])
def test_leader_that_is_heard_or_hears_only(three, measure, deaf):
    """It sends but does not receive, or receives but is not heard by the other servers. Although it
    has the best vote, and the deaf one tells everybody, it is not elected again."""
    leader = three.ensemble.leader()
    others = [s for s in three.servers if s is not leader]
    begin = time.monotonic()
    name = leader.host.name
    if deaf:
        three.network.drop([(other, name) for other in three.names(others)])
    else:
        three.network.drop([(name, other) for other in three.names(others)])
    three.leader_among(others)
    measure("asymmetric loss, another one leads", since(begin))
    three.writes_go_on()
    measure("asymmetric loss, longest time without writes", gap(three, begin))
    three.gives_way(leader)
    for server in others:
        assert server.process.log().count(f"server.{leader.sid} is elected") == 1, "elected again"
    three.heal()
    three.finish()


def test_follower_that_does_not_hear_its_leader(new_scene, measure):
    """The others go on without it, and without an election."""
    three = new_scene(syncLimit=10).start()
    leader = three.ensemble.leader()
    follower = [s for s in three.servers if s is not leader][0]
    begin = time.monotonic()
    three.network.drop([(leader.host.name, follower.host.name)])
    wait_for(
        "it notices", lambda: three.ensemble.mode(follower) != "follower", seconds=30, pause=0.1
    )
    three.writes_go_on()
    measure("deaf follower, longest time without writes", gap(three, begin))
    assert three.ensemble.mode(leader) == "leader"
    three.heal()
    three.finish()


# ---- processes -----------------------------------------------------------------------------------


def test_kill_9_of_one_after_the_other(three, measure):
    worst = 0
    for _ in range(3):
        leader = three.ensemble.leader()
        begin = time.monotonic()
        leader.kill9()
        three.leader_among(three.ensemble.running())
        three.writes_go_on(count=3)
        worst = max(worst, gap(three, begin))
        leader.start(wait=False)
        three.heal()
    measure("kill -9 of the leader, longest time without writes", worst)
    three.finish()


def test_leader_that_stands_still_for_longer_than_sync_limit(three, measure):
    """When it moves again it finds requests to read, and believes that it leads: what it answers
    must not be older than what the new leader has acknowledged meanwhile."""
    leader = three.ensemble.leader()
    others = [s for s in three.servers if s is not leader]
    elsewhere = [c for c in three.clients if c.first_server is not leader]
    reader = three.ensemble.client([leader])
    begin = time.monotonic()
    leader.process.signal(signal.SIGSTOP)
    asked = {path: (reader.sync_async("/"), reader.get_async(path)) for path in w.REGISTERS}
    three.leader_among(others)
    three.writes_go_on(elsewhere)
    leader.process.signal(signal.SIGCONT)
    for path, (_, got) in asked.items():
        three.note_read(path, begin, got)
    three.writes_go_on()
    measure("SIGSTOP of the leader, longest time without writes", gap(three, begin))
    three.heal()
    assert three.ensemble.leader() is not leader
    reader.stop()
    three.finish()


def test_all_killed_at_once(three, measure):
    begin = time.monotonic()
    for server in three.servers:
        server.process.signal(signal.SIGKILL)
    for server in three.servers:
        server.kill9()
    for server in three.servers:
        server.start(wait=False)
    three.heal()
    measure("all killed and started again, longest time without writes", gap(three, begin))
    three.finish()


# ---- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(bench):
    """small_disk(server): puts what is in its data folder onto a file system of 4 MiB."""
    mounted = []

    def make(server):
        kept = {file.name: file.read_bytes() for file in server.data.iterdir()}
        bench.run(["mount", "-t", "tmpfs", "-o", "size=4m", "zkfs-e2e", server.data])
        mounted.append(server.data)
        for name, content in kept.items():
            (server.data / name).write_bytes(content)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


LEFT = "leaving the quorum until the disk works"


def fill(folder):
    """Leaves no byte free. Returns the file that takes them."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
    return ballast


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_full_disk(small_disk, new_scene, bench, measure, role):
    """The server leaves the quorum, the others go on; with space again it comes back by itself."""
    bench.expect_log(r"No space left on device")
    three = new_scene()
    for server in three.servers:
        small_disk(server)
    three.start()
    leader, (follower, _) = three.ensemble.leader(), three.ensemble.followers()
    full = leader if role == "leader" else follower
    others = [s for s in three.servers if s is not full]
    begin = time.monotonic()
    ballast = fill(full.data)
    wait_for("it leaves", lambda: LEFT in full.process.log(), seconds=40, pause=0.1)
    three.leader_among(others)
    three.writes_go_on()
    measure(f"full disk of the {role}, longest time without writes", gap(three, begin))
    ballast.unlink()
    three.heal()
    assert full.process.is_running()
    three.finish()


def test_torn_end_of_a_log(three, bench):
    """A part of the last write of a follower has not reached its disk."""
    bench.expect_log(r" WARN .*cutting it off")
    follower = three.ensemble.followers()[0]
    follower.kill9()
    tear(newest_log(follower))
    three.writes_go_on()
    follower.start(wait=False)
    three.heal()
    assert "cutting it off" in follower.process.log()
    three.finish()


def newest_log(server):
    logs = (server.data / "version-2").glob("log.*")
    return max(logs, key=lambda log: int(log.suffix[1:], 16))


def tear(log):
    """The last 20 bytes that were written are zeros instead: less than any record."""
    content = log.read_bytes()
    written = len(content.rstrip(b"\0"))
    with open(log, "r+b") as file:
        file.seek(written - 20)
        file.write(bytes(20))


# ---- the hosts and the checkers themselves -------------------------------------------------------


def test_hosts_hear_one_another_or_not(bench, new_network):
    network = new_network(["a", "b"])
    listener = [*network["b"].prefix, "/usr/bin/python3", "-c", LISTENER, network["b"].address]
    heard = bench.spawn(listener, "listener")
    wait_for("b listens", lambda: "ready" in heard.log())

    def say(word):
        """a says it to b over UDP: nothing comes back, so only the way there counts."""
        argv = [*network["a"].prefix, "/usr/bin/python3", "-c", SPEAKER, network["b"].address, word]
        bench.run(argv)

    say("before")
    wait_for("b hears a", lambda: "before" in heard.log())
    network.drop([("b", "a")])
    say("other-direction")
    wait_for("b hears a, which does not hear b", lambda: "other-direction" in heard.log())
    network.drop([("a", "b")])
    say("dropped")
    network.split(["a"], ["b"])
    say("dropped")
    network.heal()
    say("after")
    wait_for("b hears a again", lambda: "after" in heard.log())
    assert "dropped" not in heard.log()
    heard.terminate()


LISTENER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9))
print("ready", flush=True)
while True:
    print(sock.recv(100).decode(), flush=True)
"""
SPEAKER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(sys.argv[2].encode(), (sys.argv[1], 9))
"""


def test_hosts_are_removed_and_the_thread_is_back():
    places = [os.readlink("/proc/thread-self/ns/net")]
    network = Network(["a"])
    names = list(NAMESPACES.glob(f"{network.prefix}-*"))
    places.append(os.readlink("/proc/thread-self/ns/net"))
    network.close()
    places.append(os.readlink("/proc/thread-self/ns/net"))
    assert places[0] == places[2] != places[1]
    assert len(names) == 3, "the switch, the eye and a"
    assert list(NAMESPACES.glob(f"{network.prefix}-*")) == []


def test_namespaces_of_a_crashed_run_are_removed(bench):
    ended = bench.spawn(["true"], "true")
    ended.wait()
    name = f"zkfs-e2e-{ended.pid}-abcdef-s1"
    bench.run(["ip", "netns", "add", name])
    left = bench.spawn(["ip", "netns", "exec", name, "sleep", "1000"], "left")
    wait_for("it runs there", lambda: str(left.pid) in bench.sh(f"ip netns pids {name}").split())
    left.killed_by_test = True
    remove_stale()
    assert not (NAMESPACES / name).exists()
    left.wait()


def op(kind, begin, end, value=None, version=None, expected=-1, outcome=h.OK):
    return h.Op("c", kind, "/r", begin, end, outcome, value, version, expected)


def lost(begin, value, expected=-1):
    """A set whose answer was lost."""
    return op(h.SET, begin, h.math.inf, value, expected=expected, outcome=h.UNKNOWN)


START = h.State("0", 0)

GOOD = {
    "nothing": [],
    "one after the other": [op("set", 0, 1, "a", 1), op("get", 2, 3, "a", 1)],
    "a get beside a set sees either": [
        op("set", 0, 9, "a", 1),
        op("get", 1, 2, "0", 0),
        op("get", 3, 4, "a", 1),
    ],
    "sets at the same time, in the order of versions": [
        op("set", 0, 9, "a", 2),
        op("set", 1, 8, "b", 1),
        op("get", 10, 11, "a", 2),
    ],
    "a lost answer never happened": [lost(0, "a"), op("get", 5, 6, "0", 0)],
    "a lost answer happened late": [
        lost(0, "a"),
        op("get", 5, 6, "0", 0),
        op("get", 7, 8, "a", 1),
    ],
    "two lost answers, one happened unseen": [
        lost(0, "a"),
        lost(1, "b"),
        op("set", 2, 3, "c", 2),
        op("get", 4, 5, "c", 2),
    ],
    "refused while another one's set is on its way": [
        op("set", 0, 9, "a", 1),
        op("set", 1, 2, "b", expected=0, outcome=h.FAIL),
    ],
}

BAD = {
    "an acknowledged set is gone": [op("set", 0, 1, "a", 1), op("get", 2, 3, "0", 0)],
    "a get goes back": [
        op("set", 0, 9, "a", 1),
        op("get", 1, 2, "a", 1),
        op("get", 3, 4, "0", 0),
    ],
    "seen before it was asked for": [op("get", 0, 1, "a", 1), op("set", 2, 3, "a", 1)],
    "two leaders: the same version twice": [
        op("set", 0, 1, "a", 1, expected=0),
        op("set", 0, 1, "b", 1, expected=0),
    ],
    "a later set has the smaller version": [
        op("set", 0, 1, "a", 2),
        op("set", 2, 3, "b", 1),
    ],
    "a set that nobody asked for": [op("get", 0, 1, "x", 1)],
    "refused, and it happened": [
        op("set", 0, 1, "a", expected=5, outcome=h.FAIL),
        op("get", 2, 3, "a", 1),
    ],
    "refused although the version fits": [
        op("set", 0, 1, "a", expected=0, outcome=h.FAIL),
    ],
    "accepted although the version does not fit": [op("set", 0, 1, "a", 1, expected=3)],
    "a lost answer happened twice": [
        lost(0, "a"),
        op("get", 1, 2, "a", 1),
        op("set", 3, 4, "b", 2),
        op("get", 5, 6, "a", 3),
    ],
    "a lost answer with the wrong version happened": [
        lost(0, "a", expected=7),
        op("get", 1, 2, "a", 1),
    ],
    "a version is left out": [op("set", 0, 1, "a", 1), op("set", 2, 3, "b", 3)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_passes(name):
    assert h.check_register(GOOD[name], START) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_history_is_found(name):
    assert len(h.check_register(BAD[name], START)) == 1


def test_search_ends_in_time():
    """Thirty lost answers that nobody saw can be put in any order: too many for any search."""
    ops = [lost(0, f"v{n}") for n in range(30)] + [op("get", 1, 2, "x", 29)]
    with pytest.raises(h.Undecided):
        h.check_register(ops, START, seconds=0.2)


def test_long_history_is_searched_in_time():
    """Three clients beside one another, and some answers lost."""
    ops = []
    for n in range(1, 3001):
        ops.append(op("set", n, n + 2.5, f"v{n}", n) if n % 50 else lost(n, f"v{n}"))
    assert h.check_register(ops, START) == []
    ops.append(op("get", 4000, 4001, "v2998", 2998))
    assert len(h.check_register(ops, START)) == 1


def node(kind, begin, end, path, value="v", outcome=h.OK):
    return h.Op("c", kind, path, begin, end, outcome, value)


def test_sequence_check():
    first, second = "/s/n-0000000001", "/s/n-0000000002"
    assert h.check_sequence([node("sequence", 0, 1, first), node("sequence", 2, 3, second)]) == []
    assert h.check_sequence([node("sequence", 0, 2, second), node("sequence", 1, 3, first)]) == []
    assert h.check_sequence([node("sequence", 0, 1, second), node("sequence", 2, 3, first)])
    assert h.check_sequence([node("sequence", 0, 2, first), node("sequence", 1, 3, first)])


def test_created_check():
    ops = [node("create", 0, 1, "/p/a", "1"), node("create", 0, 1, "/p/b", outcome=h.UNKNOWN)]
    assert h.check_created(ops, {"/p/a": "1"}) == []
    assert h.check_created(ops, {"/p/a": "1", "/p/b": "v"}) == []
    assert h.check_created(ops, {"/p/a": "2"})
    assert h.check_created(ops, {})
    assert h.check_created([node("create", 0, 1, "/p/a", outcome=h.FAIL)], {})
