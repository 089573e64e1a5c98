#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: our server beside Debian's Apache server, and a mount on each, in one run on one
machine. Prints a table and writes build/bench.json. About two minutes; absolute numbers mean
little, the ratio in one run does. Rounds alternate between the servers, so that a busy moment
hits both."""
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

from harness.bench import REPO, Bench
from harness.mounts import Mount
from harness.servers import Server

ZKLOAD = REPO / "build" / "rel" / "bin" / "zkload"
# title, connections, requests in flight on each
SHAPES = [("1 connection", 1, 1), ("16 connections", 16, 1), ("64 x 16 in flight", 64, 16)]
ROUNDS = 3
SECONDS = 2


def median(values):
    return statistics.median(values)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def load(server, op, connections, depth):
    argv = [ZKLOAD, str(server.port), op, str(connections), str(depth), str(SECONDS)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def bench_servers(servers):
    """A row for each shape: requests a second of both, and the ratio."""
    for server in servers.values():  # let the JVM compile what it will run
        load(server, "set", 16, 4)
        load(server, "get", 16, 4)
    rows = []
    for op in ("get", "set"):
        for title, connections, depth in SHAPES:
            print(f"    {op}, {title} ...", file=sys.stderr, flush=True)
            got = {kind: [] for kind in servers}
            for _ in range(ROUNDS):
                for kind, server in servers.items():
                    got[kind].append(load(server, op, connections, depth))
            row = {"what": f"{'durable set' if op == 'set' else 'get'}, {title}"}
            for kind, runs in got.items():
                row[kind] = {
                    "per_second": median([r["per_second"] for r in runs]),
                    "p50_us": median([r["p50_us"] for r in runs]),
                    "p99_us": median([r["p99_us"] for r in runs]),
                }
            rows.append(row)
    return rows


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


def print_server_table(rows):
    print(
        f"{'server':32}{'zkserver':>12}{'apache':>12}{'ratio':>8}{'p50/p99 us':>16}{'apache':>16}"
    )
    for row in rows:
        ours, theirs = row["zkserver"], row["apache"]
        ratio = ours["per_second"] / theirs["per_second"]
        tails = [f"{k['p50_us']:.0f}/{k['p99_us']:.0f}" for k in (ours, theirs)]
        print(
            f"{row['what']:32}{ours['per_second']:>10.0f}/s{theirs['per_second']:>10.0f}/s"
            f"{ratio:>8.2f}{tails[0]:>16}{tails[1]:>16}"
        )


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
    print_server_table(rows)
    print()
    print_mount_table(mounts)
    result = {"server": rows, "mount_us_p50_p99": mounts}
    (REPO / "build" / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
