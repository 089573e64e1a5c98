# SPDX-License-Identifier: Apache-2.0
"""Lines between servers are cut, servers are killed and stopped, disks are full and torn, while
clients work: harness/scene.py says what must hold afterwards."""
import signal
import subprocess
import time

import pytest

from harness import workload as w
from harness.ensemble import TICK
from harness.scene import since
from harness.waiting import holds_for, wait_for

pytestmark = pytest.mark.timeout(150)

TICK_S = TICK["tickTime"] / 1000
SYNC_LIMIT_S, INIT_LIMIT_S = TICK["syncLimit"] * TICK_S, TICK["initLimit"] * TICK_S


@pytest.fixture
def three(new_scene):
    return new_scene().start()


MIXED = {
    "ours": ["zkserver"] * 3,
    "one of Apache's": ["zkserver", "zkserver", "apache"],
    "two of Apache's": ["apache", "zkserver", "apache"],
}


@pytest.fixture(params=MIXED)
def any_three(new_scene, request):
    """Three servers, together with Apache's too."""
    return new_scene(kinds=MIXED[request.param]).start()


# ---- partitions ----------------------------------------------------------------------------------


def test_leader_cut_off_from_the_others(any_three, measure):
    leader = any_three.ensemble.leader()
    others = [s for s in any_three.servers if s is not leader]
    begin = time.monotonic()
    any_three.network.split(any_three.names([leader]), any_three.names(others))
    any_three.leader_among(others)
    measure("leader cut off, another one leads", since(begin))
    any_three.writes_go_on()
    measure("leader cut off, longest time without writes", any_three.gap(begin))
    any_three.gives_way(leader)
    any_three.heal()
    any_three.finish()


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
        measure(f"two of five cut off with {side}, longest time without writes", five.gap(begin))
        assert five.clients[0].writes_since(cut) == [], "the minority acknowledges writes"
        five.heal()
    five.finish()


@pytest.mark.parametrize("deaf", [True, False], ids=["deaf", "mute"])
def test_leader_that_is_heard_or_hears_only(three, measure, deaf):
    """It sends but does not receive, or receives but is not heard. It gives way within syncLimit, and
    although it has the best vote, and the deaf one tells everybody, it is not elected again."""
    leader = three.ensemble.leader()
    others = [s for s in three.servers if s is not leader]
    name, away = leader.host.name, three.names(others) + three.client_names
    what = "deaf" if deaf else "mute"
    begin = time.monotonic()
    three.network.drop([(other, name) if deaf else (name, other) for other in away])
    three.gives_way(leader)
    gave_way = since(begin)
    measure(f"{what} leader gives way", gave_way)
    # Twice: a loaded machine is late with everything.
    assert gave_way < 2 * SYNC_LIMIT_S
    three.leader_among(others)
    measure(f"{what} leader, another one leads", since(begin))
    three.writes_go_on()
    measure(f"{what} leader, longest time without writes", three.gap(begin))
    assert holds_for(4 * SYNC_LIMIT_S, lambda: three.ensemble.mode(leader) != "leader", pause=0.1)
    three.writes_go_on()
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
    measure("deaf follower, longest time without writes", three.gap(begin))
    assert three.ensemble.mode(leader) == "leader"
    three.heal()
    three.finish()


# ---- processes -----------------------------------------------------------------------------------


def test_kill_9_of_one_after_the_other(any_three, measure):
    worst = 0
    for _ in range(3):
        leader = any_three.ensemble.leader()
        begin = time.monotonic()
        leader.kill9()
        any_three.leader_among(any_three.ensemble.running())
        any_three.writes_go_on(count=3)
        worst = max(worst, any_three.gap(begin))
        leader.start(wait=False)
        any_three.heal()
    measure("kill -9 of the leader, longest time without writes", worst)
    any_three.finish()


def test_leader_that_stands_still_for_longer_than_sync_limit(any_three, measure):
    """When it moves again it finds requests to read, and believes that it leads: what it answers
    must not be older than what the new leader has acknowledged meanwhile."""
    leader = any_three.ensemble.leader()
    others = [s for s in any_three.servers if s is not leader]
    elsewhere = [c for c in any_three.clients if c.first_server is not leader]
    reader = any_three.ensemble.client([leader])
    begin = time.monotonic()
    leader.process.signal(signal.SIGSTOP)
    asked = {path: (reader.sync_async("/"), reader.get_async(path)) for path in w.REGISTERS}
    any_three.leader_among(others)
    any_three.writes_go_on(elsewhere)
    leader.process.signal(signal.SIGCONT)
    for path, (_, got) in asked.items():
        any_three.note_read(path, begin, got)
    any_three.writes_go_on()
    measure("SIGSTOP of the leader, longest time without writes", any_three.gap(begin))
    any_three.heal()
    assert any_three.ensemble.leader() is not leader
    reader.stop()
    any_three.finish()


def test_all_killed_at_once(any_three, measure):
    begin = time.monotonic()
    for server in any_three.servers:
        server.process.signal(signal.SIGKILL)
    for server in any_three.servers:
        server.kill9()
    for server in any_three.servers:
        server.start(wait=False)
    any_three.heal()
    measure("all killed and started again, longest time without writes", any_three.gap(begin))
    any_three.finish()


def test_no_start_of_an_epoch_takes_an_init_limit(three, measure):
    """In whatever order the acks of NEWLEADER and of the proposals behind it come, the leader begins
    to serve as soon as it has enough of them."""
    worst = {"the leader": 0, "all": 0}
    for number in range(12):
        who = "all" if number % 3 == 2 else "the leader"
        killed = three.servers if who == "all" else [three.ensemble.leader()]
        begin = time.monotonic()
        for server in killed:
            server.kill9()
        for server in killed if who == "all" else []:
            server.start(wait=False)
        three.writes_go_on(count=1)
        worst[who] = max(worst[who], three.gap(begin))
        for server in killed if who != "all" else []:
            server.start(wait=False)
        three.ensemble.wait_until_serving(seconds=40)
    for who, seconds in worst.items():
        measure(f"kill -9 of {who}, worst time without writes", seconds)
        assert seconds < INIT_LIMIT_S
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
    measure(f"full disk of the {role}, longest time without writes", three.gap(begin))
    ballast.unlink()
    begin = time.monotonic()
    three.ensemble.wait_until_serving(seconds=40)
    measure(f"space on the disk of the {role} again, it is back", since(begin))
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
