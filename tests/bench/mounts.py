# SPDX-License-Identifier: Apache-2.0
"""A mount beside what it could be at best: tmpfs, a plain libfuse pass-through on tmpfs, and the same
operation by libzookeeper itself. Rounds alternate, the median of the rounds counts."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import rawzk as z
from harness.bench import REPO
from harness.mounts import Mount
from harness.waiting import wait_for

BIN = REPO / "build" / "rel" / "bin"
ROUNDS = 3
# title, operation of fsload, what it is done to, times; operation of rawload that is the same
CASES = [
    ("stat, hot", "stat", "hot", 5000, None),
    ("open + read + close, hot", "read", "hot", 5000, None),
    ("stat of an absent name", "absent", "nope", 5000, None),
    ("cat, cold", "each", "cold", 1000, ("get", "/hot")),
    ("save: open, write, close", "write", "hot", 500, ("set", "/hot")),
    ("create + close", "create", "made", 500, ("create", "/raw")),
    ("unlink", "unlink", "made", 500, ("delete", "/raw")),
]
SIZES = [1_000, 10_000, 100_000]
RATES = [(1, 10), (100, 3), (1000, 3)]  # changes a second, seconds


def run(program, *arguments):
    argv = [str(a) for a in (BIN / program, *arguments)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def create_children(server, path, count):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body(path, None))
    for begin in range(0, count, 500):
        for number in range(begin, begin + 500):
            conn.request(z.CREATE, z.create_body(f"{path}/n{number}", b"v" * 100))
        for _ in range(500):
            assert conn.answer().err == 0
    conn.close()


class Passthrough:
    """A directory on tmpfs, and the same directory through the pass-through file system."""

    def __init__(self, bench):
        self.source = Path(tempfile.mkdtemp(prefix="zkfs-bench-", dir="/dev/shm"))
        self.path = bench.path("passthrough")
        self.bench, self.process = bench, None

    def fill(self, name, count):
        (self.source / name).mkdir()
        for number in range(count):
            (self.source / name / f"n{number}").write_bytes(b"v" * 100)

    def mount(self):
        self.path.mkdir(exist_ok=True)
        self.process = self.bench.spawn(
            [BIN / "passthrough", self.source, self.path], "passthrough"
        )
        wait_for("the pass-through is mounted", lambda: os.path.ismount(self.path))
        return self

    def unmount(self):
        subprocess.run(["umount", self.path], check=True)
        self.process.wait()

    def close(self):
        shutil.rmtree(self.source)


def print_progress(what):
    print(f"    {what} ...", file=sys.stderr, flush=True)


def bench_calls(roots, servers):
    """{title: {column: (p50, p99)}}, us."""
    rows = {}
    for title, op, name, count, raw in CASES:
        print_progress(title)
        got = {}
        for _ in range(ROUNDS if op in ("stat", "read", "absent", "write") else 1):
            for column, root in roots.items():
                got.setdefault(column, []).append(run("fsload", op, root / name, count))
            for kind, server in servers.items() if raw else ():
                got.setdefault(f"raw {kind}", []).append(
                    run("rawload", server.port, *raw, count)[raw[0]]
                )
        rows[title] = {
            column: [statistics.median(g[f] for g in runs) for f in ("p50_us", "p99_us")]
            for column, runs in got.items()
        }
    return rows


def bench_lists(bench, passthrough, servers):
    """{title: {column: (first, again)}}, us: a directory with an lstat of each entry, on new mounts."""
    rows = {}
    for count in SIZES:
        print_progress(f"a directory of {count}")
        row = rows[f"list of {count}"] = {}
        passthrough.fill(f"d{count}", count)
        row["tmpfs"] = [run("fsload", "list", passthrough.source / f"d{count}", 1)["p50_us"]] * 2
        passthrough.mount()
        row["passthrough"] = [
            run("fsload", "list", passthrough.path / f"d{count}", 1)["p50_us"] for _ in range(2)
        ]
        passthrough.unmount()
        for kind, server in servers.items():
            create_children(server, f"/d{count}", count)
            raw = [run("rawload", server.port, "list", f"/d{count}", 1)["list"] for _ in range(2)]
            row[f"raw {kind}"] = [r["p50_us"] for r in raw]
            mount = Mount(bench, server.hosts, f"mnt-{kind}-{count}").start()
            row[kind] = [
                run("fsload", "list", mount / f"d{count}", 1)["p50_us"] for _ in range(2)
            ]
            mount.unmount()
    return rows


def bench_events(mounts, servers):
    """{title: {kind: figures of rawload}}"""
    rows = {}
    for rate, seconds in RATES:
        print_progress(f"events at {rate} changes a second")
        rows[f"events at {rate}/s"] = {
            kind: run("rawload", server.port, "events", "/ev", mounts[kind] / "ev", rate, seconds)
            for kind, server in servers.items()
        }
    return rows


def bench_mounts(bench, servers):
    passthrough = Passthrough(bench)
    try:
        for server in servers.values():
            for path, count in (("/ev", 500), ("/cold", 1000), ("/made", 500), ("/raw", 500)):
                create_children(server, path, count)
            server.client().create("/hot", b"v" * 100)
        for name, count in (("cold", 1000), ("made", 0)):
            passthrough.fill(name, count)
        (passthrough.source / "hot").write_bytes(b"v" * 100)
        passthrough.mount()
        mounts = {k: Mount(bench, s.hosts, f"mnt-{k}").start() for k, s in servers.items()}
        # Not tmpfs itself where names are made: the pass-through shows the same ones.
        calls = bench_calls({"passthrough": passthrough.path, **mounts}, servers)
        for title, op, name, count, _ in CASES:
            if op not in ("create", "unlink"):
                figures = run("fsload", op, passthrough.source / name, count)
                calls[title]["tmpfs"] = [figures["p50_us"], figures["p99_us"]]
        events = bench_events(mounts, servers)
        for mount in mounts.values():
            mount.unmount()
        passthrough.unmount()
        lists = bench_lists(bench, passthrough, servers)
    finally:
        passthrough.close()
    return {"calls_us": calls, "lists_us": lists, "events_us": events}


COLUMNS = ["tmpfs", "passthrough", "raw zkserver", "zkserver", "raw apache", "apache"]


def print_rows(head, rows, cell):
    print(f"{head:28}" + "".join(f"{column:>16}" for column in COLUMNS))
    for title, row in rows.items():
        cells = [cell(row[column]) if column in row else "" for column in COLUMNS]
        print(f"{title:28}" + "".join(f"{text:>16}" for text in cells))


def print_mount_tables(mounts):
    print_rows("p50/p99, us", mounts["calls_us"], lambda c: f"{c[0]:.1f}/{c[1]:.0f}")
    print()
    print_rows(
        "first/again, ms", mounts["lists_us"], lambda c: f"{c[0] / 1000:.1f}/{c[1] / 1000:.1f}"
    )
    print(f"\n{'p50/p99 (lost), us':28}" + "".join(f"{c:>24}" for c in ("data watch", "inotify")))
    for title, row in mounts["events_us"].items():
        for kind, figures in row.items():
            cells = [
                f"{figures[way]['p50_us']:.0f}/{figures[way]['p99_us']:.0f}"
                f" ({figures[f'{way}_lost']})"
                for way in ("watch", "inotify")
            ]
            print(f"{title + ' on ' + kind:28}" + "".join(f"{text:>24}" for text in cells))
