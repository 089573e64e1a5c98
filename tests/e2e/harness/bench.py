# SPDX-License-Identifier: Apache-2.0
"""One test's place in the world: its directory, its processes, its mounts, its logs. When the
test ends the bench looks for everything that should not be there any more, removes it, and says
so."""
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .waiting import wait_for

REPO = Path(__file__).resolve().parents[3]
# The programs under test; another build is chosen with ZKFS_BIN=build/asan/bin.
BIN = Path(os.environ.get("ZKFS_BIN", REPO / "build" / "bin")).resolve()
ZKSERVER = BIN / "zkserver"
ZKFS = BIN / "zkfs"
KEPT = Path(os.environ.get("ZKFS_E2E_KEEP", REPO / "build" / "e2e"))

# Every process of a test inherits this variable: daemons that left their parent are found by it.
TAG = "ZKFS_E2E"

SUSPICIOUS = re.compile(
    r"^\S+ (WARN|ERROR)\b|AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|assert"
)


def mount_table():
    """(mount point, device minor, type) of every mount of this machine."""
    rows = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        fields = left.split()
        point = fields[4].encode().decode("unicode_escape")
        rows.append((point, int(fields[2].split(":")[1]), right.split()[0]))
    return rows


def fuse_control():
    """The folder of fusectl, mounted if this machine has not done so."""
    folder = Path("/sys/fs/fuse/connections")
    if ("/sys/fs/fuse/connections", "fusectl") not in [(p, t) for p, _, t in mount_table()]:
        subprocess.run(["mount", "-t", "fusectl", "fusectl", folder], check=False)
    return folder


# What a program may say about a line that the test broke on purpose.
BROKEN_LINE = r" WARN .*(connect|session|server|time)"


def _hear_interrupts():
    """A shell that starts the tests in the background lets them, and all they start, ignore ^C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Process:
    """A program that a test started and will see the end of."""

    def __init__(self, bench, argv, name, popen, log_path, ours):
        self.bench, self.argv, self.name = bench, argv, name
        self.popen, self.log_path, self.ours = popen, log_path, ours
        self.killed_by_test = False

    @property
    def pid(self):
        return self.popen.pid

    def is_running(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait(self, seconds=15):
        """Its exit status; fails if it does not end."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds} s") from None

    def signal(self, number):
        self.popen.send_signal(number)

    def terminate(self, seconds=15):
        """Asks it to stop and returns its exit status."""
        self.killed_by_test = True
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill9(self):
        self.killed_by_test = True
        if self.is_running():
            self.signal(signal.SIGKILL)
        return self.wait()

    def crashed(self):
        code = self.popen.poll()
        return code is not None and code < 0 and not self.killed_by_test


class Bench:
    def __init__(self, name, folder):
        self.name = name
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.kept = KEPT / re.sub(r"[^\w.-]+", "_", name).strip("_")
        shutil.rmtree(self.kept, ignore_errors=True)  # of an earlier run
        self.token = secrets.token_hex(8)
        self.processes = []
        self.commands = []
        self.expected = []
        self.watched_logs = (
            []
        )  # (path, offset): logs of shared programs, from where this test began

    def path(self, *parts):
        return self.folder.joinpath(*parts)

    def environment(self, extra=None):
        not_ours = ("PYTEST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
        env = {k: v for k, v in os.environ.items() if not k.startswith(not_ours)}
        env.update(
            {
                TAG: self.token,
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
                # A library that asks for too much is to be told so, as malloc would.
                "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:verify_asan_link_order=0"
                ":allocator_may_return_null=1",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            }
        )
        env.update(extra or {})
        return env

    def spawn(self, argv, name, ours=False, env=None, cwd=None):
        """Starts a program with its output in a log of its own."""
        argv = [str(a) for a in argv]
        if not shutil.which(argv[0]):
            raise AssertionError(f"there is no program {argv[0]}: build it first (make)")
        before = sum(1 for p in self.processes if p.name == name)
        log_path = self.path(f"{name}.{before + 1}.log" if before else f"{name}.log")
        self.commands.append(argv)
        with open(log_path, "ab") as log:
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(env),
                cwd=cwd or self.folder,
                start_new_session=True,
                preexec_fn=_hear_interrupts,
            )
        process = Process(self, argv, name, popen, log_path, ours)
        self.processes.append(process)
        return process

    def run(self, argv, seconds=20, stdin="", env=None, cwd=None, check=True, shell=False):
        """Runs a program to its end. With check, a bad exit status fails the test with its
        output."""
        shown = argv if shell else [str(a) for a in argv]
        if not shell and not shutil.which(shown[0]):
            raise AssertionError(f"there is no program {shown[0]}")
        self.commands.append(["sh", "-c", shown] if shell else shown)
        popen = subprocess.Popen(
            shown,
            shell=shell,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=self.environment(env),
            cwd=cwd or self.folder,
            start_new_session=True,
            preexec_fn=_hear_interrupts,
        )
        try:
            out, err = popen.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            out, err = popen.communicate()
            raise AssertionError(f"{shown} did not end within {seconds} s\n{out}\n{err}") from None
        done = subprocess.CompletedProcess(shown, popen.returncode, out, err)
        if check and done.returncode != 0:
            raise AssertionError(f"{shown} ended with {done.returncode}\n{out}\n{err}")
        return done

    def sh(self, script, **kw):
        """Runs a line of shell and returns what it printed."""
        return self.run(script, shell=True, **kw).stdout

    def expect_log(self, *patterns):
        """Registers WARN and ERROR lines (regular expressions) that belong to this test."""
        self.expected += [re.compile(p) for p in patterns]

    def watch_log(self, path):
        """Looks at what a program that outlives this test writes into its log during the test."""
        self.watched_logs.append((Path(path), Path(path).stat().st_size))

    # ---- the end of a test ----------------------------------------------------------------------

    def own_mounts(self):
        prefix = f"{self.folder}/"
        return [(p, minor, t) for p, minor, t in mount_table() if p.startswith(prefix)]

    def process_states(self):
        """The state letter of each process of this test; D: it cannot be killed."""
        states = {}
        for pid in self.tagged_pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                states[pid] = stat.rpartition(")")[2].split()[0]
            except OSError:
                continue
        return states

    def tagged_pids(self):
        """Processes of this test, also those that became daemons."""
        needle = f"{TAG}={self.token}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found.append(int(entry.name))
            except OSError:
                continue
        return found

    def abort_mounts(self):
        """Makes every request that hangs in a mount of this test fail. Safe from any thread."""
        for _, minor, fstype in self.own_mounts():
            if fstype.startswith("fuse"):
                try:
                    (fuse_control() / str(minor) / "abort").write_text("1")
                except OSError:
                    pass

    def emergency(self):
        """The test hangs: nothing it waits for shall be able to hold it any longer."""
        self.abort_mounts()
        for pid in self.tagged_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def close(self):
        """Removes everything. Returns what the test should not have left, a sentence each."""
        complaints = self._leftover_mounts() + self._leftover_processes()
        complaints += [
            f"{p.name} died of signal {-p.popen.poll()}" for p in self.processes if p.crashed()
        ]
        complaints += [f"core file {c}" for c in self.folder.rglob("core*") if _is_core(c)]
        complaints += self._bad_log_lines()
        return complaints

    def _leftover_mounts(self):
        complaints = []
        for point, _, _ in reversed(self.own_mounts()):
            complaints.append(f"left mounted: {point}")
        if complaints:
            self.abort_mounts()
            for point, _, _ in reversed(self.own_mounts()):
                subprocess.run(["umount", "-l", point], check=False)
        return complaints

    def _leftover_processes(self):
        # A helper may be a moment behind the program it belongs to.
        deadline = time.monotonic() + 2
        while self.tagged_pids() and time.monotonic() < deadline:
            time.sleep(0.01)
        complaints = []
        for pid in self.tagged_pids():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            complaints.append(f"left running: {pid} {command}")
            os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            if process.is_running():
                process.popen.kill()
                process.killed_by_test = True
            process.popen.wait()
        if complaints:
            wait_for("the killed processes end", lambda: not self.tagged_pids())
        return complaints

    def _bad_log_lines(self):
        logs = {p.log_path: 0 for p in self.processes if p.ours}
        logs.update(dict(self.watched_logs))
        complaints = []
        for path, offset in logs.items():
            with open(path, errors="replace") as log:
                log.seek(offset)
                for line in log:
                    if SUSPICIOUS.search(line) and not any(e.search(line) for e in self.expected):
                        complaints.append(f"{path.name}: {line.rstrip()}")
        return complaints[:20]

    def keep(self):
        """Saves logs and small files of a failed test and writes how to run it again."""
        target = self.kept
        target.mkdir(parents=True)
        for file in self.folder.rglob("*"):
            try:
                if file.is_file() and file.stat().st_size < 4 << 20:
                    copy = target / file.relative_to(self.folder)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, copy)
            except OSError:
                continue
        started = "\n".join(f"#   {shlex.join(argv)}" for argv in self.commands)
        script = target / "repro.sh"
        script.write_text(
            "#!/bin/sh\n# Runs this test again. It started:\n"
            f"{started}\ncd {shlex.quote(str(REPO))} || exit 1\n"
            "exec /usr/bin/python3 -m pytest -c tests/e2e/pytest.ini "
            f"{shlex.quote('tests/e2e/' + self.name)}\n"
        )
        script.chmod(0o755)
        return target


def _is_core(path):
    try:
        return path.is_file() and path.open("rb").read(4) == b"\x7fELF"
    except OSError:
        return False
