# SPDX-License-Identifier: Apache-2.0
"""Clients that work through whatever fails, each a process on a host of its own, and write down
what they asked and what they were told. Half of them are kazoo's, half of them libzookeeper's.

Run as a program this is one client: python3 -m harness.workload HOSTS NAME SEED FILE; clients/
zkworker.c is the other one. On SIGUSR1 it asks nothing more but keeps its session, on SIGTERM it closes
it. Each line of FILE is a JSON object: a begin; its answer (same id); what it read of a register when a
watch had told it to; or, when idle, the session and the ephemeral nodes that it owns."""
import json
import logging
import math
import random
import signal
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError
from kazoo.protocol.states import EventType
from kazoo.retry import KazooRetry

from . import history as h
from .bench import REPO
from .waiting import wait_for

REGISTERS = [f"/reg/{name}" for name in "abc"]
INITIAL = h.State("initial", 0)
PLAIN_PARENT, SEQUENCE_PARENT, EPHEMERAL_PARENT = "/plain", "/sequence", "/ephemeral"
PARENTS = ("/reg", PLAIN_PARENT, SEQUENCE_PARENT, EPHEMERAL_PARENT)

# Out of 20 operations. More reads and writes of few registers find more than many new nodes.
MIX = [h.SET] * 8 + [h.GET] * 6 + [h.CREATE] * 2 + [h.SEQUENCE] * 2 + [h.EPHEMERAL] * 2
PAUSE_S = 0.005  # between two operations: two cores carry servers and clients
# Also how long kazoo waits for a server that does not answer before it tries another one.
SESSION_S = 2.0


# ---- the client's process ------------------------------------------------------------------------


class Worker:
    def __init__(self, hosts, name, seed, file):
        self.name, self.random, self.file = name, random.Random(seed), file
        self.count = 0
        self.lock = threading.Lock()  # of the file
        self.unwatched = set(REGISTERS)  # nothing tells of their next change
        self.versions = {}  # register -> the last version this client has heard of
        self.ephemerals = []  # (session, path)
        self.idle, self.ending = threading.Event(), threading.Event()
        self.client = KazooClient(
            hosts=hosts,
            timeout=SESSION_S,
            randomize_hosts=False,
            connection_retry=KazooRetry(max_tries=-1, delay=0.02, max_delay=0.1),
        )

    def note(self, **line):
        with self.lock:
            self.file.write(json.dumps({**line, "at": time.monotonic()}) + "\n")

    def run(self):
        signal.signal(signal.SIGUSR1, lambda *_: self.idle.set())
        signal.signal(signal.SIGTERM, lambda *_: self.ending.set())
        self.client.start(timeout=30)
        while not (self.idle.is_set() or self.ending.is_set()):
            self.watch_what_is_not()
            self.one_operation(self.random.choice(MIX))
            time.sleep(PAUSE_S)
        told = None
        while not self.ending.wait(0.05):
            self.watch_what_is_not()
            session = self.session()
            if session != told:
                paths = [path for owner, path in self.ephemerals if owner == session]
                self.note(session=session, ephemerals=paths)
                told = session
        self.client.stop()
        self.client.close()

    def watch_what_is_not(self):
        if self.client.connected:
            for path in list(self.unwatched):
                self.watch(path)

    def watch(self, path):
        """kazoo forgets its watches with the connection, after a last event for each."""

        def answered(got):
            try:
                value, stat = got.get_nowait()
            except Exception:  # connection lost, session expired
                self.unwatched.add(path)
                return
            self.note(saw=path, value=value.decode(), version=stat.version, session=self.session())

        self.unwatched.discard(path)
        self.client.get_async(path, watch=lambda event: self.changed(path, event)).rawlink(answered)

    def changed(self, path, event):
        if event.type == EventType.CHANGED:
            self.watch(path)
        else:
            self.unwatched.add(path)

    def session(self):
        client_id = self.client.client_id
        return client_id[0] if client_id else 0

    def one_operation(self, kind):
        self.count += 1
        fresh = f"{self.name}-{self.count:06}"
        if kind == h.SET:
            path = self.random.choice(REGISTERS)
            expected = self.versions.get(path, -1) if self.random.random() < 0.6 else -1
            self.attempt(
                lambda: self.client.set(path, fresh.encode(), expected),
                dict(kind=kind, path=path, value=fresh, expected=expected),
                lambda stat: {"version": stat.version},
            )
        elif kind == h.GET:
            path = self.random.choice(REGISTERS)
            self.attempt(
                lambda: self.read(path),
                dict(kind=kind, path=path),
                lambda got: {"value": got[0].decode(), "version": got[1].version},
            )
        elif kind == h.SEQUENCE:
            self.attempt(
                lambda: self.client.create(f"{SEQUENCE_PARENT}/n-", fresh.encode(), sequence=True),
                dict(kind=kind, path=f"{SEQUENCE_PARENT}/n-", value=fresh),
                lambda path: {"path": path},
            )
        else:
            is_ephemeral = kind == h.EPHEMERAL
            path = f"{EPHEMERAL_PARENT if is_ephemeral else PLAIN_PARENT}/{fresh}"
            self.attempt(
                lambda: self.client.create(path, fresh.encode(), ephemeral=is_ephemeral),
                dict(kind=kind, path=path, value=fresh),
                lambda _: {},
            )

    def read(self, path):
        """The answers come in this order: the get is one of the synced server."""
        synced, got = self.client.sync_async("/"), self.client.get_async(path)
        synced.get()
        return got.get()

    def attempt(self, call, asked, understand):
        """call asks the server, understand makes what the history needs of its answer."""
        session = self.session()
        self.note(id=self.count, **asked)
        try:
            answer = {"outcome": h.OK, **understand(call())}
        except (BadVersionError, NodeExistsError):
            answer = {"outcome": h.FAIL}
        except Exception as error:  # connection lost, session expired, no answer in time
            answer = {"outcome": h.UNKNOWN, "error": repr(error)}
        self.note(id=self.count, **answer)
        path = asked["path"]
        if answer["outcome"] == h.FAIL:
            self.versions.pop(path, None)
        elif "version" in answer:
            self.versions[path] = answer["version"]
        if asked["kind"] == h.EPHEMERAL and answer["outcome"] == h.OK and session == self.session():
            self.ephemerals.append((session, path))


def main():
    hosts, name, seed, path = sys.argv[1:]
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    with open(path, "w", buffering=1) as file:
        Worker(hosts, name, seed, file).run()


# ---- the test's side -----------------------------------------------------------------------------


# make e2e and make test build it.
ZKWORKER = REPO / "build/rel/bin/zkworker"
PROGRAMS = {"kazoo": ["/usr/bin/python3", "-m", "harness.workload"], "libzookeeper": [ZKWORKER]}


class Client:
    """One worker's process, and what it has written so far. library: one of PROGRAMS."""

    def __init__(self, bench, host, servers, seed, library):
        self.name, self.first_server = host.name, servers[0]
        self.path = bench.path(f"{host.name}.history")
        assert library == "kazoo" or ZKWORKER.exists(), f"make {ZKWORKER.relative_to(REPO)}"
        hosts = ",".join(server.hosts for server in servers)
        self.process = bench.spawn(
            [*host.prefix, *PROGRAMS[library], hosts, host.name, seed, self.path],
            host.name,
            cwd=__file__.rpartition("/harness/")[0],
        )
        self._read = 0
        self._rest = ""
        self._open = {}
        self.ops = []
        self.saw = []  # h.Saw, in order
        self.owned = None  # (session, ephemeral paths), once idle

    def update(self):
        """Reads on in its file; what is still without an answer is not in ops yet."""
        if self.path.exists():
            with open(self.path) as file:
                file.seek(self._read)
                text = self._rest + file.read()
                self._read = file.tell()
            *lines, self._rest = text.split("\n")
            for line in lines:
                self._take(json.loads(line))
        return self

    def _take(self, line):
        if "ephemerals" in line:
            self.owned = (line["session"], line["ephemerals"])
        elif "saw" in line:
            saw = h.Saw(self.name, line["session"], line["saw"], line["value"], line["version"])
            self.saw.append(saw)
        elif "outcome" not in line:
            self._open[line["id"]] = line
        else:
            asked = self._open.pop(line["id"])
            self.ops.append(self._op(asked, line, line["at"]))

    def _op(self, asked, answer, end):
        told = {**asked, **answer}
        told["end"] = math.inf if told["outcome"] == h.UNKNOWN else end
        told.update(begin=asked["at"], client=self.name)
        return h.Op(**{field: told[field] for field in h.Op._fields if field in told})

    def writes_since(self, moment):
        """When answers came to writes that were asked for after the moment."""
        self.update()
        return [
            o.end for o in self.ops if o.kind != h.GET and o.outcome == h.OK and o.begin > moment
        ]

    def rest(self):
        """No more operations; its session, and the ephemeral nodes that this must own."""
        self.process.signal(signal.SIGUSR1)

    def owns(self):
        return self.update().owned

    def stop(self):
        assert self.process.terminate(30) == 0, self.process.log()
        self.update()
        self.ops += [self._op(o, {"outcome": h.UNKNOWN}, math.inf) for o in self._open.values()]
        self._open = {}


def wait_for_writes(clients, since, count=10, seconds=30):
    """Each of the clients gets that many writes acknowledged that it asked for after `since`."""
    for client in clients:
        wait_for(
            lambda c=client: f"{c.name} gets {count} writes acknowledged, the last it was told: "
            f"{c.ops[-1:]}\n{c.process.log()[-1000:]}",
            lambda c=client: len(c.writes_since(since)) >= count,
            seconds=seconds,
            pause=0.05,
        )


def longest_gap(clients, begin, end):
    """The longest time within [begin, end] in which nobody's write was acknowledged, in s."""
    times = sorted(t for c in clients for t in c.writes_since(begin - 5) if begin < t < end)
    points = [begin, *times, end]
    return max(later - earlier for earlier, later in zip(points, points[1:]))


if __name__ == "__main__":
    main()
