# SPDX-License-Identifier: Apache-2.0
"""Copies and big directories: what people do to files, and the value it must leave behind.
test_mount_scratch.py has the editors."""
import os
import threading

import pytest

from harness.waiting import wait_for
from test_mount_events import create_children


@pytest.fixture
def config(zk, mount):
    """A directory with one configuration file."""
    zk.create("/etc", None)
    zk.create("/etc/app.conf", b"colour=red\nsize=1\n")
    mount.shows("etc/app.conf")
    return mount / "etc"


def is_saved(zk, expected):
    """The value arrived, and nothing else was left in the tree."""
    assert zk.get("/etc/app.conf")[0] == expected
    assert zk.get_children("/etc") == ["app.conf"]


SAVES = {
    "cp": "cp new app.conf",
    "cp -p": "cp -p new app.conf",
    "cp --remove-destination": "cp --remove-destination new app.conf",
    "mv from outside": "mv new app.conf",
    "mv within": "cp new .app.conf.new && mv .app.conf.new app.conf",
    "install": "install -m 644 new app.conf",
    "tee": "tee app.conf < new > /dev/null",
    "dd": "dd if=new of=app.conf bs=3 status=none",
    "rsync": "rsync -a new app.conf",
    "rsync --inplace": "rsync -a --inplace new app.conf",
    "python atomic": 'python3 -c \'import os; d=open("new").read(); f=open("t.tmp","w");'
    " f.write(d);"
    ' f.flush(); os.fsync(f.fileno()); f.close(); os.replace("t.tmp","app.conf")\'',
}


@pytest.mark.parametrize("script", SAVES.values(), ids=SAVES.keys())
def test_copies_and_saves(bench, zk, config, script):
    new = bench.path("new")
    new.write_bytes(b"colour=blue\n" * 50)
    bench.sh(script.replace("new", str(new), 1), cwd=config)
    is_saved(zk, b"colour=blue\n" * 50)


def test_copy_of_a_tree_there_and_back(bench, mount, zk):
    source = bench.path("tree")
    for number in range(20):
        (source / f"d{number % 4}" / f"sub{number}").mkdir(parents=True)
        (source / f"d{number % 4}" / f"sub{number}" / "f").write_bytes(os.urandom(number * 100))
    bench.sh(
        f"cp -r {source} {mount.path}/tree && cp -r {mount.path}/tree back && diff -r tree back"
    )
    bench.sh(f"rm -r {mount.path}/tree")
    assert set(zk.get_children("/")) == {"zookeeper"}


@pytest.mark.timeout(120)
def test_reader_during_10000_remote_overwrites(mount, zk):
    overwrite_and_read(mount, zk, 10_000, lambda number: zk.set_async("/f", value_of(number)).get)


@pytest.mark.timeout(120)
def test_reader_during_3000_local_overwrites(mount, zk):
    def write(number):
        mount.write("f", value_of(number))
        return lambda: None

    overwrite_and_read(mount, zk, 3_000, write)


def value_of(number):
    """Values of different lengths, each of one letter only."""
    return b"abcdefghijklmnopqrstuvwxyz"[number % 26 : number % 26 + 1] * (1 + number * 37 % 9000)


def overwrite_and_read(mount, zk, count, write):
    """write(number) starts a write and gives what waits for its end."""
    zk.create("/f", value_of(0))
    valid = {value_of(number) for number in range(count)}
    stop, bad, reads = threading.Event(), [], [0]

    def read():
        while not stop.is_set():
            value = mount.read("f")
            reads[0] += 1
            if value not in valid:
                bad.append((len(value), sorted(set(value))))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    pending = []
    for number in range(count):
        pending.append(write(number))
        if len(pending) == 16:
            pending.pop(0)()
    for finish in pending:
        finish()
    wait_for("the last value", lambda: mount.read("f") == value_of(count - 1))
    stop.set()
    for reader in readers:
        reader.join(10)
    assert bad == []
    assert reads[0] > 100, f"only {reads[0]} reads"


@pytest.mark.timeout(120)
def test_10000_children(bench, server, mount, measure):
    create_children(server, "/big", 10_000)
    assert (
        len(measure.run("ls, 10,000 cold children", bench, f"ls {mount.path}/big").split())
        == 10_000
    )
    listing = measure.run("ls -l, 10,000 children", bench, f"ls -l {mount.path}/big")
    assert len(listing.splitlines()) == 10_001
    assert all(line.split()[4] == "1" for line in listing.splitlines()[1:])
    found = measure.run("find -type f, 10,000 children", bench, f"find {mount.path}/big -type f")
    assert len(found.split()) == 10_000
    measure.run("cat of 1,000 of them", bench, f"cat {mount.path}/big/n1* | wc -c")
    measure.run("rm of 111 of them", bench, f"cd {mount.path}/big && rm n1?? n1? n1")
    assert len(server.client().get_children("/big")) == 10_000 - 111
