# SPDX-License-Identifier: Apache-2.0
"""Renames of directories, of what has an ACL, of what belongs to somebody, and what is refused.
test_mount_files.py has the plain ones, test_mount_lost.py those whose answer is lost."""
import errno
import fcntl
import os

from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from harness.txnlog import read_changes
from harness.waiting import wait_for
from test_mount_files import fails_with, rename2

TREE = [
    ("/d", None),
    ("/d/f", b"1"),
    ("/d/empty", b""),
    ("/d/sub", b"a directory's own data"),
    ("/d/sub/deep", None),
    ("/d/sub/deep/g", b"2" * 5000),
]


def make_tree(zk, mount):
    for path, data in TREE:
        zk.create(path, data)
    mount.shows("d/sub/deep/g", "d/f", "d/empty")


def read_tree(zk, top):
    """{path below top: data}"""
    found, todo = {}, [top]
    while todo:
        path = todo.pop()
        found[path[len(top) :]] = zk.get(path)[0]
        todo += [f"{path}/{name}" for name in zk.get_children(path)]
    return found


WHOLE = {path[2:]: data for path, data in TREE}


def test_directory_is_renamed_in_one_multi(server, mount, zk):
    make_tree(zk, mount)
    zk.set_acls("/d/f", [make_digest_acl("bob", "pw", all=True)] + OPEN_ACL_UNSAFE)
    acls = zk.get_acls("/d/f")[0]
    assert mount.read("d/f") == b"1"
    before = read_changes(server)[-1].zxid
    os.rename(mount / "d", mount / "moved")
    assert zk.exists("/d") is None and read_tree(zk, "/moved") == WHOLE
    assert zk.get_acls("/moved/f")[0] == acls
    log = read_changes(server, after=before)
    assert len({txn.zxid for txn in log}) == 1 and len(log) == 2 * len(TREE)
    assert mount.read("moved/sub/deep/g") == b"2" * 5000
    assert sorted(os.listdir(mount / "moved")) == ["empty", "f", "sub"]


def test_what_is_open_and_watched_below_a_renamed_directory_goes_on(mount, zk):
    make_tree(zk, mount)
    with open(mount / "d/f", "r+b", buffering=0) as file:
        assert file.read() == b"1"
        watcher = mount.watch("d/sub/deep")
        os.rename(mount / "d", mount / "moved")
        file.write(b"!")
        os.fsync(file.fileno())
    assert zk.get("/moved/f")[0] == b"1!"
    zk.set("/moved/sub/deep/g", b"by another")
    watcher.wait("d/sub/deep/g", "MODIFY")
    assert mount.read("moved/sub/deep/g") == b"by another"
    zk.create("/moved/sub/deep/new", b"")
    watcher.wait("d/sub/deep/new", "CREATE")
    wait_for("a new name", lambda: "new" in os.listdir(mount / "moved/sub/deep"))


def test_directory_over_an_empty_directory(mount, zk):
    make_tree(zk, mount)
    zk.create("/target", None)
    zk.create("/full", None)
    zk.create("/full/x", b"")
    mount.shows("target", "full/x")
    fails_with(errno.ENOTEMPTY, os.rename, mount / "d", mount / "full")
    fails_with(errno.EEXIST, rename2, mount / "d", mount / "target", 1)
    os.rename(mount / "d", mount / "target")
    assert read_tree(zk, "/target") == WHOLE and zk.exists("/d") is None
    assert zk.get_children("/full") == ["x"]


def test_directory_into_itself_and_other_refusals(mount, zk):
    make_tree(zk, mount)
    zk.create("/file", b"")
    mount.shows("file")
    fails_with(errno.EINVAL, os.rename, mount / "d", mount / "d/sub/d")
    fails_with(errno.ENOTEMPTY, os.rename, mount / "d/sub", mount / "d")
    fails_with(errno.ENOTDIR, os.rename, mount / "d", mount / "file")
    fails_with(errno.EISDIR, os.rename, mount / "file", mount / "d")
    fails_with(errno.EINVAL, rename2, mount / "d", mount / "file", 2)
    fails_with(errno.EINVAL, rename2, mount / "d", mount / "x", 4)  # RENAME_WHITEOUT
    os.rename(mount / "d", mount / "d")
    assert read_tree(zk, "/d") == WHOLE


def test_tree_too_large_for_a_request_is_copied_by_mv(bench, mount, zk):
    zk.create("/d", None)
    for number in range(3):
        zk.create(f"/d/{number}", bytes([number]) * 500_000)
    mount.shows("d/2")
    fails_with(errno.EXDEV, os.rename, mount / "d", mount / "e")
    assert len(zk.get_children("/d")) == 3 and zk.exists("/e") is None
    bench.sh("mv d e", cwd=mount.path)
    assert zk.exists("/d") is None and len(zk.get_children("/e")) == 3
    assert zk.get("/e/2")[0] == b"\2" * 500_000


def test_new_name_keeps_the_acl(mount, zk):
    acl = [make_digest_acl("bob", "pw", all=True)] + OPEN_ACL_UNSAFE
    zk.create("/f", b"secret", acl=acl)
    mount.shows("f")
    os.rename(mount / "f", mount / "g")
    assert zk.get_acls("/g")[0] == acl and zk.get("/g")[0] == b"secret"


def test_acl_that_is_not_shown_as_it_is(server, mount, zk):
    """A server shows those who may not change an ACL no hashes: made again, it would lock all out."""
    owner = server.client(auth_data=[("digest", "bob:pw")])
    acl = [make_digest_acl("bob", "pw", all=True)] + [
        OPEN_ACL_UNSAFE[0]._replace(perms=1 | 2 | 4 | 8)
    ]
    owner.create("/f", b"value", acl=acl)
    mount.shows("f")
    shown = zk.get_acls("/f")[0]
    if shown == acl:  # a server that hides nothing
        os.rename(mount / "f", mount / "g")
        assert owner.get_acls("/g")[0] == acl
    else:
        fails_with(errno.EACCES, os.rename, mount / "f", mount / "g")
        assert owner.get_acls("/f")[0] == acl and zk.exists("/g") is None


def test_ephemerals_keep_their_names(bench, mount, zk):
    """They belong to the session that made them, and would not if they were made again."""
    zk.create("/e", b"1", ephemeral=True)
    zk.create("/d", None)
    zk.create("/d/e", b"2", ephemeral=True)
    mount.shows("e", "d/e")
    fails_with(errno.EPERM, os.rename, mount / "e", mount / "x")
    fails_with(errno.EPERM, os.rename, mount / "d", mount / "x")
    assert zk.get("/d/e")[0] == b"2" and zk.exists("/x") is None
    (mount / "f").write_bytes(b"3")
    os.rename(mount / "f", mount / "e")  # as the target it is set
    assert zk.get("/e")[0] == b"3" and zk.get("/e")[1].ephemeralOwner == zk.client_id[0]


def test_locks_below_a_renamed_directory(mount, zk):
    make_tree(zk, mount)
    with open(mount / "d/f", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fails_with(errno.EPERM, os.rename, mount / "d", mount / "moved")
    wait_for("the lock is free", lambda: zk.get_children("/d/.zklock.f") == [])
    os.rename(mount / "d", mount / "moved")
    assert zk.exists("/d") is None and read_tree(zk, "/moved") == WHOLE  # and no empty queue


def test_scratch_files_move_with_their_directory(mount, zk):
    make_tree(zk, mount)
    (mount / "d/x~").write_bytes(b"scratch")
    os.rename(mount / "d/f", mount / "d/f~")
    os.rename(mount / "d", mount / "moved")
    assert (mount / "moved/x~").read_bytes() == b"scratch"
    assert sorted(os.listdir(mount / "moved")) == ["empty", "f~", "sub", "x~"]
    assert sorted(zk.get_children("/moved")) == ["empty", "f~", "sub"]


def test_directory_that_changes_while_it_is_renamed(mount, zk):
    """All or nothing: what another client writes into it meanwhile is in the one place or refused."""
    zk.create("/d", None)
    for number in range(50):
        zk.create(f"/d/{number}", b"")
    mount.shows("d/49")
    pending = [zk.set_async(f"/d/{number}", b"new") for number in range(50)]
    os.rename(mount / "d", mount / "e")
    done = [result.exception is None for result in pending if result.ready() or result.wait(10)]
    assert len(done) == 50 and zk.exists("/d") is None
    assert [zk.get(f"/e/{n}")[0] == b"new" for n in range(50)] == done
