# SPDX-License-Identifier: Apache-2.0
"""inotifywait -m as a list: what a user of inotify-tools would see, in the order he would see
it."""
import subprocess
import threading
import time
from collections import namedtuple

from .waiting import wait_for

# path: relative to the mount, with the name of the child; flags: such as {"CREATE", "ISDIR"}
Seen = namedtuple("Seen", "path flags at")


class Inotify:
    """Watches paths of a mount until stop(). on_event(seen) runs at the moment of arrival."""

    def __init__(self, bench, root, paths, events=(), recursive=False, on_event=None):
        self.root = str(root)
        self.events = []
        self._on_event = on_event
        argv = ["inotifywait", "-m", "--format", "%w%f|%e"] + (["-r"] if recursive else [])
        for event in events:
            argv += ["-e", event]
        argv += [str(p) for p in paths]
        bench.commands.append(argv)
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=bench.environment(),
            start_new_session=True,
        )
        self._established = threading.Event()
        self._messages = []
        self._threads = [
            threading.Thread(target=self._read_messages, daemon=True),
            threading.Thread(target=self._read_events, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        assert self._established.wait(20), f"no watch on {paths}: {self._messages}"

    def _read_messages(self):
        for line in self._process.stderr:
            self._messages.append(line)
            if line.startswith("Watches established"):
                self._established.set()

    def _read_events(self):
        for line in self._process.stdout:
            path, _, flags = line.rstrip("\n").rpartition("|")
            if path.startswith(self.root):
                path = path[len(self.root) :].strip("/")
            seen = Seen(path, frozenset(flags.split(",")), time.monotonic())
            if self._on_event:
                self._on_event(seen)
            self.events.append(seen)

    def stop(self):
        self._process.terminate()
        self._process.wait(10)
        for thread in self._threads:
            thread.join(10)

    # ---- questions ---------------------------------------------------------------------------

    def of(self, path, *flags):
        """The events of one path that carry all these flags."""
        return [e for e in list(self.events) if e.path == path and set(flags) <= e.flags]

    def of_kind(self, flag):
        """The events of all paths that carry this flag."""
        return [e for e in list(self.events) if flag in e.flags]

    def kinds(self, path):
        """The flags of one path's events in order, one text an event: "CREATE", "OPEN", ..."""
        return [",".join(sorted(e.flags)) for e in list(self.events) if e.path == path]

    def wait(self, path, *flags, count=1, seconds=10):
        """Waits for the count-th such event and returns it."""
        wait_for(
            lambda: f"{count} x {flags} on '{path}'; seen: {self.story()}",
            lambda: len(self.of(path, *flags)) >= count,
            seconds,
        )
        return self.of(path, *flags)[count - 1]

    def story(self):
        return [f"{e.path}:{','.join(sorted(e.flags))}" for e in list(self.events)]
