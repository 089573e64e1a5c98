# SPDX-License-Identifier: Apache-2.0
"""A mount comes, goes, and dies without taking anything along."""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import rawzk as z
from harness.bench import BIN, REPO, ZKFS, mount_table
from harness.mounts import Mount
from harness.waiting import wait_for


def is_mounted(path):
    return any(point == str(path) for point, _, _ in mount_table())


def test_unmount_ends_the_daemon_and_its_session(server, mount):
    number = mount.session_id()
    assert mount.unmount() == 0
    refused = server.tcp().connect(session=number, password=z.password_of(number))
    assert refused.session == 0, "the session was closed, not left to expire"


def test_sigterm_unmounts(mount):
    assert mount.process.terminate() == 0
    assert not mount.is_mounted()


def test_two_mounts_of_one_tree(new_mount):
    one, two = new_mount("one"), new_mount("two")
    one.write("f", b"by one")
    wait_for("two sees it", lambda: two.read("f") == b"by one")
    one.unmount()
    assert two.read("f") == b"by one"


def test_chroot(server, zk, new_mount):
    zk.create("/app", None)
    mount = new_mount(hosts=server.hosts + "/app")
    mount.write("f", b"v")
    assert zk.get("/app/f")[0] == b"v"
    assert os.listdir(mount.path) == ["f"]


@pytest.mark.parametrize("moment", ["idle", "while it is used", "while events are raised"])
def test_kill_9_of_the_daemon(bench, server, new_mount, zk, moment):
    zk.create("/f", b"v")
    mount = new_mount()
    mount.read("f")
    if moment == "while it is used":
        loop = "while cat f >/dev/null 2>&1 && echo x >> g; do :; done"
        users = [bench.spawn(["sh", "-c", loop], f"user{i}", cwd=mount.path) for i in range(4)]
        wait_for("they write", lambda: zk.exists("/g") and zk.exists("/g").version > 20)
    if moment == "while events are raised":
        watcher = mount.watch("", events=["modify"])
        for number in range(200):
            zk.set_async("/f", b"%d" % number)
        watcher.wait("f", "MODIFY")
    mount.kill9()
    if moment == "while it is used":
        for user in users:
            user.wait(10)
    mount.stop_watching()
    wait_for(
        lambda: f"no process in D state: {bench.process_states()}",
        lambda: "D" not in bench.process_states().values(),
    )
    mount.remove_dead()
    wait_for("it is unmounted", lambda: not mount.is_mounted())
    again = new_mount()
    assert again.read("f").decode()
    again.write("f", b"works")
    assert zk.get("/f")[0] == b"works"


def test_stopped_daemon_and_a_forced_unmount(bench, new_mount, zk):
    """An operator's way out when the daemon itself hangs."""
    mount = new_mount()
    mount.process.signal(signal.SIGSTOP)
    reader = bench.spawn(["cat", mount / "f"], "cat")
    reader.killed_by_test = True
    bench.run(["umount", "-l", mount.path])
    mount.kill9()
    reader.wait(10)
    wait_for(
        lambda: f"no process in D state: {bench.process_states()}",
        lambda: "D" not in bench.process_states().values(),
    )


# ---- the ways to start it ------------------------------------------------------------------------


@pytest.fixture
def mounted_in_background(bench):
    """Unmounts what commands of this test mounted and waits for the daemons to end."""
    points = []
    yield points
    for point in points:
        if is_mounted(point):
            bench.run(["umount", point])
    wait_for("the daemons end", lambda: not any_running(bench, "zkfs"))


def any_running(bench, *programs):
    names = [Path(f"/proc/{pid}/comm") for pid in bench.tagged_pids()]
    return any(name.exists() and name.read_text().strip() in programs for name in names)


def test_exit_status_comes_after_the_mount_answers(bench, server, zk, mounted_in_background):
    zk.create("/f", b"v")
    point = bench.path("mnt")
    point.mkdir()
    mounted_in_background.append(point)
    bench.run([ZKFS, server.hosts, point])
    assert (point / "f").read_bytes() == b"v", "at once, without waiting"


def test_mount_command(bench, server, zk):
    """mount -t fuse.zkfs with an fstab line's options. mount(8) looks for zkfs in its own PATH,
    so the test installs it for its eyes only, in a mount namespace."""
    zk.create("/f", b"value")
    point = bench.path("mnt")
    point.mkdir()
    options = (
        "_netdev,nofail,x-systemd.automount,x-systemd.requires=network-online.target,allow_other"
    )
    story = f"""set -e
        mount --bind {BIN} /usr/local/bin
        mount -t fuse.zkfs -o {options} {server.hosts} {point}
        cat {point}/f
        findmnt -no FSTYPE {point}
        umount {point}"""
    assert bench.run(["unshare", "-m", "sh", "-c", story]).stdout == "valuefuse.zkfs\n"
    wait_for("the daemon ends", lambda: not any_running(bench, "zkfs"))


def test_ensemble_that_is_not_there(bench):
    """A clear message and a bad exit status within the time given."""
    point = bench.path("mnt")
    point.mkdir()
    begin = time.monotonic()
    done = bench.run([ZKFS, "127.0.0.1:1", point, "-o", "mount_timeout=2"], check=False, seconds=20)
    assert done.returncode != 0 and time.monotonic() - begin < 15
    assert "127.0.0.1:1" in done.stderr
    assert not is_mounted(point)


@pytest.mark.parametrize(
    "arguments", [[], ["127.0.0.1:1"], ["127.0.0.1:1", "/none"], ["x", "/tmp", "-o", "wrong=1"]]
)
def test_wrong_use_is_explained(bench, arguments):
    done = bench.run([ZKFS] + arguments, check=False)
    assert done.returncode != 0
    assert done.stderr.strip() and len(done.stderr.splitlines()) < 12, done.stderr


def test_help_and_version(bench):
    told = bench.run([ZKFS, "--help"]).stdout
    for word in ("HOSTS", "MOUNTPOINT", "--embedded", "session_timeout=", "child_watches="):
        assert word in told
    assert "zkfs" in bench.run([ZKFS, "--version"]).stdout


# ---- the embedded server -------------------------------------------------------------------------


def test_embedded_server_comes_and_goes_with_the_mount(bench):
    data = bench.path("data")
    mount = Mount(bench, None, arguments=[f"--embedded={data}"]).start()
    mount.write("f", b"kept")
    server = [
        p for p in bench.tagged_pids() if Path(f"/proc/{p}/comm").read_text().strip() == "zkserver"
    ]
    assert len(server) == 1
    assert mount.unmount() == 0
    assert not Path(f"/proc/{server[0]}").exists(), "the server stops at unmount"
    assert list(data.rglob("log.*")), "its data is where it was told"
    again = Mount(bench, None, name="again", arguments=[f"--embedded={data}"]).start()
    assert again.read("f") == b"kept"
    assert again.unmount() == 0


def test_embedded_server_keeps_its_data_under_the_state_directory(bench):
    home = bench.path("home")
    home.mkdir()
    point = bench.path("mnt")
    point.mkdir()
    bench.run([ZKFS, "--embedded", point], env={"XDG_STATE_HOME": str(home)})
    (point / "f").write_bytes(b"v")
    bench.run(["umount", point])
    wait_for("both end", lambda: not any_running(bench, "zkfs", "zkserver"))
    assert list(home.rglob("log.*"))


def test_embedded_server_does_not_outlive_a_killed_daemon(bench):
    mount = Mount(bench, None, arguments=[f"--embedded={bench.path('data')}"]).start()
    mount.kill9()
    mount.remove_dead()
    wait_for("the server ends too", lambda: not any_running(bench, "zkfs", "zkserver"))


# ---- make run ------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_make_run_and_make_stop(bench):
    """In a copy of the checkout: the five lines that it prints work, and stop leaves nothing."""
    copy = bench.path("checkout")
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=True
    ).stdout
    bench.run(
        ["rsync", "-a", "--files-from=-", "--from0", f"{REPO}/", f"{copy}/"], stdin=files.decode()
    )
    bench.run(["cp", "-a", REPO / "build", copy / "build"])
    env = {"XDG_STATE_HOME": str(bench.path("state"))}
    point = copy / "mnt"
    try:
        told = bench.run(["make", "run"], cwd=copy, env=env, seconds=120).stdout
        assert is_mounted(point), told
        assert str(point) in told or "mnt" in told
        (point / "hello").write_text("world\n")
        assert bench.run(
            ["make", "run"], cwd=copy, env=env, check=False
        ).stdout, "a second call says so"
        assert (point / "hello").read_text() == "world\n"
    finally:
        bench.run(["make", "stop"], cwd=copy, env=env)
    assert not is_mounted(point)
    wait_for("nothing is left", lambda: not any_running(bench, "zkfs", "zkserver"))


def test_make_install(bench):
    """What a package would contain."""
    root = bench.path("root")
    bench.run(["make", "-C", REPO, "install", f"DESTDIR={root}", "PREFIX=/usr"], seconds=120)
    for program in ("zkfs", "zkserver"):
        assert os.access(root / "usr/bin" / program, os.X_OK)
    assert list((root / "usr/share/man").rglob("zkfs.8"))
    bench.run([root / "usr/bin/zkfs", "--version"])


@pytest.mark.timeout(180)
def test_make_run_on_an_existing_ensemble(bench, server, zk):
    zk.create("/f", b"v")
    point = bench.path("elsewhere")
    call = ["make", "-C", REPO, f"ZK={server.hosts}", f"MNT={point}"]
    try:
        bench.run(call + ["run"], seconds=120)
        assert (point / "f").read_bytes() == b"v"
    finally:
        bench.run(call + ["stop"])
    assert not is_mounted(point)
