# SPDX-License-Identifier: Apache-2.0
"""Writes whose answer is lost: the server took the request, or did not, and the connection broke. The
mount reads back what has become of it; what that cannot settle is EIO, never a guess."""
import errno
import os

import pytest

from harness import rawzk as z
from test_mount_files import fails_with, rename2

CREATES = (z.CREATE, z.CREATE2)


@pytest.fixture
def mount(tap, new_mount):
    # A session that outlives the break by far.
    return new_mount(hosts=tap.hosts)


@pytest.fixture(params=["answer lost", "request lost"])
def lose(request, tap):
    """lose(*ops): the next one of these is lost, on its way there or its answer on the way back."""
    return lambda *ops: tap.lose_answer(*ops, before=request.param == "request lost")


def test_set(mount, zk, lose):
    zk.create("/f", b"old")
    assert mount.read("f") == b"old"
    lost = lose(z.SET_DATA)
    mount.write("f", b"new")
    assert lost.is_set() and zk.get("/f")[0] == b"new"
    assert zk.get("/f")[1].version == 1, "written once"
    assert mount.read("f") == b"new"


def test_conditional_set(mount, zk, lose):
    zk.create("/f", b"old")
    fd = os.open(mount / "f", os.O_RDWR)
    assert os.read(fd, 10) == b"old"
    os.pwrite(fd, b"N", 0)
    lost = lose(z.SET_DATA)
    os.fsync(fd)
    os.close(fd)
    assert lost.is_set() and zk.get("/f")[0] == b"Nld" and zk.get("/f")[1].version == 1


def test_append(bench, mount, zk, lose):
    zk.create("/f", b"one\n")
    mount.read("f")
    lost = lose(z.SET_DATA)
    bench.sh("echo two >> f", cwd=mount.path)
    assert lost.is_set() and zk.get("/f")[0] == b"one\ntwo\n"


def test_create(mount, zk, lose):
    lost = lose(*CREATES)
    mount.write("f", b"value")
    assert lost.is_set() and zk.get("/f")[0] == b"value"


def test_exclusive_create(mount, zk, tap):
    """It is there, and nothing tells whose it is: EIO. Where nothing is there it is made."""
    lost = tap.lose_answer(*CREATES)
    fails_with(errno.EIO, os.open, mount / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert lost.is_set() and zk.exists("/f")
    lost = tap.lose_answer(*CREATES, before=True)
    os.close(os.open(mount / "g", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    assert lost.is_set() and zk.exists("/g")


def test_mkdir(mount, zk, tap):
    lost = tap.lose_answer(*CREATES, before=True)
    os.mkdir(mount / "d")
    assert lost.is_set() and (mount / "d").is_dir() and zk.exists("/d")


def test_unlink(mount, zk, lose):
    zk.create("/f", b"")
    mount.shows("f")
    lost = lose(z.DELETE)
    os.unlink(mount / "f")
    assert lost.is_set() and zk.exists("/f") is None
    assert not (mount / "f").exists()


def test_rmdir(mount, zk, lose):
    zk.create("/d", None)
    mount.shows("d")
    lost = lose(z.DELETE)
    os.rmdir(mount / "d")
    assert lost.is_set() and zk.exists("/d") is None


@pytest.mark.parametrize("over", [False, True])
def test_rename(mount, zk, lose, over):
    zk.create("/f", b"value")
    if over:
        zk.create("/g", b"other")
        mount.read("g")
    mount.read("f")
    lost = lose(z.MULTI)
    os.rename(mount / "f", mount / "g")
    assert lost.is_set() and zk.exists("/f") is None
    assert zk.get("/g")[0] == b"value" and zk.get("/g")[1].version == int(over)
    assert mount.read("g") == b"value" and not (mount / "f").exists()


def test_exchange(mount, zk, lose):
    zk.create("/f", b"F")
    zk.create("/g", b"G")
    mount.shows("f", "g")
    lost = lose(z.MULTI)
    rename2(mount / "f", mount / "g", 2)
    assert lost.is_set() and (zk.get("/f")[0], zk.get("/g")[0]) == (b"G", b"F")
    assert (mount.read("f"), mount.read("g")) == (b"G", b"F")


def test_rename_of_a_tree(mount, zk, lose):
    for path, data in [("/d", None), ("/d/f", b"1"), ("/d/e", None), ("/d/e/g", b"2")]:
        zk.create(path, data)
    mount.shows("d/e/g")
    lost = lose(z.MULTI)
    os.rename(mount / "d", mount / "moved")
    assert lost.is_set() and zk.exists("/d") is None and zk.get("/moved/e/g")[0] == b"2"


def test_scratch_file_gets_a_name(mount, zk, lose):
    mount.write("f~", b"value")
    lost = lose(z.MULTI)
    os.rename(mount / "f~", mount / "f")
    assert lost.is_set() and zk.get("/f")[0] == b"value"


def test_set_that_somebody_else_overwrote_before_it_was_read_back(mount, zk, tap):
    """Ours may have come before theirs, or have failed because of it: nothing tells."""
    zk.create("/f", b"old")
    mount.read("f")
    fd = os.open(mount / "f", os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"ours")
    lost = tap.lose_answer(z.SET_DATA, then=lambda: zk.set("/f", b"theirs"))
    fails_with(errno.EIO, os.close, fd)
    assert lost.is_set() and zk.get("/f")[0] == b"theirs"
