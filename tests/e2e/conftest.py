# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. A test asks for `server` and gets both servers in turn;
everything it starts lives on its own `bench` and is gone, or counted against it, when it ends."""
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness.bench import Bench
from harness.ensemble import Ensemble
from harness.hosts import Network
from harness.mounts import Mount
from harness.scene import Scene
from harness.servers import KINDS, Server
from harness.tap import Tap


@pytest.fixture(scope="session")
def scratch():
    folder = Path(tempfile.mkdtemp(prefix="zkfs-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


def _has_failed(item):
    reports = (getattr(item, f"report_{when}", None) for when in ("setup", "call"))
    return any(report is not None and report.failed for report in reports)


def _time_limit(item):
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker and marker.args else item.config.getini("timeout"))


@pytest.fixture
def bench(request, scratch):
    """The test's directory and processes. Leftovers fail the test."""
    number = sum(1 for _ in scratch.iterdir())
    bench = Bench(request.node.nodeid, scratch / f"{number:03}")
    # pytest-timeout interrupts the test; a system call that hangs in a mount hears that only once
    # the mount is aborted.
    guard = threading.Timer(_time_limit(request.node) + 1, bench.emergency)
    guard.start()
    yield bench
    guard.cancel()
    complaints = bench.close()
    if complaints or _has_failed(request.node):
        print(f"logs and repro.sh: {bench.keep()}")
    shutil.rmtree(bench.folder, ignore_errors=True)
    if complaints:
        pytest.fail("the test left something behind:\n" + "\n".join(complaints), pytrace=False)


@pytest.fixture(scope="module")
def shared_apache(request, scratch):
    """One JVM for all tests of a module that only use it; started when first asked for."""
    running = {}

    def get():
        if not running:
            bench = Bench(
                f"{request.node.nodeid} (shared)", scratch / f"shared-{request.node.name}"
            )
            running["bench"] = bench
            running["server"] = Server(bench, "apache").start()
        return running["server"]

    yield get
    if running:
        running["server"].close_clients()
        running["server"].stop()
        complaints = running["bench"].close()
        assert not complaints, complaints


@pytest.fixture
def new_server(bench):
    """new_server(kind, **zoo_cfg): a server that is not started yet. a__b stands for the key
    a.b."""
    servers = []

    def make(kind, name=None, **settings):
        name = name or f"server{len(servers) or ''}"
        servers.append(Server(bench, kind, name, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.close_clients()
    for server in servers:
        if server.process and server.process.is_running():
            server.stop()


@pytest.fixture
def new_ensemble(bench):
    """new_ensemble(kinds, **zoo_cfg): servers that are not started yet."""
    made = []

    def make(kinds=("zkserver",) * 3, **settings):
        made.append(Ensemble(bench, kinds, **settings))
        return made[-1]

    yield make
    for ensemble in made:
        ensemble.close()


@pytest.fixture(params=KINDS)
def server_kind(request):
    return request.param


@pytest.fixture
def server(request, server_kind, shared_apache, new_server):
    """A running server with an empty tree."""
    marker = request.node.get_closest_marker("own_server")
    if marker or server_kind == "zkserver":
        yield new_server(server_kind, **(marker.kwargs if marker else {})).start()
        return
    server = shared_apache()
    server.wipe()
    yield server
    server.close_clients()


@pytest.fixture
def zk(server):
    """A connected kazoo client."""
    return server.client()


@pytest.fixture
def mounts():
    """The mounts of this test so far."""
    return []


@pytest.fixture
def new_mount(bench, server, mounts):
    """new_mount(name, hosts=..., options=[...]): another mount, started."""

    def make(name="mnt", hosts=None, **options):
        mounts.append(Mount(bench, hosts or server.hosts, name, **options))
        return mounts[-1].start()

    yield make
    for mount in reversed(mounts):
        mount.close()


@pytest.fixture
def mount(new_mount):
    """The server's tree as a directory."""
    return new_mount()


@pytest.fixture
def tap(bench, server):
    """A proxy between a client and the server that counts and cuts."""
    tap = Tap(bench, server.port)
    yield tap
    tap.close()


@pytest.fixture
def new_network(request):
    """new_network(names, weather=False): hosts, which are gone afterwards."""
    made = []

    def make(names, weather=False):
        made.append(Network(names, request.node.name if weather else None))
        return made[-1]

    yield make
    for network in reversed(made):
        network.close()


@pytest.fixture
def new_scene(bench, request, new_network):
    """new_scene(servers=3, clients=4, weather=False, kinds=None, **zoo_cfg), not started yet. kinds:
    of the servers, if they are not all ours."""
    made = []

    def make(servers=3, clients=4, weather=False, kinds=None, **settings):
        kinds = kinds or ["zkserver"] * servers
        names = [f"s{n}" for n in range(1, len(kinds) + 1)]
        network = new_network(names + [f"c{n}" for n in range(1, clients + 1)], weather)
        made.append(Scene(bench, request.node.name, network, kinds, **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


class Measures:
    """Times that the run prints at its end."""

    def __init__(self, config, name):
        self._lines, self._name = config.stash.setdefault(_MEASURED, []), name

    def __call__(self, what, seconds):
        self._lines.append(f"{seconds * 1000:10.0f} ms  {what}  [{self._name}]")

    def run(self, what, bench, script):
        """Runs a line of shell, measures it, returns its output."""
        begin = time.monotonic()
        output = bench.sh(script, seconds=60)
        self(what, time.monotonic() - begin)
        return output


_MEASURED = pytest.StashKey()


@pytest.fixture
def measure(request):
    return Measures(request.config, request.node.name)


def pytest_terminal_summary(terminalreporter):
    """The one line that tests/run-all adds up."""
    for line in terminalreporter.config.stash.get(_MEASURED, []):
        terminalreporter.write_line(line)
    stats = terminalreporter.stats
    failed = {r.nodeid for key in ("failed", "error") for r in stats.get(key, [])}
    passed = {r.nodeid for r in stats.get("passed", [])} - failed
    terminalreporter.write_line(f"e2e: {len(passed)} passed, {len(failed)} failed")
