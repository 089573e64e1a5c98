#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: our server beside Debian's Apache server, a mount on each, and three of ours beside
three of Apache's, in one run on one machine. Prints tables and writes build/bench.json. About five
minutes; absolute numbers mean little, the ratio in one run does. Rounds alternate between the
servers, so that a busy moment hits both."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from ensembles import bench_ensembles, print_failover_table
from loads import bench_servers, print_server_table
from harness.bench import REPO, Bench
from harness.mounts import Mount
from harness.servers import Server

def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def each_us(call, count, seconds=4):
    """Time of each of count calls, in microseconds; fewer if they are slow."""
    times, end = [], time.monotonic() + seconds
    while len(times) < count and time.monotonic() < end:
        begin = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begin) / 1000)
    return times


def read_once(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.read(descriptor, 4096)
    os.close(descriptor)


def write_once(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, b"x" * 100)
    os.close(descriptor)


def notification_us(mount, zk, count=300):
    """From kazoo's acknowledged set to the event in inotifywait's output."""
    arrived = threading.Event()
    at = [0.0]

    def note(_):
        at[0] = time.perf_counter()
        arrived.set()

    mount.watch("hot", events=["close_write"], on_event=note)
    times = []
    for number in range(count):
        arrived.clear()
        zk.set("/hot", b"%d" % number)
        acknowledged = time.perf_counter()
        assert arrived.wait(5), "an event did not come"
        times.append((at[0] - acknowledged) * 1e6)
    mount.stop_watching()
    return times


def bench_mount(mount, zk):
    zk.create("/hot", b"v" * 100)
    hot = str(mount / "hot")
    read_once(hot)
    cases = {
        "stat, hot": each_us(lambda: os.stat(hot), 20000),
        "open + read + close, hot": each_us(lambda: read_once(hot), 20000),
        "cat, hot (a process each)": each_us(
            lambda: subprocess.run(["cat", hot], capture_output=True), 300
        ),
        "write + close": each_us(lambda: write_once(hot), 2000),
        "set elsewhere -> inotify event": notification_us(mount, zk),
    }
    return {what: (percentile(t, 0.5), percentile(t, 0.99)) for what, t in cases.items()}


def print_mount_table(mounts):
    print(f"{'mount, p50/p99 us':32}{'on zkserver':>20}{'on apache':>20}")
    for what in mounts["zkserver"]:
        cells = [
            f"{mounts[kind][what][0]:.0f}/{mounts[kind][what][1]:.0f}"
            for kind in ("zkserver", "apache")
        ]
        print(f"{what:32}{cells[0]:>20}{cells[1]:>20}")


def main():
    folder = Path(tempfile.mkdtemp(prefix="zkfs-bench-"))
    bench = Bench("bench", folder / "run")
    servers, mounts = {}, {}
    try:
        for kind in ("zkserver", "apache"):
            # The JVM as Debian starts it, and no log line for each session.
            jvm = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
            servers[kind] = Server(bench, kind, kind, jvm=jvm, preAllocSize=65536).start()
        rows = bench_servers(servers)
        for kind, server in servers.items():
            print(f"    mount on {kind} ...", file=sys.stderr, flush=True)
            mount = Mount(bench, server.hosts, f"mnt-{kind}").start()
            mounts[kind] = bench_mount(mount, server.client())
            mount.unmount()
    finally:
        for server in servers.values():
            server.close_clients()
            server.stop()
        complaints = bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    ensembles = bench_ensembles()
    print_server_table(rows)
    print()
    print_mount_table(mounts)
    print()
    print_server_table(ensembles["rows"])
    print_failover_table(ensembles)
    result = {"server": rows, "mount_us_p50_p99": mounts, "ensemble": ensembles}
    (REPO / "build" / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
