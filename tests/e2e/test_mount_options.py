# SPDX-License-Identifier: Apache-2.0
"""What the options promise, in the help, in the manual and in deed."""
import errno
import os
import re
import socket

import pytest

from harness.bench import REPO, ZKFS
from harness.ensemble import Ensemble
from harness.mounts import Mount
from harness.waiting import wait_for


def fails_with(number, call, *args):
    with pytest.raises(OSError) as error:
        call(*args)
    assert error.value.errno == number, os.strerror(error.value.errno)


# ---- what is written -----------------------------------------------------------------------------


def help_of(bench):
    """-o option -> its text in --help, line breaks removed."""
    text = bench.run([ZKFS, "--help"]).stdout.split("-o options")[1].split("\nUnmount")[0]
    entries = re.findall(r"^    ([a-z_]+)(\S*)(.*(?:\n {8,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(rest.split()) for name, _, rest in entries}


def options_of(head):
    """The options that an item's head in mdoc is about: words that follow Cm, unless they are values."""
    names, is_name, before = [], True, ""
    for word in head.split():
        if word in ("Cm", "Ar"):
            is_name = word == "Cm" and before not in ("Ns", "|")
        elif is_name and re.fullmatch("[a-z_]{2,}=?", word):
            names.append(word.rstrip("="))
        before = word
    return names


def manual():
    """-o option -> its item in zkfs(8)."""
    page = (REPO / "docs/man/zkfs.8").read_text()
    section = page.split(".Sh MOUNT OPTIONS")[1].split("\n.Sh ")[0]
    items = [item.partition("\n") for item in section.split("\n.It Cm ")[1:]]
    return {name: text for head, _, text in items for name in options_of(head)}


def test_help_and_manual_have_the_same_options(bench):
    told, written = help_of(bench), manual()
    assert len(told) > 20
    generic = {"noatime", "nodev", "noexec", "nosuid", "context"}
    negative = {"no_auto_unmount"}
    assert set(written) - generic - negative == set(told)


def test_manual_has_the_command_line(bench):
    told = bench.run([ZKFS, "--help"]).stdout.split("\n-o options")[0]
    page = (REPO / "docs/man/zkfs.8").read_text()
    section = page.split(".Sh OPTIONS")[1].split("\n.Sh ")[0]
    options = re.findall(r"^    --?([a-z-]+)", told, re.MULTILINE)
    assert len(options) > 5
    for option in options:
        assert re.search(rf"^\.It Fl .*\b-?{option}\b", section, re.MULTILINE), option


def test_help_and_manual_have_the_same_defaults(bench):
    told, written = help_of(bench), manual()
    numbers = {name: re.findall(r"\((\d+)\)", text) for name, text in told.items()}
    assert sum(len(found) for found in numbers.values()) > 5
    for name, found in numbers.items():
        for number in found:
            assert re.search(rf"\b{number}\b", written[name]), f"{name}: {number} by default"


def test_print_config_has_every_option(bench):
    told = help_of(bench)
    printed = bench.run([ZKFS, "--print-config", "h1,h2/app", "/mnt", "-o", "timeout=3"]).stdout
    values = dict(line.split("=", 1) for line in printed.splitlines())
    assert set(told) - {"embedded"} <= set(values)
    assert (values["hosts"], values["timeout"]) == ("h1:2181,h2:2181/app", "3")


# ---- starting ------------------------------------------------------------------------------------


def test_service_manager_is_told_when_the_mount_answers(bench, server, zk):
    """Type=notify; the mount answers at once."""
    zk.create("/f", b"v")
    point = bench.path("mnt")
    point.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(bench.path("notify")))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(bench.path("notify"))}
        daemon = bench.spawn([ZKFS, "-f", server.hosts, point], "zkfs", ours=True, env=env)
        assert manager.recv(100) == b"READY=1"
        assert (point / "f").read_bytes() == b"v"
        assert daemon.terminate() == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_debug_stays_in_the_foreground_and_logs_each_request(server, zk, new_mount):
    zk.create("/f", b"v")
    mount = new_mount(arguments=["-d"])
    assert mount.read("f") == b"v"
    assert "LOOKUP" in mount.process.log() and mount.process.is_running()


def test_log_file(bench, server):
    point = bench.path("mnt")
    point.mkdir()
    log = bench.path("zkfs.log")
    bench.run([ZKFS, server.hosts, point, "-o", f"log_file={log},pid_file={bench.path('pid')}"])
    pid = int(bench.path("pid").read_text())
    assert os.readlink(f"/proc/{pid}/fd/2") == str(log)
    bench.run(["umount", point])
    wait_for("it ends", lambda: not bench.tagged_pids() or not os.path.exists(f"/proc/{pid}"))
    assert f"mounted on {point}" in log.read_text() and "unmounted" in log.read_text()
    assert not bench.path("pid").exists()


# ---- without a server ----------------------------------------------------------------------------


@pytest.fixture(params=["stale", "error"])
def offline_mount(request, tap, new_mount, zk):
    zk.create("/f", b"v")
    zk.create("/g", b"v")
    options = ["session_timeout=1", "timeout=1", f"offline={request.param}"]
    mount = new_mount(hosts=tap.hosts, options=options)
    mount.shows("f")
    assert mount.read("f") == b"v"
    tap.cut()
    wait_for("it is offline", lambda: mount.session()["state"] == "offline")
    mount.when_offline = request.param
    return mount


def test_offline(tap, offline_mount, zk):
    """Cached files stay readable, or nothing is; what says so is readable always. After it, all is as
    before."""
    mount = offline_mount
    if mount.when_offline == "stale":
        assert mount.read("f") == b"v"
        assert sorted(os.listdir(mount.path)) == ["f", "g", "zookeeper"]
    else:
        fails_with(errno.EHOSTDOWN, mount.read, "f")
        fails_with(errno.EHOSTDOWN, os.listdir, mount.path)
    fails_with(errno.EHOSTDOWN, mount.write, "f", b"x")
    fails_with(errno.EHOSTDOWN, os.mkdir, mount / "d")
    fails_with(errno.EHOSTDOWN, os.unlink, mount / "f")
    fails_with(errno.EHOSTDOWN, os.open, mount / ".zk/ephemeral/e", os.O_CREAT | os.O_RDWR)
    assert mount.session()["state"] == "offline" and mount.read(".zk/stats")
    tap.mend()
    wait_for("it is back", lambda: mount.write("f", b"w") or True, 20)
    assert zk.get("/f")[0] == b"w" and mount.read("f") == b"w" and mount.read("g") == b"v"


@pytest.mark.timeout(90)
def test_read_only_server(bench):
    """ro_ok: one of three servers is left. Only Apache's serve reads without a quorum."""
    ensemble = Ensemble(bench, ["apache"] * 3, localSessionsEnabled="true")
    for server in ensemble.servers:
        server.jvm = [*server.jvm, "-Dreadonlymode.enabled=true"]
    ensemble.start()
    client = ensemble.client()
    client.create("/f", b"v")
    client.stop()
    last, *others = ensemble.servers
    for server in ensemble.servers[1:]:
        client = ensemble.client([server])
        client.sync("/f")
        client.stop()
    bench.expect_log(r" WARN ", r"ERROR")
    ensemble.servers[0].close_clients()
    for server in others:
        server.close_clients()
        server.kill9()
    wait_for("it serves reads", lambda: ensemble.mode(last) == "read-only", 30)
    mount = Mount(bench, last.hosts, options=["ro_ok"]).start()
    try:
        assert mount.session()["state"] == "read-only"
        assert mount.read("f") == b"v"
        fails_with(errno.EROFS, mount.write, "f", b"x")
        fails_with(errno.EROFS, os.mkdir, mount / "d")
        for server in others:
            server.start(wait=False)
        wait_for("writes work again", lambda: mount.write("f", b"w") or True, 30)
    finally:
        mount.close()
        ensemble.close()


# ---- what the kernel and libc ask ------------------------------------------------------------------


def test_statfs(bench, mount, zk):
    zk.create("/f", b"x" * 100000)
    mount.shows("f")
    shown = os.statvfs(mount.path)
    used = (shown.f_blocks - shown.f_bfree) * shown.f_frsize
    assert 100000 <= used < 300000 and shown.f_bavail > 0 and shown.f_namemax == 255
    assert shown.f_files - shown.f_ffree >= 2
    assert "fuse.zkfs" in bench.sh(f"df -T {mount.path}")


def test_touch(bench, mount, zk):
    """A new file, an old one, a directory, one that is not to be created."""
    zk.create("/f", b"v")
    zk.create("/d", b"own")
    zk.create("/d/c", b"")
    mount.shows("d/c")
    bench.sh("touch f new d; touch -c none; touch -d 2001-02-03 f", cwd=mount.path)
    assert zk.get("/f")[1].version == 1 and zk.get("/d")[1].version == 0
    assert zk.get("/new")[0] == b""
    assert zk.exists("/none") is None and zk.get("/f")[0] == b"v"


def test_what_a_mount_refuses(mount, zk):
    zk.create("/f", b"v")
    mount.shows("f")
    fails_with(errno.EPERM, os.symlink, "f", mount / "s")
    fails_with(errno.EPERM, os.link, mount / "f", mount / "l")
    fails_with(errno.EPERM, os.mkfifo, mount / "p")
    fails_with(errno.EPERM, os.mknod, mount / "c", 0o20666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as sock:
        directory = os.open(mount.path, os.O_PATH)
        fails_with(errno.EPERM, sock.bind, f"/proc/self/fd/{directory}/sock")
        os.close(directory)
    os.mknod(mount / "regular", 0o100644)
    assert sorted(os.listdir(mount.path)) == ["f", "regular", "zookeeper"]
    assert zk.get("/f")[0] == b"v" and zk.get("/regular")[0] == b""
