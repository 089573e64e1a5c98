# SPDX-License-Identifier: Apache-2.0
"""Every example does what its README says, on a server of its own and on Apache's."""
import pytest

from harness.bench import BIN, REPO
from harness.servers import free_ports

ON_ANY_SERVER = [
    "barrier",
    "configuration",
    "distributed-lock",
    "leader-election",
    "queue",
    "service-discovery",
]


def run_example(bench, example, **env):
    folder = REPO / "examples" / example
    ports = str(free_ports(9))
    run = bench.run([folder / "run.sh"], seconds=50, env={"BIN": str(BIN), "PORT": ports, **env})
    assert run.stdout == (folder / "expected").read_text()


@pytest.mark.parametrize("example", ON_ANY_SERVER)
def test_on_a_server_that_is_there(bench, server, zk, example):
    before = zk.get_children("/")
    run_example(bench, example, ZK=server.hosts)
    assert zk.get_children("/") == before


@pytest.mark.parametrize("example", [*ON_ANY_SERVER, "three-servers"])
def test_on_servers_of_its_own(bench, example):
    run_example(bench, example)


def test_all_are_run():
    """Each folder with a run.sh is one of the above, or has a test of its own."""
    found = {path.parent.name for path in (REPO / "examples").glob("*/run.sh")}
    assert found == {*ON_ANY_SERVER, "three-servers"}
