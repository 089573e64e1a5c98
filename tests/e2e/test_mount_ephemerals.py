# SPDX-License-Identifier: Apache-2.0
"""Znodes that live as long as a descriptor is open, and the other kinds that the control directory
makes."""
import errno
import os
import re
import signal

import pytest

from harness import rawzk as z
from harness.mounts import Mount
from harness.waiting import wait_for

MAKERS = ("ephemeral", "sequential", "ephemeral-sequential", "container", "ttl/60")


class Held:
    """Descriptors that a test holds; held(path) opens one."""

    def __init__(self):
        self._descriptors = set()

    def __call__(self, path, flags=os.O_RDWR | os.O_CREAT):
        return self.keep(os.open(path, flags))

    def keep(self, fd):
        self._descriptors.add(fd)
        return fd

    def close(self, *descriptors):
        for fd in descriptors or list(self._descriptors):
            self._descriptors.remove(fd)
            os.close(fd)


@pytest.fixture
def held():
    held = Held()
    yield held
    held.close()


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


def gone(zk, path, seconds=10):
    wait_for(f"{path} is gone", lambda: zk.exists(path) is None, seconds)


# ---- as long as the descriptor -------------------------------------------------------------------


def test_registration_is_a_redirection(bench, mount, zk):
    """The line of the manual: the service's life is the znode's."""
    zk.create("/web", None)
    mount.shows("web")
    os.mkfifo(bench.path("end"))
    script = (
        "exec 9> web/.zk/ephemeral/host1; echo 10.0.0.1:80 >&9; echo ready; cat "
        f"{bench.path('end')}"
    )
    service = bench.spawn(["bash", "-c", script], "service", cwd=mount.path)
    wait_for("it runs", lambda: "ready" in service.log())
    data, znode = zk.get("/web/host1")
    assert (data, znode.ephemeralOwner) == (b"10.0.0.1:80\n", mount.session_id())
    assert mount.read("web/host1") == data, "and at once, here too"
    bench.path("end").write_text("")
    assert service.wait() == 0
    gone(zk, "/web/host1")
    wait_for("here too", lambda: os.listdir(mount / "web") == [])


def test_killed_process_takes_it_along(bench, mount, zk):
    script = "exec 9> .zk/ephemeral/e; sleep 60 & echo child $!; wait"
    service = bench.spawn(["bash", "-c", script], "service", cwd=mount.path)
    wait_for("it runs", lambda: "child" in service.log())
    assert zk.exists("/e")
    service.kill9()
    assert zk.exists("/e"), "the child has the descriptor still"
    os.kill(int(service.log().split()[1]), signal.SIGKILL)
    gone(zk, "/e")


def test_every_duplicate_holds_it(mount, zk, held):
    first = held(mount / ".zk/ephemeral/e")
    second = held.keep(os.dup(first))
    third = held(f"/proc/self/fd/{first}", os.O_RDONLY)
    held.close(first, second)
    assert os.read(third, 100) == b"e\n"
    assert zk.exists("/e")
    held.close(third)
    gone(zk, "/e")


def test_each_write_is_a_set(tap, new_mount, zk, held):
    mount = new_mount(hosts=tap.hosts)
    fd = held(mount / ".zk/ephemeral/e")
    tap.forget()
    for text in (b"a long first value", b"short"):
        os.write(fd, text)
        assert zk.get("/e")[0] == text
        assert mount.read("e") == text
    sets = [a for a in tap.asked if a.op == z.SET_DATA]
    assert sets == [(z.SET_DATA, "/e")] * 2
    os.ftruncate(fd, 0)
    assert zk.get("/e")[0] == b"short", "truncating makes no value"


def test_value_that_is_too_long(mount, held, zk):
    fd = held(mount / ".zk/ephemeral/e")
    os.write(fd, b"v")
    fails_with(errno.EFBIG, os.write, fd, b"x" * 1048576)
    assert zk.get("/e")[0] == b"v"
    os.write(fd, b"x" * 1000000)
    assert len(zk.get("/e")[0]) == 1000000


def test_name_that_is_taken(mount, zk, held):
    zk.create("/taken", b"by another")
    fails_with(errno.EEXIST, os.open, mount / ".zk/ephemeral/taken", os.O_RDWR | os.O_CREAT)
    fd = held(mount / ".zk/ephemeral/mine")
    fails_with(errno.EEXIST, os.open, mount / ".zk/ephemeral/mine", os.O_RDWR | os.O_CREAT)
    held.close(fd)
    gone(zk, "/mine")
    held(mount / ".zk/ephemeral/mine")
    assert zk.get("/taken")[0] == b"by another"


def test_name_is_free_as_soon_as_it_is_closed(mount, zk, held):
    """A service that is restarted: closing does not wait for the ensemble, registering again does."""
    seen = set()
    for number in range(100):
        fd = held(mount / ".zk/ephemeral/e")
        os.write(fd, b"%d" % number)
        seen.add(zk.get("/e")[1].czxid)
        held.close(fd)
    assert len(seen) == 100
    gone(zk, "/e")


def test_one_of_many_gets_the_name(bench, mount, zk):
    """In one mount, at once, again and again: never two holders, and nothing is left."""
    script = f"""for i in $(seq 40); do (
        exec 9> {mount.path}/.zk/ephemeral/e || exit
        mkdir {bench.path('in')} || echo both
        echo ok >&9
        rmdir {bench.path('in')} && echo had
    ) 2> /dev/null; done; true"""
    workers = [bench.spawn(["bash", "-c", script], f"worker{n}") for n in range(4)]
    for worker in workers:
        assert worker.wait(60) == 0
    told = "".join(worker.log() for worker in workers)
    assert "had" in told and "both" not in told
    gone(zk, "/e")


def test_successor_of_another_session_is_left_alone(server, mount, zk, held):
    """Deleted by an operator and registered by another host: closing must not take that away."""
    fd = held(mount / ".zk/ephemeral/e")
    zk.delete("/e")
    zk.create("/e", b"another's", ephemeral=True)
    wait_for("it is seen", lambda: mount.read("e") == b"another's")
    fails_with(errno.ESTALE, os.write, fd, b"mine")
    held.close(fd)
    os.listdir(mount.path)
    held(mount / ".zk/ephemeral/other")  # later on the same session
    assert zk.get("/e")[0] == b"another's"


def test_nothing_can_be_made_below_an_ephemeral(mount, held):
    held(mount / ".zk/ephemeral/e")
    wait_for("a file", lambda: (mount / "e").is_file())
    fails_with(errno.ENOTDIR, os.mkdir, mount / "e/child")


def test_local_watchers_hear_of_it(mount, zk, held):
    watcher = mount.watch("", events=["create", "close_write", "delete"])
    fd = held(mount / ".zk/ephemeral/e")
    watcher.wait("e", "CREATE")
    os.write(fd, b"v")
    watcher.wait("e", "CLOSE_WRITE", count=2)
    held.close(fd)
    watcher.wait("e", "DELETE")
    assert watcher.kinds("e").count("CREATE") == 1


# ---- the session ---------------------------------------------------------------------------------


def test_unmount_takes_it_along_at_once(bench, mount, zk, held):
    fd = held(mount / ".zk/ephemeral/e")
    assert mount.process.terminate() == 0
    gone(zk, "/e", seconds=2)
    fails_with(errno.ENOTCONN, os.write, fd, b"v")


def test_killed_daemon_takes_it_along_in_a_session_timeout(new_mount, zk, held):
    mount = new_mount(options=["session_timeout=1"])
    held(mount / ".zk/ephemeral/e")
    mount.kill9()
    mount.remove_dead()
    gone(zk, "/e")


def test_lost_host_takes_it_along_and_the_descriptor_says_so(tap, new_mount, zk, held):
    mount = new_mount(hosts=tap.hosts, options=["session_timeout=1"])
    ephemeral = held(mount / ".zk/ephemeral/e")
    queued = held(mount / ".zk/ephemeral-sequential/q-")
    lasting = held(mount / ".zk/sequential/s-")
    before = mount.session_id()
    tap.cut()
    gone(zk, "/e")
    zk.create("/e", b"taken over")
    tap.mend()
    wait_for("a new session", lambda: mount.session_id() != before, 20)
    for fd in (ephemeral, queued):
        fails_with(errno.ESTALE, os.read, fd, 100)
        fails_with(errno.ESTALE, os.write, fd, b"v")
    held.close(ephemeral)
    assert re.fullmatch(rb"s-\d{10}\n", os.read(lasting, 100))
    os.write(lasting, b"v")
    held(mount / ".zk/ephemeral/again")
    assert zk.get("/e")[0] == b"taken over"


def test_lost_connection_of_a_living_session_costs_nothing(tap, new_mount, zk, held):
    mount = new_mount(hosts=tap.hosts)
    fd = held(mount / ".zk/ephemeral/e")
    tap.cut()
    held.close(fd)
    tap.mend()
    gone(zk, "/e")


@pytest.mark.parametrize("maker", ["ephemeral", "ephemeral-sequential"])
def test_create_whose_answer_is_lost(tap, new_mount, zk, held, maker):
    """The znode was made; there is one in the end, and it is the descriptor's."""
    zk.create("/d", None)
    mount = new_mount(hosts=tap.hosts)
    mount.shows("d")
    kept = held(mount / f"d/.zk/{maker}/first")
    tap.lose_answer(z.CREATE2)
    fd = held(mount / f"d/.zk/{maker}/n-")
    name = os.read(fd, 100).decode().strip()
    assert sorted(zk.get_children("/d")) == sorted([os.read(kept, 100).decode().strip(), name])
    os.write(fd, b"v")
    assert zk.get(f"/d/{name}")[0] == b"v"
    held.close(fd)
    gone(zk, f"/d/{name}")


def test_sequential_create_whose_answer_is_lost_is_an_error(tap, new_mount, zk):
    """Nothing tells which of many numbers would be ours."""
    mount = new_mount(hosts=tap.hosts)
    tap.lose_answer(z.CREATE2)
    fails_with(errno.EIO, os.open, mount / ".zk/sequential/n-", os.O_RDWR | os.O_CREAT)


# ---- sequential ----------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", ["sequential", "ephemeral-sequential"])
def test_sequential_tells_its_name(bench, mount, zk, held, maker):
    zk.create("/q", None)
    mount.shows("q")
    first = held(mount / f"q/.zk/{maker}/job-")
    second = held(mount / f"q/.zk/{maker}/job-")
    names = [os.read(fd, 1000).decode() for fd in (first, second)]
    assert names == ["job-0000000000\n", "job-0000000001\n"]
    assert os.read(first, 1000) == b"", "the end"
    assert os.read(first, 4) + os.read(first, 1000) == names[0].encode(), "and again"
    assert os.getxattr(second, "user.zk.path") == b"/q/job-0000000001"
    owner = int(os.getxattr(second, "user.zk.ephemeralOwner"), 16)
    assert owner == (mount.session_id() if maker == "ephemeral-sequential" else 0)
    story = f"""exec 9<> q/.zk/{maker}/job-; echo some work >&9; read name <&9; echo $name
        cat q/$name /dev/fd/9; stat -c %s /dev/fd/9 -L"""
    told = bench.run(["bash", "-c", story], cwd=mount.path).stdout.split("\n")
    assert told == ["job-0000000002", "some work", "job-0000000002", "0", ""]
    held.close(second)
    if maker == "sequential":
        assert sorted(zk.get_children("/q")) == [f"job-{n:010}" for n in range(3)]
    else:
        wait_for("one is left", lambda: zk.get_children("/q") == ["job-0000000000"])


# ---- container, ttl ------------------------------------------------------------------------------


def test_container_and_ttl(tap, new_mount, zk, held):
    mount = new_mount(hosts=tap.hosts)
    held(mount / ".zk/container/c")
    assert (z.CREATE_CONTAINER, "/c") in tap.asked
    wait_for("a directory", lambda: (mount / "c").is_dir())
    mount.write("c/child", b"")
    fd = held(mount / ".zk/ttl/60/t")
    assert (z.CREATE_TTL, "/t") in tap.asked
    os.write(fd, b"v")
    held.close(fd)
    assert mount.read("t") == b"v" and zk.get("/t")[0] == b"v", "it lives on"


def test_ensemble_ends_containers_and_ttl_nodes(bench, new_server, server_kind, held):
    """And the mount tells of it, the descriptor too."""
    server = new_server(server_kind, znode__container__checkIntervalMs=200)
    server.jvm = [*server.jvm, "-Dznode.container.checkIntervalMs=200"]
    server.start()
    mount = Mount(bench, server.hosts).start()
    fd = held(mount / ".zk/ttl/1/t")
    held(mount / ".zk/container/c")
    wait_for("a directory", lambda: (mount / "c").is_dir())
    watcher = mount.watch("", events=["delete"])
    mount.write("c/child", b"")
    os.unlink(mount / "c/child")
    watcher.wait("t", "DELETE")
    watcher.wait("c", "DELETE", "ISDIR")
    assert os.listdir(mount.path) == ["zookeeper"]
    fails_with(errno.ESTALE, os.write, fd, b"late")
    held.close()
    assert mount.unmount() == 0


def test_ttl_names(mount):
    for name in ("0", "-1", "1.5", "x", "060", "99999999999", "1099511628"):
        assert not (mount / ".zk/ttl" / name).exists(), name
    for name in ("1", "60", "1099511627"):
        assert (mount / ".zk/ttl" / name).is_dir(), name
    fails_with(errno.EPERM, mount.write, ".zk/ttl/file", b"")


@pytest.mark.own_server(extendedTypesEnabled="false")
def test_ttl_on_a_server_without_it(mount, zk):
    fails_with(errno.EOPNOTSUPP, mount.write, ".zk/ttl/60/t", b"v")
    assert zk.exists("/t") is None


# ---- names ---------------------------------------------------------------------------------------


def test_odd_names(mount, zk, held):
    for name in ("with space", ".hidden", "..data", "ünïcödé", "a:b%c", "-"):
        held(mount / ".zk/ephemeral" / name)
        assert zk.exists(f"/{name}"), name
    for name in ("tab\there", "\u0085", "\ue000"):
        fails_with(errno.EINVAL, os.open, mount / f".zk/ephemeral/{name}", os.O_RDWR | os.O_CREAT)
    fails_with(errno.EILSEQ, os.open, bytes(mount / ".zk/ephemeral") + b"/\xff", os.O_CREAT)
    held(mount / ".zk/ephemeral" / ("e" * 255))
    held(mount / ".zk/sequential" / ("s" * 245))
    fails_with(errno.ENAMETOOLONG, os.open, mount / ".zk/sequential" / ("s" * 246), os.O_CREAT)
    fails_with(errno.EEXIST, os.open, mount / ".zk/ephemeral/.zk", os.O_CREAT)


def test_makers_are_empty_directories(mount, held):
    for number, maker in enumerate(MAKERS):
        path = mount / f".zk/{maker}/x{number}-"
        fd = held(path)
        assert os.listdir(path.parent) == []
        fails_with(errno.ENOENT, os.stat, path)
        fails_with(errno.EPERM, os.mkdir, path.parent / "d")
        assert re.fullmatch(rf"x{number}-(\d{{10}})?\n", os.read(fd, 100).decode())
    (mount / "f").touch()
    fails_with(errno.EPERM, os.rename, mount / "f", mount / ".zk/ephemeral/f")


def test_read_only_mount_makes_nothing(new_mount):
    mount = new_mount(options=["ro"])
    fails_with(errno.EROFS, os.open, mount / ".zk/ephemeral/e", os.O_RDWR | os.O_CREAT)


def test_directory_that_is_gone(mount, zk):
    zk.create("/d", None)
    mount.shows("d")
    maker = os.open(mount / "d/.zk/ephemeral", os.O_RDONLY | os.O_DIRECTORY)
    zk.delete("/d")
    wait_for("it is gone", lambda: not (mount / "d").exists())
    with pytest.raises(OSError) as error:
        os.open("e", os.O_RDWR | os.O_CREAT, dir_fd=maker)
    assert error.value.errno in (errno.ENOENT, errno.ESTALE)
    os.close(maker)
