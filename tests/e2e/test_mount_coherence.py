# SPDX-License-Identifier: Apache-2.0
"""What a reader sees while others write: one version, the current one, by whatever way he reads; and
nothing is kept that no watch covers."""
import mmap
import os
import threading

import pytest

from harness import rawzk as z
from harness.waiting import wait_for


def watched_paths(server):
    """{path: sessions that have a data or child watch on it}, as the server sees it."""
    found, path = {}, None
    for line in server.four_letter("wchp").splitlines():
        if line.startswith("/"):
            path = line.strip()
        elif line.strip():
            found.setdefault(path, set()).add(int(line.strip(), 16))
    return found


# ---- watches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_kind", ["apache"])  # it can be asked for its watches
def test_all_that_is_cached_is_watched(server, new_mount, zk):
    """The server has a watch for everything that the mount answers without a request."""
    for path in ("/d", "/d/e"):
        zk.create(path, None)
    for path in ("/f", "/d/f", "/d/e/f", "/d/n1", "/d/n2"):
        zk.create(path, b"v")
    mount = new_mount()
    mount.shows("d/n2")
    session = mount.session_id()
    for folder, _, files in os.walk(mount / "d"):
        for name in files:
            os.stat(os.path.join(folder, name))
    mount.read("f")
    paths = watched_paths(server)
    expected = {"/", "/f", "/d", "/d/e", "/d/f", "/d/e/f", "/d/n1", "/d/n2"}
    assert expected <= {path for path, sessions in paths.items() if session in sessions}


def test_nothing_is_served_from_before_the_watch_was_lost(server, tap, new_mount, zk):
    """The session ends elsewhere, and its watches with it: what was cached is compared before it is used
    again, by stat, cat and ls alike."""
    zk.create("/d", None)
    for number in range(20):
        zk.create(f"/d/n{number}", b"old")
    mount = new_mount(hosts=tap.hosts)
    for number in range(20):
        assert mount.read(f"d/n{number}") == b"old"
    number = mount.session_id()
    tap.cut()
    conn = server.tcp()
    assert conn.connect(session=number, password=z.password_of(number)).session == number
    assert conn.call(z.CLOSE).err == 0
    for number in range(10):
        zk.set(f"/d/n{number}", b"changed")
    zk.create("/d/new", b"")
    zk.delete("/d/n19")
    tap.mend()
    wait_for("a new session", lambda: mount.session()["state"] == "connected")
    wait_for("the names", lambda: "new" in os.listdir(mount / "d"))
    for number in range(10):
        wait_for("the value", lambda n=number: mount.read(f"d/n{n}") == b"changed", seconds=2)
        assert os.stat(mount / f"d/n{number}").st_size == 7
    assert not (mount / "d" / "n19").exists()


@pytest.mark.parametrize("server_kind", ["apache"])
def test_watch_that_nobody_needs_is_not_set_again(server, new_mount, zk):
    """What the kernel has forgotten is not read again when it changes."""
    zk.create("/d", None)
    zk.create("/d/f", b"1")
    mount = new_mount()
    assert mount.read("d/f") == b"1"
    session = mount.session_id()
    assert session in watched_paths(server)["/d/f"]
    zk.delete("/d/f")
    zk.delete("/d")
    wait_for("it has gone", lambda: not (mount / "d").exists())
    wait_for("no watch is left", lambda: "/d/f" not in watched_paths(server), seconds=5)


def test_absent_names_are_cached_under_the_directory_s_watch(tap, new_mount, zk):
    zk.create("/d", None)
    zk.create("/d/f", b"")
    mount = new_mount(hosts=tap.hosts)
    assert os.listdir(mount / "d") == ["f"]
    assert not (mount / "d" / "nothing").exists()
    tap.forget()
    for _ in range(100):
        assert not (mount / "d" / "nothing").exists()
    assert tap.asked == []
    zk.create("/d/nothing", b"now it is")
    wait_for("it is there", lambda: mount.read("d/nothing") == b"now it is", seconds=2)


# ---- one version, by every way -------------------------------------------------------------------


def read_by_sendfile(path):
    source, (end, sink) = os.open(path, os.O_RDONLY), os.pipe()
    try:
        os.sendfile(sink, source, 0, 65536)
        return os.read(end, 65536)
    finally:
        for descriptor in (source, end, sink):
            os.close(descriptor)


def read_by_splice(path):
    source, (end, sink) = os.open(path, os.O_RDONLY), os.pipe()
    try:
        os.splice(source, sink, 65536)
        return os.read(end, 65536)
    finally:
        for descriptor in (source, end, sink):
            os.close(descriptor)


def read_by_mmap(path):
    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
            return bytes(mapped)


def read_directly(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 65536) as aligned:
            length = os.readv(descriptor, [aligned])
            return aligned[:length]
    finally:
        os.close(descriptor)


def read_by_copy_file_range(path):
    source = os.open(path, os.O_RDONLY)
    sink = os.memfd_create("copy")
    try:
        left = 65536
        while left and (count := os.sendfile(sink, source, None, left)):
            left -= count
        return os.pread(sink, 65536, 0)
    finally:
        os.close(source)
        os.close(sink)


READERS = [
    read_by_sendfile,
    read_by_splice,
    read_by_mmap,
    read_directly,
    read_by_copy_file_range,
]


@pytest.mark.parametrize("read", READERS, ids=lambda r: r.__name__)
def test_every_way_of_reading_sees_the_current_version(new_mount, zk, read):
    zk.create("/f", b"a" * 10_000)
    mount = new_mount()
    assert read(mount / "f") == b"a" * 10_000
    for number in range(1, 11):
        value = bytes([ord("a") + number]) * (10_000 - 500 * number)
        zk.set("/f", value)
        wait_for("the new value", lambda v=value: mount.read("f") == v)
        assert read(mount / "f") == value
        value += b"local"
        mount.write("f", value)
        assert read(mount / "f") == value


def test_truncation_is_seen_at_once_by_all(new_mount, zk):
    zk.create("/f", b"0123456789")
    here, there = new_mount("here"), new_mount("there")
    assert here.read("f") == there.read("f") == b"0123456789"
    for size in (7, 3, 5, 0):
        os.truncate(here / "f", size)
        assert os.stat(here / "f").st_size == size and len(here.read("f")) == size
        wait_for("there too", lambda s=size: len(there.read("f")) == s)
        assert os.stat(there / "f").st_size == size


def value_of(number):
    """All of one length: for others docs/fuse-mapping.md names a window."""
    return bytes([ord("a") + number % 20]) * 20_000


WHOLE = {value_of(number) for number in range(20)}


def test_readers_beside_a_local_and_a_remote_writer_never_see_a_mixture(new_mount, zk):
    """Two mounts and a client write; each read gives one of their values, whole."""
    zk.create("/f", value_of(0))
    here, there = new_mount("here"), new_mount("there")
    stop, torn, reads = threading.Event(), [], [0]

    def read_all_the_time(mount):
        while not stop.is_set():
            value = mount.read("f")
            reads[0] += 1
            if value not in WHOLE:
                torn.append(value)

    threads = [
        threading.Thread(target=read_all_the_time, args=[m]) for m in (here, here, there, there)
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 121):
            writer = (here, there, None)[number % 3]
            if writer:
                writer.write("f", value_of(number))
            else:
                zk.set("/f", value_of(number))
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not torn and reads[0] > 50
    wait_for("both agree", lambda: here.read("f") == there.read("f") == zk.get("/f")[0])


def test_open_file_that_is_deleted_is_read_to_its_end(mount, zk):
    zk.create("/f", b"x" * 200_000)
    mount.shows("f")
    with open(mount / "f", "rb", buffering=0) as file:
        assert file.read(1000) == b"x" * 1000
        zk.delete("/f")
        wait_for("it has gone", lambda: not (mount / "f").exists())
        assert len(file.readall()) == 199_000


def test_shared_mapping_of_a_reader_stays_a_version(new_mount, zk):
    """A mapping is of what was there when it was read: it does not tear, it is mapped again."""
    zk.create("/f", b"a" * 8192)
    mount = new_mount()
    with open(mount / "f", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        assert mapped[:4096] == b"a" * 4096
        zk.set("/f", b"b" * 8192)
        wait_for("the new value", lambda: read_by_mmap(mount / "f") == b"b" * 8192)
        assert len(set(mapped[:4096])) == 1
        mapped.close()
