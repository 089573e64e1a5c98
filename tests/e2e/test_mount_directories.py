# SPDX-License-Identifier: Apache-2.0
"""Directories: large ones, ones that change while they are listed, and names that are odd."""
import os
import shutil
import threading
import time

import pytest

from harness import rawzk as z
from harness.waiting import wait_for


def create_children(server, path, count, value=b"0"):
    """path/n0 ... by one client, in bursts."""
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body(path, None))
    for begin in range(0, count, 500):
        numbers = range(begin, min(count, begin + 500))
        for number in numbers:
            conn.request(z.CREATE, z.create_body(f"{path}/n{number}", value))
        for _ in numbers:
            assert conn.answer().err == 0
    conn.close()


def names(count):
    return {f"n{number}" for number in range(count)}


# ---- large ones ----------------------------------------------------------------------------------


@pytest.mark.own_server()
@pytest.mark.timeout(120)
def test_a_hundred_thousand_children(bench, server, new_mount, zk, measure):
    """Listed with all attributes while others go on with their files."""
    count = 100_000 if server.kind == "zkserver" else 30_000  # a JVM this small takes its time
    zk.create("/hot", b"hot")
    create_children(server, "/big", count)
    mount = new_mount()
    assert mount.read("hot") == b"hot"
    longest, is_over = [0.0], threading.Event()

    def use_another_file():
        while not is_over.is_set():
            begin = time.monotonic()
            assert mount.read("hot") == b"hot"
            longest[0] = max(longest[0], time.monotonic() - begin)
            time.sleep(0.005)

    other = threading.Thread(target=use_another_file)
    other.start()
    try:
        output = measure.run(f"ls -l of {count} cold entries", bench, f"ls -l {mount.path}/big")
    finally:
        is_over.set()
        other.join()
    lines = output.splitlines()[1:]
    assert {line.split()[-1] for line in lines} == names(count)
    assert {line.split()[0] for line in lines} == {"-rw-r--r--"}
    assert {line.split()[4] for line in lines} == {"1"}
    assert longest[0] < 2, "another user's read took that long"


def test_ten_thousand_cold_entries(bench, server, new_mount, measure):
    create_children(server, "/big", 10_000)
    mount = new_mount()
    output = measure.run("ls -l of 10,000 cold entries", bench, f"ls -l {mount.path}/big")
    assert len(output.splitlines()) == 10_001


@pytest.mark.parametrize("watched", [10, 10_000], ids=["too many to watch", "all watched"])
def test_listing_takes_a_few_round_trips_and_not_one_for_each_entry(
    server, tap, new_mount, watched
):
    create_children(server, "/d", 2000)
    mount = new_mount(hosts=tap.hosts, options=[f"child_watches={watched}"])
    tap.delay = 0.05
    begin = time.monotonic()
    assert {e.name for e in os.scandir(mount / "d") if e.stat().st_size == 1} == names(2000)
    assert time.monotonic() - begin < 2000 * 0.05 / 4


# ---- ones that change while they are listed -----------------------------------------------------


def test_what_stays_is_listed_once_whatever_comes_and_goes(server, new_mount, zk):
    create_children(server, "/d", 3000)
    mount = new_mount()
    listed = []
    for number, entry in enumerate(os.scandir(mount / "d")):
        listed.append(entry.name)
        if number % 10 == 0:
            gone = number // 10
            zk.delete(f"/d/n{gone}")
            zk.create(f"/d/new{gone}", b"")
    assert len(set(listed)) == len(listed), "no name twice"
    stayed = names(3000) - {f"n{gone}" for gone in range(300)}
    assert stayed <= set(listed) <= names(3000) | {f"new{gone}" for gone in range(300)}
    expected = stayed | {f"new{gone}" for gone in range(300)}
    wait_for("a new listing", lambda: set(os.listdir(mount / "d")) == expected)


def test_rewinddir_shows_what_is_there_now(mount, zk):
    zk.create("/d", None)
    zk.create("/d/old", b"")
    mount.shows("d/old")
    descriptor = os.open(mount / "d", os.O_RDONLY)
    try:
        assert os.listdir(descriptor) == ["old"]
        zk.create("/d/new", b"")
        zk.delete("/d/old")
        os.mkdir(mount / "d" / "mine")
        wait_for("the new names", lambda: sorted(os.listdir(descriptor)) == ["mine", "new"])
    finally:
        os.close(descriptor)


def test_removed_while_it_is_listed(bench, server, new_mount, zk):
    """As rm -r does it; nothing is left out because its neighbour has gone."""
    create_children(server, "/d", 1000)
    create_children(server, "/d/sub", 100)
    mount = new_mount()
    bench.run(["rm", "-r", mount / "d"])
    assert zk.exists("/d") is None
    create_children(server, "/e", 300)
    mount.shows("e/n299")
    for entry in os.scandir(mount / "e"):
        os.unlink(entry.path)
    os.rmdir(mount / "e")
    assert zk.exists("/e") is None


def test_open_directory_that_is_deleted(mount, zk):
    zk.create("/d", None)
    zk.create("/d/f", b"")
    mount.shows("d/f")
    with os.scandir(mount / "d") as entries:
        zk.delete("/d/f")
        zk.delete("/d")
        wait_for("it has gone", lambda: not (mount / "d").exists())
        assert [e.name for e in entries] in ([], ["f"])


# ---- what is a directory ------------------------------------------------------------------------


def test_file_becomes_a_directory_and_for_others_a_file_again(bench, new_mount, zk):
    """A directory that has lost its last child stays one for the kernel that has seen it as one."""
    zk.create("/x", b"data")
    mount = new_mount("first")
    number = os.stat(mount / "x").st_ino
    assert mount.read("x") == b"data"
    zk.create("/x/child", b"")
    wait_for("a directory", lambda: (mount / "x").is_dir())
    assert os.stat(mount / "x").st_ino != number
    assert mount.read("x/.zk/data") == b"data"
    watcher = mount.watch("x", events=["create", "delete"])
    zk.delete("/x/child")
    watcher.wait("x/child", "DELETE")
    assert os.listdir(mount / "x") == []
    zk.create("/x/again", b"")
    watcher.wait("x/again", "CREATE")
    zk.delete("/x/again")
    watcher.wait("x/again", "DELETE")
    assert new_mount("second").read("x") == b"data"


def test_a_new_child_of_an_empty_directory_and_its_end_many_times(mount, zk):
    zk.create("/services", None)
    mount.shows("services")
    number = os.stat(mount / "services").st_ino
    watcher = mount.watch("services", events=["create", "delete"])
    for count in range(1, 21):
        zk.create("/services/one", b"10.0.0.1")
        watcher.wait("services/one", "CREATE", count=count)
        zk.delete("/services/one")
        watcher.wait("services/one", "DELETE", count=count)
    assert os.stat(mount / "services").st_ino == number


# ---- names ---------------------------------------------------------------------------------------

ODD_NAMES = [
    *(" ", "two words", " leading", "trailing ", "..data", "...", ".hidden", "-rf", "*", "a\\b"),
    *("$(reboot)", "`id`", "'", '"', "#a", "~a", "%2F", "a:b", "zażółć", "日本語", "e\u0301", "é"),
    "x" * 255,
]


def test_odd_names_both_ways(bench, new_mount, zk):
    zk.create("/odd", None)
    mount = new_mount()
    for name in ODD_NAMES[::2]:
        zk.create(f"/odd/{name}", name.encode())
    for name in ODD_NAMES[1::2]:
        mount.write(f"odd/{name}", name.encode())
    wait_for("all are listed", lambda: sorted(os.listdir(mount / "odd")) == sorted(ODD_NAMES))
    assert sorted(zk.get_children("/odd")) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert mount.read(f"odd/{name}") == name.encode()
        assert zk.get(f"/odd/{name}")[0] == name.encode()
    copy = bench.path("copy")
    bench.run(["cp", "-r", mount / "odd", copy])
    assert sorted(os.listdir(copy)) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        os.unlink(mount / "odd" / name)
    assert zk.get_children("/odd") == []


def test_a_znode_called_as_the_control_directory(new_mount, zk):
    """It is hidden by the one that every directory has; another name for that shows it."""
    zk.create("/d", None)
    zk.create("/d/.zk", b"mine")
    zk.create("/d/f", b"")
    assert os.listdir(new_mount("hides") / "d") == ["f"]
    mount = new_mount("shows", options=["control_name=.control"])
    assert sorted(os.listdir(mount / "d")) == [".zk", "f"]
    assert mount.read("d/.zk") == b"mine"
    assert (mount / "d" / ".control" / "stat").exists()


def test_deep_directories(bench, mount, zk):
    path = ""
    for depth in range(100):
        path += f"/d{depth}"
        os.mkdir(f"{mount.path}{path}")
    mount.write(f"{path[1:]}/leaf", b"deep")
    assert zk.get(f"{path}/leaf")[0] == b"deep"
    assert len(bench.sh(f"find {mount.path}/d0").splitlines()) == 101
    shutil.rmtree(mount / "d0")
    assert zk.get_children("/") == ["zookeeper"]
