# SPDX-License-Identifier: Apache-2.0
"""zkserver as a process: how it says that it is ready, how it ends, what its exit status is."""
import re
import signal
import socket
import time

import pytest
from harness.bench import ZKSERVER
from harness.waiting import wait_for


@pytest.fixture
def ours(new_server):
    """Ours, configured but not running."""
    return new_server("zkserver")


def test_ready_fd_tells_the_port_that_was_chosen(bench, ours):
    ours.settings["clientPort"] = 0
    ours.write_config()
    ready = bench.path("ready")
    script = f"exec 3>{ready}; exec {ZKSERVER} start-foreground --ready-fd=3 {ours.config}"
    process = bench.spawn(["sh", "-c", script], "chosen", ours=True)
    wait_for("the line", lambda: ready.read_text().endswith("\n"))
    found = re.fullmatch(r"ready port=(\d+)\n", ready.read_text())
    assert found, ready.read_text()
    ours.port = int(found[1])
    assert ours.four_letter("ruok") == "imok"
    assert f"clientPort={ours.port}\n" in ours.four_letter("conf")
    assert process.terminate() == 0


def test_systemd_is_told(bench, ours):
    path = bench.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(10)
        argv = [ZKSERVER, "start-foreground", ours.config]
        process = bench.spawn(argv, "notifying", ours=True, env={"NOTIFY_SOCKET": str(path)})
        assert notify.recv(100) == b"READY=1"
        assert ours.four_letter("ruok") == "imok"
        assert process.terminate() == 0
        assert notify.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order_with_a_client_connected(ours, number):
    ours.start()
    client = ours.raw()
    begin = time.monotonic()
    ours.process.killed_by_test = True
    ours.process.signal(number)
    assert ours.process.wait() == 0
    assert time.monotonic() - begin < 5
    client.close()


def test_print_config_can_be_served(bench, ours):
    printed = bench.run([ZKSERVER, "--print-config", ours.config]).stdout
    assert f"clientPort={ours.port}\n" in printed
    assert f"dataLogDir={ours.data}\n" in printed
    assert "minSessionTimeout=1000\n" in printed
    assert "secret" not in printed and "lK75jTNcA" not in printed
    copy = bench.path("copy.cfg")
    copy.write_text(printed)
    assert bench.run([ZKSERVER, "--print-config", copy]).stdout == printed.replace(
        "# DigestAuthenticationProvider.superDigest is set\n", ""
    )
    ours.config = copy
    ours.start()
    assert ours.stop() == 0


@pytest.mark.parametrize(
    "arguments, status",
    [
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["version"], 0),
        (["no-such-command"], 2),
        (["--no-such-option"], 2),
        (["--log-level=loud", "version"], 2),
        (["start-foreground", "/nonexistent/zoo.cfg"], 2),
        (["status", "/nonexistent/zoo.cfg"], 2),
        (["status", "a", "b"], 2),
    ],
)
def test_exit_status(bench, arguments, status):
    assert bench.run([ZKSERVER, *arguments], check=False).returncode == status


def test_port_in_use_ends_the_start(bench, ours, new_server):
    bench.expect_log(r" ERROR .*cannot listen")
    running = new_server("zkserver", "running").start()
    ours.settings["clientPort"] = running.port
    ours.write_config()
    ours.start(wait=False)
    assert ours.process.wait() == 1


def test_missing_directory_is_not_made_against_the_will(bench, ours):
    bench.expect_log(r" ERROR .*version-2 is missing")
    ours.settings["datadir.autocreate"] = "false"
    ours.write_config()
    ours.start(wait=False)
    assert ours.process.wait() == 1
    assert not (ours.data / "version-2").exists()
    (ours.data / "version-2").mkdir()
    ours.start()


def test_stale_pid_file_is_no_server(bench, ours):
    """The number in it has gone to another process, which must live on."""
    other = bench.spawn(["sleep", "60"], "other")
    pid_file = ours.data / "zookeeper_server.pid"
    pid_file.write_text(str(other.pid))
    started = bench.run([ZKSERVER, "start", ours.config])
    assert started.stdout == "Starting zookeeper ... STARTED\n"
    assert int(pid_file.read_text()) != other.pid
    bench.run([ZKSERVER, "stop", ours.config])
    pid_file.write_text(str(other.pid))
    assert "STOPPED" in bench.run([ZKSERVER, "stop", ours.config]).stdout
    assert other.is_running()
    other.terminate()


def test_server_in_the_background_keeps_no_descriptor_of_the_caller(bench, ours):
    """The shell's descriptor 3 is the pipe that run() reads to its end."""
    bench.run(f"{ZKSERVER} start {ours.config} 3>&1", shell=True, seconds=10)
    bench.run([ZKSERVER, "stop", ours.config])


def test_log_goes_where_it_is_asked_to(bench, ours):
    logs = bench.path("logs", "deep")
    env = {"ZOO_LOG_DIR": str(logs), "ZOOPIDFILE": str(bench.path("run", "zk.pid"))}
    bench.run([ZKSERVER, "--log-level=debug", "start", ours.config], env=env)
    assert int(bench.path("run", "zk.pid").read_text()) in bench.tagged_pids()
    bench.run([ZKSERVER, "stop", ours.config], env=env)
    assert not bench.tagged_pids()
    (log,) = logs.iterdir()
    assert re.fullmatch(r"zookeeper-\w+-server-\S+\.out", log.name)
    assert "zkserver" in log.read_text()


def test_probes_leave_no_line_in_the_log(ours):
    """A thousand health checks, half of them with a newline that nobody reads."""
    ours.start()
    before = ours.process.log()
    for i in range(500):
        assert ours.four_letter("ruok") == "imok"
        assert ours.four_letter("ruok\n") == "imok"
        with socket.create_connection(("127.0.0.1", ours.port)):
            pass
    assert ours.process.log() == before
