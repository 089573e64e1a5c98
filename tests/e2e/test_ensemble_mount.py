# SPDX-License-Identifier: Apache-2.0
"""A mount that knows three servers: one of them is lost while a script writes and inotifywait
listens. No write fails, nothing written and no change of others is lost, and the longest stall is
printed."""
import signal
import time

import pytest

from harness.ensemble import Ensemble, Writer
from harness.mounts import Mount
from harness.scene import EXPECTED_LOG
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(120)

# One line for each round that is done.
SCRIPT = """
n=0
while [ ! -e stop ]; do
    n=$((n + 1))
    echo $n >mnt/d/value && echo $n >mnt/d/file-$n && echo $n >>mnt/d/lines || exit 1
    echo $n
done
"""


class Lines:
    """The script, and when each of its rounds was done."""

    def __init__(self, bench):
        self.bench = bench
        self.process = bench.spawn(["sh", "-c", SCRIPT], "script")

    def count(self):
        return len(self.process.log().split())

    def stop(self):
        self.bench.path("stop").touch()
        assert self.process.wait(30) == 0, self.process.log()[-500:]
        return self.count()


class Story:
    def __init__(self, bench, network, measure):
        self.bench, self.network, self.measure = bench, network, measure
        servers = [network[name] for name in ("s1", "s2", "s3")]
        self.ensemble = Ensemble(bench, ["zkserver"] * 3, servers).start()
        options = ["session_timeout=4"]
        hosts = self.ensemble.hosts
        self.mount = Mount(bench, hosts, options=options, host=network["m"]).start()
        bench.sh("mkdir mnt/d mnt/theirs; echo 0 >mnt/d/value; echo 0 >mnt/d/lines")
        self.heard = self.mount.watch("theirs", "d/value")
        self.script = Lines(bench)
        self.theirs = Writer(self.ensemble, "/theirs").start()
        self.wait_for_rounds(5)

    def wait_for_rounds(self, count, seconds=40):
        """So many more, each begun from now on."""
        aim = self.script.count() + 1 + count
        wait_for("the script goes on", lambda: self.script.count() >= aim, seconds, pause=0.02)

    def server_of_mount(self):
        """Tells by the connection that the mount's host has."""
        shown = self.bench.run([*self.network["m"].prefix, "ss", "-Htn", "state", "established"])
        found = [s for s in self.ensemble.servers if f" {s.hosts}" in shown.stdout]
        assert len(found) == 1, shown.stdout
        return found[0]

    def stall(self, what):
        """Until the script writes, and a change of others is heard, again."""
        begin = time.monotonic()
        self.wait_for_rounds(1)
        self.measure(f"{what}, the script's longest stall", time.monotonic() - begin)
        heard, begin = len(self.heard.of_kind("CREATE")), time.monotonic()
        wait_for("others' changes are heard", lambda: len(self.heard.of_kind("CREATE")) > heard, 30)
        self.wait_for_rounds(5)

    def finish(self, what):
        self.ensemble.wait_until_serving(seconds=40)
        rounds = self.script.stop()
        self.theirs.stop()
        for path in self.theirs.acknowledged:
            self.heard.wait(path.strip("/"), "CREATE")
        late = [
            self.heard.wait(path.strip("/"), "CREATE").at - done
            for path, (_, done) in zip(self.theirs.acknowledged, self.theirs.times)
        ]
        self.measure(f"{what}, the latest event of another client's change", max(late))
        numbers = [str(n) for n in range(1, rounds + 1)]
        assert self.bench.sh("cat mnt/d/lines").split() == ["0", *numbers]
        assert self.bench.sh("cat mnt/d/value").split() == [str(rounds)]
        tree = self.ensemble.assert_equal_trees()
        assert [tree[f"/d/file-{n}"][0] for n in numbers] == [f"{n}\n".encode() for n in numbers]
        assert tree["/d/lines"][0].split() == [n.encode() for n in ["0", *numbers]]
        assert self.mount.unmount() == 0
        self.ensemble.close()


@pytest.fixture
def story(bench, new_network, measure):
    bench.expect_log(*EXPECTED_LOG, r" WARN +zkc ")
    return Story(bench, new_network(["s1", "s2", "s3", "m"]), measure)


def test_leader_is_killed(story):
    for _ in range(3):
        leader = story.ensemble.leader()
        leader.kill9()
        story.stall("kill -9 of the leader")
        leader.start()
    story.finish("kill -9 of the leader")


@pytest.mark.parametrize("who", ["leader", "server of the mount"])
def test_server_stands_still(story, who):
    server = story.ensemble.leader() if who == "leader" else story.server_of_mount()
    server.process.signal(signal.SIGSTOP)
    story.stall(f"SIGSTOP of the {who}")
    server.process.signal(signal.SIGCONT)
    story.finish(f"SIGSTOP of the {who}")


@pytest.mark.parametrize("whom", ["the mount", "the other servers", "both"])
def test_server_of_the_mount_is_cut_off(story, whom):
    name = story.server_of_mount().host.name
    others = [s.host.name for s in story.ensemble.servers if s.host.name != name]
    away = {"the mount": ["m"], "the other servers": others, "both": ["m", *others]}[whom]
    story.network.split([name], away)
    story.stall(f"the mount's server cut off from {whom}")
    story.network.heal()
    story.finish(f"the mount's server cut off from {whom}")
