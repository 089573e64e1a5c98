# SPDX-License-Identifier: Apache-2.0
"""flock and fcntl locks that hold in the whole cluster: two mounts are two hosts."""
import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.servers import QUICK_JVM
from harness.waiting import holds_for, wait_for

CONTEND = Path(__file__).parent / "harness" / "contend.py"


@pytest.fixture
def hosts(new_mount, zk):
    """Two mounts of a tree with a file f and a directory d."""
    pair = [new_mount("a"), new_mount("b")]
    zk.create("/f", b"value")
    zk.create("/d", None)
    for mount in pair:
        mount.shows("f", "d")
    return pair


@pytest.fixture
def opened():
    """opened(path, flags): a descriptor that is closed with the test."""
    fds = []

    def do(path, flags=os.O_RDWR):
        fds.append(os.open(path, flags))
        return fds[-1]

    yield do
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


def refused(call, *args):
    """The errno that it fails with, 0 if it does not."""
    try:
        call(*args)
    except OSError as error:
        return error.errno
    return 0


def try_lock(fd, how):
    return refused(fcntl.flock, fd, how | fcntl.LOCK_NB)


def fence(path):
    return int(os.getxattr(path, "user.zk.fence"), 16)


def python(bench, code, *args, name="locker"):
    """Another process. What it prints goes to its log."""
    text = "import errno, fcntl, os, signal, sys, time\n" + code
    return bench.spawn([sys.executable, "-u", "-c", text, *args], name)


def says(process, word):
    wait_for(lambda: f"{process.name} says {word}:\n{process.log()}", lambda: word in process.log())


HOLD = "fd = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX); print('held');"


def queue_of(zk, path="/.zklock.f"):
    return sorted(zk.get_children(path), key=lambda name: name[-10:]) if zk.exists(path) else []


# ---- who excludes whom ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f", "d/.zk/lock"])
def test_two_hosts_exclude_each_other(hosts, opened, name):
    here, there = opened(hosts[0] / name), opened(hosts[1] / name)
    fcntl.flock(here, fcntl.LOCK_EX)
    assert try_lock(there, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    assert try_lock(there, fcntl.LOCK_SH) == errno.EWOULDBLOCK
    fcntl.flock(here, fcntl.LOCK_UN)
    assert try_lock(there, fcntl.LOCK_SH) == 0
    assert try_lock(here, fcntl.LOCK_SH) == 0
    assert try_lock(here, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    # As on any Linux, a conversion gives the old lock up first.
    assert try_lock(there, fcntl.LOCK_EX) == 0


def test_fcntl_locks_of_a_whole_file(bench, hosts, opened):
    there = opened(hosts[1] / "f")
    code = """
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_SH); print('shared')
while not os.path.exists(sys.argv[2]): time.sleep(0.01)
fcntl.lockf(fd, fcntl.LOCK_EX); print('exclusive')
while os.path.exists(sys.argv[2]): time.sleep(0.01)
os.close(os.open(sys.argv[1], os.O_RDWR)); print('closed')
time.sleep(60)
"""
    flag = bench.path("flag")
    process = python(bench, code, hosts[0] / "f", flag)
    says(process, "shared")
    assert refused(fcntl.lockf, there, fcntl.LOCK_EX | fcntl.LOCK_NB) in (errno.EAGAIN, errno.EACCES)
    assert refused(fcntl.lockf, there, fcntl.LOCK_SH | fcntl.LOCK_NB) == 0
    fcntl.lockf(there, fcntl.LOCK_UN)
    flag.touch()
    says(process, "exclusive")
    assert refused(fcntl.lockf, there, fcntl.LOCK_SH | fcntl.LOCK_NB) in (errno.EAGAIN, errno.EACCES)
    flag.unlink()
    says(process, "closed")  # any descriptor of the file: so POSIX has it
    wait_for("it is free", lambda: refused(fcntl.lockf, there, fcntl.LOCK_EX | fcntl.LOCK_NB) == 0)
    process.kill9()


FLOCK = "hhqqi"


def get_lock(fd, kind):
    """(type, pid) of F_GETLK."""
    asked = struct.pack(FLOCK, kind, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack(FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return answer[0], answer[4]


def test_getlk_tells_who_is_in_the_way(bench, hosts, opened):
    here, there = opened(hosts[0] / "f"), opened(hosts[1] / "f")
    assert get_lock(here, fcntl.F_WRLCK)[0] == fcntl.F_UNLCK
    code = "fd = os.open(sys.argv[1], os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_SH); print('held');"
    process = python(bench, code + "time.sleep(60)", hosts[0] / "f")
    says(process, "held")
    assert get_lock(here, fcntl.F_WRLCK) == (fcntl.F_RDLCK, process.pid)
    assert get_lock(here, fcntl.F_RDLCK)[0] == fcntl.F_UNLCK
    assert get_lock(there, fcntl.F_WRLCK)[0] == fcntl.F_RDLCK
    process.kill9()


def test_bytes_cannot_be_locked(hosts, opened):
    fd = opened(hosts[0] / "f")
    assert refused(fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1) == errno.ENOLCK
    assert refused(fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 5) == errno.ENOLCK
    assert refused(fcntl.lockf, fd, fcntl.LOCK_UN, 1) == 0
    fcntl.lockf(fd, fcntl.LOCK_EX)
    assert refused(fcntl.lockf, fd, fcntl.LOCK_UN, 1) == errno.ENOLCK
    text = opened(hosts[0] / ".zk/session", os.O_RDONLY)
    assert try_lock(text, fcntl.LOCK_SH) == errno.ENOLCK


def test_read_only_mount_makes_no_entries(new_mount, zk, opened):
    zk.create("/f", b"value")
    mount = new_mount("ro", options=["ro"])
    assert try_lock(opened(mount / "f", os.O_RDONLY), fcntl.LOCK_SH) == errno.EROFS


# ---- descriptors and processes -------------------------------------------------------------------


def test_duplicates_and_children_share_a_lock(bench, hosts, opened):
    there = opened(hosts[1] / "f")
    code = HOLD + """
other = os.dup(fd)
os.close(fd); print('one closed')
if os.fork() == 0:
    signal.pause()
os.close(other); print('all closed here')
signal.pause()
"""
    process = python(bench, code, hosts[0] / "f")
    says(process, "all closed here")
    assert try_lock(there, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    process.kill9()
    assert try_lock(there, fcntl.LOCK_EX) == errno.EWOULDBLOCK  # the child has it still
    for pid in bench.tagged_pids():
        if Path(f"/proc/{pid}/cmdline").read_bytes().find(b"signal.pause") >= 0:
            os.kill(pid, signal.SIGKILL)
    wait_for("it is free", lambda: try_lock(there, fcntl.LOCK_EX) == 0)


def test_shared_becomes_exclusive_and_back(hosts, opened, zk):
    here, there = opened(hosts[0] / "d/.zk/lock"), opened(hosts[1] / "d/.zk/lock")
    fcntl.flock(here, fcntl.LOCK_SH)
    fcntl.flock(here, fcntl.LOCK_EX)
    token = fence(hosts[0] / "d")
    waiter = threading.Thread(target=fcntl.flock, args=(there, fcntl.LOCK_EX), daemon=True)
    waiter.start()
    wait_for("it waits", lambda: len(zk.get_children("/d")) == 6)
    fcntl.flock(here, fcntl.LOCK_SH)  # keeps its place: the other still waits
    assert fence(hosts[0] / "d") == token
    assert holds_for(0.3, waiter.is_alive)
    again = opened(hosts[1] / "d/.zk/lock")
    assert try_lock(again, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    fcntl.flock(here, fcntl.LOCK_UN)
    waiter.join(10)
    assert not waiter.is_alive()
    assert fence(hosts[1] / "d") > token
    fcntl.flock(there, fcntl.LOCK_UN)
    assert zk.get_children("/d") == []


def test_of_two_who_hold_fcntl_locks_and_want_more_the_second_is_told(bench, hosts, opened, zk):
    code = """
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_SH); print('shared')
while not os.path.exists(sys.argv[2]): time.sleep(0.01)
fcntl.lockf(fd, fcntl.LOCK_EX); print('exclusive')
"""
    flag = bench.path("flag")
    process = python(bench, code, hosts[0] / "f", flag)
    there = opened(hosts[1] / "f")
    fcntl.lockf(there, fcntl.LOCK_SH)
    says(process, "shared")
    flag.touch()
    wait_for("it waits for this one", lambda: len(queue_of(zk)) == 3)
    assert refused(fcntl.lockf, there, fcntl.LOCK_EX) == errno.EDEADLK
    fcntl.lockf(there, fcntl.LOCK_UN)  # it was kept until now
    says(process, "exclusive")
    assert process.wait() == 0


# ---- the line ------------------------------------------------------------------------------------


@pytest.mark.timeout(90)
def test_a_thousand_critical_sections_are_never_two(bench, hosts, measure):
    counter = bench.path("counter")
    counter.write_text("0")
    begin = time.monotonic()
    contenders = []
    for number in range(16):
        kind = "flock" if number % 4 else "lockf"
        argv = [sys.executable, CONTEND, hosts[number % 2] / "f", kind, 1000 // 16 + 1, counter]
        contenders.append(bench.spawn(argv, f"contender{number}"))
    for process in contenders:
        assert process.wait(80) == 0, process.log()
    assert counter.read_text() == str(16 * 63)
    measure("1,008 critical sections of 16 contenders on two mounts", time.monotonic() - begin)


def wait_in_line(bench, hosts, zk, count):
    """That many processes, on one host and the other in turn, each of which waits behind the last
    for the lock of f, then writes its number to the log and leaves."""
    log = bench.path("order")
    log.touch()
    before = len(queue_of(zk))
    waiters = []
    code = HOLD + "os.write(os.open(sys.argv[2], os.O_APPEND | os.O_WRONLY), sys.argv[3].encode())"
    for number in range(count):
        waiters.append(python(bench, code, hosts[number % 2] / "f", log, f"{number} "))
        wait_for("it is in line", lambda n=number: len(queue_of(zk)) == before + n + 1)
    return waiters, log


def test_first_come_first_served(bench, hosts, opened, zk):
    fd = opened(hosts[0] / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    waiters, log = wait_in_line(bench, hosts, zk, 8)
    fcntl.flock(fd, fcntl.LOCK_UN)
    for process in waiters:
        process.wait()
    assert log.read_text().split() == [str(n) for n in range(8)]
    wait_for("the queue is empty", lambda: queue_of(zk) == [])


def requests(mount):
    """Requests to ZooKeeper so far, by kind."""
    found = {}
    for line in (mount / ".zk/stats").read_text().splitlines():
        if line.startswith("zkfs_zookeeper_requests_total{"):
            kind, number = line.split('"')[1], int(line.split()[-1])
            found[kind] = number
    return found


def test_the_end_of_a_lock_wakes_one_waiter(bench, hosts, opened, zk):
    fd = opened(hosts[0] / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    code = HOLD + "signal.pause()"
    waiters = []
    for number in range(10):
        waiters.append(python(bench, code, hosts[1] / "f"))
        wait_for("it is in line", lambda n=number: len(queue_of(zk)) == n + 2)
    asked = requests(hosts[1])
    fcntl.flock(fd, fcntl.LOCK_UN)
    says(waiters[0], "held")
    time.sleep(0.2)
    more = {kind: number - asked[kind] for kind, number in requests(hosts[1]).items()}
    assert more["children"] == 1 and more["get"] <= 1 and more["multi"] == 0, more
    for process in waiters:
        process.kill9()
    wait_for("the queue is empty", lambda: queue_of(zk) == [])


def test_other_mounts_do_not_follow_each_step_of_a_lock(hosts, opened):
    """Though they watch the directory that is locked, and see what else happens in it."""
    events = hosts[1].watch("d")
    fd = opened(hosts[0] / "d/.zk/lock")
    asked, begin = requests(hosts[1]), time.monotonic()
    for _ in range(50):
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_UN)
    seconds = time.monotonic() - begin
    more = requests(hosts[1])["children"] - asked["children"]
    assert more <= 3 + seconds, (more, seconds)
    (hosts[0] / "d/sub").mkdir()
    events.wait("d/sub", "CREATE")


def test_readers_are_let_in_together(bench, hosts, opened, zk):
    fd = opened(hosts[0] / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    code = HOLD.replace("LOCK_EX", "LOCK_SH") + "signal.pause()"
    readers = [python(bench, code, hosts[n % 2] / "f") for n in range(4)]
    wait_for("all wait", lambda: len(queue_of(zk)) == 5)
    fcntl.flock(fd, fcntl.LOCK_UN)
    for process in readers:
        says(process, "held")
    for process in readers:
        process.kill9()


# ---- those who do not wait, and those who do not come back ----------------------------------------


def test_flock_with_a_timeout_and_without_waiting(bench, hosts, opened, zk):
    fcntl.flock(opened(hosts[0] / "f"), fcntl.LOCK_EX)
    path = hosts[1] / "f"
    assert bench.run(["flock", "-n", path, "true"], check=False).returncode == 1
    assert bench.run(["flock", "-w", "0.3", path, "true"], check=False).returncode == 1
    wait_for("only the holder is left", lambda: len(queue_of(zk)) == 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_waiter_that_is_ended_leaves_the_line_at_once(bench, hosts, opened, zk, number):
    fcntl.flock(opened(hosts[0] / "f"), fcntl.LOCK_EX)
    process = bench.spawn(["flock", hosts[1] / "f", "true"], "waiter")
    wait_for("it waits", lambda: len(queue_of(zk)) == 2)
    process.killed_by_test = True
    process.signal(number)
    process.wait(5)
    wait_for("only the holder is left", lambda: len(queue_of(zk)) == 1)


def test_signal_handler_interrupts_the_wait(bench, hosts, opened):
    fcntl.flock(opened(hosts[0] / "f"), fcntl.LOCK_EX)
    code = """
class Alarm(Exception): pass
def alarm(*_): raise Alarm
signal.signal(signal.SIGALRM, alarm)
fd = os.open(sys.argv[1], os.O_RDWR)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try: fcntl.flock(fd, fcntl.LOCK_EX)
except Alarm: print('interrupted')
os.read(fd, 10); print('goes on')
"""
    process = python(bench, code, hosts[1] / "f")
    assert process.wait() == 0, process.log()
    assert process.log().split("\n")[:2] == ["interrupted", "goes on"]


def test_killed_holder_gives_way_at_once(bench, hosts, opened):
    process = python(bench, HOLD + "signal.pause()", hosts[0] / "f")
    says(process, "held")
    there = opened(hosts[1] / "f")
    assert try_lock(there, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    process.kill9()
    wait_for("it is free", lambda: try_lock(there, fcntl.LOCK_EX) == 0, 5)


def test_killed_daemon_gives_way_with_its_session(bench, new_mount, zk, opened):
    zk.create("/f", b"value")
    dying = new_mount("dying", options=["session_timeout=2"])
    other = new_mount("other")
    process = python(bench, HOLD + "signal.pause()", dying / "f")
    says(process, "held")
    dying.kill9()
    there = opened(other / "f")
    assert try_lock(there, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    begin = time.monotonic()
    fcntl.flock(there, fcntl.LOCK_EX)
    assert time.monotonic() - begin < 8
    process.kill9()
    dying.remove_dead()


# ---- what is seen under a lock, and what is not let through without -------------------------------


def test_counter_in_the_file_itself(bench, hosts, zk):
    """Each opens the file once: what it reads under the lock is what the last holder has written."""
    zk.set("/f", b"0")
    code = """
fd = os.open(sys.argv[1], os.O_RDWR)
for _ in range(25):
    fcntl.flock(fd, fcntl.LOCK_EX)
    number = int(os.pread(fd, 20, 0))
    os.pwrite(fd, b'%d' % (number + 1), 0)
    fcntl.flock(fd, fcntl.LOCK_UN)
"""
    processes = [python(bench, code, hosts[n % 2] / "f") for n in range(4)]
    for process in processes:
        assert process.wait(30) == 0, process.log()
    assert zk.get("/f")[0] == b"100"


def test_what_was_cached_is_read_anew_under_a_lock(hosts, opened, zk):
    assert hosts[1].read("f") == b"value"
    time.sleep(0.4)  # calm: the next reader goes through the page cache
    reader = opened(hosts[1] / "f", os.O_RDONLY)
    assert os.pread(reader, 100, 0) == b"value"
    with open(hosts[0] / "f", "r+b", buffering=0) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        locked = threading.Thread(target=fcntl.flock, args=(reader, fcntl.LOCK_SH), daemon=True)
        locked.start()
        wait_for("it waits", lambda: len(queue_of(zk)) == 2)
        writer.write(b"VALUE")
    locked.join(10)
    assert os.pread(reader, 100, 0) == b"VALUE"


def test_tokens_grow(hosts, opened):
    tokens = []
    for number in range(4):
        fd = opened(hosts[number % 2] / "f")
        fcntl.flock(fd, fcntl.LOCK_EX)
        tokens.append(fence(f"/proc/self/fd/{fd}"))
        assert refused(os.getxattr, hosts[1 - number % 2] / "f", "user.zk.fence") == errno.ENODATA
        fcntl.flock(fd, fcntl.LOCK_UN)
    assert tokens == sorted(set(tokens))
    assert refused(os.getxattr, hosts[0] / "f", "user.zk.fence") == errno.ENODATA


def test_lock_that_an_operator_breaks(bench, hosts, opened, zk):
    """What was written under it, but not committed yet, does not reach the znode."""
    bench.expect_log(r" WARN +lock lost ")
    fd = opened(hosts[0] / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, b"late")
    zk.delete("/.zklock.f/" + queue_of(zk)[0])
    there = opened(hosts[1] / "f")
    fcntl.flock(there, fcntl.LOCK_EX)
    wait_for("it is known", lambda: refused(os.read, fd, 1) == errno.EIO)
    assert refused(os.write, fd, b"x") == errno.EIO
    assert refused(os.fsync, fd) == errno.EIO
    assert try_lock(fd, fcntl.LOCK_EX) == errno.EIO
    assert refused(os.close, fd) == errno.EIO
    assert zk.get("/f")[0] == b"value"


def test_write_is_checked_against_the_lock_by_the_ensemble(bench, new_mount, zk, opened, tap):
    """The mount has not heard of the loss yet."""
    bench.expect_log(r" WARN +lock lost ")
    zk.create("/f", b"value")
    mount = new_mount("a", hosts=tap.hosts)
    fd = opened(mount / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, b"late")
    tap.hold()
    zk.delete("/.zklock.f/" + queue_of(zk)[0])
    closed = []
    closer = threading.Thread(target=lambda: closed.append(refused(os.close, fd)), daemon=True)
    closer.start()
    time.sleep(0.1)
    tap.release()
    closer.join(10)
    assert closed == [errno.EIO]
    assert zk.get("/f")[0] == b"value"


# ---- the session ---------------------------------------------------------------------------------


def test_lost_session_is_a_lost_lock(bench, new_mount, zk, opened, tap):
    bench.expect_log(r" WARN +lock lost ")
    zk.create("/f", b"value")
    zk.create("/g", b"value")
    mount = new_mount("a", hosts=tap.hosts, options=["session_timeout=2"])
    other = new_mount("b")
    time.sleep(0.4)
    mount.read("f")
    writer, reader = opened(mount / "g"), opened(mount / "f", os.O_RDONLY)
    bystander = opened(mount / "f", os.O_RDONLY)
    fcntl.flock(writer, fcntl.LOCK_EX)
    fcntl.flock(reader, fcntl.LOCK_SH)
    assert os.pread(reader, 9, 0) == os.pread(bystander, 9, 0) == b"value"
    session = mount.session_id()
    there = opened(other / "f")
    tap.cut()
    fcntl.flock(there, fcntl.LOCK_EX)  # as soon as the server has ended the session
    # By then, and however far behind it is, the first host does not believe in its lock any more.
    assert refused(os.pread, reader, 9, 0) == errno.EIO
    assert refused(os.pread, writer, 9, 0) == errno.EIO
    assert os.pread(bystander, 9, 0) == b"value"
    tap.mend()
    wait_for("a new session", lambda: mount.session_id() != session)
    wait_for("connected", lambda: mount.session()["state"] == "connected")
    for fd in reader, writer:
        assert refused(os.pread, fd, 9, 0) == errno.EIO
        assert try_lock(fd, fcntl.LOCK_SH) == errno.EIO
    assert refused(os.write, writer, b"x") == errno.EIO
    assert try_lock(opened(mount / "g"), fcntl.LOCK_EX) == 0


def test_lock_lives_through_a_short_interruption(bench, new_mount, zk, opened, tap):
    zk.create("/f", b"value")
    mount = new_mount("a", hosts=tap.hosts, options=["session_timeout=6"])
    fd, waiting = opened(mount / "f"), opened(mount / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    waiter = threading.Thread(target=fcntl.flock, args=(waiting, fcntl.LOCK_EX), daemon=True)
    waiter.start()
    wait_for("it waits", lambda: len(queue_of(zk)) == 2)
    assert os.pread(fd, 9, 0) == b"value"
    tap.cut()
    wait_for("it is in doubt", lambda: refused(os.pread, fd, 9, 0) == errno.EIO, 5)
    tap.mend()
    wait_for("it is not", lambda: refused(os.pread, fd, 9, 0) == 0)
    assert len(queue_of(zk)) == 2 and waiter.is_alive()
    fcntl.flock(fd, fcntl.LOCK_UN)
    waiter.join(10)
    assert not waiter.is_alive()


def test_waiter_whose_session_is_lost_waits_on_in_the_next(bench, new_mount, zk, opened, tap):
    zk.create("/f", b"value")
    mount = new_mount("a", hosts=tap.hosts, options=["session_timeout=2"])
    other = new_mount("b")
    holder = opened(other / "f")
    fcntl.flock(holder, fcntl.LOCK_EX)
    waiting = opened(mount / "f")
    waiter = threading.Thread(target=fcntl.flock, args=(waiting, fcntl.LOCK_EX), daemon=True)
    waiter.start()
    wait_for("it waits", lambda: len(queue_of(zk)) == 2)
    tap.cut()
    wait_for("its entry is gone", lambda: len(queue_of(zk)) == 1)
    tap.mend()
    wait_for("it waits again", lambda: len(queue_of(zk)) == 2)
    assert waiter.is_alive()
    fcntl.flock(holder, fcntl.LOCK_UN)
    waiter.join(10)
    assert not waiter.is_alive()
    assert fence(mount / "f") > 0


def test_create_whose_answer_is_lost_is_found_again(bench, new_mount, zk, opened, tap):
    zk.create("/f", b"value")
    mount = new_mount("a", hosts=tap.hosts, options=["session_timeout=8"])
    fd = opened(mount / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)  # the queue is there
    fcntl.flock(fd, fcntl.LOCK_UN)
    tap.lose_answers()
    locker = threading.Thread(target=fcntl.flock, args=(fd, fcntl.LOCK_EX), daemon=True)
    locker.start()
    wait_for("the entry is there", lambda: len(queue_of(zk)) == 1)
    entry = queue_of(zk)
    tap.cut()
    tap.mend()
    locker.join(10)
    assert not locker.is_alive()
    assert queue_of(zk) == entry


def test_unlock_whose_answer_is_lost_is_an_unlock(bench, new_mount, zk, opened, tap):
    zk.create("/f", b"value")
    mount = new_mount("a", hosts=tap.hosts, options=["session_timeout=8"])
    fd = opened(mount / "f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    tap.lose_answers()
    unlock = threading.Thread(target=fcntl.flock, args=(fd, fcntl.LOCK_UN), daemon=True)
    unlock.start()
    wait_for("the entry is gone", lambda: queue_of(zk) == [])
    assert unlock.is_alive()
    tap.cut()
    tap.mend()
    unlock.join(10)
    assert not unlock.is_alive()
    assert try_lock(fd, fcntl.LOCK_EX) == 0


# ---- the queue is out of sight -------------------------------------------------------------------


def test_queues_are_not_listed_and_not_in_the_way(hosts, opened, zk):
    (hosts[0] / "d/sub").mkdir()
    (hosts[0] / "d/sub/f").touch()
    events = hosts[1].watch("d")
    fd, directory = opened(hosts[0] / "d/sub/f"), opened(hosts[0] / "d/.zk/lock")
    fcntl.flock(fd, fcntl.LOCK_EX)
    fcntl.flock(directory, fcntl.LOCK_EX)
    for mount in hosts:
        assert os.listdir(mount / "d") == ["sub"]
        assert os.listdir(mount / "d/sub") == ["f"]
    assert refused(os.rmdir, hosts[0] / "d/sub") == errno.ENOTEMPTY
    (hosts[0] / "d/sub/f").unlink()
    assert refused(os.rmdir, hosts[0] / "d/sub") == errno.ENOTEMPTY  # somebody holds the lock
    fcntl.flock(fd, fcntl.LOCK_UN)
    fcntl.flock(directory, fcntl.LOCK_UN)
    (hosts[0] / "d/sub").rmdir()
    assert zk.get_children("/d") == []
    events.wait("d/sub", "DELETE")
    assert {e.path for e in events.events} <= {"d", "d/sub"}


# ---- other clients -------------------------------------------------------------------------------


@pytest.mark.parametrize("name, path", [("d/.zk/lock", "/d"), ("f", "/.zklock.f")])
def test_kazoo_and_flock_exclude_each_other(server, hosts, opened, name, path):
    theirs = server.client().Lock(path, "kazoo")
    ours = opened(hosts[0] / name)
    fcntl.flock(ours, fcntl.LOCK_EX)
    assert not theirs.acquire(blocking=False)
    assert [who for who in theirs.contenders() if who.endswith(f":{os.getpid()}")]
    waiter = threading.Thread(target=theirs.acquire, daemon=True)
    waiter.start()
    wait_for("kazoo waits", lambda: len(theirs.contenders()) == 2)
    assert waiter.is_alive()
    fcntl.flock(ours, fcntl.LOCK_UN)
    waiter.join(10)
    assert theirs.is_acquired
    assert try_lock(ours, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    assert try_lock(ours, fcntl.LOCK_SH) == errno.EWOULDBLOCK
    turn = threading.Thread(target=fcntl.flock, args=(ours, fcntl.LOCK_EX), daemon=True)
    turn.start()
    wait_for("flock waits", lambda: len(theirs.contenders()) == 2)
    theirs.release()
    turn.join(10)
    assert not turn.is_alive()


def test_kazoo_readers_and_writers(server, hosts, opened):
    client = server.client()
    reader, writer = client.ReadLock("/d"), client.WriteLock("/d")
    ours = opened(hosts[0] / "d/.zk/lock")
    fcntl.flock(ours, fcntl.LOCK_SH)
    assert reader.acquire(blocking=False)
    assert not writer.acquire(blocking=False)
    fcntl.flock(ours, fcntl.LOCK_UN)
    assert try_lock(ours, fcntl.LOCK_SH) == 0
    fcntl.flock(ours, fcntl.LOCK_UN)
    assert try_lock(ours, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    reader.release()
    assert writer.acquire(blocking=False)
    assert try_lock(ours, fcntl.LOCK_SH) == errno.EWOULDBLOCK
    writer.release()
    fcntl.flock(ours, fcntl.LOCK_EX)
    assert not reader.acquire(blocking=False)


JAVA = "/usr/share/java"
CURATOR = ["curator-client", "curator-framework", "curator-recipes", "guava", "zookeeper"]
CLASSPATH = ":".join(f"{JAVA}/{jar}.jar" for jar in [*CURATOR, "zookeeper-jute", "slf4j-nop"])


class Curator:
    """CuratorLock.java, told what to do."""

    def __init__(self, bench, classes, hosts):
        argv = ["java", *QUICK_JVM, "-cp", f"{CLASSPATH}:{classes}", "CuratorLock", hosts]
        bench.commands.append(argv)
        self._popen = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=bench.environment(),
        )
        assert self._popen.stdout.readline() == "ready\n"

    def send(self, *words):
        self._popen.stdin.write(" ".join(words) + "\n")
        self._popen.stdin.flush()

    def answer(self):
        return self._popen.stdout.readline().strip()

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def close(self):
        self._popen.stdin.close()
        self._popen.wait(20)


@pytest.fixture(scope="module")
def curator_classes(scratch):
    folder = scratch / "classes"
    folder.mkdir()
    source = CONTEND.parent.parent / "clients" / "CuratorLock.java"
    subprocess.run(["javac", "-cp", CLASSPATH, "-d", folder, source], check=True)
    return folder


@pytest.fixture
def curator(bench, server, curator_classes):
    client = Curator(bench, curator_classes, server.hosts)
    yield client
    client.close()


def test_java_program_and_shell_script_exclude_each_other(bench, hosts, curator, zk):
    """InterProcessMutex and flock(1), each in the other's way, and each after the other."""
    path = hosts[0] / "d/.zk/lock"
    try_it = ["flock", "-n", path, "true"]
    assert curator("mutex", "acquire", "/d") == "true"
    assert bench.run(try_it, check=False).returncode == 1
    script = bench.spawn(["flock", path, "sleep", "1"], "script")
    wait_for("the script waits", lambda: len(zk.get_children("/d")) == 4)
    assert curator("mutex", "release", "/d") == "released"
    wait_for("the script's turn", lambda: bench.run(["pgrep", "-P", str(script.pid)], check=False).stdout)
    assert curator("mutex", "try", "/d") == "false"
    curator.send("mutex", "acquire", "/d")
    wait_for("the program waits", lambda: len(zk.get_children("/d")) == 4)
    assert script.wait() == 0
    assert curator.answer() == "true"
    assert bench.run(try_it, check=False).returncode == 1
    assert curator("mutex", "release", "/d") == "released"
    assert bench.run(try_it).returncode == 0


def test_curator_readers_and_writers(hosts, opened, curator):
    ours = opened(hosts[0] / "d/.zk/lock")
    fcntl.flock(ours, fcntl.LOCK_SH)
    assert curator("read", "try", "/d") == "true"
    assert curator("write", "try", "/d") == "false"
    fcntl.flock(ours, fcntl.LOCK_UN)
    assert try_lock(ours, fcntl.LOCK_SH) == 0
    fcntl.flock(ours, fcntl.LOCK_UN)
    assert try_lock(ours, fcntl.LOCK_EX) == errno.EWOULDBLOCK
    assert curator("read", "release", "/d") == "released"
    assert curator("write", "acquire", "/d") == "true"
    assert try_lock(ours, fcntl.LOCK_SH) == errno.EWOULDBLOCK
    assert curator("write", "release", "/d") == "released"
    fcntl.flock(ours, fcntl.LOCK_EX)
    assert curator("read", "try", "/d") == "false"
