# SPDX-License-Identifier: Apache-2.0
"""The control directory and the extended attributes: what a file cannot say by itself."""
import errno
import os
import stat

import pytest
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from harness.waiting import wait_for

READ_ONLY = make_acl("world", "anyone", read=True, admin=True)


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


def attribute(path, name):
    return os.getxattr(path, f"user.zk.{name}").decode()


# ---- extended attributes -------------------------------------------------------------------------


def test_every_attribute_is_listed_and_has_a_value(mount, zk):
    zk.create("/d", b"data")
    zk.create("/d/f", b"12345")
    mount.shows("d/f")
    names = (
        "czxid mzxid pzxid ctime mtime version cversion aversion "
        "ephemeralOwner dataLength numChildren acl kind path"
    ).split()
    for path, kind in (("d", "directory"), ("d/f", "file")):
        assert sorted(os.listxattr(mount / path)) == sorted(f"user.zk.{n}" for n in names)
        shown = {name: attribute(mount / path, name) for name in names}
        znode = zk.get(f"/{path}")[1]
        assert shown == {
            **{n: hex(getattr(znode, n)) for n in ("czxid", "mzxid", "pzxid")},
            **{n: str(getattr(znode, n)) for n in ("ctime", "mtime", "version")},
            **{n: str(getattr(znode, n)) for n in ("cversion", "aversion")},
            "ephemeralOwner": "0x0",
            "dataLength": str(znode.dataLength),
            "numChildren": str(znode.numChildren),
            "acl": "world:anyone:cdrwa\n",
            "kind": kind,
            "path": f"/{path}",
        }


def test_getfattr_and_setfattr(bench, mount, zk):
    """With the tools, and lengths that do not fit."""
    zk.create("/f", b"")
    mount.shows("f")
    bench.sh("setfattr -n user.zk.acl -v world:anyone:ra f", cwd=mount.path)
    assert zk.get_acls("/f")[0] == [READ_ONLY]
    assert 'user.zk.acl="world:anyone:ra' in bench.sh("getfattr -d f", cwd=mount.path)
    assert not os.stat(mount / "f").st_mode & 0o222


def test_acl_can_be_set(mount, zk):
    zk.create("/f", b"v")
    mount.shows("f")
    before = os.stat(mount / "f").st_mode
    watcher = mount.watch("f", events=["attrib"])
    os.setxattr(mount / "f", "user.zk.acl", b"world:anyone:ra\nip:127.0.0.1:r\n")
    watcher.wait("f", "ATTRIB")
    assert zk.get_acls("/f")[0] == [READ_ONLY, make_acl("ip", "127.0.0.1", read=True)]
    assert stat.filemode(before) == "-rw-r--r--"
    wait_for("the mode", lambda: stat.filemode(os.stat(mount / "f").st_mode) == "-r--r--r--")
    fails_with(errno.EACCES, mount.write, "f", b"x")
    os.setxattr(mount / "f", "user.zk.acl", b"world:anyone:cdrwa")
    mount.write("f", b"x")
    assert zk.get_acls("/f")[0] == OPEN_ACL_UNSAFE
    version = zk.get("/f")[1].aversion
    os.setxattr(mount / "f", "user.zk.acl", b"world:anyone:cdrwa")
    assert zk.get("/f")[1].aversion == version, "what it is already costs no change"


def test_acl_that_is_none(mount, zk):
    zk.create("/f", b"v")
    mount.shows("f")
    for text in (b"", b"x", b"world:anyone:rx", b"world:anyone", b"nosuchscheme:x:r"):
        fails_with(errno.EINVAL, os.setxattr, mount / "f", "user.zk.acl", text)
    assert zk.get("/f")[1].aversion == 0


def test_attributes_that_cannot_be_set(mount, zk):
    zk.create("/f", b"v")
    mount.shows("f")
    fails_with(errno.EOPNOTSUPP, os.setxattr, mount / "f", "user.zk.version", b"3")
    fails_with(errno.EOPNOTSUPP, os.setxattr, mount / "f", "user.mine", b"3")
    fails_with(errno.EOPNOTSUPP, os.removexattr, mount / "f", "user.zk.acl")
    fails_with(errno.ENODATA, os.getxattr, mount / "f", "user.zk.nothing")
    fails_with(errno.EEXIST, os.setxattr, mount / "f", "user.zk.kind", b"file", os.XATTR_CREATE)


# ---- kind ----------------------------------------------------------------------------------------


def set_kind(path, kind):
    os.setxattr(path, "user.zk.kind", kind.encode())


def test_empty_file_becomes_a_directory_and_a_file_again(mount, zk):
    zk.create("/f", b"")
    mount.shows("f")
    watcher = mount.watch("", events=["create", "delete"])
    set_kind(mount / "f", "directory")
    watcher.wait("f", "CREATE", "ISDIR")
    assert zk.get("/f")[1].version == 1
    wait_for("a directory", lambda: (mount / "f").is_dir())
    mount.write("f/child", b"c")
    fails_with(errno.ENOTEMPTY, set_kind, mount / "f", "file")
    os.unlink(mount / "f/child")
    set_kind(mount / "f", "file")
    wait_for("a file", lambda: (mount / "f").is_file())
    assert zk.get("/f")[0] == b""
    set_kind(mount / "f", "file")
    assert zk.get("/f")[1].version == 2, "it is one already"
    mount.write("f", b"data")
    assert zk.get("/f")[0] == b"data"


def test_kind_that_would_lose_something_is_refused(mount, zk):
    zk.create("/f", b"data")
    zk.create("/d", None)
    zk.create("/d/child", b"")
    mount.shows("f", "d/child")
    fails_with(errno.ENOTEMPTY, set_kind, mount / "f", "directory")
    fails_with(errno.ENOTEMPTY, set_kind, mount / "d", "file")
    fails_with(errno.EBUSY, set_kind, mount.path, "file")
    fails_with(errno.EINVAL, set_kind, mount / "f", "link")
    assert zk.get("/f")[0] == b"data"


def test_directory_with_data_becomes_the_file_that_it_is_elsewhere(mount, new_mount, zk):
    """Hysteresis keeps it a directory where it was one; nothing is lost by letting go."""
    zk.create("/d", b"data")
    zk.create("/d/child", b"")
    mount.shows("d/child")
    zk.delete("/d/child")
    wait_for("it is empty", lambda: os.listdir(mount / "d") == [])
    assert (mount / "d").is_dir() and (new_mount("other") / "d").is_file()
    set_kind(mount / "d", "file")
    wait_for("a file here too", lambda: mount.read("d") == b"data")
    assert zk.get("/d")[1].version == 0


# ---- D/.zk/acl and D/.zk/stat --------------------------------------------------------------------


def test_acl_file(bench, mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    watcher = mount.watch("d", events=["attrib"])
    assert mount.read("d/.zk/acl") == b"world:anyone:cdrwa\n"
    bench.sh("echo world:anyone:ra > d/.zk/acl", cwd=mount.path)
    assert zk.get_acls("/d")[0] == [READ_ONLY]
    watcher.wait("d", "ATTRIB", "ISDIR")
    assert stat.filemode(os.stat(mount / "d").st_mode) == "dr-xr-xr-x"
    bench.sh("echo ip:127.0.0.1:cdrwa >> d/.zk/acl", cwd=mount.path)
    assert len(zk.get_acls("/d")[0]) == 2
    bench.sh("sed s/ip:127.0.0.1:cdrwa/world:anyone:cdrwa/ d/.zk/acl > new", cwd=mount.path)
    bench.sh("cat new > d/.zk/acl", cwd=mount.path)
    assert mount.read("d/.zk/acl") == b"world:anyone:ra\nworld:anyone:cdrwa\n"


def test_acl_file_says_at_close_what_is_wrong(mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    fails_with(errno.EINVAL, mount.write, "d/.zk/acl", b"nonsense\n")
    fails_with(errno.EACCES, os.truncate, mount / "d/.zk/acl", 0)
    assert mount.read("d/.zk/acl") == b"world:anyone:cdrwa\n"
    with open(mount / "d/.zk/acl", "wb"):
        pass  # opened to be written, and left alone
    assert mount.read("d/.zk/acl") == b"world:anyone:cdrwa\n"


def test_stat_file_shows_the_moment_at_which_it_is_read(mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    with open(mount / "d/.zk/stat") as file:
        assert "numChildren = 0" in file.read()
        zk.create("/d/f", b"")
        mount.shows("d/f")
        file.seek(0)
        assert "numChildren = 1" in file.read()


def test_what_cannot_be_written(mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    for name in ("d/.zk/stat", ".zk/session", ".zk/stats"):
        fails_with(errno.EACCES, mount.write, name, b"x")
    fails_with(errno.EPERM, mount.write, "d/.zk/new", b"x")
    fails_with(errno.EPERM, os.mkdir, mount / "d/.zk/new")
    fails_with(errno.EPERM, os.unlink, mount / "d/.zk/data")
    fails_with(errno.EPERM, os.rename, mount / "d/.zk/acl", mount / "d/x")
    fails_with(errno.EEXIST, os.mkdir, mount / "d/.zk")
    fails_with(errno.EPERM, os.rmdir, mount / "d/.zk")
    fails_with(errno.ENOENT, mount.read, "d/.zk/session")


# ---- D/.zk/data ------------------------------------------------------------------------------------


def test_data_of_a_directory(bench, mount, zk):
    """A file like any other: one set a write, append, truncate, ESTALE, and events."""
    zk.create("/d", b"own")
    zk.create("/d/c", b"")
    mount.shows("d/c")
    data = mount / "d/.zk/data"
    assert (data.read_bytes(), os.stat(data).st_size) == (b"own", 3)
    data.write_bytes(b"new")
    assert (zk.get("/d")[0], zk.get("/d")[1].version) == (b"new", 1)
    bench.sh("echo ' more' >> d/.zk/data; truncate -s 5 d/.zk/data", cwd=mount.path)
    assert zk.get("/d")[0] == b"new m"
    fd = os.open(data, os.O_RDWR)
    assert os.read(fd, 100) == b"new m"
    zk.set("/d", b"another's")
    os.write(fd, b"x")
    fails_with(errno.ESTALE, os.close, fd)
    assert zk.get("/d")[0] == b"another's"
    watcher = mount.watch("d/.zk/data", events=["modify"])
    zk.set("/d", b"remote")
    watcher.wait("d/.zk/data", "MODIFY")
    assert data.read_bytes() == b"remote"
    assert os.getxattr(data, "user.zk.path") == b"/d"


def test_null_data_of_a_directory_reads_as_empty(mount, zk):
    (mount / "d").mkdir()
    assert mount.read("d/.zk/data") == b""
    mount.write("d/.zk/data", b"")
    assert os.stat(mount / "d/.zk/data").st_size == 0 and (mount / "d").is_dir()


# ---- where it is ---------------------------------------------------------------------------------


def test_what_it_contains(mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    everywhere = {
        *("acl", "container", "data", "ephemeral", "ephemeral-sequential", "sequential", "stat"),
        *("lock", "ttl"),
    }
    assert set(os.listdir(mount / "d/.zk")) == everywhere
    assert set(os.listdir(mount / ".zk")) == everywhere | {"session", "stats"}
    for name in os.listdir(mount / ".zk"):
        shown = os.stat(mount / ".zk" / name)
        assert stat.S_ISDIR(shown.st_mode) == (name in MAKERS), name


MAKERS = ("container", "ephemeral", "ephemeral-sequential", "sequential", "ttl")


def test_hidden_visible_off_and_renamed(new_mount, zk):
    zk.create("/d", None)
    mount = new_mount("hidden")
    mount.shows("d")
    assert os.listdir(mount / "d") == [] and (mount / "d/.zk/stat").exists()
    visible = new_mount("visible", options=["control=visible"])
    assert os.listdir(visible / "d") == [".zk"] and (visible / "d/.zk/stat").exists()
    renamed = new_mount("renamed", options=["control=visible,control_name=@control"])
    assert os.listdir(renamed / "d") == ["@control"] and (renamed / "d/@control/stat").exists()
    assert not (renamed / "d/.zk").exists()
    off = new_mount("off", options=["control=off"])
    assert os.listdir(off / "d") == [] and not (off / "d/.zk").exists()
    (off / "d/.zk").mkdir()
    assert zk.exists("/d/.zk"), "a name like any other"


@pytest.mark.parametrize("control", ["hidden", "visible"])
def test_znode_of_that_name(new_mount, zk, control):
    """It is not seen here; other names and other mounts show it."""
    zk.create("/d", None)
    zk.create("/d/.zk", b"")
    zk.create("/d/.zk/data", b"the znode's")
    zk.create("/d/other", b"")
    mount = new_mount(options=[f"control={control}"])
    mount.shows("d/other")
    assert os.listdir(mount / "d") == [".zk", "other"][control == "hidden" :]
    assert mount.read("d/.zk/data") == b""
    mount.write("d/.zk/data", b"the directory's")
    assert (zk.get("/d")[0], zk.get("/d/.zk/data")[0]) == (b"the directory's", b"the znode's")
    zk.set("/d/.zk", b"changed")
    zk.set("/d/.zk/data", b"changed")
    zk.set("/d/other", b"changed")
    wait_for("a change", lambda: mount.read("d/other") == b"changed")
    assert mount.read("d/.zk/data") == b"the directory's"
    fails_with(errno.ENOTEMPTY, os.rmdir, mount / "d")
    renamed = new_mount("renamed", options=["control_name=@control"])
    assert sorted(os.listdir(renamed / "d")) == [".zk", "other"]
    assert renamed.read("d/.zk/data") == b"changed"


def test_directory_whose_name_comes_back(mount, zk):
    """The control directory belongs to one life of its directory."""
    zk.create("/d", b"first")
    zk.create("/d/c", b"")
    mount.shows("d/c")
    held = os.open(mount / "d/.zk", os.O_RDONLY | os.O_DIRECTORY)
    zk.delete("/d", recursive=True)
    zk.create("/d", b"second")
    zk.create("/d/c", b"")
    wait_for("the second", lambda: mount.read("d/.zk/data") == b"second")
    with pytest.raises(OSError) as error:
        os.open("data", os.O_RDONLY, dir_fd=held)
    assert error.value.errno in (errno.ENOENT, errno.ESTALE)
    os.close(held)


# ---- ROOT/.zk/session and ROOT/.zk/stats ---------------------------------------------------------


def test_session_file(zk, tap, new_mount):
    mount = new_mount(hosts=tap.hosts)
    zk.create("/f", b"")
    mount.shows("f")
    shown = mount.session()
    assert list(shown) == ["session", "state", "server", "timeout_ms", "last_zxid"]
    assert (shown["state"], shown["server"]) == ("connected", tap.hosts)
    assert int(shown["timeout_ms"]) > 0 and int(shown["last_zxid"], 16) > 0


def test_session_file_tells_of_each_change(tap, new_mount):
    """MODIFY when the state changes: lost, offline, back; a held descriptor reads the
    state of the moment."""
    mount = new_mount(hosts=tap.hosts, options=["session_timeout=1,timeout=1"])
    watcher = mount.watch(".zk/session", events=["modify"])
    with open(mount / ".zk/session") as file:

        def state():
            file.seek(0)
            return dict(line.split() for line in file.read().splitlines())["state"]

        assert state() == "connected"
        tap.cut()
        watcher.wait(".zk/session", "MODIFY")
        wait_for("it is lost", lambda: state() != "connected")
        wait_for("it is offline", lambda: state() == "offline")
        watcher.wait(".zk/session", "MODIFY", count=2)
        seen = len(watcher.of(".zk/session", "MODIFY"))
        tap.mend()
        wait_for("it is back", lambda: state() == "connected", 20)
        wait_for("and told", lambda: len(watcher.of(".zk/session", "MODIFY")) > seen)


def test_stats_are_in_prometheus_format(mount, zk):
    zk.create("/d", None)
    zk.create("/d/f", b"v")
    mount.shows("d/f")
    assert mount.read("d/f") == b"v"
    values, types = {}, {}
    for line in mount.read(".zk/stats").decode().splitlines():
        if line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        else:
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in types, line
            values[name] = float(value)
    assert set(types.values()) == {"counter", "gauge"}
    for name in ("zkfs_inodes", "zkfs_data_watches", "zkfs_child_watches", "zkfs_open_files"):
        assert values[name] > 0, name
    assert values['zkfs_zookeeper_requests_total{op="get"}'] > 0
    assert "zkfs_requests_in_flight" in values and "zkfs_pending_events" in values
