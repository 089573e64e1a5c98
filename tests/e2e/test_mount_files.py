# SPDX-License-Identifier: Apache-2.0
"""The tree as files and directories: what each call does to ZooKeeper, and what it must never
do."""
import ctypes
import errno
import mmap
import os
import signal
import stat
import threading
import time

import pytest
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from harness import rawzk as z
from harness.bench import BROKEN_LINE
from harness.waiting import wait_for

LIMIT = 1048575 - 20  # less the path's length: what fits a request


@pytest.fixture
def zk(zk, mounts):
    """A client whose creates wait until the mounts have heard of them: ZooKeeper promises no more than
    that other sessions see a change soon."""
    create = zk.create

    def create_and_wait(path, *args, **kw):
        create(path, *args, **kw)
        for mount in mounts:
            mount.shows(path[1:])

    zk.create = create_and_wait
    return zk


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


# ---- what is a file, what a directory ------------------------------------------------------------


def test_null_data_is_a_directory_and_empty_data_a_file(server, mount, zk):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/null", None))
    conn.ok(z.CREATE, z.create_body("/empty", b""))
    conn.ok(z.CREATE, z.create_body("/value", b"v"))
    conn.ok(z.CREATE, z.create_body("/both", b"own data"))
    conn.ok(z.CREATE, z.create_body("/both/child", b"c"))
    mount.shows("both/child")
    kinds = {e.name: "dir" if e.is_dir() else "file" for e in os.scandir(mount.path)}
    assert kinds == {
        "null": "dir",
        "empty": "file",
        "value": "file",
        "both": "dir",
        "zookeeper": "dir",
    }
    assert mount.read("both/.zk/data") == b"own data"
    assert mount.read("both/child") == b"c"


def test_mkdir_creates_null_data_and_a_new_file_empty_data(server, mount):
    (mount / "d").mkdir()
    (mount / "f").touch()
    conn = server.raw()
    assert conn.ok(z.GET_DATA, z.watched("/d"))[0] is None
    assert conn.ok(z.GET_DATA, z.watched("/f"))[0] == b""


def test_file_whose_znode_gains_a_child_becomes_a_directory(mount, zk):
    zk.create("/f", b"data")
    before = os.stat(mount / "f")
    assert stat.S_ISREG(before.st_mode)
    zk.create("/f/child", b"c")
    wait_for("f is a directory", lambda: (mount / "f").is_dir())
    assert os.stat(mount / "f").st_ino != before.st_ino
    assert os.listdir(mount / "f") == ["child"]
    assert mount.read("f/.zk/data") == b"data"


def test_directory_that_loses_its_last_child_stays_one(mount, zk):
    zk.create("/services", b"has data")
    zk.create("/services/one", b"")
    assert os.listdir(mount / "services") == ["one"]
    zk.delete("/services/one")
    wait_for("it is empty", lambda: os.listdir(mount / "services") == [])
    assert (mount / "services").is_dir()


def test_attributes(mount, zk):
    zk.create("/f", b"12345")
    zk.create("/d", None)
    zk.create("/d/sub", None)
    znode = zk.get("/f")[1]
    wait_for("the link of the subdirectory", lambda: os.stat(mount / "d").st_nlink == 3)
    file, directory = os.stat(mount / "f"), os.stat(mount / "d")
    assert (stat.filemode(file.st_mode), file.st_size, file.st_nlink) == ("-rw-r--r--", 5, 1)
    assert file.st_mtime_ns // 10**6 == znode.mtime
    assert stat.filemode(directory.st_mode) == "drwxr-xr-x"
    zk.set("/f", b"1234567")
    wait_for("the new size", lambda: os.stat(mount / "f").st_size == 7)
    assert os.stat(mount / "f").st_mtime_ns // 10**6 == zk.get("/f")[1].mtime


def test_deleted_and_created_again_is_another_inode(mount, zk):
    zk.create("/f", b"1")
    before = os.stat(mount / "f").st_ino
    zk.delete("/f")
    zk.create("/f", b"2")
    wait_for("the new node", lambda: mount.read("f") == b"2")
    assert os.stat(mount / "f").st_ino != before


def test_control_directory_is_reached_by_name_and_not_listed(mount, zk):
    zk.create("/d", b"data")
    zk.create("/d/c", b"")
    assert ".zk" not in os.listdir(mount.path)
    assert os.listdir(mount / "d") == ["c"]
    lines = mount.read("d/.zk/stat").decode().splitlines()
    names = [line.split(" = ")[0] for line in lines]
    assert names == [
        *("cZxid", "ctime", "mZxid", "mtime", "pZxid", "cversion", "dataVersion", "aclVersion"),
        *("ephemeralOwner", "dataLength", "numChildren"),
    ]
    assert lines[0] == f"cZxid = {zk.get('/d')[1].czxid:#x}"
    assert lines[10] == "numChildren = 1"


def test_data_of_a_directory_can_be_set(mount, zk):
    (mount / "d").mkdir()
    mount.write("d/.zk/data", b"set by a file")
    assert zk.get("/d")[0] == b"set by a file"
    assert (mount / "d").is_dir()


def test_session_file_names_the_session(bench, server, mount):
    bench.expect_log(BROKEN_LINE)  # we take its session for a moment
    number = mount.session_id()
    # None: the mount has taken it back before the answer was on its way.
    conn = server.tcp().connect(session=number, password=z.password_of(number))
    assert conn is None or conn.session == number
    wait_for(
        "it is back on its session", lambda: mount.session_id() == number and os.listdir(mount.path)
    )


def test_extended_attributes(mount, zk):
    zk.create("/f", b"12345")
    zk.set("/f", b"123")
    znode = zk.get("/f")[1]
    expected = {
        "czxid": f"{znode.czxid:#x}",
        "mzxid": f"{znode.mzxid:#x}",
        "version": "1",
        "dataLength": "3",
        "numChildren": "0",
        "kind": "file",
        "path": "/f",
    }
    shown = {
        name: os.getxattr(mount / "f", f"user.zk.{name}").decode().strip() for name in expected
    }
    assert shown == expected
    assert os.getxattr(mount / "f", "user.zk.acl").startswith(b"world:anyone:")
    listed = os.listxattr(mount / "f")
    assert {f"user.zk.{name}" for name in expected} <= set(listed)
    fails_with(errno.ENODATA, os.getxattr, mount / "f", "user.other")


def test_df_works(mount):
    assert os.statvfs(mount.path).f_files > 0


# ---- reading and writing -------------------------------------------------------------------------


def test_one_write_is_one_set(zk, tap, new_mount):
    mount = new_mount(hosts=tap.hosts)
    zk.create("/f", b"old")
    mount.read("f")
    tap.forget()
    with open(mount / "f", "wb") as file:
        for _ in range(10):
            file.write(b"x" * 1000)
            file.flush()
    assert zk.get("/f")[0] == b"x" * 10000
    writes = [a for a in tap.asked if a.op in (z.SET_DATA, z.CREATE, z.DELETE, z.MULTI)]
    assert writes == [(z.SET_DATA, "/f")]


def test_truncate_and_write_shows_no_empty_value_to_others(server, mount, zk):
    watcher = server.raw()
    zk.create("/f", b"old")
    mount.write("f", b"new")
    assert zk.get("/f")[1].version == 1, "one version, not an empty one in between"
    watcher.ok(z.GET_DATA, z.watched("/f", True))
    mount.write("f", b"newer")
    watcher.next_event()
    assert watcher.ok(z.GET_DATA, z.watched("/f"))[0] == b"newer"


def test_value_is_written_at_fsync(mount, zk):
    zk.create("/f", b"old")
    with open(mount / "f", "wb") as file:
        file.write(b"new")
        file.flush()
        assert zk.get("/f")[0] == b"old"
        os.fsync(file.fileno())
        assert zk.get("/f")[0] == b"new"


def test_cat_of_a_file_writes_nothing(mount, zk):
    zk.create("/f", b"v")
    for _ in range(3):
        assert mount.read("f") == b"v"
    with open(mount / "f", "r+b") as file:
        file.read()
    assert zk.get("/f")[1].version == 0


def test_write_in_the_middle_keeps_the_rest(mount, zk):
    zk.create("/f", b"0123456789")
    with open(mount / "f", "r+b") as file:
        file.seek(4)
        file.write(b"XY")
    assert zk.get("/f")[0] == b"0123XY6789"


def test_truncate(mount, zk):
    zk.create("/f", b"0123456789")
    os.truncate(mount / "f", 4)
    assert zk.get("/f")[0] == b"0123"
    os.truncate(mount / "f", 6)
    assert zk.get("/f")[0] == b"0123\0\0"
    with open(mount / "f", "r+b") as file:
        file.truncate(2)
    assert zk.get("/f")[0] == b"01"


def test_writer_sees_the_size_that_it_has_made(mount, zk):
    fd = os.open(mount / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"hello")
    assert (os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_END)) == (5, 5)
    os.ftruncate(fd, 2)
    assert (os.fstat(fd).st_size, os.lseek(fd, -1, os.SEEK_END)) == (2, 1)
    os.write(fd, b"at the end")
    assert zk.get("/f")[0] == b""  # nobody else sees it before the close
    os.close(fd)
    assert zk.get("/f")[0] == b"hat the end"
    fd = os.open(mount / "f", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b".")
    assert os.fstat(fd).st_size == len(b"hat the end.")
    os.close(fd)


def test_append(mount, zk):
    zk.create("/f", b"one\n")
    assert mount.read("f") == b"one\n"
    zk.set("/f", b"one\ntwo\n")
    with open(mount / "f", "ab") as file:
        file.write(b"three\n")
    assert zk.get("/f")[0] == b"one\ntwo\nthree\n"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mount_count, writers, lines", [(1, 8, 500), (2, 2, 150)])
def test_appending_processes_lose_no_line(bench, new_mount, zk, mount_count, writers, lines):
    zk.create("/log", b"")
    processes = []
    for m in range(mount_count):
        path = new_mount(f"m{m}").path
        for w in range(writers):
            script = (
                f"for i in $(seq {lines}); do echo {m}.{w} line $i >> {path}/log || exit 1; done"
            )
            processes.append(bench.spawn(["sh", "-c", script], f"writer-{m}-{w}"))
    for process in processes:
        assert process.wait(100) == 0, process.log()
    written = zk.get("/log")[0].decode().splitlines()
    assert len(written) == mount_count * writers * lines
    for m in range(mount_count):
        for w in range(writers):
            own = [line for line in written if line.startswith(f"{m}.{w} ")]
            assert own == [f"{m}.{w} line {i}" for i in range(1, lines + 1)]


def test_append_that_is_truncated(mount, zk):
    zk.create("/f", b"0123456789")
    os.close(os.open(mount / "f", os.O_WRONLY | os.O_APPEND | os.O_TRUNC))
    wait_for("the truncation", lambda: zk.get("/f")[0] == b"")
    zk.set("/f", b"0123456789")
    wait_for("the new value", lambda: mount.read("f") == b"0123456789")
    fd = os.open(mount / "f", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"more")
    os.ftruncate(fd, 12)
    os.write(fd, b"!")
    os.fsync(fd)
    assert zk.get("/f")[0] == b"0123456789mo!"
    zk.set("/f", b"by another")
    os.write(fd, b"?")
    os.close(fd)
    assert zk.get("/f")[0] == b"by another?"
    fd = os.open(mount / "f", os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
    os.write(fd, b"new")
    os.close(fd)
    assert zk.get("/f")[0] == b"new"


def test_conflicting_change_is_estale_and_overwrites_nothing(bench, mount, zk):
    bench.expect_log(r" WARN .*write that close reported as failed")
    zk.create("/f", b"0123456789")
    descriptor = os.open(mount / "f", os.O_RDWR)
    assert os.read(descriptor, 4) == b"0123"
    zk.set("/f", b"by somebody else")
    os.pwrite(descriptor, b"XX", 0)
    fails_with(errno.ESTALE, os.fsync, descriptor)
    try:
        os.close(descriptor)
    except OSError as error:
        assert error.errno == errno.ESTALE
    assert zk.get("/f")[0] == b"by somebody else"
    wait_for("the mount shows it", lambda: mount.read("f") == b"by somebody else")


def test_truncating_writers_overwrite_each_other_as_in_a_shell(mount, zk):
    zk.create("/f", b"old")
    with open(mount / "f", "wb") as file:
        file.write(b"last")
        zk.set("/f", b"by somebody else")
    assert zk.get("/f")[0] == b"last"


def test_largest_value_fits_and_one_byte_more_is_efbig(mount, zk):
    room = LIMIT - len("/f")
    mount.write("f", b"x" * room)
    assert len(zk.get("/f")[0]) == room
    assert len(mount.read("f")) == room

    def write_too_much():
        with open(mount / "f", "wb", buffering=0) as file:
            left = room + 1
            while left:
                left -= file.write(b"y" * min(left, 131072))

    fails_with(errno.EFBIG, write_too_much)
    assert zk.get("/f")[0] == b"x" * room, "the old value stays"
    fails_with(errno.EFBIG, os.truncate, mount / "f", 1 << 30)
    assert mount.read("f") == b"x" * room


def test_open_handle_reads_one_version(mount, zk):
    zk.create("/f", b"a" * 300_000)
    with open(mount / "f", "rb", buffering=0) as file:
        first = file.read(1000)
        zk.set("/f", b"b" * 300_000)
        wait_for("others see the new one", lambda: mount.read("f")[:1] == b"b")
        rest = b""
        while piece := file.read(65536):
            rest += piece
    assert set(first + rest) == {ord("a")}, "never a mix of two values"


def test_private_and_read_only_maps_work_and_shared_writes_are_refused(mount, zk):
    zk.create("/f", b"0123456789")
    with open(mount / "f", "rb") as file:
        for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            with mmap.mmap(file.fileno(), 10, flags=flags, prot=mmap.PROT_READ) as view:
                assert view[:] == b"0123456789"
    with open(mount / "f", "r+b") as file:
        fails_with(errno.ENODEV, mmap.mmap, file.fileno(), 10)


# ---- names, creation, removal --------------------------------------------------------------------


def test_one_winner_of_exclusive_create_over_two_mounts(new_mount, zk):
    paths = [new_mount("one").path, new_mount("two").path]
    start = threading.Barrier(2)
    wins = [[], []]

    def race(who):
        for number in range(60):
            start.wait(20)
            try:
                os.close(
                    os.open(paths[who] / f"lock{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                )
                wins[who].append(number)
            except FileExistsError:
                pass

    threads = [threading.Thread(target=race, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert sorted(wins[0] + wins[1]) == list(range(60))


def test_name_that_appeared_elsewhere_a_moment_ago_exists(mount, server):
    assert not (mount / "f").exists()
    server.client().create("/f", b"theirs")
    fails_with(errno.EEXIST, os.open, mount / "f", os.O_CREAT | os.O_EXCL)


def test_unlink_is_never_recursive(server, mount, zk):
    zk.create("/f", b"data")
    assert mount.read("f") == b"data"
    zk.create("/f/child", b"c")
    fails_with(errno.EISDIR, os.unlink, mount / "f")
    assert zk.get("/f/child")[0] == b"c"


def test_unlink_is_one_request_and_a_look_at_the_directory(tap, new_mount, zk, bench):
    mount = new_mount(hosts=tap.hosts)
    zk.create("/d", None)
    for number in range(20):
        zk.create(f"/d/{number}", b"")
    mount.shows("d/19")
    os.listdir(mount / "d")
    tap.forget()
    bench.sh(f"rm {mount.path}/d/*")
    kinds = [asked.op for asked in tap.asked]
    assert kinds.count(z.DELETE) == 20 and z.GET_DATA not in kinds and z.EXISTS not in kinds


def test_rmdir_of_what_got_a_child_elsewhere(mount, zk):
    (mount / "d").mkdir()
    zk.create("/d/child", b"")
    fails_with(errno.ENOTEMPTY, os.rmdir, mount / "d")
    zk.delete("/d/child")
    os.rmdir(mount / "d")
    assert zk.exists("/d") is None


def test_names(mount, zk):
    for name in ["a b", "ä", "日本", "...", "a:b", "%41", "-n", "x" * 255]:
        mount.write(name, b"v")
        assert zk.get(f"/{name}")[0] == b"v"
        assert name in os.listdir(mount.path)
    fails_with(errno.EINVAL, mount.write, "tab\there", b"")
    fails_with(errno.EINVAL, mount.write, "\U0001f600", b"")
    fails_with(errno.EILSEQ, open, os.fsencode(mount.path) + b"/\xff\xfe", "wb")
    fails_with(errno.ENAMETOOLONG, mount.write, "x" * 256, b"")


# ---- rename --------------------------------------------------------------------------------------


def test_rename_to_a_new_name(mount, zk):
    zk.create("/old", b"value")
    os.rename(mount / "old", mount / "new")
    assert zk.exists("/old") is None
    assert zk.get("/new")[0] == b"value"
    assert mount.read("new") == b"value" and not (mount / "old").exists()


def test_rename_over_a_file_changes_the_target_in_one_multi(server, zk, tap, new_mount):
    mount = new_mount(hosts=tap.hosts)
    zk.create(
        "/target", b"old", acl=[make_digest_acl("super", "secret", all=True)] + OPEN_ACL_UNSAFE
    )
    zk.create("/temp", b"new")
    target = zk.get("/target")[1]
    watcher = server.raw()
    watcher.ok(z.GET_DATA, z.watched("/target", True))
    mount.read("target"), mount.read("temp")
    tap.forget()
    os.replace(mount / "temp", mount / "target")
    value, after = zk.get("/target")
    assert value == b"new" and zk.exists("/temp") is None
    assert (after.czxid, after.aversion) == (target.czxid, target.aversion), "the same znode"
    assert after.version == target.version + 1
    assert len(zk.get_acls("/target")[0]) == 2, "with its own ACL"
    writes = [
        a.op for a in tap.asked if a.op in (z.SET_DATA, z.CREATE, z.CREATE2, z.DELETE, z.MULTI)
    ]
    assert writes == [z.MULTI]
    assert watcher.next_event() == z.Event("changed", 3, "/target")
    watcher.ping()
    assert watcher.events == []


LIBC = ctypes.CDLL(None, use_errno=True)


def rename2(source, target, flags):
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def fallocate(descriptor, size):
    """The system call alone: posix_fallocate would write zeros where it is refused."""
    if LIBC.fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def test_rename_noreplace_and_exchange(mount, zk):
    zk.create("/a", b"A")
    zk.create("/b", b"B")
    fails_with(errno.EEXIST, rename2, mount / "a", mount / "b", 1)
    rename2(mount / "a", mount / "b", 2)
    assert (zk.get("/a")[0], zk.get("/b")[0]) == (b"B", b"A")
    rename2(mount / "a", mount / "c", 1)
    assert zk.get("/c")[0] == b"B"


def test_rename_errors(mount, zk):
    zk.create("/f", b"")
    (mount / "d").mkdir()
    zk.create("/d/c", b"")
    fails_with(errno.ENOENT, os.rename, mount / "none", mount / "x")
    fails_with(errno.EISDIR, os.rename, mount / "f", mount / "d")
    fails_with(errno.ENOTDIR, os.rename, mount / "d", mount / "f")
    assert zk.exists("/f") and zk.exists("/d/c")


def test_mv_of_a_directory_moves_all_of_it(bench, mount, zk):
    for name, data in [("/d", None), ("/d/a", b"1"), ("/d/sub", None), ("/d/sub/b", b"2")]:
        zk.create(name, data)
    bench.sh("mv d e", cwd=mount.path)
    assert zk.exists("/d") is None
    assert (zk.get("/e/a")[0], zk.get("/e/sub/b")[0]) == (b"1", b"2")


# ---- errors --------------------------------------------------------------------------------------


def test_permissions_of_the_znode(bench, server, mount):
    conn = server.raw()
    conn.auth("digest", b"bob:pw")
    conn.ok(z.CREATE, z.create_body("/secret", b"s", acl=[(31, "auth", "")]))
    conn.ok(
        z.CREATE, z.create_body("/readable", b"r", acl=[(31, "auth", ""), (1, "world", "anyone")])
    )
    conn.ok(z.CREATE, z.create_body("/dir", b"", acl=[(31, "auth", ""), (1, "world", "anyone")]))
    conn.ok(z.CREATE, z.create_body("/dir/f", b""))
    mount.shows("readable", "dir/f")
    bench.expect_log(r" WARN .*write that close reported as failed")
    fails_with(errno.EACCES, mount.read, "secret")
    assert mount.read("readable") == b"r"
    fails_with(errno.EACCES, mount.write, "readable", b"x")
    assert not os.stat(mount / "readable").st_mode & 0o222, "a read-only ACL shows no w bit"
    fails_with(errno.EACCES, os.unlink, mount / "dir/f")
    fails_with(errno.EACCES, mount.write, "dir/new", b"")
    assert conn.ok(z.GET_DATA, z.watched("/readable"))[0] == b"r"


def test_auth_file_gives_the_mount_an_identity(bench, server, new_mount):
    conn = server.raw()
    conn.auth("digest", b"bob:pw")
    conn.ok(z.CREATE, z.create_body("/secret", b"s", acl=[(31, "auth", "")]))
    credentials = bench.path("auth")
    credentials.write_text("digest:bob:pw\n")
    credentials.chmod(0o600)
    mount = new_mount(options=[f"auth_file={credentials}"])
    assert mount.read("secret") == b"s"
    assert "bob:pw" not in mount.process.log()
    assert b"bob:pw" not in open(f"/proc/{mount.process.pid}/cmdline", "rb").read()


def test_errno_table(server, mount, zk):
    owner = server.raw()
    owner.ok(z.CREATE, z.create_body("/ephemeral", b"", flags=1))
    mount.shows("ephemeral")
    zk.create("/d", None)
    zk.create("/d/f", b"")
    fails_with(errno.ENOENT, mount.read, "none")
    fails_with(errno.ENOENT, mount.write, "none/f", b"")
    fails_with(errno.EEXIST, os.mkdir, mount / "d")
    fails_with(errno.ENOTEMPTY, os.rmdir, mount / "d")
    fails_with(errno.ENOTDIR, mount.write, "ephemeral/child", b"")
    fails_with(errno.EISDIR, open, mount / "d", "wb")
    fails_with(errno.EPERM, os.symlink, "x", mount / "link")
    fails_with(errno.EPERM, os.link, mount / "d/f", mount / "hard")
    fails_with(errno.EPERM, os.mkfifo, mount / "fifo")
    fails_with(errno.EOPNOTSUPP, os.setxattr, mount / "d/f", "system.posix_acl_access", b"\2\0\0\0")
    with open(mount / "d/f", "r+b") as file:
        fails_with(errno.EOPNOTSUPP, fallocate, file.fileno(), 4096)
    assert zk.get_children("/d") == ["f"]


def test_request_by_a_dead_node_is_estale_and_a_new_lookup_finds_the_new_one(mount, zk):
    zk.create("/d", None)
    directory = os.open(mount / "d", os.O_RDONLY | os.O_DIRECTORY)
    zk.delete("/d")
    zk.create("/d", None)
    zk.create("/d/f", b"new")
    wait_for("the new directory", lambda: os.listdir(mount / "d") == ["f"])
    with pytest.raises(OSError) as error:
        os.open("f", os.O_RDONLY, dir_fd=directory)
    assert error.value.errno in (errno.ESTALE, errno.ENOENT)
    os.close(directory)


def test_times_modes_and_owners_are_accepted_and_not_stored(mount, zk):
    zk.create("/f", b"v")
    before = zk.get("/f")[1]
    os.chmod(mount / "f", 0o600)
    os.chown(mount / "f", os.getuid(), os.getgid())
    os.utime(mount / "f", (1, 1))
    assert zk.get("/f")[1].mzxid == before.mzxid


def test_strict_mounts_refuse_what_cannot_be_stored(new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount(options=["strict"])
    fails_with(errno.EPERM, os.chmod, mount / "f", 0o600)
    fails_with(errno.EPERM, os.utime, mount / "f", (1, 1))


def test_touch_wakes_watchers_everywhere(bench, server, mount, zk):
    zk.create("/f", b"v")
    watcher = server.raw()
    watcher.ok(z.GET_DATA, z.watched("/f", True))
    bench.sh("touch f", cwd=mount.path)
    assert watcher.next_event() == z.Event("changed", 3, "/f")
    assert zk.get("/f")[0] == b"v"


def test_read_only_mount(new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount(options=["ro"])
    assert mount.read("f") == b"v"
    fails_with(errno.EROFS, mount.write, "f", b"x")
    fails_with(errno.EROFS, os.mkdir, mount / "d")
    fails_with(errno.EROFS, os.unlink, mount / "f")
    assert zk.get("/f")[1].version == 0


# ---- cost and patience ---------------------------------------------------------------------------


def test_second_cat_costs_no_request(tap, new_mount, zk, bench):
    zk.create("/config", b"hot value")
    mount = new_mount(hosts=tap.hosts)
    assert bench.sh(f"cat {mount.path}/config") == "hot value"
    tap.forget()
    for _ in range(20):
        assert (
            bench.sh(f"cat {mount.path}/config; ls -l {mount.path}/config >/dev/null")
            == "hot value"
        )
    assert tap.asked == []
    zk.set("/config", b"new value")
    wait_for("the new value", lambda: mount.read("config") == b"new value", seconds=2)


def test_listing_is_one_burst_and_then_free(tap, new_mount, zk):
    zk.create("/d", None)
    for number in range(50):
        zk.create(f"/d/n{number}", b"x")
    mount = new_mount(hosts=tap.hosts)
    sizes = [e.stat().st_size for e in os.scandir(mount / "d")]
    assert sizes == [1] * 50
    assert len(tap.asked) < 170, "a few requests a child at most"
    tap.forget()
    assert len([e.stat() for e in os.scandir(mount / "d")]) == 50
    assert tap.asked == []


def test_read_can_be_interrupted_while_the_server_is_silent(bench, tap, new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount(hosts=tap.hosts)
    tap.forget()
    tap.hold()
    reader = bench.spawn(["cat", mount / "f"], "cat")
    wait_for("its request is on the way", lambda: any(a.path == "/f" for a in tap.asked))
    reader.killed_by_test = True
    reader.signal(signal.SIGINT)
    assert reader.wait(3) == -signal.SIGINT
    tap.release()
    wait_for("it works again", lambda: mount.read("f") == b"v")


def test_waiting_requests_hold_up_no_others(bench, tap, new_mount, zk):
    """No thread of the daemon waits for the ensemble: a hundred readers that do leave room for more."""
    zk.create("/hot", b"hot")
    for number in range(100):
        zk.create(f"/n{number}", b"v")
    mount = new_mount(hosts=tap.hosts)
    assert mount.read("hot") == b"hot"
    tap.hold()
    tap.forget()
    script = f"for i in $(seq 0 99); do cat {mount.path}/n$i & done; wait"
    readers = bench.spawn(["sh", "-c", script], "readers")
    wait_for("all wait", lambda: len({a.path for a in tap.asked}) == 100)
    begin = time.monotonic()
    for _ in range(20):
        assert mount.read("hot") == b"hot"
    assert time.monotonic() - begin < 1
    tap.release()
    readers.wait()
    assert readers.log() == "v" * 100


def test_request_without_an_answer_times_out(tap, new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount(hosts=tap.hosts, options=["timeout=1"])
    tap.hold()
    fails_with(errno.ETIMEDOUT, mount.read, "f")
    tap.release()
    wait_for("it works again", lambda: mount.read("f") == b"v")


def test_cached_files_stay_readable_while_no_server_answers(tap, new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount(hosts=tap.hosts, options=["timeout=1"])
    assert mount.read("f") == b"v"
    tap.cut()
    assert mount.read("f") == b"v"
    tap.mend()
    wait_for("writes work again", lambda: mount.write("f", b"w") or True)
    assert zk.get("/f")[0] == b"w"
