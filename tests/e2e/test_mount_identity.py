# SPDX-License-Identifier: Apache-2.0
"""Who the mount is to the ensemble, and who may use it on this host."""
import errno
import os
import stat
import time
from pathlib import Path

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl, make_digest_acl

from harness.bench import ZKFS
from harness.waiting import wait_for

PASSWORD = "pass-word:with-colon"
BOB = make_digest_acl("bob", PASSWORD, all=True)
READ_ONLY = make_acl("world", "anyone", read=True)


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


@pytest.fixture
def auth_file(bench):
    path = bench.path("auth")
    path.write_text(f"# who we are\n\ndigest:bob:{PASSWORD}\ndigest:carol:other\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def bob(server):
    return server.client(auth_data=[("digest", f"bob:{PASSWORD}")])


def mode(path):
    """As ls shows it. Later servers deny even the Stat of a znode that may not be read."""
    try:
        return stat.filemode(os.stat(path).st_mode)
    except PermissionError:
        return UNREADABLE


UNREADABLE = "--w-------"  # what else the ACL grants cannot be told


# ---- identities ----------------------------------------------------------------------------------


def test_acl_of_what_is_created(new_mount, zk, bob, auth_file):
    """With acl=, by every way in which a mount creates."""
    options = [f"auth_file={auth_file}", "acl=auth::cdrwa", "acl=world:anyone:r"]
    mount = new_mount(options=options)
    (mount / "d").mkdir()
    mount.write("d/f", b"v")
    os.rename(mount / "d/f", mount / "d/moved")
    mount.write(".zk/sequential/s-", b"v")
    sequential = next(n for n in zk.get_children("/") if n.startswith("s-"))
    held = [os.open(mount / f".zk/{m}/x", os.O_RDWR | os.O_CREAT) for m in ("ephemeral",)]
    carol = make_digest_acl("carol", "other", all=True)
    for path in ("/d", "/d/moved", f"/{sequential}", "/x"):
        assert sorted(bob.get_acls(path)[0]) == sorted([BOB, carol, READ_ONLY]), path
        assert zk.get(path)
        with pytest.raises(NoAuthError):
            zk.set(path, b"x")
    with pytest.raises(NoAuthError):
        zk.create("/d/new", b"")
    assert (mode(mount / "d"), mode(mount / "d/moved")) == ("drwxr-xr-x", "-rw-r--r--")
    for fd in held:
        os.close(fd)


def test_mode_bits_are_what_the_acl_grants(new_mount, bob, auth_file):
    acls = {
        "ours": [BOB],
        "both": [BOB, READ_ONLY],
        "others": [make_digest_acl("eve", "x", all=True)],
        "read": [READ_ONLY],
        "write": [make_acl("world", "anyone", write=True)],
    }
    for name, acl in acls.items():
        bob.create(f"/{name}", b"v", acl=acl)
        bob.create(f"/d-{name}", None, acl=acl)
    mount = new_mount(options=[f"auth_file={auth_file}"])
    shown = {name: mode(mount / name) for name in acls}
    assert shown == {
        "ours": "-rw-r--r--",
        "both": "-rw-r--r--",
        "others": UNREADABLE,
        "read": "-r--r--r--",
        "write": "--w-------",
    }
    assert (mode(mount / "d-ours"), mode(mount / "d-read")) == ("drwxr-xr-x", "dr-xr-xr-x")
    stranger = new_mount("stranger")
    assert mode(stranger / "ours") == UNREADABLE
    assert mode(stranger / "both") == "-r--r--r--"


def test_eacces(new_mount, zk, bob):
    """Each call that the ensemble denies says so, and nothing changes."""
    everything_but = {
        "read": make_acl("world", "anyone", write=True, create=True, delete=True),
        "write": make_acl("world", "anyone", read=True, create=True, delete=True),
        "create": make_acl("world", "anyone", read=True, write=True, delete=True),
        "delete": make_acl("world", "anyone", read=True, write=True, create=True),
    }
    for what, acl in everything_but.items():
        bob.create(f"/{what}", b"v", acl=[acl, BOB])
    for what in ("create", "delete"):
        bob.create(f"/{what}/f", b"v")
    mount = new_mount()
    mount.shows("delete/f")
    fails_with(errno.EACCES, mount.read, "read")
    fails_with(errno.EACCES, mount.write, "write", b"x")
    fails_with(errno.EACCES, os.truncate, mount / "write", 0)
    for call, path in ((os.mkdir, "create/d"), (Path.touch, "create/new")):
        fails_with(errno.EACCES, call, mount / path)
    fails_with(errno.EACCES, os.open, mount / "create/.zk/ephemeral/e", os.O_CREAT | os.O_RDWR)
    fails_with(errno.EACCES, os.unlink, mount / "delete/f")
    fails_with(errno.EACCES, os.rename, mount / "delete/f", mount / "delete/g")
    for what in everything_but:
        fails_with(errno.EACCES, os.setxattr, mount / what, "user.zk.acl", b"world:anyone:cdrwa")
    assert bob.get("/write")[1].version == 0 and bob.get_children("/delete") == ["f"]
    assert bob.get_children("/create") == ["f"]


def test_identity_comes_back_with_the_connection_and_with_a_session(tap, new_mount, bob, auth_file):
    bob.create("/secret", b"1", acl=[BOB])
    mount = new_mount(hosts=tap.hosts, options=[f"auth_file={auth_file}", "session_timeout=1"])
    assert mount.read("secret") == b"1"
    before = mount.session_id()
    tap.cut()
    tap.mend()
    bob.set("/secret", b"2")
    wait_for("connected again", lambda: mount.session()["state"] == "connected")
    wait_for("the new value", lambda: mount.read("secret") == b"2")
    tap.cut()
    wait_for("expiry", lambda: mount.session()["state"] == "offline")
    time.sleep(1.2)
    tap.mend()
    wait_for("a new session", lambda: mount.session_id() != before, 20)
    bob.set("/secret", b"3")
    wait_for("the newest value", lambda: mount.read("secret") == b"3")
    mount.write("secret", b"4")
    assert bob.get("/secret")[0] == b"4"


def test_secrets_are_told_to_the_ensemble_alone(bench, new_mount, auth_file):
    mount = new_mount(options=[f"auth_file={auth_file}", "log_level=trace"], arguments=["-d"])
    mount.write("f", b"v")
    texts = {"log": mount.process.log()}
    for pid in bench.tagged_pids():
        for file in ("cmdline", "environ"):
            texts[f"{pid} {file}"] = Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    for name in os.listdir(mount / ".zk"):
        if (mount / ".zk" / name).is_file():
            texts[name] = mount.read(f".zk/{name}").decode()
    texts["mountinfo"] = Path("/proc/self/mountinfo").read_text()
    command = [ZKFS, "--print-config", *mount.command()[1:]]
    texts["--print-config"] = bench.run(command).stdout
    assert f"auth_file={auth_file}" in texts["--print-config"]
    assert [name for name, text in texts.items() if PASSWORD in text or "pass-word" in text] == []


@pytest.mark.parametrize(
    "make_wrong, told",
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.chmod(0o644), "others may read it"),
        (lambda path: path.write_text("digest"), "line 1: expected scheme:credentials"),
        (lambda path: path.write_text(f"\n:{PASSWORD}"), "line 2: expected scheme:credentials"),
    ],
)
def test_auth_file_that_is_wrong(bench, auth_file, make_wrong, told):
    make_wrong(auth_file)
    point = bench.path("mnt")
    point.mkdir()
    command = [ZKFS, "127.0.0.1:1", point, "-o", f"auth_file={auth_file}"]
    done = bench.run(command, check=False)
    assert done.returncode == 1
    assert told in done.stderr and PASSWORD not in done.stderr


def test_scheme_that_the_ensemble_refuses(bench, server, auth_file):
    auth_file.write_text("nosuchscheme:me\n")
    point = bench.path("mnt")
    point.mkdir()
    begin = time.monotonic()
    command = [ZKFS, server.hosts, point, "-o", f"auth_file={auth_file}"]
    done = bench.run(command, check=False, seconds=40)
    assert done.returncode == 32 and time.monotonic() - begin < 10
    assert "refuses this identity" in done.stderr


# ---- the users of this host ----------------------------------------------------------------------

AS_USER = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]


def test_other_users(bench, new_mount, zk):
    """allow_other with uid=, gid= and umask=: the kernel holds the mode bits against who comes."""
    for folder in (bench.folder, bench.folder.parent):
        folder.chmod(0o755)
    zk.create("/f", b"v")
    closed = new_mount("closed")
    done = bench.run(AS_USER + ["cat", closed / "f"], check=False)
    assert "Permission denied" in done.stderr

    shared = new_mount("shared", options=["allow_other"])
    assert bench.run(AS_USER + ["cat", shared / "f"]).stdout == "v"
    done = bench.run(AS_USER + ["sh", "-c", f"echo x > {shared.path}/f"], check=False)
    assert "Permission denied" in done.stderr and zk.get("/f")[0] == b"v"
    done = bench.run(AS_USER + ["mkdir", shared / "d"], check=False)
    assert "Permission denied" in done.stderr and not zk.exists("/d")

    options = ["allow_other", "uid=1234", "gid=4321", "umask=027"]
    owned = new_mount("owned", options=options)
    told = bench.run(AS_USER + ["stat", "-c", "%u %g %A", owned / "f"]).stdout
    assert told == "1234 4321 -rw-r-----\n"
    bench.run(AS_USER + ["sh", "-c", f"echo x > {owned.path}/f; mkdir {owned.path}/d"])
    assert zk.get("/f")[0] == b"x\n" and zk.exists("/d")
    other = ["setpriv", "--reuid=999", "--regid=999", "--clear-groups", "cat", owned / "f"]
    assert "Permission denied" in bench.run(other, check=False).stderr
    group = ["setpriv", "--reuid=999", "--regid=4321", "--clear-groups", "cat", owned / "f"]
    assert bench.run(group).stdout == "x\n"


def test_events_of_files_that_nobody_may_write(new_mount, zk):
    """The event helper must not be stopped by the mode bits that the kernel checks."""
    zk.create("/f", b"1")
    zk.set_acls("/f", [READ_ONLY])
    zk.create("/g", b"1", acl=[READ_ONLY, BOB])
    mount = new_mount(options=["allow_other", "uid=1234"])
    watcher = mount.watch("", events=["close_write", "delete"])
    assert mode(mount / "f") == mode(mount / "g") == "-r--r--r--"
    zk.delete("/f")
    watcher.wait("f", "DELETE")
    zk.add_auth("digest", f"bob:{PASSWORD}")
    zk.set("/g", b"2")
    watcher.wait("g", "CLOSE_WRITE")
