# SPDX-License-Identifier: Apache-2.0
"""Three of ours beside three of Apache's: throughput through the leader, the time from kill -9 of
the leader to the next acknowledged write, and both again with a large tree."""
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from harness import rawzk as z
from harness.bench import Bench
from harness.ensemble import Ensemble
from loads import bench_servers, load

KINDS = ("zkserver", "apache")
FAILOVERS = 5
LARGE_ZNODES = 1_000_000
# What an operator would have; the tests' own ticks are shorter.
# The JVM as Debian starts it, and no log line for each session.
JVM = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
TICKS = {"tickTime": 2000, "initLimit": 10, "syncLimit": 5, "preAllocSize": 65536}


def say(text):
    print(f"    {text} ...", file=sys.stderr, flush=True)


def write_somewhere(servers):
    """Acknowledged by whoever serves; tries all in turn until one does."""
    while True:
        for server in servers:
            try:
                conn = server.raw(timeout=20000)
                if conn.call(z.SET_DATA, z.set_body("/failover", b"x")).err == 0:
                    conn.close()
                    return
            except (OSError, AttributeError, AssertionError):
                time.sleep(0.002)


def failover_ms(ensemble):
    """From kill -9 of the leader to the next write that somebody acknowledges."""
    leader, followers = ensemble.leader(), ensemble.followers()
    begin = time.monotonic()
    leader.kill9()
    write_somewhere(followers)
    took = (time.monotonic() - begin) * 1000
    leader.start()
    ensemble.wait_until_serving(60)
    return took


def failovers_ms(ensemble):
    return [failover_ms(ensemble) for _ in range(FAILOVERS)]


def fill(ensemble):
    count = 0
    while count < LARGE_ZNODES:
        count += load(ensemble.leader(), "create", 16, 64, seconds=5)["count"]
    return count


def restart_ms(ensemble):
    """A follower's stop and start until it serves again."""
    follower = ensemble.followers()[0]
    follower.kill9()
    begin = time.monotonic()
    follower.start()
    ensemble.wait_until_serving(120)
    return (time.monotonic() - begin) * 1000


def bench_ensembles():
    folder = Path(tempfile.mkdtemp(prefix="zkfs-bench-"))
    benches = {kind: Bench(kind, folder / kind) for kind in KINDS}
    result = {"failover_ms": {}, "large": {}}
    made = {}
    try:
        for kind in KINDS:
            benches[kind].expect_log(r" (WARN|ERROR) ")
            made[kind] = Ensemble(benches[kind], (kind,) * 3, jvm=JVM, **TICKS).start()
            conn = made[kind].leader().raw()
            conn.ok(z.CREATE, z.create_body("/failover"))
            conn.close()
        leaders = {kind: ensemble.leader() for kind, ensemble in made.items()}
        result["rows"] = bench_servers(leaders, ops=("set",), title="3 servers, {}")
        for kind, ensemble in made.items():
            say(f"fail-over, {kind}")
            result["failover_ms"][kind] = failovers_ms(ensemble)
        say(f"zkserver with {LARGE_ZNODES} znodes")
        large = made["zkserver"]
        result["large"]["znodes"] = fill(large)
        result["large"]["failover_ms"] = failovers_ms(large)
        result["large"]["restart_ms"] = restart_ms(large)
    finally:
        for ensemble in made.values():
            ensemble.close()
        for bench in benches.values():
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    return result


def print_failover_table(result):
    def shown(times):
        return f"{statistics.median(times):.0f} ms median, {max(times):.0f} ms worst of {len(times)}"

    for kind in KINDS:
        print(f"kill -9 of the leader to the next write, {kind}: {shown(result['failover_ms'][kind])}")
    large = result["large"]
    print(f"the same with {large['znodes']} znodes, zkserver: {shown(large['failover_ms'])}")
    print(f"restart of a follower with them: {large['restart_ms']:.0f} ms")
