# SPDX-License-Identifier: Apache-2.0
"""A change made by any other client arrives as a real inotify event, once, after the new state
can be read; nothing is missed over reconnects, restarts and expired sessions."""
import os
import threading
import time

import pytest

from harness import rawzk as z
from harness.waiting import wait_for


def fence(zk, watcher, directory=""):
    """Everything that was announced before has arrived: a change of our own, made now, has."""
    name = f"{directory}/fence{len(watcher.events)}-{time.monotonic_ns()}".strip("/")
    zk.create(f"/{name}", b"")
    watcher.wait(name)


# ---- the two stories that everybody tells --------------------------------------------------------


def test_configuration_centre(zk, new_mount):
    """inotifywait -m on the file; at the moment the event arrives, cat gives the new value."""
    zk.create("/username", b"javapub")
    mount = new_mount()
    values = []
    watcher = mount.watch(
        "username",
        events=["modify", "close_write"],
        on_event=lambda e: values.append(mount.read("username")),
    )
    zk.set("/username", b"javapub-rodert")
    watcher.wait("username", "MODIFY")
    watcher.wait("username", "CLOSE_WRITE")
    wait_for("both were read", lambda: len(values) == 2)
    assert values == [b"javapub-rodert"] * 2


def test_service_discovery(server, zk, new_mount):
    """Instances register as ephemerals; a crashed one disappears by itself."""
    zk.create("/services", None)
    mount = new_mount()
    watcher = mount.watch("services", events=["create", "delete"])
    alive, crashing = server.client(), server.raw(timeout=1000)
    alive.create("/services/one", b"10.0.0.1:80", ephemeral=True)
    crashing.ok(z.CREATE, z.create_body("/services/two", b"10.0.0.2:80", flags=1))
    watcher.wait("services/one", "CREATE")
    watcher.wait("services/two", "CREATE")
    assert sorted(os.listdir(mount / "services")) == ["one", "two"]
    assert mount.read("services/two") == b"10.0.0.2:80"
    crashing.close()
    watcher.wait("services/two", "DELETE")
    assert os.listdir(mount / "services") == ["one"]
    alive.stop()
    watcher.wait("services/one", "DELETE")
    assert os.listdir(mount / "services") == []


# ---- the event table -----------------------------------------------------------------------------


def test_set_elsewhere(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("")
    zk.set("/f", b"2")
    fence(zk, watcher)
    assert watcher.kinds("f") == ["OPEN", "MODIFY", "CLOSE,CLOSE_WRITE"]


def test_set_elsewhere_as_the_file_itself_sees_it(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("f")
    zk.set("/f", b"2")
    watcher.wait("f", "CLOSE_WRITE")
    assert watcher.kinds("f") == ["OPEN", "MODIFY", "CLOSE,CLOSE_WRITE"]


def test_file_created_elsewhere(mount, zk):
    watcher = mount.watch("")
    zk.create("/f", b"1")
    fence(zk, watcher)
    assert watcher.kinds("f") == ["CREATE", "OPEN", "MODIFY", "CLOSE,CLOSE_WRITE"]
    assert mount.read("f") == b"1"


def test_directory_created_and_deleted_elsewhere(mount, zk):
    watcher = mount.watch("", events=["create", "delete"])
    zk.create("/d", None)
    watcher.wait("d", "CREATE", "ISDIR")
    assert (mount / "d").is_dir()
    zk.delete("/d")
    watcher.wait("d", "DELETE", "ISDIR")
    assert not (mount / "d").exists()
    assert watcher.kinds("d") == ["CREATE,ISDIR", "DELETE,ISDIR"]


def test_file_deleted_elsewhere(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    parent = mount.watch("", events=["delete"])
    itself = mount.watch("f", events=["delete_self"])
    zk.delete("/f")
    parent.wait("f", "DELETE")
    itself.wait("f", "DELETE_SELF")
    assert parent.kinds("f") == ["DELETE"]


def test_acl_set_elsewhere(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("", events=["attrib", "modify"])
    mount.read("f")
    acl, _ = zk.get_acls("/f")
    zk.set_acls("/f", acl)
    # ZooKeeper has no watch for ACLs: it shows at the next look at the node.
    zk.set("/f", b"2")
    watcher.wait("f", "ATTRIB")
    watcher.wait("f", "MODIFY")


def test_deleted_and_created_again_elsewhere(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("", events=["create", "delete"])
    for number in range(5):
        zk.delete("/f")
        zk.create("/f", b"%d" % number)
        wait_for(
            "the new node", lambda: (mount / "f").exists() and mount.read("f") == b"%d" % number
        )
        fence(zk, watcher)
    assert watcher.kinds("f") == ["DELETE", "CREATE"] * 5


def test_file_that_becomes_a_directory(zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount()
    watcher = mount.watch("", events=["create", "delete"])
    assert mount.read("f") == b"1"
    zk.create("/f/child", b"")
    watcher.wait("f", "CREATE", "ISDIR")
    assert watcher.kinds("f") == ["DELETE", "CREATE,ISDIR"]
    assert os.listdir(mount / "f") == ["child"]


def test_children_that_nobody_opened(zk, new_mount):
    zk.create("/d", None)
    for number in range(200):
        zk.create(f"/d/n{number}", b"0")
    mount = new_mount()
    watcher = mount.watch("d", events=["modify", "close_write"])
    for number in range(200):
        zk.set(f"/d/n{number}", b"1")
    for number in range(200):
        watcher.wait(f"d/n{number}", "CLOSE_WRITE")
    fence(zk, watcher, "d")
    assert all(len(watcher.of(f"d/n{number}", "MODIFY")) == 1 for number in range(200))


def test_directory_of_ten_thousand_is_watched_once_established(server, new_mount, measure):
    count = 10_000
    create_children(server, "/big", count)
    mount = new_mount()
    begin = time.monotonic()
    watcher = mount.watch("big", events=["close_write", "create", "delete"])
    measure("inotifywait on 10,000 children established", time.monotonic() - begin)
    zk = server.client()
    for number in (0, 1, count // 2, count - 1):
        zk.set(f"/big/n{number}", b"1")
        watcher.wait(f"big/n{number}", "CLOSE_WRITE")
    zk.delete("/big/n7")
    watcher.wait("big/n7", "DELETE")


def create_children(server, path, count):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body(path, None))
    for begin in range(0, count, 500):
        for number in range(begin, begin + 500):
            conn.request(z.CREATE, z.create_body(f"{path}/n{number}", b"0"))
        for _ in range(500):
            assert conn.answer().err == 0


# ---- not twice -----------------------------------------------------------------------------------


def test_local_changes_are_not_announced_twice(bench, zk, new_mount):
    zk.create("/d", None)
    mount = new_mount()
    watcher = mount.watch("d", events=["create", "delete", "modify", "close_write", "move"])
    mount.write("d/f", b"one")
    mount.write("d/f", b"two")
    bench.sh("echo three >> f; mkdir sub; rmdir sub; mv f g; rm g", cwd=mount / "d")
    fence(zk, watcher, "d")
    kinds = watcher.kinds("d/f") + watcher.kinds("d/g") + watcher.kinds("d/sub")
    # A truncation and a write make two MODIFY, which the kernel merges if they wait together.
    merged = [kind for kind, before in zip(kinds, [None] + kinds) if kind != before]
    assert merged == [
        *("CREATE", "MODIFY", "CLOSE,CLOSE_WRITE"),
        *("MODIFY", "CLOSE,CLOSE_WRITE"),
        *("MODIFY", "CLOSE,CLOSE_WRITE"),
        "MOVED_FROM",
        *("MOVED_TO", "DELETE"),
        *("CREATE,ISDIR", "DELETE,ISDIR"),
    ]


def test_change_by_another_mount_is_announced_as_any_other(new_mount, zk):
    zk.create("/f", b"1")
    here, there = new_mount("here"), new_mount("there")
    watcher = here.watch("", events=["modify", "close_write", "create", "delete"])
    there.write("f", b"2")
    watcher.wait("f", "CLOSE_WRITE")
    assert here.read("f") == b"2"
    there.write("g", b"3")
    watcher.wait("g", "CREATE")
    os.unlink(there / "g")
    watcher.wait("g", "DELETE")


# ---- nothing missed ------------------------------------------------------------------------------


class Announced:
    """What a reader sees who looks at each file when its event comes."""

    def __init__(self, mount, directory, count):
        self.mount, self.directory = mount, directory
        self.names = [f"{directory}/n{i}" for i in range(count)]
        self.last_read = {}
        mount.shows(*self.names)
        self.watcher = mount.watch(directory, events=["close_write"], on_event=self._look)

    def _look(self, seen):
        try:
            self.last_read[seen.path] = self.mount.read(seen.path)
        except OSError as error:
            self.last_read[seen.path] = error

    def wait_for_last_values(self, values, seconds=20):
        def missing():
            return {
                n: (self.last_read.get(n), v)
                for n, v in values.items()
                if self.last_read.get(n) != v
            }

        wait_for(
            lambda: f"announced and read last (value, expected): {missing()}",
            lambda: not missing(),
            seconds,
        )
        assert {n: self.mount.read(n) for n in values} == values


def change_100_files_1000_times(client, on_half=None):
    """100 changes a second; on_half() runs after 500 of them and may give another client. Returns
    the last value of each file."""
    values = {}
    begin = time.monotonic()
    for number in range(1000):
        if number == 500 and on_half:
            client = on_half() or client
            begin = time.monotonic() - 5.0
        name = f"d/n{number % 100}"
        values[name] = b"value %d" % number
        client.set(f"/{name}", values[name])
        time.sleep(max(0.0, begin + number * 0.01 - time.monotonic()))
    return values


@pytest.fixture
def hundred(zk):
    zk.create("/d", None)
    for number in range(100):
        zk.create(f"/d/n{number}", b"first")


def test_thousand_changes_at_100_a_second(zk, hundred, mount):
    announced = Announced(mount, "d", 100)
    values = change_100_files_1000_times(zk)
    announced.wait_for_last_values(values)
    fence(zk, announced.watcher, "d")
    assert all(len(announced.watcher.of(n, "CLOSE_WRITE")) <= 10 for n in announced.names)
    before = len(announced.watcher.events)
    for name in announced.names[:20]:
        mount.write(name, b"local")
    fence(zk, announced.watcher, "d")
    own = [e for e in announced.watcher.events[before:] if e.path in announced.names]
    assert sorted(e.path for e in own) == sorted(announced.names[:20]), "one each for local writes"


@pytest.mark.own_server()
@pytest.mark.timeout(90)
def test_thousand_changes_with_kill_9_and_restart_of_the_server_in_the_middle(
    server, zk, hundred, mount
):
    announced = Announced(mount, "d", 100)

    def crash():
        server.kill9()
        server.start()
        return server.client()

    values = change_100_files_1000_times(zk, crash)
    announced.wait_for_last_values(values)


def test_changes_while_the_line_was_cut(server, tap, new_mount, zk, hundred):
    mount = new_mount(hosts=tap.hosts)
    announced = Announced(mount, "d", 100)
    number = mount.session_id()
    tap.cut()
    values = {f"d/n{i}": b"while it was away %d" % i for i in range(30)}
    for name, value in values.items():
        zk.set(f"/{name}", value)
    tap.mend()
    announced.wait_for_last_values(values)
    fence(zk, announced.watcher, "d")
    told = {e.path for e in announced.watcher.events if "fence" not in e.path}
    assert told == set(values), "only real differences are raised"
    assert mount.session_id() == number


def expire(server, tap, mount):
    """Ends the mount's session at the server while the mount cannot hear of it."""
    number = mount.session_id()
    tap.cut()
    conn = server.tcp()
    assert conn.connect(session=number, password=z.password_of(number)).session == number
    assert conn.call(z.CLOSE).err == 0
    return number


def test_changes_over_an_expired_session(server, tap, new_mount, zk, hundred):
    mount = new_mount(hosts=tap.hosts)
    announced = Announced(mount, "d", 100)
    everything = mount.watch("d", events=["create", "delete", "close_write"])
    old = expire(server, tap, mount)
    values = {f"d/n{i}": b"while it had no session %d" % i for i in range(30)}
    for name, value in values.items():
        zk.set(f"/{name}", value)
    zk.create("/d/new", b"n")
    zk.delete("/d/n99")
    tap.mend()
    announced.wait_for_last_values(values)
    everything.wait("d/new", "CREATE")
    everything.wait("d/n99", "DELETE")
    fence(zk, everything, "d")
    told = {e.path for e in everything.events if "fence" not in e.path}
    assert told == set(values) | {"d/new", "d/n99"}, "only real differences are raised"
    assert mount.session_id() != old
    zk.set("/d/n50", b"afterwards")
    announced.wait_for_last_values({"d/n50": b"afterwards"})


@pytest.mark.own_server()
def test_session_that_times_out_while_the_line_is_cut(server, tap, new_mount, zk, hundred):
    mount = new_mount(hosts=tap.hosts, options=["session_timeout=1"])
    announced = Announced(mount, "d", 100)
    old, sessions = mount.session_id(), count_sessions(server)
    tap.cut()
    zk.set("/d/n1", b"while it was away")
    wait_for("the session expires", lambda: count_sessions(server) == sessions - 1)
    tap.mend()
    announced.wait_for_last_values({"d/n1": b"while it was away"})
    assert mount.session_id() != old


def count_sessions(server):
    lines = server.four_letter("mntr").splitlines()
    return int(
        next(line.split("\t")[1] for line in lines if line.startswith("zk_global_sessions\t"))
    )


@pytest.mark.own_server()
@pytest.mark.timeout(90)
def test_server_that_is_down_for_longer_than_the_session(server, new_mount, zk, hundred):
    mount = new_mount(options=["session_timeout=1"])
    announced = Announced(mount, "d", 100)
    server.stop()
    wait_for("the mount is offline", lambda: mount.session()["state"] == "offline")
    server.start()
    client = server.client()
    values = {f"d/n{i}": b"after the restart" for i in range(30)}
    for name, value in values.items():
        client.set(f"/{name}", value)
    announced.wait_for_last_values(values)


def test_readers_see_the_new_value_when_the_event_comes_every_time(zk, new_mount):
    """Publish, invalidate, announce: 500 changes, each read at its event."""
    zk.create("/f", b"0")
    mount = new_mount()
    seen = []
    watcher = mount.watch(
        "f", events=["close_write"], on_event=lambda e: seen.append(mount.read("f"))
    )
    for number in range(1, 501):
        zk.set("/f", b"%d" % number)
        if number % 10 == 0:
            wait_for(f"{number}", lambda: seen and seen[-1] == b"%d" % number)
    values = [int(v) for v in seen]
    assert values == sorted(values), "never back in time"
    assert watcher.events


def test_session_file_raises_modify_when_the_state_changes(tap, new_mount):
    mount = new_mount(hosts=tap.hosts)
    mount.session_id()
    watcher = mount.watch(".zk/session", events=["modify"])
    tap.cut()
    watcher.wait(".zk/session", "MODIFY")
    tap.mend()
    watcher.wait(".zk/session", "MODIFY", count=2)


def test_events_come_while_the_file_is_held_open_and_read(zk, new_mount):
    """Invalidation must not wait for a reader that waits for us."""
    zk.create("/f", b"0" * 100_000)
    mount = new_mount()
    stop = threading.Event()

    def read_all_the_time():
        while not stop.is_set():
            value = mount.read("f")
            assert len(set(value)) == 1

    readers = [threading.Thread(target=read_all_the_time) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        watcher = mount.watch("", events=["modify"])
        for number in range(1, 51):
            zk.set("/f", b"%d" % (number % 10) * 100_000)
        wait_for("the last value", lambda: mount.read("f")[:1] == b"0")
        fence_name = "done"
        zk.create(f"/{fence_name}", b"")
        watcher.wait(fence_name, "MODIFY")
    finally:
        stop.set()
        for reader in readers:
            reader.join(10)
