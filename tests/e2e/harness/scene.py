# SPDX-License-Identifier: Apache-2.0
"""Servers and clients on hosts of their own. While things go wrong between and below them, clients
write and read; afterwards their history must be one that a single correct server could have given
them, nothing acknowledged may be lost, and all servers must have the same tree."""
import time

from kazoo.exceptions import ConnectionLoss, SessionExpiredError

from . import history as h
from . import workload as w
from .ensemble import Ensemble
from .tree import OWN
from .waiting import wait_for

# What servers say about lines that break and peers that are gone, and about a disk that is shared
# with everybody else on this machine.
EXPECTED_LOG = (
    r" WARN +net dropping quorum link",
    r" WARN +net closing the connection from",
    r" WARN +log a sync of the transaction log took",
)


class Scene:
    """Servers s1, s2 ... and clients c1, c2 ... on their hosts."""

    def __init__(self, bench, seed, network, kinds, **settings):
        bench.expect_log(*EXPECTED_LOG)
        self.bench, self.seed, self.network = bench, seed, network
        self.clients = []
        self.reads = []  # of the test's own clients
        self.client_names = [name for name in network.hosts if name.startswith("c")]
        hosts = [network[name] for name in network.hosts if name.startswith("s")]
        settings = {"preAllocSize": 64, **settings}
        self.ensemble = Ensemble(bench, kinds, hosts, **settings)
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
            library = ("kazoo", "libzookeeper")[number % 2]
            client = w.Client(self.bench, host, order, f"{self.seed} {name}", library)
            self.clients.append(client)
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
        registers = self.watchers_know_the_end()
        self.ensemble.assert_equal_trees()
        for client in self.clients:
            client.stop()
        reader = self.ensemble.client()
        wait_for("no ephemeral is left", lambda: not reader.get_children(w.EPHEMERAL_PARENT))
        reader.stop()
        ops = self.reads + [op for client in self.clients for op in client.ops]
        check(ops, self.ensemble.assert_equal_trees())
        assert h.check_watches(self.saws(), registers) == []

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

    def saws(self):
        return [saw for client in self.clients for saw in client.update().saw]

    def watchers_know_the_end(self):
        """Every client has been told of each register's last change. Returns path -> State."""
        reader = self.ensemble.client()
        reader.sync("/")
        values = {path: reader.get(path) for path in w.REGISTERS}
        reader.stop()
        end = {
            path: h.State(value.decode(), stat.version) for path, (value, stat) in values.items()
        }
        wait_for(
            lambda: f"watches tell of the end: {h.check_watches(self.saws(), end)}",
            lambda: {(s.client, s.path) for s in self.saws() if s[3:] == end[s.path]}
            == {(c.name, path) for c in self.clients for path in end},
            pause=0.1,
        )
        return end

    def gap(self, begin):
        """How long since then nobody was able to write; a client's search for another server is part
        of it."""
        return w.longest_gap(self.clients, begin, time.monotonic())

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


def since(begin):
    return time.monotonic() - begin
