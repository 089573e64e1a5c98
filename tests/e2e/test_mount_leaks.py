# SPDX-License-Identifier: Apache-2.0
"""What a mount takes it gives back: memory, descriptors, sessions, watches; after many operations,
after many mounts, and as valgrind counts it. LEAK_ROUNDS=1000 makes that 100,000 operations."""
import os
import re
import sys
from pathlib import Path

import pytest

from harness.bench import ZKFS
from harness.mounts import Mount
from harness.servers import Host
from harness.waiting import wait_for
from test_mount_scratch import metric
from test_mount_watchers import resident_kib

ROUNDS = int(os.environ.get("LEAK_ROUNDS", "100"))
AT_ONCE = 4
# Removed names that the kernel has not forgotten yet; it does when /proc/sys/vm/drop_caches is set.
REMEMBERED = 50

# PREFIX ROUNDS: a round is a hundred requests that reach the daemon, and leaves nothing.
WORKER = r"""
import fcntl, os, sys
prefix, rounds = sys.argv[1], int(sys.argv[2])
for number in range(rounds):
    top = f"{prefix}-{number}"
    os.mkdir(top)
    for name in range(5):
        path = f"{top}/{name}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"%d\n" % number * (1 + number % 700))
        os.close(fd)
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 10_000)
        os.close(fd)
        os.stat(path)
        os.rename(path, path + ".new")
    fd = os.open(f"{top}/0.new", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"more")
    if number % 20 == 0:
        fcntl.flock(fd, fcntl.LOCK_EX)
    os.fsync(fd)
    os.truncate(fd, 2)
    os.close(fd)
    os.close(os.open(f"{top}/.zk/ephemeral/e", os.O_WRONLY | os.O_CREAT, 0o644))
    fd = os.open(f"{top}/x~", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"scratch")
    os.close(fd)
    os.rename(f"{top}/x~", f"{top}/1.new")
    os.getxattr(f"{top}/1.new", "user.zk.czxid")
    os.rename(top, top + ".moved")
    top += ".moved"
    for name in sorted(os.listdir(top)):
        try:
            os.unlink(f"{top}/{name}")
        except FileNotFoundError:
            assert name == "e", name  # the ephemeral, which is about to go by itself
    os.rmdir(top)
"""

GAUGES = ["inodes", "open_files", "scratch_files", "scratch_bytes", "data_watches", "child_watches"]


def holdings(server, mount):
    """What the daemon has at this moment, and what the server has for its sake."""
    mntr = dict(line.split("\t", 1) for line in server.four_letter("mntr").splitlines())
    found = {name: metric(mount, f"zkfs_{name}") for name in GAUGES}
    found["descriptors"] = len(os.listdir(f"/proc/{mount.process.pid}/fd"))
    for name in ("znode_count", "watch_count", "ephemerals_count", "num_alive_connections"):
        found[name] = int(float(mntr[f"zk_{name}"]))
    return found


def work(bench, mount, rounds, at_once=AT_ONCE):
    workers = [
        bench.spawn(
            [sys.executable, "-c", WORKER, f"w{n}", rounds // at_once], f"worker{n}", cwd=mount.path
        )
        for n in range(at_once)
    ]
    for worker in workers:
        assert worker.wait(30 + rounds) == 0, worker.log()[-1000:]


def operations(mount):
    """Requests of the kernel so far."""
    text = (mount / ".zk/stats").read_text()
    return sum(map(int, re.findall(r"^zkfs_fuse_requests_total.* (\d+)$", text, re.MULTILINE)))


@pytest.mark.own_server()
@pytest.mark.timeout(60 + 2 * ROUNDS)
def test_many_operations(bench, server, new_mount, measure):
    mount = new_mount()
    os.listdir(mount.path)
    work(bench, mount, 40)  # threads, and what malloc keeps
    before, begin = holdings(server, mount), operations(mount)
    kib = resident_kib(mount.process.pid)
    work(bench, mount, ROUNDS)
    done = operations(mount) - begin
    assert done >= 80 * ROUNDS

    def given_back():
        now = holdings(server, mount)
        now["inodes"] -= REMEMBERED
        grown = {name: (before[name], now[name]) for name in now if now[name] > before[name]}
        assert not grown, grown
        return True

    wait_for("all is given back", given_back)
    grown_kib = resident_kib(mount.process.pid) - kib
    measure(f"{done} operations: {kib} KiB, then {grown_kib} KiB more", 0)
    assert grown_kib < 4096


@pytest.mark.timeout(120)
def test_a_hundred_mounts(bench, server, zk, mounts):
    """Ten at a time, each of which does a little."""
    zk.create("/f", b"v")
    for wave in range(10):
        mounts += [Mount(bench, server.hosts, f"m{wave}-{n}") for n in range(10)]
        for mount in mounts[-10:]:
            mount.process = bench.spawn(mount.command(), f"zkfs-{mount.name}", ours=True)
        for mount in mounts[-10:]:
            wait_for(f"{mount.name} answers", mount.answers, seconds=30)
            assert mount.read("f") == b"v"
            mount.write(mount.name, b"1")
        for mount in mounts[-10:]:
            assert mount.unmount() == 0
    assert len(zk.get_children("/")) == 100 + 2
    wait_for("the sessions are closed", lambda: server.four_letter("cons").count("sid=") == 1)


MEMCHECK = ["valgrind", "--sim-hints=fuse-compatible", "--leak-check=full", "--error-exitcode=9"]
MEMCHECK += ["--errors-for-leak-kinds=definite,indirect,possible"]


@pytest.fixture
def memcheck(bench):
    """What to write before zkfs. Events are not raised: valgrind does not know openat2."""
    shim = bench.path("shim.so")
    bench.run(["cc", "-shared", "-fPIC", "-o", shim, Path(__file__).parent / "clients/memcheck.c"])
    return ["env", f"ZKFS_SELF={ZKFS}", f"LD_PRELOAD={shim}", *MEMCHECK]


@pytest.mark.timeout(120)
def test_memcheck(bench, server, zk, mounts, memcheck):
    """All that a round does, changes from elsewhere, a lock that waits, the end of the mount."""
    zk.create("/d", None)
    zk.create("/d/f", b"1")
    mounts.append(Mount(bench, server.hosts, host=Host("127.0.0.1", memcheck)))
    mount = mounts[-1].start()
    work(bench, mount, 4, at_once=2)
    assert mount.read("d/f") == b"1"
    zk.set("/d/f", b"2")
    wait_for("the change", lambda: mount.read("d/f") == b"2")
    zk.create("/d/new", b"")
    mount.shows("d/new")
    zk.delete("/d/new")
    wait_for("it is gone", lambda: os.listdir(mount / "d") == ["f"])
    lock = "flock d/f sleep 0.5 & sleep 0.2; flock -w 0.1 d/f true; flock d/f true; wait"
    bench.sh(lock, cwd=mount.path)
    assert mount.unmount() == 0, mount.process.log()[-3000:]
    bench.expect_log("ERROR SUMMARY: 0 errors")
    assert "ERROR SUMMARY: 0 errors" in mount.process.log()
