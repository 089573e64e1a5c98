# SPDX-License-Identifier: Apache-2.0
"""Several servers that know one another: ours, Apache's, or both in one ensemble."""
import logging
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.retry import KazooRetry

from .servers import LOOPBACK, Server, free_port
from .tree import OWN, differences, read_tree
from .waiting import wait_for

# A server that loses its leader says so.
ROLE_LINE = r" WARN +zab looking for a leader"

# Short ticks, so that what is waited out does not take a test's whole time.
TICK = {"tickTime": 200, "initLimit": 20, "syncLimit": 5}


class Ensemble:
    """kinds: one entry for each server, its sid is its place in it, from 1. hosts: where each of them
    runs, if not all on this machine's loopback interface."""

    def __init__(self, bench, kinds, hosts=None, **settings):
        bench.expect_log(ROLE_LINE)
        self.bench = bench
        sids = range(1, len(kinds) + 1)
        hosts = hosts or [LOOPBACK] * len(kinds)
        lines = {
            f"server.{sid}": f"{host.address}:{free_port()}:{free_port()}"
            for sid, host in zip(sids, hosts)
        }
        self.servers = []
        for sid, kind, host in zip(sids, kinds, hosts):
            server = Server(bench, kind, f"server{sid}", host=host, **{**TICK, **settings})
            server.sid = sid
            server.settings.update(lines)
            server.write_config()
            (server.data / "myid").write_text(f"{sid}\n")
            self.servers.append(server)

    def start(self):
        for server in self.servers:
            server.start(wait=False)
        return self.wait_until_serving()

    def wait_until_serving(self, seconds=20):
        for server in self.running():
            wait_for(server._why_not, server.is_serving, seconds=seconds)
        return self

    def running(self):
        return [s for s in self.servers if s.process and s.process.is_running()]

    def mode(self, server):
        try:
            return server.srvr().get("Mode")
        except OSError:
            return None

    def leader(self, seconds=15):
        """The one that leads, once there is one."""
        found = []

        def look():
            found[:] = [s for s in self.running() if self.mode(s) == "leader"]
            return len(found) == 1

        wait_for("one server leads", look, seconds=seconds)
        return found[0]

    def followers(self):
        leader = self.leader()
        return [s for s in self.running() if s is not leader]

    @property
    def hosts(self):
        return ",".join(s.hosts for s in self.servers)

    def client(self, servers=None, **options):
        """A connected kazoo client that may go to any of the servers and does not give up."""
        servers = servers or self.servers
        options = {
            "hosts": ",".join(s.hosts for s in servers),
            "timeout": 4.0,
            "connection_retry": KazooRetry(max_tries=-1, delay=0.02, max_delay=0.1),
            "randomize_hosts": False,
            **options,
        }
        client = KazooClient(**options)
        servers[0].connections.append(client)
        client.start(timeout=15)
        return client

    def trees(self):
        """Every running server's tree, after a sync, without what each keeps for itself."""
        trees = []
        for server in self.running():
            client = self.client([server])
            client.sync("/")
            client.stop()
            tree = read_tree(server)
            trees.append({p: n for p, n in tree.items() if not p.startswith(f"{OWN}/")})
        return trees

    def assert_equal_trees(self):
        trees = self.trees()
        for tree in trees[1:]:
            assert differences(trees[0], tree) == []
        return trees[0]

    def close(self):
        for server in self.servers:
            server.close_clients()
        for server in self.running():
            server.stop()


def log_bytes(server):
    """All that its transaction log holds."""
    return b"".join(f.read_bytes() for f in (server.data / "version-2").glob("log.*"))


class Writer:
    """Creates nodes below a parent for as long as it is told to, through whatever fails, and
    remembers what was acknowledged and when."""

    def __init__(self, ensemble, parent, value=b"x"):
        logging.getLogger("kazoo").setLevel(logging.CRITICAL)
        self.ensemble, self.parent, self.value = ensemble, parent, value
        self.acknowledged = []
        self.times = []  # (begun, acknowledged)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        client = self.ensemble.client()
        number = 0
        while not self._stop.is_set():
            path = f"{self.parent}/{number:06}"
            begun = time.monotonic()
            try:
                client.create(path, self.value)
            except NodeExistsError:
                pass  # an earlier try whose answer was lost
            except Exception:  # the connection is gone, or the session with it
                time.sleep(0.005)
                continue
            self.acknowledged.append(path)
            self.times.append((begun, time.monotonic()))
            number += 1
        client.stop()
        client.close()

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def next_after(self, moment):
        """Seconds from the moment to the next acknowledged write that was begun after it; None: none
        was."""
        later = [done for begun, done in self.times if begun > moment]
        return later[0] - moment if later else None
