# SPDX-License-Identifier: Apache-2.0
"""The harness must be able to fail: what a test leaves behind is found, named and removed."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import rawzk as z
from harness.bench import Bench, mount_table
from harness.waiting import NotComing, wait_for


@pytest.fixture
def spoilt(scratch):
    """A bench of its own, to be left in a bad state."""
    bench = Bench("spoilt", scratch / f"spoilt{sum(1 for _ in scratch.iterdir())}")
    yield bench
    bench.close()
    shutil.rmtree(bench.folder)


def test_clean_bench_has_no_complaints(spoilt):
    spoilt.spawn(["true"], "true").wait()
    assert spoilt.close() == []


def test_daemon_that_left_its_parent_is_found_and_killed(spoilt):
    spoilt.sh("setsid sleep 1000 >/dev/null 2>&1 &")
    wait_for("it runs", spoilt.tagged_pids)
    complaints = spoilt.close()
    assert (
        len(complaints) == 1 and "left running" in complaints[0] and "sleep 1000" in complaints[0]
    )
    assert spoilt.tagged_pids() == []


def test_leftover_mount_is_found_and_removed(spoilt):
    point = spoilt.path("mnt")
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    assert spoilt.close() == [f"left mounted: {point}"]
    assert str(point) not in [p for p, _, _ in mount_table()]


@pytest.mark.parametrize("line, is_bad", [
    ("2026-01-31T12:00:00.123Z WARN  net fd=3 something", True),
    ("2026-01-31T12:00:00.123Z ERROR net something", True),
    ("2026-01-31T12:00:00.123Z INFO  net WARN is only a word here", False),
    ("2026-01-31T12:00:00.123Z WARN  net foreseen", False),
    ("==123==ERROR: AddressSanitizer: heap-use-after-free", True),
    ("x.c:3:1: runtime error: signed integer overflow", True),
    ("WARNING: ThreadSanitizer: data race", True),
])  # fmt: skip
def test_unregistered_log_lines_are_found(spoilt, line, is_bad):
    spoilt.expect_log(r"WARN .*foreseen")
    spoilt.spawn(["echo", line], "program", ours=True).wait()
    assert (spoilt.close() != []) == is_bad


def test_crash_is_found(spoilt):
    spoilt.spawn(["sh", "-c", "kill -SEGV $$"], "crasher").wait()
    assert "crasher died of signal 11" in spoilt.close()


def test_core_file_is_found(spoilt):
    spoilt.path("core.123").write_bytes(b"\x7fELF...")
    assert len(spoilt.close()) == 1


def test_missing_program_fails(spoilt):
    with pytest.raises(AssertionError, match="there is no program"):
        spoilt.spawn(["/no/such/program"], "x")
    with pytest.raises(AssertionError, match="there is no program"):
        spoilt.run(["no-such-program"])


def test_failed_test_keeps_its_logs_and_says_how_to_repeat_it(spoilt):
    spoilt.spawn(["echo", "words"], "program").wait()
    kept = spoilt.keep()
    assert (kept / "program.log").read_text() == "words\n"
    script = (kept / "repro.sh").read_text()
    assert "#   echo words\n" in script and "tests/e2e/spoilt" in script
    shutil.rmtree(kept)


def test_waiting_in_vain_says_for_what():
    with pytest.raises(AssertionError, match="in vain: a miracle"):
        wait_for("a miracle", lambda: False, seconds=0.05)

    def never():
        raise NotComing("dead")

    with pytest.raises(NotComing):
        wait_for("x", never, seconds=100)


HANGING = """
import time
def test_hangs(bench):
    bench.sh("setsid sleep 1000 >/dev/null 2>&1 &")
    time.sleep(1000)
"""


def test_hanging_test_is_ended_and_cleaned_up(tmp_path):
    here = Path(__file__).parent
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(here / name, tmp_path)
    (tmp_path / "harness").symlink_to(here / "harness")
    (tmp_path / "test_x.py").write_text(HANGING)
    argv = [sys.executable, "-m", "pytest", "--timeout=1", str(tmp_path)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    env["ZKFS_E2E_KEEP"] = str(tmp_path / "kept")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=40, env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "Timeout >1.0s" in done.stdout
    assert done.stdout.count("left running") >= 1
    assert "e2e: 0 passed, 1 failed" in done.stdout
    assert len(list((tmp_path / "kept").glob("*/repro.sh"))) == 1


def test_tap_sees_requests_and_cuts_the_line(server, tap):
    conn = z.RawConn(tap.port)
    conn.connect()
    conn.ok(z.CREATE, z.create_body("/x"))
    conn.ok(z.GET_DATA, z.watched("/x"))
    conn.ping()
    assert tap.asked == [(z.CREATE, "/x"), (z.GET_DATA, "/x")]
    tap.hold()
    conn.sock.settimeout(0.3)
    conn.request(z.GET_DATA, z.watched("/x"))
    with pytest.raises(TimeoutError):
        conn.answer()
    conn.sock.settimeout(5)
    tap.release()
    assert conn.answer().err == 0
    tap.cut()
    assert conn.is_closed()
