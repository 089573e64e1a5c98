# SPDX-License-Identifier: Apache-2.0
"""poll(2) on open files, as kernfs has it: POLLPRI says that there is something new to read."""
import os
import select
import threading
import time

import pytest

from harness.waiting import wait_for

NEWS, GONE = select.POLLPRI, select.POLLPRI | select.POLLERR


@pytest.fixture
def opened():
    files = []

    def open_file(path, flags=os.O_RDONLY):
        files.append(os.open(path, flags))
        return files[-1]

    yield open_file
    for fd in files:
        os.close(fd)


def news(fd, seconds=0):
    """What poll says of a descriptor that waits for news only; 0: nothing within that time."""
    poll = select.poll()
    poll.register(fd, select.POLLPRI)
    return dict(poll.poll(seconds * 1000)).get(fd, 0)


def reread(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, 1000)


@pytest.fixture(params=["cached", "direct"])
def way(request):
    """A quiet file is read through the page cache, one that has just changed is not."""
    return request.param


@pytest.fixture
def file(mount, zk, opened, way):
    zk.create("/f", b"0")
    mount.shows("f")
    if way == "direct":
        zk.set("/f", b"0")
        wait_for("the change", lambda: os.getxattr(mount / "f", "user.zk.version") == b"1")
    fd = opened(mount / "f")
    assert reread(fd) == b"0"
    return fd


def test_wakes_on_each_change(file, zk):
    assert news(file) == 0
    for number in range(1, 20):
        begin = time.monotonic()
        value = str(number).encode()
        writer = threading.Timer(0.02, zk.set, ["/f", value])
        writer.start()
        assert news(file, 10) == NEWS and time.monotonic() - begin < 5
        writer.join()
        assert reread(file) == value
        wait_for("it is quiet again", lambda: news(file) == 0)


def test_always_ready_to_be_read_and_written(file):
    poll = select.poll()
    poll.register(file, select.POLLIN | select.POLLOUT | select.POLLPRI)
    assert poll.poll(0) == [(file, select.POLLIN | select.POLLOUT)]
    assert select.select([file], [file], [file], 0) == ([file], [file], [])


def seen(mount, zk):
    version = str(zk.get("/f")[1].version).encode()
    return os.getxattr(mount / "f", "user.zk.version") == version


def test_epoll_and_select(mount, file, zk):
    epoll = select.epoll()
    zk.set("/f", b"1")
    wait_for("the change", lambda: select.select([], [], [file], 1) == ([], [], [file]))
    reread(file)
    zk.set("/f", b"2")
    wait_for("another", lambda: seen(mount, zk))
    epoll.register(file, select.EPOLLPRI)
    for number in range(3, 10):
        assert epoll.poll(10) == [(file, select.EPOLLPRI)], "what came before the register, too"
        reread(file)
        wait_for("it is quiet again", lambda: epoll.poll(0) == [])
        zk.set("/f", str(number).encode())
    wait_for("the last", lambda: reread(file) == b"9")
    epoll.close()


def test_deleted(file, zk):
    zk.delete("/f")
    wait_for("the end", lambda: news(file, 10) == GONE)


def test_waiting_costs_no_time(file, mount):
    """No busy loop: what is told is told once, read or not."""
    before = time.process_time()
    assert news(file, 0.5) == 0
    assert time.process_time() - before < 0.2


def test_changes_of_this_mount(mount, zk, opened):
    zk.create("/f", b"0")
    mount.shows("f")
    reader, writer = opened(mount / "f"), opened(mount / "f", os.O_RDWR)
    os.write(writer, b"1")
    os.fsync(writer)
    assert news(writer) == 0, "the writer knows"
    assert news(reader, 10) == NEWS
    assert reread(reader) == b"1"
    zk.set("/f", b"2")
    assert news(writer, 10) == NEWS


def test_many_pollers(mount, zk, opened):
    zk.create("/f", b"0")
    mount.shows("f")
    files = [opened(mount / "f") for _ in range(20)]
    assert {reread(fd) for fd in files} == {b"0"}
    poll = select.poll()
    for fd in files:
        poll.register(fd, select.POLLPRI)
    assert poll.poll(0) == []
    zk.set("/f", b"1")
    woken = set()
    while len(woken) < len(files):
        told = poll.poll(10000)
        assert told, f"{len(woken)} of {len(files)} were woken"
        for fd, _ in told:
            woken.add(fd)
            assert reread(fd) == b"1"


def test_session(tap, new_mount, opened):
    mount = new_mount(hosts=tap.hosts, options=["session_timeout=1"])
    session = opened(mount / ".zk/session")
    ephemeral = opened(mount / ".zk/ephemeral/e", os.O_RDWR | os.O_CREAT)
    assert b"connected" in reread(session)
    assert news(session) == news(ephemeral) == 0
    tap.cut()
    assert news(session, 10) == NEWS
    wait_for("the state", lambda: b"state offline" in reread(session))
    assert news(ephemeral) == 0, "nobody knows yet"
    time.sleep(1.5)  # the server expires the session
    tap.mend()
    assert news(ephemeral, 20) == GONE
