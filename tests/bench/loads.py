# SPDX-License-Identifier: Apache-2.0
"""Throughput and latency of two servers side by side, by zkload."""
import json
import statistics
import subprocess
import sys

from harness.bench import REPO

ZKLOAD = REPO / "build" / "rel" / "bin" / "zkload"
# title, connections, requests in flight on each
SHAPES = [("1 connection", 1, 1), ("16 connections", 16, 1), ("64 x 16 in flight", 64, 16)]
ROUNDS = 3
SECONDS = 2


def load(server, op, connections, depth, seconds=SECONDS):
    argv = [ZKLOAD, str(server.port), op, str(connections), str(depth), str(seconds)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def bench_servers(servers, ops=("get", "set"), title="{}"):
    """A row for each shape: requests a second of both, and the ratio."""
    for server in servers.values():  # let the JVM compile what it will run
        load(server, "set", 16, 4)
        load(server, "get", 16, 4)
    rows = []
    for op in ops:
        for shape, connections, depth in SHAPES:
            print(f"    {title.format(op)}, {shape} ...", file=sys.stderr, flush=True)
            got = {kind: [] for kind in servers}
            for _ in range(ROUNDS):
                for kind, server in servers.items():
                    got[kind].append(load(server, op, connections, depth))
            name = "durable set" if op == "set" else op
            row = {"what": f"{title.format(name)}, {shape}"}
            for kind, runs in got.items():
                row[kind] = {
                    figure: statistics.median([r[figure] for r in runs])
                    for figure in ("per_second", "p50_us", "p99_us")
                }
            rows.append(row)
    return rows


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
