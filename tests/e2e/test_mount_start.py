# SPDX-License-Identifier: Apache-2.0
"""How a mount starts when something is missing, and who is told what."""
import os
import signal
import time
from pathlib import Path

import pytest

from harness.bench import REPO, ZKFS
from harness.mounts import Mount
from harness.waiting import wait_for


@pytest.fixture
def point(bench):
    """A mount point for daemons in the background; unmounted at the end."""
    point = bench.path("mnt")
    point.mkdir()
    yield point
    if mounted_types(point):
        bench.run(["umount", "-l", point])
    wait_for("the daemon ends", lambda: not pids_of(bench, "zkfs"))


def mounted_types(point):
    return [(kind, options) for place, options, kind in mount_lines() if place == str(point)]


def mount_lines():
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        yield left.split()[4], left.split()[5], right.split()[0]


def pids_of(bench, program):
    found = []
    for pid in bench.tagged_pids():
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == program:
                found.append(pid)
        except OSError:
            continue
    return found


# ---- the ensemble is not there yet ---------------------------------------------------------------


def test_mount_waits_for_a_server_that_starts_later(bench, server, zk, point):
    zk.create("/f", b"v")
    server.stop()
    bench.expect_log(*server_away)
    daemon = bench.spawn([ZKFS, server.hosts, point], "starter")
    time.sleep(0.5)  # long enough for it to have found nobody
    assert daemon.is_running() and not mounted_types(point)
    server.start()
    assert daemon.wait() == 0
    assert (point / "f").read_bytes() == b"v"


def test_mount_at_once_lets_its_users_wait(bench, server, zk, point):
    zk.create("/f", b"v")
    server.stop()
    bench.expect_log(*server_away)
    bench.run([ZKFS, server.hosts, point, "-o", "mount_timeout=0"], seconds=5)
    assert mounted_types(point)
    reader = bench.spawn(["cat", point / "f"], "reader")
    server.start()
    assert reader.wait() == 0
    assert reader.log() == "v"


def test_names_that_do_not_resolve(bench, point):
    done = bench.run(
        [ZKFS, "no-such-host.invalid", point, "-o", "mount_timeout=1"], check=False, seconds=20
    )
    assert done.returncode == 32
    assert "no host name of no-such-host.invalid:2181 can be resolved" in done.stderr


def test_chroot_that_does_not_exist(bench, server, point):
    done = bench.run([ZKFS, server.hosts + "/none", point], check=False)
    assert done.returncode == 32 and not mounted_types(point)
    assert "/none: the path does not exist in the ensemble" in done.stderr


def test_interrupt_while_it_waits(bench, point):
    starter = bench.spawn([ZKFS, "127.0.0.1:1", point], "starter")
    wait_for("a daemon waits", lambda: len(pids_of(bench, "zkfs")) == 2)
    starter.signal(signal.SIGINT)
    assert starter.wait() == 8
    assert not pids_of(bench, "zkfs") and not mounted_types(point)


server_away = (r"WARN +zkc connection lost", r"WARN .*(connect|session|server)")

# ---- the mount point -----------------------------------------------------------------------------


def test_mounted_twice(bench, server, point):
    bench.run([ZKFS, server.hosts, point])
    done = bench.run([ZKFS, server.hosts, point], check=False)
    assert done.returncode == 32
    assert "already mounted" in done.stderr
    assert len(mounted_types(point)) == 1


def test_dead_mount_is_explained_and_can_be_replaced(bench, server, zk, point):
    zk.create("/f", b"v")
    bench.run([ZKFS, server.hosts, point, "-o", "no_auto_unmount"])
    assert (point / "f").read_bytes() == b"v"
    daemon = next(p for p in pids_of(bench, "zkfs"))
    os.kill(daemon, signal.SIGKILL)
    wait_for("it has gone", lambda: not pids_of(bench, "zkfs"))
    done = bench.run([ZKFS, server.hosts, point], check=False)
    assert done.returncode == 32
    assert "a dead mount is still here" in done.stderr and "fusermount3 -uz" in done.stderr
    bench.run(["fusermount3", "-uz", point])
    bench.run([ZKFS, server.hosts, point])
    assert (point / "f").read_bytes() == b"v"


def test_killed_daemon_is_unmounted_by_itself(bench, server, point):
    bench.run([ZKFS, server.hosts, point])
    os.kill(next(p for p in pids_of(bench, "zkfs")), signal.SIGKILL)
    wait_for("auto_unmount", lambda: not mounted_types(point))


# ---- the mount helper of mount(8) ----------------------------------------------------------------


def test_mount_with_an_empty_environment(bench, server, zk, point):
    """As mount(8) runs helpers: no HOME, no PATH."""
    zk.create("/f", b"v")
    helper = bench.path("mount.zkfs")
    helper.symlink_to(ZKFS)
    keep = [f"{k}={v}" for k, v in bench.environment().items() if "ZKFS" in k or "E2E" in k]
    options = "rw,noatime,_netdev,nofail,x-systemd.automount,x-systemd.idle-timeout=60,user"
    bench.run(["env", "-i"] + keep + [helper, server.hosts, point, "-sn", "-o", options])
    assert (point / "f").read_bytes() == b"v"
    assert "noatime" in mounted_types(point)[0][1]


def test_fake_mount(bench, point):
    helper = bench.path("mount.zkfs")
    helper.symlink_to(ZKFS)
    bench.run([helper, "127.0.0.1:1", point, "-f", "-o", "rw"])
    assert not mounted_types(point)


def test_read_only_mount_is_shown_so_and_still_hears_events(server, zk, new_mount):
    zk.create("/f", b"1")
    mount = new_mount(options=["ro"])
    wait_for("it is shown", lambda: mounted_types(mount.path)[0][1].split(",")[0] == "ro")
    for attempt in (lambda: mount.write("f", b"x"), lambda: (mount / "d").mkdir()):
        with pytest.raises(OSError) as refused:
            attempt()
        assert refused.value.errno == 30, "EROFS"
    watcher = mount.watch("")
    zk.set("/f", b"2")
    watcher.wait("f", "CLOSE_WRITE")
    assert mount.read("f") == b"2"


def test_an_ordinary_user_mounts_hears_events_and_unmounts(bench):
    """In a mount namespace of its own, where /dev/fuse is open to all as Debian has it."""
    home = bench.path("home")
    home.mkdir()
    home.chmod(0o777)
    for folder in (bench.folder, bench.folder.parent):
        folder.chmod(0o755)
    bench.run(["cp", ZKFS, ZKFS.parent / "zkserver", home])  # the checkout may be closed to others
    script = f"""
        set -e
        cd {home}
        mkdir mnt other
        ./zkfs --embedded=data mnt
        echo 1 > mnt/f
        ./zkfs $(sed -n s/clientPort=/127.0.0.1:/p data/zoo.cfg) other
        inotifywait -q -t 10 -e close_write mnt > heard &
        until grep -q inotify /proc/$!/fdinfo/*; do sleep 0.02; done
        echo 2 > other/f
        wait $!
        cat heard mnt/f
        fusermount3 -u mnt # inotify watches and the event helper do not make it busy
        fusermount3 -uz other
    """
    bench.expect_log(r"WARN .*(connect|session|server)")
    done = bench.run(
        ["unshare", "-m", "sh", "-c", AS_NOBODY, "sh", bench.path("fuse"), script], seconds=40
    )
    assert done.stdout.split() == ["mnt/", "CLOSE_WRITE,CLOSE", "f", "2"]
    wait_for("all have ended", lambda: not bench.tagged_pids())


AS_NOBODY = """
    mknod -m 666 "$1" c 10 229 && mount --bind "$1" /dev/fuse &&
    exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$2"
"""

# ---- the embedded server -------------------------------------------------------------------------


def test_embedded_server_that_ends_is_started_again(bench):
    bench.expect_log(
        r"ERROR +mount the embedded server was ended by signal 9, starting it again",
        r"WARN .*(connect|session|server)",
    )
    mount = Mount(bench, None, arguments=[f"--embedded={bench.path('data')}"]).start()
    mount.write("f", b"1")
    session = mount.session_id()
    os.kill(pids_of(bench, "zkserver")[0], signal.SIGKILL)
    mount.write("f", b"2")
    assert mount.read("f") == b"2"
    assert mount.session_id() == session, "the server is back before the session expires"
    assert mount.unmount() == 0
    assert not pids_of(bench, "zkserver")


def test_embedded_directory_in_use(bench, point):
    data = bench.path("data")
    mount = Mount(bench, None, name="first", arguments=[f"--embedded={data}"]).start()
    done = bench.run([ZKFS, f"--embedded={data}", point], check=False)
    assert done.returncode == 32
    assert "in use by another mount" in done.stderr
    assert mount.unmount() == 0


# ---- make stop -----------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_make_stop_tells_what_keeps_it(bench, server, zk):
    """Nothing mounted, in use, a daemon that hangs, a daemon that was killed."""
    point = bench.path("elsewhere")
    scripts = {"MNT": str(point), "ZK": server.hosts}
    run, stop = [REPO / "scripts" / "run"], [REPO / "scripts" / "stop"]
    assert "nothing is mounted" in bench.run(stop, env=scripts).stdout

    bench.run(run, env=scripts)
    guest = bench.spawn(["sleep", "100"], "guest", cwd=point)
    done = bench.run(stop, env=scripts, check=False)
    assert done.returncode == 1
    assert f"{guest.pid} sleep 100" in done.stderr and "--lazy" in done.stderr
    guest.kill9()

    daemon = pids_of(bench, "zkfs")[0]
    os.kill(daemon, signal.SIGSTOP)
    done = bench.run(stop, env=scripts, check=False, seconds=30)
    assert done.returncode == 1
    assert f"kill -9 {daemon}" in done.stderr
    assert "already mounted" in bench.run(run, env=scripts).stdout

    os.kill(daemon, signal.SIGKILL)
    wait_for("it is unmounted", lambda: not mounted_types(point))
    assert "nothing is mounted" in bench.run(stop, env=scripts).stdout
