# SPDX-License-Identifier: Apache-2.0
"""Programs that wait for changes, each in its own way, and places from which they may look."""
import ctypes
import os
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

from harness import rawzk as z
from harness.waiting import holds_for, wait_for


# ---- programs ------------------------------------------------------------------------------------


def test_entr_runs_its_command_at_each_change(bench, new_mount, zk):
    zk.create("/f", b"first")
    mount = new_mount()
    seen = bench.path("seen")
    script = f"echo {mount.path}/f | entr -n sh -c 'cat {mount.path}/f >> {seen}; echo >> {seen}'"
    entr = bench.spawn(["sh", "-c", script], "entr")
    entr.killed_by_test = True
    wait_for("it has begun", lambda: seen.exists() and seen.read_text() == "first\n")
    for number in range(3):
        # It does not see what changes while its command runs, so it is told until it looks.
        wait_for(
            "it has run",
            lambda n=number: zk.set("/f", b"value %d" % n) and f"value {n}\n" in seen.read_text(),
            pause=0.3,
        )
    os.killpg(entr.pid, signal.SIGTERM)


def test_incron_runs_its_command_at_each_change(bench, new_mount, zk):
    zk.create("/d", None)
    mount = new_mount()
    mount.shows("d")
    tables, seen = bench.path("tables"), bench.path("seen")
    tables.mkdir()
    (tables / "zk").write_text(f"{mount.path}/d IN_CLOSE_WRITE cp $@/$# {seen}\n")
    config = bench.path("incron.conf")
    users = bench.path("users")
    users.mkdir()
    config.write_text(
        f"system_table_dir = {tables}\nuser_table_dir = {users}\nlockfile_dir = {bench.folder}\n"
    )
    daemon = bench.spawn(["incrond", "-n", "-f", config], "incrond")
    try:
        # Its two folders of tables, and what the table names.
        wait_for("it watches", lambda: watches_of(daemon.pid) == 3)
        zk.create("/d/f", b"one")
        wait_for("it has run", lambda: seen.exists() and seen.read_bytes() == b"one")
        zk.set("/d/f", b"two")
        wait_for("it has run again", lambda: seen.read_bytes() == b"two")
    finally:
        daemon.terminate()


def watches_of(pid):
    """How many inotify watches a process has."""
    infos = Path(f"/proc/{pid}/fdinfo").iterdir()
    return sum(info.read_text().count("inotify wd:") for info in infos)


WATCHDOG = """
import sys, time
from watchdog.observers.inotify import InotifyObserver
from watchdog.events import FileSystemEventHandler
class Handler(FileSystemEventHandler):
    def on_any_event(self, event):
        print(event.event_type, event.src_path, flush=True)
observer = InotifyObserver()
observer.schedule(Handler(), sys.argv[1], recursive=True)
observer.start()
print("ready", flush=True)
observer.join()
"""


def test_python_watchdog(bench, new_mount, zk):
    zk.create("/d", None)
    zk.create("/d/f", b"1")
    mount = new_mount()
    argv = ["/usr/bin/python3", "-c", WATCHDOG, mount.path]
    observer = bench.spawn(argv, "watchdog")
    observer.killed_by_test = True
    wait_for("it watches", lambda: "ready" in observer.log() and watches_of(observer.pid) > 1)
    zk.set("/d/f", b"2")
    wait_for("modified", lambda: f"modified {mount.path}/d/f\n" in observer.log())
    zk.create("/d/g", b"")
    wait_for("created", lambda: f"created {mount.path}/d/g\n" in observer.log())
    zk.delete("/d/f")
    wait_for("deleted", lambda: f"deleted {mount.path}/d/f\n" in observer.log())
    observer.terminate()


def test_tail_follows_a_log_that_others_append_to(bench, new_mount, zk):
    zk.create("/log", b"line 0\n")
    mount = new_mount()
    tail = bench.spawn(["tail", "-n", "+1", "-s", "0.1", "-F", mount / "log"], "tail")
    text = b"line 0\n"
    for number in range(1, 6):
        text += b"line %d\n" % number
        zk.set("/log", text)
        wait_for("the line", lambda: tail.log().endswith(f"line {number}\n"))
    assert tail.log().encode() == text
    tail.terminate()


def test_recursive_inotifywait(mount, zk):
    for path in ("/a", "/a/b", "/a/b/c"):
        zk.create(path, None)
    zk.create("/a/b/c/f", b"1")
    mount.shows("a/b/c/f")
    watcher = mount.watch("a", recursive=True)
    zk.set("/a/b/c/f", b"2")
    watcher.wait("a/b/c/f", "CLOSE_WRITE")
    zk.create("/a/b/new", None)
    watcher.wait("a/b/new", "CREATE", "ISDIR")
    # From here on it is the race of inotifywait -r with every newcomer, as on any file system.
    wait_for(
        "it watches the new directory too",
        lambda: zk.create("/a/b/new/n", b"", sequence=True)
        and [e for e in watcher.events if e.path.startswith("a/b/new/n")],
    )
    zk.delete("/a/b/c/f")
    watcher.wait("a/b/c/f", "DELETE")


def test_a_thousand_watched_files(server, new_mount, zk):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/d", None))
    for number in range(1000):
        conn.request(z.CREATE, z.create_body(f"/d/n{number}", b"0"))
    for _ in range(1000):
        assert conn.answer().err == 0
    mount = new_mount()
    watcher = mount.watch(*(f"d/n{i}" for i in range(1000)), events=["close_write", "delete_self"])
    for number in range(0, 1000, 7):
        zk.set(f"/d/n{number}", b"1")
        watcher.wait(f"d/n{number}", "CLOSE_WRITE")
    zk.delete("/d/n500")
    watcher.wait("d/n500", "DELETE_SELF")
    assert len(watcher.events) == len(range(0, 1000, 7)) + 1


def test_path_and_all_its_ancestors_as_systemd_watches_them(mount, zk):
    """A path unit waits for something that is not there yet, one level after the other."""
    at_root = mount.watch("", events=["create", "moved_to", "attrib", "delete"])
    zk.create("/a", None)
    at_root.wait("a", "CREATE")
    at_a = mount.watch("a", events=["create", "moved_to", "attrib", "delete", "delete_self"])
    zk.create("/a/b", None)
    at_a.wait("a/b", "CREATE")
    at_b = mount.watch("a/b", events=["create", "close_write", "delete"])
    zk.create("/a/b/f", b"1")
    at_b.wait("a/b/f", "CLOSE_WRITE")
    itself = mount.watch("a/b/f", events=["close_write", "delete_self"])
    zk.set("/a/b/f", b"2")
    itself.wait("a/b/f", "CLOSE_WRITE")
    for path in ("/a/b/f", "/a/b", "/a"):
        zk.delete(path)
    itself.wait("a/b/f", "DELETE_SELF")
    at_a.wait("a", "DELETE_SELF")
    at_root.wait("a", "DELETE", "ISDIR")


# ---- fanotify ------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
FAN_CLASS_CONTENT, FAN_CLOEXEC, FAN_NONBLOCK = 0x4, 0x1, 0x2
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_OPEN_PERM, FAN_ALLOW = 0x10000, 1
EVENT = struct.Struct("=IBBHQii")


class Scanner:
    """What a virus scanner does: every open of the file system waits for its permission, for which it
    reads the file first."""

    def __init__(self, path):
        self.fd = LIBC.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY)
        flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM
        mask, name = ctypes.c_uint64(FAN_OPEN_PERM), os.fsencode(path)
        assert LIBC.fanotify_mark(self.fd, flags, mask, -1, name) == 0, ctypes.get_errno()
        self.actors = set()
        os.set_blocking(self.fd, False)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._is_over.is_set():
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                time.sleep(0.001)
                continue
            while data:
                length, _, _, _, _, file, pid = EVENT.unpack_from(data)
                data = data[length:]
                self.actors.add(pid)
                os.pread(file, 4096, 0)
                os.write(self.fd, struct.pack("=iI", file, FAN_ALLOW))
                os.close(file)

    def stop(self):
        self._is_over.set()
        self._thread.join()
        os.close(self.fd)


def test_fanotify_scanner_that_reads_all_that_is_opened(bench, new_mount, zk):
    zk.create("/f", b"0")
    mount = new_mount()
    watcher = mount.watch("", events=["close_write"])
    scanner = Scanner(mount.path)
    try:
        for number in range(1, 21):
            zk.set("/f", b"%d" % number)
            watcher.wait("f", "CLOSE_WRITE", count=number)
        assert bench.sh(f"cat {mount.path}/f") == "20"
        bench.sh(f"echo local > {mount.path}/f")
        assert zk.get("/f")[0] == b"local\n"
    finally:
        scanner.stop()
    assert len(scanner.actors) >= 2, "it was asked for the helper's opens and for the users'"


# ---- places --------------------------------------------------------------------------------------


def test_file_bound_into_another_mount_namespace_keeps_updating(bench, new_mount, zk):
    """As a container gets its configuration: a bind mount of the one file. A file that is replaced by a
    rename would stay the old one there; a znode that is set is the same file."""
    zk.create("/config", b"first\n")
    mount = new_mount()
    target = bench.path("inside")
    target.write_bytes(b"")
    script = (
        f"mount --bind {mount.path}/config {target} && cat {target} && "
        f"inotifywait -q -m -e close_write {target} | while read -r _; do cat {target}; done"
    )
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    inside = bench.spawn(argv, "inside")
    inside.killed_by_test = True
    wait_for("it reads", lambda: inside.log() == "first\n")
    wait_for("it watches", lambda: any(watches(pid) for pid in bench.tagged_pids()))
    for number in range(3):
        zk.set("/config", b"value %d\n" % number)
        wait_for("the new value is read there", lambda: inside.log().endswith(f"value {number}\n"))
    mount.write("config", b"written here\n")
    wait_for("and what is written here", lambda: inside.log().endswith("written here\n"))
    assert target.read_bytes() == b"", "outside it is not bound"
    os.killpg(inside.pid, signal.SIGTERM)
    inside.wait()


def watches(pid):
    try:
        return watches_of(pid)
    except OSError:
        return 0


def test_what_is_mounted_over_a_directory_stays_untouched(bench, new_mount, zk):
    """Changes below it are made in ZooKeeper's tree alone, and show when it is gone."""
    for path in ("/d", "/d/sub"):
        zk.create(path, None)
    mount = new_mount()
    mount.shows("d/sub")
    bench.run(["mount", "-t", "tmpfs", "tmpfs", mount / "d" / "sub"])
    try:
        (mount / "d" / "sub" / "own").write_text("tmpfs")
        watcher = mount.watch("d", events=["create", "delete"])
        zk.create("/d/sub/hidden", b"1")
        zk.set("/d/sub/hidden", b"2")
        zk.create("/d/seen", b"")
        watcher.wait("d/seen", "CREATE")
        assert holds_for(0.3, lambda: os.listdir(mount / "d" / "sub") == ["own"])
        mount.stop_watching()
    finally:
        bench.run(["umount", mount / "d" / "sub"])
    assert os.listdir(mount / "d" / "sub") == ["hidden"]
    assert mount.read("d/sub/hidden") == b"2"


def test_mount_point_that_is_mounted_over_still_hears(bench, new_mount, zk):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("f", events=["close_write"])
    bench.run(["mount", "-t", "tmpfs", "tmpfs", mount.path])
    try:
        zk.set("/f", b"2")
        watcher.wait("f", "CLOSE_WRITE")
        assert os.listdir(mount.path) == []
    finally:
        bench.run(["umount", mount.path])
    assert mount.read("f") == b"2"


# ---- floods --------------------------------------------------------------------------------------


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_flood_of_changes_loses_no_last_state_and_blocks_nobody(server, new_mount, zk):
    """20,000 sets as fast as the server takes them, and as many names that come and go."""
    zk.create("/d", None)
    zk.create("/hot", b"hot")
    for number in range(50):
        zk.create(f"/d/n{number}", b"")
    mount = new_mount()
    last = {}
    watcher = mount.watch(
        "d", events=["close_write"], on_event=lambda e: last.update({e.path: read(mount, e.path)})
    )
    before = resident_kib(mount.process.pid)
    conn, longest = server.raw(), 0.0
    for begin in range(0, 20_000, 500):
        for number in range(begin, begin + 500):
            conn.request(z.SET_DATA, z.set_body(f"/d/n{number % 50}", b"%d" % number))
            if number % 4 == 0:
                conn.request(z.CREATE, z.create_body(f"/d/x{number}", b""))
                conn.request(z.DELETE, z.versioned(f"/d/x{number}"))
        for number in range(begin, begin + 500 + 250):
            assert conn.answer().err == 0
        started = time.monotonic()
        assert mount.read("hot") == b"hot"
        longest = max(longest, time.monotonic() - started)
    values = {f"d/n{n % 50}": b"%d" % n for n in range(19_950, 20_000)}
    wait_for("the last states", lambda: all(last.get(n) == v for n, v in values.items()), 20)
    assert sorted(os.listdir(mount / "d")) == sorted(f"n{n}" for n in range(50))
    assert longest < 2
    assert resident_kib(mount.process.pid) - before < 64 * 1024
    assert watcher.events


def read(mount, name):
    try:
        return mount.read(name)
    except OSError as error:
        return error
