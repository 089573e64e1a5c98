# SPDX-License-Identifier: Apache-2.0
"""tests/posix/calls.py on a mount, on a local file system as its own test, and beside docs/posix.md."""
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = PROJECT / "tests/posix/calls.py"


def run(*arguments):
    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def failures(result):
    return [line for line in result.stdout.splitlines() if line.startswith("FAIL")]


def test_mount(mount):
    result = run(mount.path)
    assert failures(result) == [] and result.returncode == 0, result.stderr


def test_checks_are_right_on_a_local_file_system(bench):
    folder = bench.path("local")
    folder.mkdir()
    result = run("--local", folder)
    assert failures(result) == [] and result.returncode == 0, result.stderr


def test_document_is_the_programs_output():
    lines = (PROJECT / "docs/posix.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert rows == run("--markdown").stdout.splitlines()
