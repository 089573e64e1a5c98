# SPDX-License-Identifier: Apache-2.0
"""A running zkfs on a mount point of its own."""
import os
import subprocess
from pathlib import Path

from .bench import ZKFS, mount_table
from .inotify import Inotify
from .servers import LOOPBACK
from .waiting import NotComing, wait_for


class Mount:
    def __init__(self, bench, hosts, name="mnt", options=(), arguments=(), host=LOOPBACK):
        self.bench, self.hosts, self.name, self.host = bench, hosts, name, host
        self.options, self.arguments = list(options), list(arguments)
        self.path = bench.path(name)
        self.path.mkdir(exist_ok=True)
        self.process = None
        self._watchers = []

    def command(self):
        argv = (
            [*self.host.prefix, ZKFS, "-f"]
            + self.arguments
            + ([self.hosts] if self.hosts else [])
            + [self.path]
        )
        return argv + (["-o", ",".join(self.options)] if self.options else [])

    def start(self):
        self.process = self.bench.spawn(self.command(), f"zkfs-{self.name}", ours=True)
        wait_for(self._why_not, self.answers, seconds=20)
        return self

    def _why_not(self):
        return f"zkfs does not answer at {self.path}:\n{self.process.log()[-2000:]}"

    def is_mounted(self):
        return any(point == str(self.path) for point, _, _ in mount_table())

    def answers(self):
        """Whether it is ready by its own word (before that no events are raised) and in deed. Asked
        in another process: a mount that does not answer must not hold the test."""
        if not self.process.is_running():
            raise NotComing(f"zkfs ended:\n{self.process.log()[-2000:]}")
        if not self.is_mounted() or " mounted on " not in self.process.log():
            return False
        stat = ["timeout", "-s", "KILL", "5", "stat", "-t", str(self.path)]
        return (
            subprocess.run(stat, capture_output=True, env=self.bench.environment()).returncode == 0
        )

    def unmount(self):
        """Unmounts and waits for the daemon's own end; its exit status."""
        self.stop_watching()
        self.process.killed_by_test = True
        wait_for(
            f"{self.path} can be unmounted",
            lambda: subprocess.run(["umount", self.path], capture_output=True).returncode == 0
            or not self.is_mounted(),
        )
        return self.process.wait()

    def kill9(self):
        self.process.kill9()

    def remove_dead(self):
        """After the daemon was killed: auto_unmount takes the mount away, or else the user does."""
        self.stop_watching()
        if "no_auto_unmount" in self.options:
            self.bench.run(["fusermount3", "-u", self.path])
        wait_for("the dead mount is removed", lambda: not self.is_mounted())

    def close(self):
        """The end of a test: never fails, leaves the rest to the bench's search."""
        self.stop_watching()
        if self.process and self.process.is_running() and self.is_mounted():
            done = subprocess.run(
                ["timeout", "-s", "KILL", "10", "umount", self.path], capture_output=True, text=True
            )
            if done.returncode != 0:
                return
            self.process.killed_by_test = True
            self.process.wait()

    def shows(self, *names):
        """Waits until names that another client has just created are there."""
        for name in names:
            wait_for(f"{self.name} shows {name}", lambda n=name: os.path.lexists(self.path / n), 5)

    # ---- the file system ------------------------------------------------------------------------

    def __truediv__(self, name):
        return self.path / name

    def read(self, name):
        return Path(self.path / name).read_bytes()

    def write(self, name, data):
        Path(self.path / name).write_bytes(data)

    def session(self):
        """.zk/session as a dictionary."""
        lines = (self.path / ".zk" / "session").read_text().splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def session_id(self):
        return int(self.session()["session"], 16)

    def watch(self, *names, **options):
        """inotifywait -m on names of this mount ("" is the root)."""
        watcher = Inotify(self.bench, self.path, [self.path / n for n in names], **options)
        self._watchers.append(watcher)
        return watcher

    def stop_watching(self):
        for watcher in self._watchers:
            watcher.stop()
        self._watchers = []
