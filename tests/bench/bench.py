#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: our server beside Debian's Apache server, a mount on each beside a plain pass-through file
system and the raw client, and three of ours beside three of Apache's, in one run on one machine. Prints tables and writes build/bench.json. About five
minutes; absolute numbers mean little, the ratio in one run does. Rounds alternate between the
servers, so that a busy moment hits both."""
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from ensembles import bench_ensembles, print_failover_table
from loads import bench_servers, print_server_table
from mounts import bench_mounts, print_mount_tables
from harness.bench import REPO, Bench
from harness.servers import Server


def main():
    folder = Path(tempfile.mkdtemp(prefix="zkfs-bench-"))
    bench = Bench("bench", folder / "run")
    servers = {}
    try:
        for kind in ("zkserver", "apache"):
            # The JVM as Debian starts it, and no log line for each session.
            jvm = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
            servers[kind] = Server(bench, kind, kind, jvm=jvm, preAllocSize=65536).start()
        rows = bench_servers(servers)
        mounts = bench_mounts(bench, servers)
    finally:
        for server in servers.values():
            server.close_clients()
            server.stop()
        complaints = bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    ensembles = bench_ensembles()
    print_server_table(rows)
    print()
    print_mount_tables(mounts)
    print()
    print_server_table(ensembles["rows"])
    print_failover_table(ensembles)
    result = {"server": rows, "mounts": mounts, "ensemble": ensembles}
    (REPO / "build" / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
