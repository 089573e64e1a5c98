# SPDX-License-Identifier: Apache-2.0
"""When things break: the ensemble, the line, the daemon, its helper, the machine's memory. Nothing
hangs that cannot be interrupted, nothing is lost without an error, and all heals by itself."""
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import rawzk as z
from harness.ensemble import Ensemble
from harness.waiting import holds_for, wait_for


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


# ---- the ensemble does not answer ----------------------------------------------------------------


def test_connection_lost_and_found_again(bench, tap, new_mount, zk):
    """The cache serves on; what needs the ensemble waits, and is done when it is back."""
    zk.create("/d", None)
    zk.create("/d/hot", b"hot")
    mount = new_mount(hosts=tap.hosts)
    assert mount.read("d/hot") == b"hot" and os.listdir(mount / "d") == ["hot"]
    number = mount.session_id()
    tap.cut()
    wait_for("it knows", lambda: mount.session()["state"] == "connecting")
    assert mount.read("d/hot") == b"hot" and os.listdir(mount / "d") == ["hot"]
    assert os.stat(mount / "d" / "hot").st_size == 3
    writer = bench.spawn(["sh", "-c", f"echo new > {mount.path}/d/new"], "writer")
    assert holds_for(0.3, writer.is_running)
    tap.mend()
    assert writer.wait() == 0
    assert zk.get("/d/new")[0] == b"new\n"
    assert mount.session_id() == number


@pytest.mark.own_server()
@pytest.mark.parametrize("offline", ["stale", "error"])
def test_no_server_for_longer_than_the_session(server, new_mount, zk, offline):
    zk.create("/f", b"cached")
    mount = new_mount(options=["session_timeout=1", f"offline={offline}"])
    assert mount.read("f") == b"cached"
    server.stop()
    wait_for("it knows", lambda: mount.session()["state"] == "offline")
    fails_with(errno.EHOSTDOWN, mount.write, "f", b"lost")
    fails_with(errno.EHOSTDOWN, os.mkdir, mount / "d")
    fails_with(errno.EHOSTDOWN, os.unlink, mount / "f")
    if offline == "stale":
        assert mount.read("f") == b"cached"
    else:
        fails_with(errno.EHOSTDOWN, mount.read, "f")
    server.start()
    wait_for("it heals", lambda: mount.write("f", b"back") or mount.read("f") == b"back")


@pytest.mark.parametrize("server_kind", ["zkserver"])  # it has an ensemble of its own
def test_ensemble_without_a_quorum(bench, new_mount):
    """As a connection that is lost: the one server that is left is not asked for what is cached."""
    ensemble = Ensemble(bench, ["zkserver"] * 3).start()
    try:
        ensemble.client().create("/f", b"v")
        mount = new_mount(hosts=ensemble.hosts, options=["timeout=1"])
        assert mount.read("f") == b"v"
        stopped = ensemble.followers()[0], ensemble.leader()
        for server in stopped:
            server.stop()
        wait_for("it knows", lambda: mount.session()["state"] in ("connecting", "offline"))
        assert mount.read("f") == b"v"
        with pytest.raises(OSError) as error:
            mount.write("f", b"lost")
        assert error.value.errno in (errno.ETIMEDOUT, errno.EHOSTDOWN)
        for server in stopped:
            server.start(wait=False)
        wait_for("it heals", lambda: mount.write("f", b"back") or True, seconds=20)
        assert mount.read("f") == b"back"
    finally:
        for mount in bench.own_mounts():
            subprocess.run(["umount", mount[0]], check=False)
        ensemble.close()


OPERATIONS = {
    "stat": "os.stat('cold')",
    "open": "open('cold').read()",
    "list": "os.listdir('dir')",
    "absent": "os.path.exists('nothing')",
    "getxattr": "os.getxattr('hot', 'user.zk.acl')",
    "create": "open('new', 'x')",
    "mkdir": "os.mkdir('newdir')",
    "unlink": "os.unlink('hot')",
    "rmdir": "os.rmdir('dir')",
    "rename": "os.rename('hot', 'hotter')",
    "exchange": "os.rename('dir', 'directory')",
    "truncate": "os.truncate('hot', 0)",
    "touch": "os.utime('hot')",
    "fsync": "f = os.open('hot', os.O_WRONLY); os.write(f, b'x'); os.fsync(f)",
    "close": "f = os.open('hot', os.O_WRONLY); os.write(f, b'x'); os.close(f)",
    "append": "f = os.open('hot', os.O_WRONLY | os.O_APPEND); os.write(f, b'x'); os.close(f)",
    "ftruncate": "f = os.open('cold2', os.O_RDWR); os.ftruncate(f, 1)",
    "write": "f = os.open('cold3', os.O_RDWR); os.write(f, b'x')",
}


def test_every_operation_can_be_interrupted(bench, server, tap, new_mount, zk):
    """^C works while the ensemble is silent, whatever a process waits for."""
    zk.create("/dir", None)
    for name in ("hot", "cold", "cold2", "cold3", "dir/f"):
        zk.create(f"/{name}", b"0123456789")
    mount = new_mount(hosts=tap.hosts)
    assert mount.read("hot")
    tap.hold()
    waiting = {}
    for name, code in OPERATIONS.items():
        begin = "import os, signal; signal.signal(2, signal.SIG_DFL); print('go', flush=True)"
        script = f"{begin}; {code}"
        waiting[name] = bench.spawn([sys.executable, "-I", "-c", script], name, cwd=mount.path)
        waiting[name].killed_by_test = True
    try:
        wait_for("all have begun", lambda: all("go" in p.log() for p in waiting.values()))
        running = {n for n, p in waiting.items() if holds_for(0.1, p.is_running)}
        for name in running:
            waiting[name].signal(signal.SIGINT)
        assert {n: waiting[n].wait(5) for n in running} == {n: -signal.SIGINT for n in running}
        assert running >= set(OPERATIONS) - {"getxattr", "absent"}, "they all wait for the ensemble"
    finally:
        tap.release()
    wait_for("it works again", lambda: os.listdir(mount.path))


def test_slow_server(tap, new_mount, zk):
    """A fifth of a second for each answer: slow, and right."""
    zk.create("/f", b"1")
    mount = new_mount(hosts=tap.hosts)
    tap.delay = 0.1
    mount.write("f", b"2")
    assert zk.get("/f")[0] == b"2"
    mount.write("g", b"3")
    os.rename(mount / "g", mount / "f")
    assert (mount.read("f"), zk.get("/f")[0], zk.exists("/g")) == (b"3", b"3", None)
    watcher = mount.watch("f", events=["close_write"])
    zk.set("/f", b"4")
    watcher.wait("f", "CLOSE_WRITE")
    assert mount.read("f") == b"4"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff" * 8,  # a negative length
        b"\x7f\xff\xff\xff" + b"x" * 64,  # a length of two gigabytes
        b"\x00\x00\x00\x03abc",  # too short for a header
        b"\x00\x00\x00\x10" + b"\x00" * 16,  # the answer to a request that nobody made
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["negative", "huge", "short", "stranger", "http"],
)
def test_server_that_answers_with_garbage(tap, new_mount, zk, garbage):
    zk.create("/f", b"v")
    zk.create("/g", b"w")
    mount = new_mount(hosts=tap.hosts, options=["timeout=2", "session_timeout=2"])
    assert mount.read("f") == b"v"
    # libzookeeper asks for as much memory as it is told to, and is refused.
    tap.bench.expect_log(r"AddressSanitizer( failed to allocate|: requested allocation)")
    tap.garble(garbage)
    try:
        assert mount.read("g") == b"w"
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ETIMEDOUT)
    wait_for("it heals", lambda: mount.read("g") == b"w")
    zk.set("/f", b"after")
    wait_for("it hears of changes", lambda: mount.read("f") == b"after")


# ---- the mount goes ------------------------------------------------------------------------------


def test_unmount_with_open_files(bench, new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount()
    with open(mount / "f", "rb") as file:
        done = bench.run(["umount", mount.path], check=False)
        assert done.returncode != 0 and "busy" in done.stderr
        assert file.read() == b"v"
    assert mount.unmount() == 0


def test_lazy_unmount_lets_open_files_go_on(bench, new_mount, zk):
    zk.create("/f", b"v")
    mount = new_mount()
    with open(mount / "f", "r+b", buffering=0) as file:
        bench.run(["umount", "-l", mount.path])
        assert not mount.is_mounted() and mount.process.is_running()
        assert file.read() == b"v"
        file.write(b"w")
        os.fsync(file.fileno())
        assert zk.get("/f")[0] == b"vw"
    mount.process.killed_by_test = True
    assert mount.process.wait() == 0, "the last user has gone"


def test_daemon_that_crashes_under_all_kinds_of_use(bench, server, new_mount, zk):
    """ENOTCONN for everybody, nobody in D state, and the mount point is free again."""
    zk.create("/f", b"v")
    mount = new_mount()
    loops = ["cat f", "ls -l", "echo x > g; rm g", "mkdir d; rmdir d", "stat f nothing"]
    users = [
        bench.spawn(["sh", "-c", f"while {what}; cat .zk/stat; do :; done"], "user", cwd=mount.path)
        for what in loops
    ]
    descriptor = os.open(mount / "f", os.O_RDONLY)
    wait_for("they use it", lambda: zk.exists("/f") and all(u.is_running() for u in users))
    mount.process.killed_by_test = True
    mount.process.signal(signal.SIGABRT)
    mount.process.wait()
    for user in users:
        user.wait(10)
    fails_with(errno.ENOTCONN, os.getxattr, descriptor, "user.zk.version")
    os.close(descriptor)
    wait_for("nobody in D state", lambda: "D" not in bench.process_states().values())
    mount.remove_dead()
    assert new_mount().read("f") == b"v"


def test_daemon_that_gets_no_memory(bench, new_mount, zk):
    """It ends at once, by an assertion; its guard takes the mount away, nothing half is written."""
    bench.expect_log(r"assertion failed: p != NULL at common/xalloc.c")
    zk.create("/f", b"value")
    mount = new_mount()
    mount.process.killed_by_test = True
    used = int(Path(f"/proc/{mount.process.pid}/statm").read_text().split()[0]) * 4096
    resource.prlimit(mount.process.pid, resource.RLIMIT_AS, (used, used))
    descriptors = []
    with pytest.raises(OSError) as error:
        for _ in range(900):  # each writer has a buffer of its own
            descriptors.append(os.open(mount / "f", os.O_WRONLY))
            os.write(descriptors[-1], b"w" * 900_000)
    assert error.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    mount.process.wait()
    assert "xalloc.c" in mount.process.log()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    mount.remove_dead()
    assert zk.get("/f")[0] == b"value"


# ---- the event helper goes -----------------------------------------------------------------------


def helper_of(mount):
    """The process id of the mount's event helper."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if name == "zkfs-events" and int(parent) == mount.process.pid and state != "Z":
            return int(stat.parent.name)
    return None


def test_killed_event_helper_is_replaced_and_nothing_missed(bench, new_mount, zk):
    bench.expect_log(r" WARN +notify the event helper has ended")
    zk.create("/d", None)
    zk.create("/d/f", b"0")
    mount = new_mount()
    watcher = mount.watch("d", events=["close_write", "create", "delete"])
    for number in range(1, 6):
        old = helper_of(mount)
        os.kill(old, signal.SIGKILL)
        zk.set("/d/f", b"%d" % number)
        watcher.wait("d/f", "CLOSE_WRITE", count=number)
        assert mount.read("d/f") == b"%d" % number
        assert helper_of(mount) not in (None, old)
        os.kill(helper_of(mount), signal.SIGKILL)
        zk.create(f"/d/n{number}", b"")
        watcher.wait(f"d/n{number}", "CREATE")
        os.kill(helper_of(mount), signal.SIGKILL)
        zk.delete(f"/d/n{number}")
        watcher.wait(f"d/n{number}", "DELETE")


def test_no_stranger_is_taken_for_the_helper(bench, new_mount, zk):
    """Whoever gets the process id of a dead helper has his writes stored as everybody has."""
    bench.expect_log(r" WARN +notify the event helper has ended")
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    zk.create("/f", b"0")
    mount = new_mount()
    old = helper_of(mount)
    os.kill(old, signal.SIGKILL)
    watcher = mount.watch("f", events=["close_write"])
    zk.set("/f", b"1")  # the daemon finds out
    watcher.wait("f", "CLOSE_WRITE")
    got = 0
    for attempt in range(500):
        value = b"by a stranger %d" % attempt
        last_pid.write_text(str(old - 1))
        pid = os.fork()
        if pid == 0:
            try:
                Path(mount / "f").write_bytes(value)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        if pid == old:
            got += 1
            assert zk.get("/f")[0] == value
        if got == 3:
            break
    assert got, f"process id {old} was never given again"


def test_daemon_and_helper_killed_together_leave_nothing(bench, new_mount, zk):
    zk.create("/f", b"0")
    mount = new_mount()
    mount.read("f")
    helper = helper_of(mount)
    mount.process.killed_by_test = True
    os.kill(helper, signal.SIGKILL)
    mount.kill9()
    mount.remove_dead()
    wait_for("nothing is left", lambda: mount.process.pid not in bench.tagged_pids())


def test_server_is_not_asked_more_after_each_failure(tap, new_mount, zk):
    """A reconnect costs what it must: watches are set again, not everything is read."""
    for number in range(50):
        zk.create(f"/n{number}", b"v")
    mount = new_mount(hosts=tap.hosts)
    for number in range(50):
        assert mount.read(f"n{number}") == b"v"
    for _ in range(3):
        tap.cut()
        wait_for("it knows", lambda: mount.session()["state"] == "connecting")
        tap.forget()
        tap.mend()
        wait_for("it is back", lambda: mount.session()["state"] == "connected")
        assert mount.read("n7") == b"v"
        reads = [a for a in tap.asked if a.op in (z.GET_DATA, z.EXISTS, z.GET_CHILDREN2)]
        assert len(reads) < 5, reads
